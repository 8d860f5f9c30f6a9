"""`.ci/python` chooses the Python of `.venv`, or prints one line with what to install."""

import sys
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT
from tests.support.commands import finished

SCRIPT = ROOT / ".ci" / "python"


def choose(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Runs the script where no other commands are on the PATH than those of the folder."""
    everything = {"PATH": str(folder), "HOME": str(folder), **environment}
    done = finished(SCRIPT, *arguments, environment=everything)
    return done.returncode, done.stdout, done.stderr


def install(path: Path, minor: int, *, venv: bool = True) -> Path:
    """Makes a command that answers as this Python 3 does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#!/bin/sh\ncase $2 in\n"
        f"  *ensurepip*) exit {int(not venv)} ;;\n"
        f"  *sys.executable*) echo 3.{minor} {path} ;;\n"
        f"  *version_info*) echo {minor} ;;\nesac\n"
    )
    path.chmod(0o755)
    return path


WARNING = "warning: Python 3.15 is untested; supported are 3.11 to 3.14\n"


@pytest.mark.parametrize(
    ("installed", "chosen", "warning"),
    [
        pytest.param({"python3": 12, "python3.14": 14}, "python3", "", id="the default if it is supported"),
        pytest.param(
            {"python3": 15, "python3.13": 13}, "python3.13", "", id="a supported one before a newer"
        ),
        pytest.param(
            {"python3": 10, "python3.12": 12}, "python3.12", "", id="a supported one before an older"
        ),
        pytest.param({"python3": 15}, "python3", WARNING, id="a newer one is tried"),
    ],
)
def test_a_python_is_chosen(tmp_path: Path, installed: dict[str, int], chosen: str, warning: str) -> None:
    for command, minor in installed.items():
        install(tmp_path / command, minor)
    assert choose(tmp_path) == (0, f"{chosen}\n", warning)
    assert choose(tmp_path, PYTHON=chosen) == (0, f"{chosen}\n", warning)


@pytest.mark.parametrize(
    ("command", "package"), [("python3", "python3-venv"), ("python3.14", "python3.14-venv")]
)
def test_a_missing_venv_module_is_one_line_with_its_package(
    tmp_path: Path, command: str, package: str
) -> None:
    install(tmp_path / command, 14, venv=False)
    lack = f"{command} is Python 3.14 without its venv module"
    line = f"{lack}: install it (Debian, Ubuntu: apt install {package})\n"
    assert choose(tmp_path) == (1, "", line)
    assert choose(tmp_path, PYTHON=command) == (1, "", line)


def test_a_python_with_venv_goes_before_one_without(tmp_path: Path) -> None:
    install(tmp_path / "python3", 14, venv=False)
    install(tmp_path / "python3.11", 11)
    assert choose(tmp_path) == (0, "python3.11\n", "")


def test_no_fitting_python_is_one_line(tmp_path: Path) -> None:
    install(tmp_path / "python3", 10)
    line = "Python 3.11 to 3.14 is needed: install one, or set PYTHON=/path/of/python3\n"
    assert choose(tmp_path) == (1, "", line)
    assert choose(tmp_path, PYTHON="python3") == (1, "", "python3 is no Python 3.11 to 3.14\n")


def test_all_shows_each_supported_version_once(tmp_path: Path) -> None:
    install(tmp_path / "python3", 14)
    install(tmp_path / "python3.14", 14)
    install(tmp_path / "python3.10", 10)
    pyenv = install(tmp_path / ".pyenv/versions/3.12.1/bin/python3", 12)
    install(tmp_path / ".pyenv/versions/3.11.7/bin/python3", 11, venv=False)
    assert choose(tmp_path, "--all") == (0, f"3.14 {tmp_path / 'python3'}\n3.12 {pyenv}\n", "")


def test_this_python_is_chosen(tmp_path: Path) -> None:
    assert choose(tmp_path, PYTHON=sys.executable) == (0, f"{sys.executable}\n", "")
