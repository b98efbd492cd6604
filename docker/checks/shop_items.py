"""The shop's items: bought, changed, and refused, by people and by programs."""

import html
import json
import re
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from .report import Report
from .stack import Stack

WEB, ADMIN = ["web1", "web2"], ["admin1", "admin2"]

INVALID = [
    ({"name": "", "quantity": "1", "price": "1"}, {"name"}),
    ({"name": "   ", "quantity": "1", "price": "1"}, {"name"}),
    ({"name": "x" * 41, "quantity": "1", "price": "1"}, {"name"}),
    ({"name": "<script>alert(1)</script>", "quantity": "1", "price": "1"}, {"name"}),
    ({"name": "a\x00b", "quantity": "1", "price": "1"}, {"name"}),
    ({"name": "'; DROP TABLE items; --", "quantity": "1", "price": "1"}, {"name"}),
    ({"name": "x' OR '1'='1", "quantity": "1", "price": "1"}, {"name"}),
    ({"name": "turned \u202e round", "quantity": "1", "price": "1"}, {"name"}),
    ({"name": "\u0301", "quantity": "1", "price": "1"}, {"name"}),
    ({"name": "😀", "quantity": "1", "price": "1"}, {"name"}),
    ({"name": "Plum", "quantity": "-1", "price": "1"}, {"quantity"}),
    ({"name": "Plum", "quantity": "1000001", "price": "1"}, {"quantity"}),
    ({"name": "Plum", "quantity": "99999999999999999999", "price": "1"}, {"quantity"}),
    ({"name": "Plum", "quantity": "1.5", "price": "1"}, {"quantity"}),
    ({"name": "Plum", "quantity": "", "price": "1"}, {"quantity"}),
    ({"name": "Plum", "quantity": "many", "price": "1"}, {"quantity"}),
    ({"name": "Plum", "quantity": "0x1A", "price": "1"}, {"quantity"}),
    ({"name": "Plum", "quantity": "٣", "price": "1"}, {"quantity"}),
    ({"name": "Plum", "quantity": "1", "price": "0"}, {"price"}),
    ({"name": "Plum", "quantity": "1", "price": "-3"}, {"price"}),
    ({"name": "Plum", "quantity": "1", "price": "1.999"}, {"price"}),
    ({"name": "Plum", "quantity": "1", "price": "100000"}, {"price"}),
    ({"name": "Plum", "quantity": "1", "price": "NaN"}, {"price"}),
    ({"name": "Plum", "quantity": "1", "price": "1e2"}, {"price"}),
    ({"name": "Plum", "quantity": "1", "price": "1_0"}, {"price"}),
    ({"name": "Plum", "quantity": "1", "price": "١٠"}, {"price"}),
    ({"name": "Plum", "quantity": "1", "price": "1,50"}, {"price"}),
    ({"name": "Plum", "quantity": "1", "price": ""}, {"price"}),
    ({}, {"name", "quantity"}),
]

# What no form sends, as JSON: its status, and the fields that are named.
GOOD = {"name": "Damson", "quantity": 1, "price": "1"}
BODIES = [
    (GOOD | {"quantity": True}, 422, {"quantity"}), (GOOD | {"quantity": "1"}, 422, {"quantity"}), (GOOD | {"quantity": 1.0}, 422, {"quantity"}),
    (GOOD | {"quantity": None}, 422, {"quantity"}), (GOOD | {"quantity": 10**30}, 422, {"quantity"}), (GOOD | {"price": [1]}, 422, {"price"}),
    (GOOD | {"price": float("nan")}, 422, {"price"}), (GOOD | {"price": 1e-7}, 422, {"price"}), (GOOD | {"price": True}, 422, {"price"}),
    (GOOD | {"name": 1}, 422, {"name"}), (GOOD | {"name": {"$ne": ""}}, 422, {"name"}), (GOOD | {"name": "\ud800"}, 422, {"name"}),
    (GOOD | {"colour": "blue"}, 422, {"colour"}), ({"quantity": -1}, 422, {"name", "quantity"}), ([GOOD], 422, {""}), ("Damson", 422, {""}), (None, 422, {""}),
]

