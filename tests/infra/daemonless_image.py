"""Builds the image without Docker's daemon and without a registry, and runs it: `make image`.

It needs root, buildah and debootstrap. The base has Debian's packages and Debian's Python, and stands in for
the one that the Dockerfile names. So this shows that the Dockerfile's steps work, and that the service in the
image starts, is healthy and stops. The image that is deployed has its base from the registry. The first run
takes minutes, and installs packages; the gate does not run it.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from processor.localaws.embedded_aws import EmbeddedAws
from tests.infra.dockerfile import ROOT, instructions, last
from tests.infra.tool_venvs import CACHE
from tests.waiting import eventually

IMAGE = "localhost/export-status"
PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PATH = "/usr/local/py/bin:/usr/local/bin:/usr/bin:/bin"
ENVIRONMENT = {**os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}


def buildah(*arguments: str) -> str:
    """Runs buildah; its standard output."""
    command = ["buildah", *arguments]
    return subprocess.run(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


def make_base(name: str) -> None:
    """An image of Debian's packages under the base's name; its Python has a pip that can be removed."""
    root = CACHE / "image-base"
    suite = name.rpartition("-")[2]
    if not (root / "usr" / "local" / "py").exists():
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, root], check=True)
        shutil.copy(CERTIFICATES, root / CERTIFICATES.lstrip("/"))
        (root / "etc" / "pip.conf").write_text(f"[global]\ncert = {CERTIFICATES}\n")
        subprocess.run(
            ["chroot", root, "/usr/bin/python3", "-m", "venv", "--copies", "/usr/local/py"], check=True
        )
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, f"{root}/", "/")
    buildah("config", "--env", f"PATH={PATH}", container)
    buildah("commit", "--quiet", "--rm", container, name)


def build() -> None:
    """The Dockerfile's steps, on a base with the name that it asks for."""
    version = next(each.rest for each in instructions() if each.word == "ARG").partition("=")[2]
    base = f"docker.io/library/python:{version}-slim-trixie"
    if not buildah("images", "--quiet", "--filter", f"reference={base}"):
        make_base(base)
    options = ("--pull=never", "--network=host", "--format=docker", "--build-arg", "PYTHON_DIGEST=")
    buildah("build", *options, "--tag", IMAGE, str(ROOT))


def innermost(pid: int) -> int:
    """The last child of the children of a process: without a daemon, the service is one of this machine's."""
    found = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, text=True, check=False)
    return innermost(int(found.stdout.split()[0])) if found.stdout else pid


def run() -> int:
    """Starts the service in the image and stops it when it is healthy; its exit status."""
    container = buildah("from", "--pull=never", IMAGE)
    try:
        with EmbeddedAws() as aws:
            own = aws.service_environment() | {"EXPORT_HEALTH_FILE": "/tmp/export-status.health"}
            settings = [f"--env={name}={value}" for name, value in own.items() if name != "PATH"]
            inside = ["--network=host", container, "--", *last("ENTRYPOINT").exec_form()]
            service = subprocess.Popen(["buildah", "run", *settings, *inside, "run"], env=ENVIRONMENT)

            def healthy() -> bool:
                check = subprocess.run(
                    ["buildah", "run", *inside, "healthcheck"],
                    env=ENVIRONMENT,
                    capture_output=True,
                    check=False,
                )
                return check.returncode == 0 or service.poll() is not None

            eventually(healthy, 300)
            os.kill(innermost(service.pid), signal.SIGTERM)  # buildah hands no signal on
            return service.wait(120)
    finally:
        buildah("rm", container)


def main() -> None:
    """Exits with 1 if a tool is missing, else with the status of the service."""
    missing = [tool for tool in ("buildah", "debootstrap") if shutil.which(tool) is None]
    if missing or not Path(CERTIFICATES).exists():
        sys.exit(f"needed, and not there: {', '.join(missing) or CERTIFICATES}")
    build()
    status = run()
    sys.stdout.write(f"the image was built, ran, was healthy and stopped with {status}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
