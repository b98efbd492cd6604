"""The gateway of a food delivery system."""

import time

from . import common
from .load import Load
from .report import Report
from .stack import Stack
from .web import until


def check(report: Report) -> None:
    with Stack("food-delivery") as stack:
        common.names_missing_variables(report, stack)
        report.step("up")
        stack.up()
        common.healthy(report, stack)
        for part in (calls, refusals, isolation, limits, faults, persistence):
            with report.guarded(part.__name__):
                part(report, stack)


def order(item: int = 1, quantity: int = 2) -> dict:
    return {"restaurant": 1, "customer": "Ada", "address": "1 Main Street", "lines": [{"item": item, "quantity": quantity}]}


def calls(report: Report, stack: Stack) -> None:
    client = stack.client()
    for service in ("orders", "restaurants"):
        seen = [client.get(f"/status/{service}") for _ in range(8)]
        report.check(f"{service} says how it is: database and cache up",
                     all(a.status == 200 and a.json["service"] == service and a.json["database"] and a.json["cache"] for a in seen), seen[0].text)
        names = [a.server for a in seen]
        report.check(f"two instances of {service} in turns", len(set(names)) == 2 and names == names[:2] * 4, names)
    report.equal("restaurants can be browsed, by city too", [len(client.get("/restaurants" + q).json) for q in ("", "?city=Bern", "?city=Rome")], [2, 1, 0])
    menu = client.get("/restaurants/1/menu").json
    report.equal("and their menus", menu[0], {"id": 1, "name": "Margherita", "price": "14.50"})
    added = client.send("POST", "/restaurants/1/menu", {"name": "Lemonade", "price": "4.80"})
    report.equal("a restaurant adds to its menu", added.status, 201)
    changed = client.send("PUT", f"/restaurants/1/menu/{added.json['id']}", {"name": "Lemonade", "price": "5.20"})
    report.equal("and changes it", (changed.status, changed.json["price"]), (200, "5.20"))
    shown = [a["price"] for _ in range(4) for a in client.get("/restaurants/1/menu").json if a["name"] == "Lemonade"]
    report.equal("every instance shows the new price at once, cached as it was", shown, ["5.20"] * 4)

    placed = client.send("POST", "/orders", order(added.json["id"], 3))
    report.equal("an order is placed at the menu's price", (placed.status, placed.json.get("total")), (201, "15.60"))
    number = placed.json["order"]
    told = [o for o in client.get("/restaurants/1/orders").json if o["id"] == number]
    report.check("the restaurant was told (callback)", told and told[0]["state"] == "placed" and told[0]["lines"][0]["quantity"] == 3, told)
    for state in ("accepted", "cooking", "on its way", "delivered"):
        client.send("PUT", f"/restaurants/1/orders/{number}", {"state": state})
    tracked = client.get(f"/orders/{number}").json
    report.equal("the customer follows it (callback)", [s["state"] for s in tracked["states"]], ["placed", "accepted", "cooking", "on its way", "delivered"])


def refusals(report: Report, stack: Stack) -> None:
    client = stack.client()
    for what, (answer, status, field) in {
        "an unknown restaurant": (client.send("POST", "/orders", order() | {"restaurant": 99}), 422, "restaurant"),
        "an item of another menu": (client.send("POST", "/orders", order(4)), 422, "lines.0.item"),
        "nothing ordered": (client.send("POST", "/orders", order() | {"lines": []}), 422, "lines"),
        "a negative quantity": (client.send("POST", "/orders", order(1, -1)), 422, "lines.0.quantity"),
        "no customer": (client.send("POST", "/orders", order() | {"customer": " "}), 422, "customer"),
        "an unknown state": (client.send("PUT", "/restaurants/1/orders/1", {"state": "eaten"}), 422, "state"),
        "a price of zero": (client.send("POST", "/restaurants/1/menu", {"name": "Water", "price": "0"}), 422, "price"),
        "a taken name": (client.send("POST", "/restaurants/1/menu", {"name": "Margherita", "price": "1"}), 409, "name"),
    }.items():
        report.check(f"{what} is refused at its field", answer.status == status and field in answer.json["errors"], (answer.status, answer.text))
    for target in ("/callbacks/orders/1", "/callbacks/restaurants/1", "/orders/../callbacks/orders/1", "//callbacks/orders/1", "/status"):
        answer = client.send("POST", target, {"state": "delivered"})
        report.equal(f"{target} is not on the gateway", (answer.status, answer.server), (404, ""))
    large = client.request("POST", "/orders", b"x" * 70_000, {"Content-Type": "application/json"})
    report.equal("an order over 64 KiB is refused by lb", large.status, 413)


def isolation(report: Report, stack: Stack) -> None:
    common.only_lb_is_published(report, stack)
    common.unreachable(report, stack, {
        "orders": (8000, common.HTTP), "restaurants": (8000, common.HTTP), "cache": (6379, common.REDIS),
        "orders-db": (5432, common.POSTGRES), "restaurants-db": (5432, common.POSTGRES),
    })


def limits(report: Report, stack: Stack) -> None:
    with Load(stack.port, lambda client, _: client.send("POST", "/orders", order()), users=40, think=0.2) as load:
        time.sleep(6)
    report.note(f"40 users order at once: {load}")
    report.check("those over the limit of connections wait for their turn, none is turned away", not load.failed and load.requests > 50, load)


def faults(report: Report, stack: Stack) -> None:
    place = lambda client, _: client.send("POST", "/orders", order())   # noqa: E731
    common.under_load(report, stack, "one instance of restaurants crashes", "/restaurants/1/menu", lambda: (stack.crash("restaurants"), time.sleep(5)))
    until(60, stack.is_healthy)

    def without_cache():
        stack.compose("stop", "cache")
        time.sleep(3)
        stack.compose("start", "cache")

    common.under_load(report, stack, "the cache is stopped and started", place, without_cache)
    until(60, stack.is_healthy)

    stack.compose("stop", "restaurants")
    client = stack.client()
    answer = until(15, lambda: (a := client.send("POST", "/orders", order())).status == 503 and a)
    report.check("without restaurants no order is placed, and the client is told so", answer, answer)
    report.equal("orders can be followed all the while", client.get("/orders/1").status, 200)
    down = until(15, lambda: stack.metric("lb_server_up{backend=\"restaurants\"") == 0)
    report.check("and lb's metrics say who is missing", down)
    stack.compose("start", "restaurants")
    report.check("with restaurants back orders are placed again", until(40, lambda: client.send("POST", "/orders", order()).status == 201))


def persistence(report: Report, stack: Stack) -> None:
    common.restart_all(report, stack)
    client = stack.client()
    report.check("orders and menus are still there",
                 client.get("/orders/1").status == 200 and "Lemonade" in client.get("/restaurants/1/menu").text)
