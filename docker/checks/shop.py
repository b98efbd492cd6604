"""The shop: pages by L7 and path, services by their DNS name, MySQL and the cache by L4."""

import json
import re
import time
import uuid

from . import common
from .common import HTTP, MYSQL, REDIS, under_load
from .report import Report
from .shop_items import ADMIN, WEB, buying, forms, item, items, programs, races, saves
from .stack import Stack, run
from .web import until

# Targets that are /admin or a page below it to somebody who normalises them.
EVASIONS = (
    "/admin", "/admin/", "/admin?x=1", "/admin/x", "//admin", "///admin//", "/./admin", "/x/../admin", "/%61dmin",
    "/%61%64%6D%69%6E/", "/x/%2e%2e/admin", "/%2e/admin", "/admin/./", "/admin/x/..", "/shop/../%61dmin/index.php",
    "http://elsewhere.example/admin", "HTTP://X//%61dmin",
)
NEIGHBOURS = ("/administrator", "/admins", "/ADMIN", "/adminx/", "/x/admin", "/%2561dmin", "/admin/..", "/admin/../")
# Targets that are /admin to nobody but a careless server.
NOWHERE = (
    "/admin%2f", "/%2fadmin", "/x%2f..%2fadmin", "/admin%2f..%2findex.php", "/admin;x=1", "/admin%00", "/admin%20", "/admin%5c", "/%5cadmin",
    "/x%5c..%5cadmin", "/..;/admin", "/.%2e/admin", "/%2e%2e%2fadmin", "/%c0%afadmin", "/%e0%80%afadmin", "/%u0061dmin", "/index.php/admin",
    "/admin/index.php/x", "/admin.php", "//x/admin", "admin",
)


def check(report: Report) -> None:
    with Stack("shop") as stack:
        common.names_missing_variables(report, stack)
        report.step("up")
        stack.up()
        common.healthy(report, stack)
        # Each lb between finds the containers behind it by itself, some seconds after they are up.
        report.check("items can be read and saved", until(30, lambda: items(stack.client().get("/").text) and saves(stack, "Rye bread", "15")))
        for part in (routing, buying, forms, races, programs, isolation, services, faults, reloading, persistence):
            with report.guarded(part.__name__):
                part(report, stack)


def routing(report: Report, stack: Stack) -> None:
    common.turns(report, stack, "/", WEB)
    common.turns(report, stack, "/admin", ADMIN)
    client = stack.client()
    page = client.get("/")
    shown = re.search(r'<header>\s*<span id="server"[^>]*>([^<]+)', page.text)
    report.check("the page shows the server's name at its top", shown and shown[1] == page.server, page.text[:600])
    strayed = {t: a.server or a.status for t in EVASIONS if (a := client.get(t)).server not in (*ADMIN, "")}
    report.check(f"/admin in {len(EVASIONS)} spellings reaches admin servers only", not strayed, strayed)
    strayed = {t: a.server or a.status for t in NEIGHBOURS if (a := client.get(t)).server not in (*WEB, "")}
    report.check(f"{len(NEIGHBOURS)} neighbours of /admin reach web servers only", not strayed, strayed)
    found = {t: a.status for t in NOWHERE if (a := client.get(t)).status not in (400, 404)}
    report.check(f"{len(NOWHERE)} more spellings lead nowhere", not found, found)
    report.check("the way out of the root is refused", client.get("/%2e%2e/admin").status == 400)
    record = json.loads(stack.logs("lb").strip().splitlines()[-1])
    report.check("each request is a line of JSON on standard output", isinstance(record, dict), record)


def isolation(report: Report, stack: Stack) -> None:
    common.only_lb_is_published(report, stack)
    common.unreachable(report, stack, {
        "db": (3306, MYSQL), "cache": (6379, REDIS), "api": (8000, HTTP), "admin-api": (8000, HTTP), "lb-api": (8001, HTTP),
        "lb-data": (3306, MYSQL), "web1": (80, HTTP), "web2": (80, HTTP), "admin1": (80, HTTP), "admin2": (80, HTTP),
    })
    addresses = stack.addresses("db") + stack.addresses("lb-data")
    probe = "$s = @fsockopen($argv[1], 3306, $e, $m, 1); if ($s) { stream_set_timeout($s, 1); } exit($s && strlen((string) fread($s, 8)) > 0 ? 0 : 1);"
    reached = [a for a in addresses if stack.execute("web1", "php", "-r", probe, a, check=False).returncode == 0]
    report.check("a page's container doesn't reach the database", not reached, reached)
    write = "from read import store; from sqlalchemy import text\nwith store.engine.begin() as db: db.execute(text('{}'))"
    for statement in ("INSERT INTO items VALUES (\"x\", 1, 1)", "UPDATE items SET quantity = 0", "DELETE FROM items"):
        done = stack.execute("api", "python", "-c", write.format(statement), check=False)
        report.check(f"the database refuses the api's {statement.split()[0]}", "command denied" in done.stderr, done.stderr[-300:])
    read = stack.execute("api", "python", "-c", "from read import store; print(len(store.items()[0]))", check=False)
    report.check("and lets it read", read.returncode == 0 and int(read.stdout) > 5, read.stderr[-300:])


