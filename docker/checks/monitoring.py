"""The overlay: Prometheus finds lb, every alert and every query of the dashboard works."""

import json
import os
import re
import time
import urllib.parse
import urllib.request

from . import common
from .load import Load
from .report import Report
from .stack import DOCKER, Stack, free_port, run
from .web import until

# In place of the official image where it can't be had.
STAND_IN = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends prometheus wget && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["prometheus"]
"""


def check(report: Report) -> None:
    os.environ["PROMETHEUS_IMAGE"] = image()
    with report.guarded("rules"):
        rules(report)
    with Stack("three-webs", "compose.yaml", "../monitoring/compose.yaml") as stack:
        port = free_port()
        stack.environment["PROMETHEUS_PORT"] = f"127.0.0.1:{port}"
        report.step("up")
        stack.up()
        common.healthy(report, stack)
        for part in (dashboard, alerts):
            with report.guarded(part.__name__):
                part(report, stack, port)
    for topology in ("shop", "food-delivery"):
        with report.guarded(f"{topology} with its own overlay"), Stack(topology, "compose.yaml", "../monitoring/compose.yaml", "monitoring.yaml") as stack:
            stack.environment["PROMETHEUS_PORT"] = f"127.0.0.1:{(port := free_port())}"
            stack.up()
            expected = 3 if topology == "shop" else 1
            found = until(40, lambda: (n := len(query(port, 'up{job="lb"} == 1'))) == expected and n)
            report.equal(f"Prometheus scrapes every load balancer of {topology}", found, expected)
            groups = [g["name"] for g in ask(port, "/api/v1/rules")["groups"]]
            report.check(f"{topology}'s rules are loaded: {', '.join(groups)}", "lb" in groups and (topology == "shop" or topology in groups))


def image() -> str:
    given = os.environ.get("PROMETHEUS_IMAGE") or re.search(r"PROMETHEUS_IMAGE:-([^}]+)", (DOCKER / "monitoring/compose.yaml").read_text())[1]
    if run("docker", "image", "inspect", given, check=False).returncode == 0 or run("docker", "pull", "-q", given, check=False).returncode == 0:
        return given
    run("docker", "build", "-q", "-t", "lbtest-prometheus", "-", input=STAND_IN)
    return "lbtest-prometheus"


def rules(report: Report) -> None:
    def promtool(*words: str):
        return run("docker", "run", "--rm", "--network", "none", "-v", f"{DOCKER}:/docker:ro", "--entrypoint", "promtool", os.environ["PROMETHEUS_IMAGE"], *words, check=False)

    for folder in ("monitoring", "food-delivery"):
        done = promtool("check", "rules", f"/docker/{folder}/alerts.yml")
        report.check(f"promtool finds {folder}/alerts.yml right", done.returncode == 0, done.stdout + done.stderr)
        done = promtool("test", "rules", f"/docker/{folder}/alerts.test.yml")
        report.check(f"{folder}'s alerts fire when they should, and only then", done.returncode == 0, done.stdout + done.stderr)
    done = promtool("check", "config", "--syntax-only", "/docker/monitoring/prometheus.yml")
    report.check("promtool finds prometheus.yml right", done.returncode == 0, done.stdout + done.stderr)


def dashboard(report: Report, stack: Stack, port: int) -> None:
    with Load(stack.port, "/") as load:
        time.sleep(16)
        stack.client().get("/%00")      # something that goes wrong
        time.sleep(6)
    report.note(str(load))
    board = json.loads((DOCKER / "monitoring/dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            found = query(port, target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*"))
            # What never happened has no series, nor have certificates that are not there.
            absent = any(word in target["expr"] for word in ("lb_retries", "lb_tls_", 'code="5xx"'))
            report.check(f"dashboard: {panel['title']}: {len(found)} series", found or absent, target["expr"])
    shares = [float(s["value"][1]) for s in query(port, "sum by (server) (rate(lb_server_requests_total[1m]))")]
    report.check("Prometheus sees the servers share the requests", len(shares) == 3 and max(shares) < 1.2 * min(shares), shares)


def alerts(report: Report, stack: Stack, port: int) -> None:
    healthy = [r["name"] for g in ask(port, "/api/v1/rules")["groups"] for r in g["rules"] if r["health"] != "ok"]
    report.equal("every rule is evaluated without an error", healthy, [])
    # Dead, but with its name: stopped, its name and so its series would go away.
    run("docker", "pause", stack.container("web1"))
    fired = until(75, lambda: [a["labels"] for a in ask(port, "/api/v1/alerts")["alerts"] if a["labels"]["alertname"] == "LbServerDown" and a["state"] == "firing"], 1)
    report.check("a server that hangs raises LbServerDown", fired and [a["backend"] for a in fired] == ["web"], fired)
    run("docker", "unpause", stack.container("web1"))
    report.check("and is over when the server is back", until(40, lambda: not [a for a in ask(port, "/api/v1/alerts")["alerts"] if a["labels"]["alertname"] == "LbServerDown"], 1))


def query(port: int, expression: str) -> list[dict]:
    return ask(port, "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))["result"]


def ask(port: int, target: str) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{target}", timeout=10) as answer:
        return json.load(answer)["data"]
