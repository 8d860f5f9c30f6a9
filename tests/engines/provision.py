"""Installs the emulators into `.cache/`: `python -m tests.engines.provision dynamodb-local|ministack`.

Running it again does nothing. What is fetched is pinned by its hash.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

from tests.engines import dynamodb_local, ministack
from tests.support.commands import finished

NPM_PACKAGE = "amplify-dynamodb-simulator@2.9.30"  # carries AWS's DynamoDB Local 1.25.1
NPM_SHA256 = "3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9"
IN_PACKAGE = "package/emulator"
LOCK = Path(__file__).with_name("ministack.lock")
STAMP = ".provisioned"


class ProvisioningError(Exception):
    """One line for the person at the terminal."""


def provision_dynamodb_local() -> None:
    """Fetches the npm package that carries DynamoDB Local, checks it, unpacks it, shows its license once."""
    home = dynamodb_local.HOME
    reason = dynamodb_local.missing_java()
    if reason is not None:
        raise ProvisioningError(reason)
    if _stamp(home) == NPM_SHA256:
        _say("DynamoDB Local is there")
        return
    npm = shutil.which("npm")
    if npm is None:
        raise ProvisioningError("DynamoDB Local comes as an npm package; there is no `npm` on the PATH")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as directory:
        archive = _packed(npm, Path(directory))
        if hashlib.sha256(archive.read_bytes()).hexdigest() != NPM_SHA256:
            raise ProvisioningError(
                f"{NPM_PACKAGE} is not the archive whose hash is pinned; nothing installed"
            )
        with tarfile.open(archive) as contents:
            contents.extractall(directory, filter="data")
        unpacked = Path(directory) / IN_PACKAGE
        _say((unpacked / "LICENSE.txt").read_text(encoding="utf-8"))
        (unpacked / STAMP).write_text(NPM_SHA256)
        shutil.rmtree(home, ignore_errors=True)
        unpacked.rename(home)
    _say("DynamoDB Local is installed; using it means that you agree to the license above")


def provision_ministack() -> None:
    """Makes ministack's own virtual environment: it pins a botocore that is not ours."""
    home = ministack.HOME
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if _stamp(home) == wanted:
        _say("ministack is there")
        return
    venv.create(home, clear=True, with_pip=True)
    pip = [str(ministack.PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=False)
    if installed.returncode != 0:
        raise ProvisioningError("pip could not install ministack; see the lines above")
    (home / STAMP).write_text(wanted)
    _say("ministack is installed")


def main(arguments: list[str]) -> int:
    """Takes the name of one emulator. The exit status is 1 if it cannot be installed, 2 for wrong usage."""
    provisions = {"dynamodb-local": provision_dynamodb_local, "ministack": provision_ministack}
    if len(arguments) != 1 or arguments[0] not in provisions:
        sys.stderr.write(f"usage: python -m tests.engines.provision {'|'.join(provisions)}\n")
        return 2
    try:
        provisions[arguments[0]]()
    except ProvisioningError as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


def _packed(npm: str, directory: Path) -> Path:
    packing = (npm, "pack", "--silent", "--no-update-notifier", NPM_PACKAGE)
    answer = finished(*packing, folder=directory)
    if answer.returncode != 0:
        code = next((line for line in answer.stderr.splitlines() if line.startswith("npm error code")), "")
        raise ProvisioningError(f"npm could not fetch {NPM_PACKAGE}. {code}".strip())
    # What npm prints differs between its versions.
    archive = next(directory.glob("*.tgz"), None)
    if archive is None:
        raise ProvisioningError(f"npm has fetched nothing for {NPM_PACKAGE}")
    return archive


def _stamp(home: Path) -> str:
    stamp = home / STAMP
    return stamp.read_text() if stamp.exists() else ""


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
