"""Tools whose dependencies conflict with ours: each in a separate virtual environment.

`python -m tests.infra.tool_venvs NAME` makes `.cache/NAME` from `tests/infra/locks/NAME.lock`, every file by
its hash, and prints its folder of commands. What is there and was made from the same lock is kept.
"""

import fcntl
import hashlib
import shutil
import sys
import venv
from pathlib import Path

from tests.support.commands import finished

LOCKS = Path(__file__).with_name("locks")
CACHE = Path(__file__).resolve().parents[2] / ".cache"


class ToolMissing(Exception):
    """The tool could not be installed; the message has its name and pip's last line."""


def commands_of(name: str) -> Path:
    """The folder with the tool's commands, installed first if need be.

    Raises:
        ToolMissing: if pip cannot install it, for example without a network.
    """
    lock, folder = LOCKS / f"{name}.lock", CACHE / name
    stamp, wanted = folder / "made-from", hashlib.sha256(lock.read_bytes()).hexdigest()
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.busy").open("w") as busy:  # tests of several processes may want it at once
        fcntl.flock(busy, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            _install(name, lock, folder)
            stamp.write_text(wanted)
    return folder / "bin"


def _install(name: str, lock: Path, folder: Path) -> None:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = finished(*pip, "--no-deps", "--require-hashes", "-r", lock)
    if done.returncode != 0:
        shutil.rmtree(folder)
        raise ToolMissing(f"{name}: {done.stderr.strip().splitlines()[-1]}")


if __name__ == "__main__":
    sys.stdout.write(f"{commands_of(sys.argv[1])}\n")
