"""A person's visit to the shop, by a real browser."""

import json

from .report import Report
from .stack import DOCKER, Stack, run

PICTURES = DOCKER / "screenshots"


def check(report: Report) -> None:
    run("docker", "build", "-q", "-t", "lbtest-browser", DOCKER / "browser")
    PICTURES.mkdir(exist_ok=True)
    PICTURES.chmod(0o777)       # the browser is another user
    with Stack("shop") as stack:
        report.step("up")
        stack.up()
        visit(report, stack)


def visit(report: Report, stack: Stack) -> None:
    done = run("docker", "run", "--rm", "--init", "--network", "host", "-v", f"{PICTURES}:/pictures", "lbtest-browser",
               f"http://127.0.0.1:{stack.port}", "/pictures")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    report.check("the shop's page has a title and the server's name at its top left",
                 found["shop title"] == "The corner shop" and found["shop server"] in ("web1", "web2") and found["server is at the top left"], found)
    report.equal("it lists name, quantity and price", found["columns"], ["Item", "Quantity", "Price"])
    report.check("both pages have their style", found["styled"] and found["admin styled"], found)
    report.check("the administration is an admin server's", found["admin server"] in ("admin1", "admin2"), found["admin server"])
    report.check("mistakes are shown at their fields, and what was typed is kept",
                 set(found["errors"]) == {"error-quantity", "error-price"} and found["name is kept"], found["errors"])
    report.check("an item is added, then updated, and the page says which", found["added"] and found["updated"], found)
    report.equal("both web servers show it", found["shown by"], {web: [["41", "€ 3.90"]] for web in ("web1", "web2")})
    report.check("the form fits a telephone", found["fits a telephone"])
    report.equal("the browser has nothing to complain about", found["console"], [])
    report.note(f"pictures in {PICTURES}")
