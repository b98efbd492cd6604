"""A product API in three instances under 100 virtual users."""

import os
import re
import sys
import time

from . import common
from .load import Load
from .report import Report
from .stack import DOCKER, Stack, run
from .web import until

PRODUCTS = ["products1", "products2", "products3"]
SECONDS = int(os.environ.get("LOAD_SECONDS", "60"))


def check(report: Report) -> None:
    with Stack("products") as stack:
        common.names_missing_variables(report, stack)
        report.step("up")
        stack.up()
        common.healthy(report, stack)
        for part in (calls, isolation, hundred_users, restarts, persistence):
            with report.guarded(part.__name__):
                part(report, stack)


def calls(report: Report, stack: Stack) -> None:
    common.turns(report, stack, "/products", PRODUCTS)
    client = stack.client()
    made = client.send("POST", "/products", {"name": "Lamp", "price": "39.90", "stock": 4})
    report.equal("a product can be added", (made.status, made.json.get("price")), (201, "39.90"))
    where = f"/products/{made.json['id']}"
    report.equal("every instance knows it", [client.get(where).json["name"] for _ in PRODUCTS], ["Lamp"] * 3)
    report.equal("it can be changed", client.send("PUT", where, {"name": "Lamp", "price": 35, "stock": 3}).json["stock"], 3)
    for wrong, field in (({"price": "-1"}, "price"), ({"price": "x"}, "price"), ({"price": "1.999"}, "price"), ({"stock": -1}, "stock"),
                         ({"stock": 1.5}, "stock"), ({"name": ""}, "name"), ({"name": "a\nb"}, "name"), ({"colour": 1}, "colour")):
        answer = client.send("PUT", where, {"name": "Lamp", "price": "35", "stock": 3} | wrong)
        report.check(f"refused at its field: {wrong}", answer.status == 422 and field in answer.json["errors"], answer.text)
    report.equal("a taken name is refused", client.send("PUT", where, {"name": "Product 1", "price": "1", "stock": 3}).status, 409)
    report.equal("it can be removed", (client.request("DELETE", where).status, client.get(where).status), (204, 404))


def isolation(report: Report, stack: Stack) -> None:
    common.only_lb_is_published(report, stack)
    common.unreachable(report, stack, {"db": (5432, common.POSTGRES)} | {s: (8000, common.HTTP) for s in PRODUCTS})


def hundred_users(report: Report, stack: Stack) -> None:
    done = run(sys.executable, DOCKER / "products/load",
               "--port", stack.port, "--users", 100, "--seconds", SECONDS, check=False)
    for line in (done.stdout + done.stderr).strip().splitlines():
        report.note(line)
    report.check(f"100 users for {SECONDS} s: no error", done.returncode == 0)
    counts = [int(n) for n in re.findall(r"products\d (\d+)", done.stdout)]
    report.check("the instances share the requests evenly, to 1 %", len(counts) == 3 and max(counts) - min(counts) <= max(3, sum(counts) // 300), counts)


def restarts(report: Report, stack: Stack) -> None:
    container = stack.container("products2")

    def state() -> dict:
        return stack.inspect(container)[0]

    with Load(stack.port, "/products/1") as load:
        for crash in range(1, 7):
            stack.crash("products2")
            until(30, lambda: state()["RestartCount"] == crash or not state()["State"]["Running"])
            until(15, lambda: state()["State"]["Health"]["Status"] == "healthy" or not state()["State"]["Running"])
        time.sleep(3)
    report.note(f"products2 crashes six times: {load}")
    report.check("no request failed meanwhile", not load.failed and load.requests > 50, load)
    report.check("it was started again five times, then no more", state()["RestartCount"] == 5 and not state()["State"]["Running"], state()["State"])
    common.turns(report, stack, "/products/1", ["products1", "products3"])


def persistence(report: Report, stack: Stack) -> None:
    client = stack.client()
    client.send("POST", "/products", {"name": "Chair", "price": "80", "stock": 4})
    common.restart_all(report, stack)
    known = until(5, lambda: [p["name"] for p in stack.client().get("/products?after=500").json])
    report.check("the products are still there", "Chair" in (known or []), known)
