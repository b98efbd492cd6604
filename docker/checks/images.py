"""What must be there before a topology starts: the load balancer's image, and stand-ins
of the official images where no registry can be reached."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .stack import DOCKER, ROOT, run

# Beside a checkout, perhaps: makes stand-ins of the official images that a folder names.
STAND_INS = ROOT.parent / "shared" / "images" / "make-base-images"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# The folders that name the images of a topology; the others stand on several.
FOLDERS = {"image": ["shop"], "shop": ["shop"], "browser": ["shop", "browser"]}


def prepare(topologies: list[str]) -> str:
    """Sets LB_IMAGE, and says what that image is."""
    given, binary = os.environ.get("LB_IMAGE"), os.environ.get("LB_BINARY")
    if os.access(STAND_INS, os.X_OK):
        here = bool(given or binary) and all(name in FOLDERS for name in topologies)
        folders = {folder for name in topologies for folder in FOLDERS[name]} if here else {"."}
        scans = [word for folder in sorted(folders) for word in ("--scan", DOCKER / folder)]
        compose = [] if run("docker", "compose", "version", check=False).returncode == 0 else ["--with-compose"]
        subprocess.run([STAND_INS, *compose, *scans], check=True, stdout=subprocess.DEVNULL)
    run("docker", "version")
    if given:
        return f"the image is {given}, as it was given"
    if binary:
        return of_binary(Path(binary))
    os.environ["LB_IMAGE"] = "lb"
    options = os.environ.get("BUILD_OPTS", "").split()
    run("docker", "build", *options, "-t", "lb", "-f", DOCKER / "Dockerfile", ROOT, seconds=3600)
    return "the image is docker/Dockerfile's"


def of_binary(binary: Path) -> str:
    """The last stage of the Dockerfile around a binary that was built elsewhere, stripped,
    with the libraries that it is linked to. What it leaves out is the Dockerfile's build."""
    last = (DOCKER / "Dockerfile").read_text().split("\nFROM scratch\n")[1]
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        (image / "etc/lb").mkdir(parents=True)
        run("strip", "-o", image / "lb", binary)
        libraries = re.findall(r"(/\S+) \(0x", run("ldd", binary, check=False).stdout)
        for file in (*libraries, CERTIFICATES):
            (image / file.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, image / file.lstrip("/"))
        # The Dockerfile's is linked statically, and has none of them.
        os.environ["LB_IMAGE_BESIDE"] = str(sum(Path(file).stat().st_size for file in libraries))
        text = last.replace("COPY --from=build /image /", "COPY image /")
        (Path(folder) / "Dockerfile").write_text(f"FROM scratch\n{text}")
        run("docker", "build", "-t", "lb-prebuilt", folder)
    os.environ["LB_IMAGE"] = "lb-prebuilt"
    return f"the image is {binary} in the last stage of docker/Dockerfile, with the libraries it needs: {' '.join(Path(file).name for file in libraries) or 'none'}"
