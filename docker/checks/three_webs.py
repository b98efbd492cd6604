"""One service in three instances with PostgreSQL and Redis."""

import re
import uuid

from . import common
from .report import Report
from .stack import Stack
from .web import until

WEBS = ["web1", "web2", "web3"]


def check(report: Report) -> None:
    with Stack("three-webs") as stack:
        common.names_missing_variables(report, stack)
        report.step("up")
        stack.up()
        common.healthy(report, stack)
        for part in (pages, isolation, faults, reloading, persistence):
            with report.guarded(part.__name__):
                part(report, stack)


def pages(report: Report, stack: Stack) -> None:
    common.turns(report, stack, "/", WEBS)
    client = stack.client()
    page = client.get("/", {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Host": "forged.example"})
    report.check("the page shows which instance answered", f">{page.server}</span>" in page.text, page.text[:300])
    report.check("what a client says of itself in X-Forwarded-* is not believed",
                 "198.51.100.7" not in page.text and "forged.example" not in page.text)
    said = dict(re.findall(r"<dt>(From|By|To)</dt><dd>([^<]*)</dd>", page.text))
    report.check("the instances learn the client's address, protocol and host",
                 re.fullmatch(r"[0-9.]+", said.get("From", "")) and said.get("By") == "http" and said.get("To") == f"127.0.0.1:{stack.port}", said)
    text = f"<b>Hello</b> {uuid.uuid4().hex}"
    report.equal("the book can be signed", client.form("/", {"author": "Ada", "message": text}).status, 303)
    shown = {a.server for a in (client.get("/") for _ in range(6)) if "&lt;b&gt;Hello&lt;/b&gt; " + text[-32:] in a.text}
    report.equal("every instance shows the entry, as text", shown, set(WEBS))
    for fields in ({"author": "", "message": "x"}, {"author": "A" * 41, "message": "x"}, {"author": "A", "message": ""},
                   {"author": "A", "message": "x" * 281}, {"author": "A\x00", "message": "x"}):
        report.equal(f"refused: {str(fields)[:50]}", client.form("/", fields).status, 422)
    report.equal("and nothing written", len(client.get("/entries").json), 1)


def isolation(report: Report, stack: Stack) -> None:
    common.only_lb_is_published(report, stack)
    common.unreachable(report, stack, {"db": (5432, common.POSTGRES), "redis": (6379, common.REDIS)} | {w: (8000, common.HTTP) for w in WEBS})


def faults(report: Report, stack: Stack) -> None:
    for service in ("web1", "web3"):
        common.crash_and_return(report, stack, service, "/")
    common.turns(report, stack, "/", WEBS)

    def restart_database():
        stack.compose("restart", "db")
        until(60, stack.is_healthy)

    load = common.under_load(report, stack, "the database is restarted (its own outage may fail)", "/", restart_database, allowed=10**9)
    report.check("every failure is a clear 503", all("status 503" in f for f in load.failed), load)
    report.equal("it works again", stack.client().get("/").status, 200)


def reloading(report: Report, stack: Stack) -> None:
    # A file that is mounted alone: only writing in place is seen in the container.
    file = stack.files / "lb.toml"
    file.write_text(file.read_text().replace('backend = "web"\n', 'routes = [{ backend = "web" }]\n'))
    common.reloads(report, stack, "lb.toml", "/", file.write_text)


def persistence(report: Report, stack: Stack) -> None:
    client = stack.client()
    client.form("/", {"author": "Grace", "message": "still here"})
    before = visits(client.get("/").text)
    common.restart_all(report, stack)
    page = stack.client().get("/").text
    report.check("the entries are still there", "still here" in page)
    report.check("and so is the count of visits", visits(page) > before, (visits(page), before))


def visits(page: str) -> int:
    return sum(int(count) for count in re.findall(r"<dt>web\d</dt><dd>(\d+)</dd>", page))
