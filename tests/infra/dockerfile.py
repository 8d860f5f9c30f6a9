"""Reads the Dockerfile and replays its first stage in a plain virtual environment, without Docker."""

import fnmatch
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import finished

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "Dockerfile"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its continuation lines joined, with the number of its stage."""

    stage: int
    word: str
    rest: str

    def exec_form(self) -> list[str]:
        """The arguments of an instruction in exec form."""
        form: list[str] = json.loads(self.rest)
        return form


def instructions() -> list[Instruction]:
    """All instructions of the Dockerfile in order; those before the first FROM have stage -1."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    found: list[Instruction] = []
    stage = -1
    for text in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = text.strip().partition(" ")
        if word:
            stage += word == "FROM"
            found.append(Instruction(stage, word, rest.strip()))
    return found


def last(word: str) -> Instruction:
    """The last instruction of a kind: the one that counts in the image."""
    return [each for each in instructions() if each.word == word][-1]


def context_files(root: Path = ROOT) -> Iterator[Path]:
    """What Docker would send of a repository; the last line of .dockerignore that matches a file decides."""
    rules = [
        line.strip()
        for line in (root / ".dockerignore").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    # What is installed in .venv and .cache is many files, and stays out as a whole.
    listed = finished("git", "ls-files", "--cached", "--others", "--exclude=.*/", folder=root)
    for name in listed.stdout.splitlines():
        path = Path(name)
        ignored = False
        for rule in rules:
            if _matches(path, rule.removeprefix("!")):
                ignored = not rule.startswith("!")
        if not ignored and (root / path).is_file():
            yield path


def _matches(path: Path, pattern: str) -> bool:
    candidates = [path, *path.parents][:-1]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatch(part.name, pattern.removeprefix("**/")) for part in candidates)
    depth = pattern.count("/")
    return any(str(part).count("/") == depth and fnmatch.fnmatch(str(part), pattern) for part in candidates)


class Replay:
    """A folder that stands for the image's file system after the first stage.

    Args:
        root: an empty folder that everybody may enter.
        python: an interpreter that everybody may run.
    """

    def __init__(self, root: Path, python: str) -> None:
        self._root = root
        self._context = [*context_files()]
        self._workdir = root / "build"
        self._workdir.mkdir()
        self._commands = root / "commands"
        self._commands.mkdir()
        stand_in = self._commands / "python"
        # pip runs with our own interpreter, for the one that everybody may run need not have it.
        stand_in.write_text(
            f'#!/bin/sh\n[ "$1 $2" = "-m pip" ] && exec {sys.executable} "$@"\nexec {python} "$@"\n'
        )
        stand_in.chmod(0o755)

    def place(self, path: str) -> Path:
        """Where a path of the image is."""
        return self._root / "image" / path.lstrip("/")

    def build(self) -> None:
        """Carries out the first stage's instructions.

        Raises:
            AssertionError: if a command fails; the message is its output.
        """
        for each in instructions():
            match each.stage, each.word:
                case 0, "COPY":
                    self._copy(each.rest.split())
                case 0, "RUN":
                    self._run(each.rest)
                case 0, other:
                    assert other in {"FROM", "WORKDIR"}, f"{other} is not replayed"

    def _copy(self, names: list[str]) -> None:
        *sources, target = names
        for source in sources:
            # Each file has the same place below the working directory as in the repository.
            assert target in {"./", source, f"{Path(source).parent}/"}, f"{names} is not replayed"
            sent = [path for path in self._context if path.is_relative_to(source)]
            assert sent, f"{source} stays out of the image"
            for path in sent:
                copy = self._workdir / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / path, copy)

    def _run(self, command: str) -> None:
        done = finished(
            *("sh", "-eu", "-c", command.replace("/opt/", f"{self.place('/opt')}/")),
            folder=self._workdir,
            environment={**os.environ, "PATH": f"{self._commands}{os.pathsep}{os.environ['PATH']}"},
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
