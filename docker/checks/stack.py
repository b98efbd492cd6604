"""A topology as a compose project of its own, in a copy of the files, on a free port of
127.0.0.1; taken down with its volumes at the end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from .web import Client, until

DOCKER = Path(__file__).parent.parent
ROOT = DOCKER.parent


def run(*command: object, check: bool = True, seconds: float = 600, **options) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=seconds, check=False, **options)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done


def compose_command() -> list[str]:
    """$COMPOSE, or what there is: the plugin first, then docker-compose 1.29."""
    if chosen := os.environ.get("COMPOSE"):
        return chosen.split()
    if run("docker", "compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise RuntimeError("neither `docker compose` nor `docker-compose` is installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stack:
    def __init__(self, topology: str, *files: str):
        self.topology = topology
        self.project = f"lbtest-{topology}-{os.getpid()}"
        self.port = free_port()
        self.copy = Path(tempfile.mkdtemp(prefix="lbtest-"))
        self.files = self.copy / "docker" / topology
        self.environment = {**os.environ, "LB_PORT": f"127.0.0.1:{self.port}"}
        self._compose = compose_command()
        self._files = [word for file in files for word in ("-f", file)]

    def __enter__(self) -> "Stack":
        keep_out = shutil.ignore_patterns(".env", "__pycache__", "screenshots", "checks")
        shutil.copytree(DOCKER, self.copy / "docker", ignore=keep_out)
        # `up` builds what is missing, not what has changed. The load balancer's image
        # was built before.
        self.compose("build", *(s for s in self.services() if not s.startswith("lb")))
        return self

    def __exit__(self, *_) -> None:
        self.compose("down", "-v", "--remove-orphans", "-t", "2", check=False)
        shutil.rmtree(self.copy, ignore_errors=True)

    def compose(self, *words: object, check: bool = True, environment: str = ".env.example") -> subprocess.CompletedProcess:
        return run(*self._compose, "--env-file", environment, "-p", self.project, *self._files, *words,
                   check=check, cwd=self.files, env=self.environment)

    def up(self, *words: object, seconds: float = 300) -> None:
        """Starts everything and waits until every container is healthy."""
        self.compose("up", "-d", *words)
        if not until(seconds, self.is_healthy, pause=0.5):
            raise RuntimeError(f"not healthy after {seconds} s: {self.states()}")
        # A container may be healthy before lb has seen it pass twice.
        if not until(60, self.is_served):
            raise RuntimeError(f"not all servers are up: {self.admin('/api/status')}")

    def is_healthy(self) -> bool:
        return all(health == "healthy" for _, health in self.states().values())

    def is_served(self) -> bool:
        up = [line for line in self.admin("/metrics").splitlines() if line.startswith("lb_server_up{")]
        return bool(up) and all(line.endswith(" 1") for line in up)

    def states(self) -> dict[str, tuple[str, str]]:
        return {c["Name"].lstrip("/"): (c["State"]["Status"], c["State"].get("Health", {}).get("Status", "no health check"))
                for c in self.inspect(*self.ids())}

    def client(self, **options) -> Client:
        return Client(self.port, **options)

    def ids(self, service: str | None = None) -> list[str]:
        filters = ["--filter", f"label=com.docker.compose.project={self.project}", "--filter", "label=com.docker.compose.oneoff=False"]
        if service:
            filters += ["--filter", f"label=com.docker.compose.service={service}"]
        return run("docker", "ps", "-aq", *filters).stdout.split()

    def container(self, service: str) -> str:
        return self.ids(service)[0]

    def inspect(self, *ids: str) -> list[dict]:
        return json.loads(run("docker", "inspect", *ids).stdout) if ids else []

    def services(self) -> list[str]:
        return self.compose("config", "--services").stdout.split()

    def addresses(self, service: str) -> list[str]:
        networks = self.inspect(self.container(service))[0]["NetworkSettings"]["Networks"]
        return [network["IPAddress"] for network in networks.values() if network["IPAddress"]]

    def published(self) -> dict[str, list[str]]:
        """The services that publish a port, with where."""
        found = {}
        for container in self.inspect(*self.ids()):
            ports = [b["HostIp"] + ":" + b["HostPort"] for bindings in container["NetworkSettings"]["Ports"].values() for b in bindings or []]
            if ports:
                found[container["Config"]["Labels"]["com.docker.compose.service"]] = ports
        return found

    def execute(self, service: str, *command: object, check: bool = True) -> subprocess.CompletedProcess:
        return run("docker", "exec", self.container(service), *command, check=check)

    def crash(self, service: str) -> None:
        """Ends the service's first process as a bug would: Docker, which was not asked,
        applies the restart policy (after `docker kill` it does not)."""
        container = self.container(service)
        pid = self.inspect(container)[0]["State"]["Pid"]
        if os.geteuid() == 0:
            os.kill(pid, signal.SIGKILL)
        else:
            run("sudo", "-n", "kill", "-9", pid)

    def logs(self, service: str) -> str:
        done = run("docker", "logs", self.container(service))
        return done.stdout

    def errors(self, service: str, lines: int = 15) -> str:
        done = run("docker", "logs", "--tail", lines, self.container(service))
        return done.stderr

    def metric(self, name: str, service: str = "lb") -> float:
        """The sum of a metric's series that begin with `name`, as lb's admin listener
        tells it; asked over the networks of the container, from the host."""
        total = 0.0
        for line in self.admin("/metrics", service).splitlines():
            if line.startswith(name):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def admin(self, target: str, service: str = "lb") -> str:
        """The admin listener is not published; the host reaches it by the container's
        address on the edge network."""
        with urllib.request.urlopen(f"http://{self.address(service)}:9090{target}", timeout=5) as answer:
            return answer.read().decode()

    def address(self, service: str = "lb") -> str:
        """On the edge network."""
        networks = self.inspect(self.container(service))[0]["NetworkSettings"]["Networks"]
        return networks[f"{self.project}_edge"]["IPAddress"]


def is_near(address: str) -> bool:
    """Whether this host has a route to the address other than its default route: asked
    of the kernel, which says from which address it would send. Nothing is sent."""
    def sender(destination: str) -> str | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((destination, 9))
                return probe.getsockname()[0]
            except OSError:
                return None

    return sender(address) not in (None, sender("198.51.100.1"))     # of a network that is nobody's


def answer_of(address: str, port: int, say: bytes, seconds: float = 1.5) -> bytes:
    """The first bytes that come from this address, if any. A mere connect proves
    nothing, nor does any byte: some networks answer for addresses that nobody holds."""
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            connection.settimeout(seconds)
            connection.sendall(say)
            return connection.recv(1024)
    except OSError:
        return b""
