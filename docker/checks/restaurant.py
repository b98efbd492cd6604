"""Meals in three instances and diets in two, by path."""

from . import common
from .report import Report
from .stack import Stack

MEALS, DIETS = ["meals1", "meals2", "meals3"], ["diets1", "diets2"]


def check(report: Report) -> None:
    with Stack("restaurant") as stack:
        common.names_missing_variables(report, stack)
        report.step("up")
        stack.up()
        common.healthy(report, stack)
        for part in (calls, isolation, faults, persistence):
            with report.guarded(part.__name__):
                part(report, stack)


def calls(report: Report, stack: Stack) -> None:
    common.turns(report, stack, "/meals", MEALS)
    common.turns(report, stack, "/diets", DIETS)
    client = stack.client()
    report.equal("another path is answered by lb itself: 404", (client.get("/mealsx").status, client.get("/mealsx").server), (404, ""))
    dishes = [client.send("POST", "/dishes", {"name": n, "calories": c, "sodium": 10, "sugar": 2}) for n, c in (("Olives", 80), ("Risotto", 500), ("Sorbet", 90))]
    report.equal("dishes can be added", [d.status for d in dishes], [201] * 3)
    courses = dict(zip(("appetizer", "main", "dessert"), (d.json["id"] for d in dishes)))
    report.equal("a meal of them can be added", client.send("POST", "/meals", {"name": "Tuesday"} | courses).status, 201)
    report.equal("a diet can be added", client.send("POST", "/diets", {"name": "50 % / day", "calories": 700, "sodium": 100, "sugar": 10}).status, 201)
    found = [[m["name"] for m in client.get("/meals?diet=50%20%25%20%2F%20day").json] for _ in MEALS]
    report.equal("every instance of meals asks diets which fit", found, [["Tuesday"]] * 3)
    for what, answer in {
        "an unknown diet": (client.get("/meals?diet=none"), 422, "diet"),
        "an unknown dish": (client.send("POST", "/meals", {"name": "Odd"} | courses | {"main": 999}), 422, "main"),
        "a taken name": (client.send("POST", "/dishes", {"name": "Olives", "calories": 1, "sodium": 1, "sugar": 1}), 409, "name"),
        "a text for a number": (client.send("POST", "/dishes", {"name": "Odd", "calories": "1", "sodium": 1, "sugar": 1}), 422, "calories"),
        "a missing field": (client.send("POST", "/diets", {"name": "Odd", "calories": 1, "sodium": 1}), 422, "sugar"),
        "a field too many": (client.send("POST", "/diets", {"name": "Odd", "calories": 1, "sodium": 1, "sugar": 1, "x": 1}), 422, "x"),
    }.items():
        got, status, field = answer
        report.check(f"{what} is refused at its field", got.status == status and field in got.json["errors"], (got.status, got.text))


def isolation(report: Report, stack: Stack) -> None:
    common.only_lb_is_published(report, stack)
    common.unreachable(report, stack, {"db": (5432, common.POSTGRES)} | {s: (8000, common.HTTP) for s in MEALS + DIETS})


def faults(report: Report, stack: Stack) -> None:
    common.crash_and_return(report, stack, "meals2", "/meals?diet=anything")
    common.crash_and_return(report, stack, "diets1", "/diets")
    common.turns(report, stack, "/meals", MEALS)


def persistence(report: Report, stack: Stack) -> None:
    common.restart_all(report, stack)
    client = stack.client()
    report.check("meals and diets are still there",
                 "Tuesday" in [m["name"] for m in client.get("/meals").json] and client.get("/diets/low%20sugar").status == 200)