def services(report: Report, stack: Stack) -> None:
    report.equal("2 api containers in turns, by one name", api_servers(stack), {"containers": 2, "turns": True})

    def scale(count):
        stack.compose("up", "-d", "--no-recreate", "--scale", f"api={count}", "api")
        until(30, lambda: api_servers(stack)["containers"] == count)

    for count in (3, 1, 2):
        under_load(report, stack, f"api is scaled to {count}", "/", lambda: scale(count), settle=2)
        report.equal(f"{count} api containers in turns, lb not restarted", api_servers(stack), {"containers": count, "turns": True})
    sources = stack.execute("web1", "php", "-r", SOURCES).stdout.split()
    report.equal("the cache answers a repeated query", sources[-1], "cache")


def faults(report: Report, stack: Stack) -> None:
    def kill():
        run("docker", "kill", stack.container("web1"))
        time.sleep(4)
        run("docker", "start", stack.container("web1"))
        until(60, stack.is_healthy)

    under_load(report, stack, "web1 is killed and started", "/", kill)
    report.check("web1 gets requests again", until(15, lambda: common.served_by(stack, "/", "web1")))
    common.crash_and_return(report, stack, "web2", "/")
    common.crash_and_return(report, stack, "admin1", "/admin")
    common.turns(report, stack, "/", WEB)

    def new_address():
        before = stack.addresses("web1")
        run("docker", "rm", "-f", stack.container("web1"))
        # Somebody else takes its address.
        squatter = run("docker", "run", "-d", "--rm", "--network", f"{stack.project}_pages", "redis:7").stdout.strip()
        try:
            stack.compose("up", "-d", "--no-deps", "web1")
            report.check("the new web1 has another address", stack.addresses("web1") != before, before)
            until(60, stack.is_healthy)
            report.check("and gets requests", until(20, lambda: common.served_by(stack, "/", "web1")))
        finally:
            run("docker", "rm", "-f", "-v", squatter)

    under_load(report, stack, "web1 is recreated with another address", "/", new_address)

    def without_cache():
        stack.compose("stop", "cache")
        time.sleep(4)
        stack.compose("start", "cache")
        until(60, stack.is_healthy)

    under_load(report, stack, "the cache is stopped and started", "/", without_cache)
    name = f"Medlar {uuid.uuid4().hex[:6]}"
    stack.client().form("/admin", {"name": name, "quantity": "1", "price": "1"})
    report.equal("the cache that is back shows what is new", item(stack, "web1", name), ("1", "1.00"))

    def restart_database():
        stack.compose("restart", "db")
        until(60, stack.is_healthy)

    # The list lives in the cache for half a minute, so that customers may notice
    # nothing; what the outage costs is printed, what must hold is that it ends.
    load = under_load(report, stack, "the database is restarted (its own outage may fail)", "/", restart_database, allowed=10**9)
    report.check("every failure is a clear 503", all("status 503" in f for f in load.failed), load)
    report.check("items can be saved again", until(30, lambda: saves(stack, name, "2")))


def reloading(report: Report, stack: Stack) -> None:
    file = stack.files / "lb/edge/lb.toml"

    def as_editors_do(text: str) -> None:
        new = file.with_suffix(".new")
        new.write_text(text)
        new.replace(file)

    common.reloads(report, stack, "lb/edge/lb.toml", "/", as_editors_do)


def persistence(report: Report, stack: Stack) -> None:
    name = f"Sloe {uuid.uuid4().hex[:6]}"
    report.check("an item is saved", until(30, lambda: saves(stack, name, "3", "4.20")))
    began = time.monotonic()
    stack.compose("stop", "-t", "20", "lb")
    state = stack.inspect(stack.container("lb"))[0]["State"]
    report.check("lb ends by itself on SIGTERM", state["ExitCode"] == 0 and time.monotonic() - began < 15, state["ExitCode"])
    common.restart_all(report, stack)
    report.check("the items are still there", until(30, lambda: item(stack, "web2", name) == ("3", "4.20")))


# Twelve requests for the items from where the pages ask for them.
ASK = """
for ($i = 0; $i < 12; $i++) {
  $c = curl_init(getenv('API_URL') . '/items');
  curl_setopt_array($c, [CURLOPT_RETURNTRANSFER => true, CURLOPT_HEADERFUNCTION => function ($c, $h) use (&$server) {
    if (stripos($h, 'x-served-by:') === 0) { $server = trim(substr($h, 12)); } return strlen($h); }]);
  $body = json_decode(curl_exec($c), true);
  echo %s, "\\n";
}
"""
SERVERS, SOURCES = ASK % "$server", ASK % "$body['source']"


def api_servers(stack: Stack) -> dict:
    seen = stack.execute("web1", "php", "-r", SERVERS).stdout.split()
    count = len(set(seen))
    return {"containers": count, "turns": count > 0 and seen == seen[:count] * (12 // count)}
