"""The image by itself: what it is made of, and how it starts, reloads and stops."""

import json
import os
import re
import shutil
import ssl
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from .report import Report
from .stack import ROOT, free_port, run
from .web import Client, until

MIB = 1024 * 1024
ADMIN = '[admin]\nlisten = "127.0.0.1:9090"\n'
SLOW = """
import http.server, time
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(3); self.send_response(200); self.send_header("content-length", "4"); self.end_headers(); self.wfile.write(b"done")
http.server.ThreadingHTTPServer(("", 8000), Slow).serve_forever()
"""


def saying(what: str) -> str:
    return ADMIN + f'[frontend.web]\nlisten = "0.0.0.0:80"\nroutes = [{{ respond = {{ status = 200, body = "{what}" }} }}]\n'


def check(report: Report) -> None:
    folder = Path(tempfile.mkdtemp(prefix="lbtest-"))
    folder.chmod(0o755)
    made: list[str] = []
    try:
        for part in (contents, refusals, mounted_file, mounted_folder, certificates, draining):
            with report.guarded(part.__name__.replace("_", " ")):
                part(report, folder, made)
    finally:
        if made:
            run("docker", "rm", "-f", *made, check=False)
        run("docker", "network", "rm", _network(), check=False)
        shutil.rmtree(folder, ignore_errors=True)


def contents(report: Report, folder: Path, made: list[str]) -> None:
    image = json.loads(run("docker", "image", "inspect", os.environ["LB_IMAGE"]).stdout)[0]
    size = image["Size"] - int(os.environ.get("LB_IMAGE_BESIDE", 0))
    report.check(f"the image has {size / MIB:.1f} MiB, under 15", size < 15 * MIB)
    report.check("its user is not root", re.fullmatch(r"[1-9][0-9]*(:[0-9]+)?", image["Config"]["User"]), image["Config"]["User"])
    report.check("it has a health check by lb itself", image["Config"].get("Healthcheck", {}).get("Test", [])[-1:] == ["health"], image["Config"].get("Healthcheck"))
    report.check("there is no shell in it", run("docker", "run", "--rm", "--entrypoint", "/bin/sh", os.environ["LB_IMAGE"], check=False).returncode == 127)
    version = run("docker", "run", "--rm", os.environ["LB_IMAGE"], "--version").stdout
    report.check(f"it runs: {version.strip()}", version.startswith("lb "), version)


def refusals(report: Report, folder: Path, made: list[str]) -> None:
    done = run("docker", "run", "--rm", os.environ["LB_IMAGE"], check=False)
    report.check("without a file it says which one it looked for, exit code 1", done.returncode == 1 and "/etc/lb/lb.toml" in done.stderr, (done.returncode, done.stderr))
    (folder / "lb.toml").write_text('[frontend.web]\nlisten = "0.0.0.0:80"\nbackend = "none"\nlisten_on = 1\n')
    done = run("docker", "run", "--rm", "-v", f"{folder}:/etc/lb:ro", os.environ["LB_IMAGE"], check=False)
    report.check("a wrong file is refused by line and column, exit code 1", done.returncode == 1 and re.search(r"lb\.toml:4:\d+: ", done.stderr), (done.returncode, done.stderr))


def mounted_file(report: Report, folder: Path, made: list[str]) -> None:
    file = folder / "one.toml"
    file.write_text(saying("first"))
    client = _start(report, made, f"{file}:/etc/lb/lb.toml:ro")
    report.equal("one line with a mounted file serves", client.get("/").text, "first")
    file.write_text(saying("second"))
    report.check("a file that is written in place is taken up", until(10, lambda: client.get("/").text == "second"), client.get("/").text)


