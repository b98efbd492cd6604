"""Checks that several topologies share."""

import re
import time
from collections.abc import Callable

from .load import Journey, Load
from .report import Report
from .stack import Stack, answer_of, is_near
from .web import until


def turns(report: Report, stack: Stack, target: str, names: list[str], rounds: int = 6) -> None:
    """Exact round robin: over any full round each server answers once, always in the
    same order."""
    client = stack.client()
    seen = [client.get(target).server for _ in range(rounds * len(names))]
    first = seen[:len(names)]
    report.check(f"{target} goes to {', '.join(names)} in exact turns",
                 sorted(first) == sorted(names) and seen == first * rounds, seen)


def healthy(report: Report, stack: Stack) -> None:
    states = stack.states()
    report.check(f"all {len(states)} containers are healthy, each by a health check", stack.is_healthy(), states)


def only_lb_is_published(report: Report, stack: Stack) -> None:
    report.equal("only lb publishes a port", list(stack.published()), ["lb"])


# What each kind of service is asked, and how its answer is told from that of others.
HTTP = (b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", rb"^HTTP/1.1 200 ")
REDIS = (b"PING\r\n", rb"^\+PONG")
POSTGRES = (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", rb"^[NS]$")     # may we speak TLS?
MYSQL = (b"", rb"^...\x00\x0a")                                   # speaks first


def unreachable(report: Report, stack: Stack, services: dict[str, tuple[int, tuple[bytes, bytes]]]) -> None:
    """From the host, at the containers' own addresses. Where the host knows no way but
    that to everywhere, nothing is sent: it would leave the machine."""
    report.check("the host has a way to lb's own network", is_near(stack.address()))
    for service, (port, (say, answer)) in services.items():
        answered = [a for a in stack.addresses(service) if is_near(a) and re.match(answer, answer_of(a, port, say), re.S)]
        report.check(f"the host gets no answer from {service}:{port}", not answered, answered)


def under_load(report: Report, stack: Stack, fault: str, journey: Journey | str, act: Callable[[], object],
               settle: float = 3, users: int = 6, allowed: int = 0) -> Load:
    """Runs `act` while users keep asking; none of them may notice."""
    with Load(stack.port, journey, users) as load:
        time.sleep(1)
        act()
        time.sleep(settle)
    report.note(f"{fault}: {load}")
    if not report.check(f"no request failed: {fault}", load.requests > 50 and len(load.failed) <= allowed, load):
        for service in (s for s in stack.services() if s.startswith("lb")):
            report.note(f"{service} said: {stack.errors(service)}")
    return load


def crash_and_return(report: Report, stack: Stack, service: str, journey: Journey | str) -> None:
    """The service's process dies; Docker starts it again; clients notice nothing."""
    container = stack.container(service)
    before = stack.inspect(container)[0]["RestartCount"]

    def crash():
        stack.crash(service)
        until(60, lambda: stack.inspect(container)[0]["RestartCount"] > before)
        until(60, stack.is_healthy)

    load = under_load(report, stack, f"{service} crashes", journey, crash, settle=5)
    report.check(f"{service} is back by itself", stack.inspect(container)[0]["RestartCount"] == before + 1 and stack.is_healthy(), stack.states())
    report.check(f"{service} gets requests again", until(20, lambda: served_by(stack, journey, service)), load.servers)


def served_by(stack: Stack, journey: Journey | str, server: str) -> bool:
    with Load(stack.port, journey, users=2, think=0.02) as load:
        time.sleep(1)
    return load.servers[server] > 0


def reloads(report: Report, stack: Stack, path: str, target: str, write: Callable[[str], None]) -> None:
    """The mounted file changes under load: first to something else, then to nonsense."""
    file = stack.files / path
    good = file.read_text()
    header = 'response_headers = { set = { "x-reloaded" = "yes" } }, backend'
    changed = good.replace("{ backend =", "{ " + header + " =", 1) if "{ backend =" in good else good
    client = stack.client()

    def change():
        write(changed)
        report.check(f"{path} is taken up when it changes", until(10, lambda: client.get(target).headers.get("x-reloaded") == "yes"))

    under_load(report, stack, f"{path} changes", target, change)
    failed = stack.metric('lb_config_reloads_total{result="error"}')

    def spoil():
        write(good + "\nnonsense = [")
        report.check(f"{path} is refused when it is wrong, and counted",
                     until(10, lambda: stack.metric('lb_config_reloads_total{result="error"}') > failed))
        report.check("what ran before runs on", client.get(target).headers.get("x-reloaded") == "yes")
        write(good)
        report.check(f"{path} is taken up again", until(10, lambda: "x-reloaded" not in client.get(target).headers))

    under_load(report, stack, f"{path} is spoilt and mended", target, spoil)


def restart_all(report: Report, stack: Stack) -> None:
    """`down` without the volumes, and `up`."""
    stack.compose("down", "-t", "10")
    stack.up()
    report.check("everything is up again after down and up", stack.is_healthy(), stack.states())


def names_missing_variables(report: Report, stack: Stack) -> None:
    """Each variable that has no default, absent and empty."""
    example = (stack.files / ".env.example").read_text().splitlines()
    needed = sorted(set(re.findall(r"\$\{(\w+):\?", (stack.files / "compose.yaml").read_text())))
    for variable in needed:
        others = [line for line in example if not line.startswith(variable + "=")]
        told = []
        for lines in (others, [*others, variable + "="]):
            (stack.files / "missing.env").write_text("\n".join(lines) + "\n")
            done = stack.compose("config", check=False, environment="missing.env")
            told.append(done.returncode != 0 and variable in done.stderr)
        report.equal(f"without {variable} compose says so and stops, and where it is empty", told, [True, True])
    report.check("passwords are among them", needed, needed)