# Of another site, or of a page that hides where it is from.
STRANGERS = (
    {"Origin": "http://elsewhere.example"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://127.0.0.1.elsewhere.example"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
)


def buying(report: Report, stack: Stack) -> None:
    name = f"Quince {uuid.uuid4().hex[:6]}"
    client = stack.client()
    answer = client.form("/admin", {"name": name, "quantity": "7", "price": "2.50"})
    report.equal("a form that is right is accepted", answer.status, 303)
    report.check("and says that the item was added", f"Added {name}." in client.get(answer.headers["location"]).text)
    for server in WEB + ADMIN:
        row = item(stack, server, name)
        report.equal(f"{server} shows it", row, ("7", "2.50"))
    answer = client.form("/admin", {"name": name.lower(), "quantity": "9", "price": ""})
    report.check("the same name updates it, and says so", f"Updated {name}" in client.get(answer.headers["location"]).text)
    for server in WEB:
        report.equal(f"{server} shows the new quantity at the old price", item(stack, server, name), ("9", "2.50"))
    message = client.get("/admin?added=Send+me+money").text
    report.check("a link can't put words on the page", "Send me money" not in message)
    for typed, shown in (("Cre\u0301me fraîche", "Créme fraîche"), ("हिन्दी चाय", "हिन्दी चाय"), ("𠮷", "𠮷"), ("𠀋", "𠀋")):
        saves(stack, typed, str(len(typed)), "1")
        report.equal(f"{shown} is a name", item(stack, "web1", shown), (str(len(typed)), "1.00"))


def forms(report: Report, stack: Stack) -> None:
    client = stack.client()
    before = items(client.get("/").text)
    for fields, wrong in INVALID:
        answer = client.form("/admin", fields)
        told = set(re.findall(r'class="field-error" id="error-(\w+)"', answer.text))
        report.check(f"refused at the field: {fields}", answer.status == 422 and told == wrong, (answer.status, told))
    for headers in STRANGERS:
        report.equal(f"a form is refused that comes with {headers}", client.form("/admin", {"name": "Plum", "quantity": "1", "price": "1"}, headers).status, 403)
    odd = {f"{method} {target}": client.request(method, target, b"").status for method in ("PUT", "DELETE", "OPTIONS", "get", "FOO") for target in ("/", "/admin")}
    report.equal("other methods are refused", set(odd.values()), {405})
    report.equal("so is a form for the customers' page", client.form("/", {"name": "Plum", "quantity": "1", "price": "1"}).status, 405)
    report.equal("nothing was changed by any of them", items(client.get("/").text), before)
    answer = client.request("POST", "/admin", b"name=" + b"x" * 70_000, {"Content-Type": "application/x-www-form-urlencoded"})
    report.equal("a form over 64 KiB is refused by lb", answer.status, 413)


def races(report: Report, stack: Stack) -> None:
    name, fields = f"Sorb {uuid.uuid4().hex[:6]}", {"quantity": "5", "price": "1"}
    # Fewer than the service has threads: it is the order that is tried, not the load.
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: stack.client().form("/admin", fields | {"name": name}), range(8)))
    done = Counter((a.status, a.headers.get("location", "").split("=")[0]) for a in answers)
    report.equal("one name eight times at once: added once, updated by the others", done, {(303, "/admin?added"): 1, (303, "/admin?updated"): 7})
    report.equal("and one item", item(stack, "web1", name), ("5", "1.00"))


def programs(report: Report, stack: Stack) -> None:
    """The service that writes, asked by its neighbours in the network of pages."""
    for (body, status, fields), (got, told) in zip(BODIES, posted(stack, "admin1", [b for b, _, _ in BODIES]), strict=True):
        report.check(f"admin-api refuses {json.dumps(body)[:70]}", got == status and set(told) == fields, (got, told))
    report.equal("it serves nobody without the token, such as a customers' page", posted(stack, "web1", [GOOD]), [[401, []]])
    before = items(stack.client().get("/").text)
    # Past the services, as somebody with the database's password would.
    sql = "INSERT INTO items VALUES ('<i>cheap</i>', 1, 0.05), ('', 2, 1), ('Two\nlines', 3, 1)"
    stack.execute("db", "sh", "-c", f'MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mysql -uroot "$MYSQL_DATABASE" -e "{sql}"')
    saves(stack, "Rye bread", "14")     # so that the cached list is read anew
    report.equal("rows that are no items are not shown, all others are", items(stack.client().get("/").text), before | {"Rye bread": ("14", before["Rye bread"][1])})


POST = """
foreach (json_decode($argv[1]) as $body) {
  $c = curl_init('http://lb-api:8002/items');
  $headers = ['Content-Type: application/json', 'Authorization: Bearer ' . getenv('API_TOKEN')];
  curl_setopt_array($c, [CURLOPT_RETURNTRANSFER => true, CURLOPT_POSTFIELDS => $body, CURLOPT_HTTPHEADER => $headers]);
  $answer = json_decode(curl_exec($c), true);
  echo json_encode([curl_getinfo($c, CURLINFO_RESPONSE_CODE), array_keys($answer['errors'] ?? [])]), "\\n";
}
"""


def posted(stack: Stack, server: str, bodies: list) -> list:
    """Each body's status and the fields that its answer names, sent from that server."""
    done = stack.execute(server, "php", "-r", POST, json.dumps([json.dumps(body) for body in bodies]))
    return [json.loads(line) for line in done.stdout.splitlines()]


def saves(stack: Stack, name: str, quantity: str, price: str = "") -> bool:
    return stack.client().form("/admin", {"name": name, "quantity": quantity, "price": price}).status == 303


def items(page: str) -> dict[str, tuple[str, str]]:
    rows = re.findall(r"<tr>\s*<td>(.*?)</td>\s*<td[^>]*>(.*?)</td>\s*<td[^>]*>(.*?)</td>", page, re.S)
    return {html.unescape(name): (quantity, price.split()[-1]) for name, quantity, price in rows}


def item(stack: Stack, server: str, name: str) -> tuple[str, str] | None:
    """The item as this server shows it."""
    client = stack.client()
    for _ in range(8):
        page = client.get("/admin" if server in ADMIN else "/")
        if page.server == server:
            return items(page.text).get(name)
    return None