def mounted_folder(report: Report, folder: Path, made: list[str]) -> None:
    live = folder / "etc"
    (live / "v1").mkdir(parents=True)
    (live / "v1/lb.toml").write_text(saying("one"))
    (live / "lb.toml").write_text(saying("zero"))
    client = _start(report, made, f"{live}:/etc/lb:ro", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    (live / "new").write_text(saying("renamed"))
    (live / "new").replace(live / "lb.toml")
    report.check("a file that is renamed into place is taken up", until(10, lambda: client.get("/").text == "renamed"), client.get("/").text)
    (live / "link").symlink_to("v1/lb.toml")
    (live / "link").replace(live / "lb.toml")
    report.check("a symbolic link that takes its place is taken up", until(10, lambda: client.get("/").text == "one"), client.get("/").text)


def certificates(report: Report, folder: Path, made: list[str]) -> None:
    """HTTPS by a mounted folder of certificates, as the README says."""
    examples = ROOT / "conf/certificates"
    etc, held = folder / "tls", folder / "held"
    etc.mkdir()
    held.mkdir()
    for name in ("localhost.pem", "localhost.key"):
        shutil.copy(examples / name, held)
        (held / name).chmod(0o644)      # public; of your own only user 65532 reads the key
    (etc / "lb.toml").write_text(saying("safe").replace("127.0.0.1:9090", "0.0.0.0:9090").replace("0.0.0.0:80", "0.0.0.0:443")
                                 + '[frontend.web.tls]\ncertificates = "/etc/lb/certificates"\n')
    (etc / "certificates").mkdir()      # where the second folder is mounted in the first
    https, admin = free_port(), free_port()
    _start(report, made, f"{etc}:/etc/lb:ro", "-v", f"{held}:/etc/lb/certificates:ro", "-p", f"127.0.0.1:{https}:443", "-p", f"127.0.0.1:{admin}:9090")
    trust = ssl.create_default_context(cafile=examples / "ca.pem")

    def metric(name: str) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:
            return {labels: float(value) for labels, value in re.findall(rf"^lb_tls_certificate_{name}\{{(.+)\}} (\S+)$", answer.read().decode(), re.M)}

    def says() -> str:
        with urllib.request.urlopen(f"https://localhost:{https}/", context=trust, timeout=10) as answer:
            return answer.read().decode()

    report.equal("a mounted folder of certificates serves HTTPS", says(), "safe")
    expiry = metric("expiry_timestamp_seconds")
    report.check("its end is a metric", list(expiry) == ['certificate="/etc/lb/certificates/localhost.pem"'] and min(expiry.values()) > time.time(), expiry)
    (held / "localhost.key").write_text("nonsense")
    report.check("a renewal that is wrong is noticed and counted", until(10, lambda: metric("renewals_total")['frontend="web",result="error"'] > 0), metric("renewals_total"))
    report.equal("and what ran before runs on", says(), "safe")


def draining(report: Report, folder: Path, made: list[str]) -> None:
    run("docker", "network", "create", _network())
    made.append(run("docker", "run", "-d", "--network", _network(), "--network-alias", "slow", "python:3.11-slim-bookworm", "python", "-c", SLOW).stdout.strip())
    file = folder / "slow.toml"
    file.write_text(ADMIN + '[frontend.web]\nlisten = "0.0.0.0:80"\nbackend = "slow"\n[backend.slow]\nservers = ["slow:8000"]\n')
    client = _start(report, made, f"{file}:/etc/lb/lb.toml:ro", "--network", _network())
    until(10, lambda: client.get("/").status == 200)
    answers: list = []
    asking = threading.Thread(target=lambda: answers.append(client.get("/")))
    asking.start()
    time.sleep(1)
    began = time.monotonic()
    run("docker", "stop", "-t", "20", made[-1])
    asking.join(10)
    took = time.monotonic() - began
    report.check(f"SIGTERM: the request in flight is answered, then lb ends (after {took:.1f} s)",
                 [a.text for a in answers] == ["done"] and 1 < took < 10, ([a.text for a in answers], took))
    report.equal("with exit code 0", int(run("docker", "inspect", "-f", "{{.State.ExitCode}}", made[-1]).stdout), 0)


def _start(report: Report, made: list[str], volume: str, *options: str) -> Client:
    port = free_port()
    made.append(run("docker", "run", "-d", "-p", f"127.0.0.1:{port}:80", "-v", volume, *options, os.environ["LB_IMAGE"]).stdout.strip())
    health = lambda: run("docker", "inspect", "-f", "{{.State.Health.Status}}", made[-1]).stdout.strip()   # noqa: E731
    report.check("it becomes healthy", until(25, lambda: health() == "healthy"), run("docker", "logs", made[-1], check=False).stderr[-500:])
    return Client(port)


def _network() -> str:
    return f"lbtest-image-{os.getpid()}"
