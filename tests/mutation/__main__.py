"""`make mutants`: changes `handlers/` in one place at a time, and looks whether `tests/handlers` notices.

mutmut makes the mutants and tests them, in a copy of the code under `.cache/mutation`. Those that survive
must be the ones of `SURVIVORS.md`, where each has the reason why no test can or should tell it from the code.
Exits with 1 if a survivor is not listed there, or if a listed one is killed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.infra.tool_venvs import CACHE, commands_of
from tests.mutation.survivors import Fate, Mutant, beyond, fate, listed, mutant

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("SURVIVORS.md")
COPY = CACHE / "mutation"
COPIED = ("pyproject.toml", "handlers", "tests/__init__.py", "tests/handlers", "tests/mutation")


class RunFailed(Exception):
    """mutmut did not do its work; the message gives what is known."""


def main() -> int:
    """Runs the check; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=30, help="the longest that the run may take")
    given = parser.parse_args()
    mutmut = commands_of("mutmut") / "mutmut"
    print("testing the mutants of handlers/, which takes some minutes ...", flush=True)
    begun = time.monotonic()
    _copy()
    _mutmut(mutmut, "run", "--max-children", str(given.processes), seconds=given.minutes * 60)
    names = _by_fate()
    counts = ", ".join(f"{len(names[each])} {each.value}" for each in Fate)
    print(
        f"{sum(map(len, names.values()))} mutants in {(time.monotonic() - begun) / 60:.1f} minutes: {counts}"
    )
    if not names[Fate.KILLED] or names[Fate.NOT_TESTED]:
        raise RunFailed(f"not every mutant was tested: {', '.join(names[Fate.NOT_TESTED][:10])}")
    return _judge([mutant(name, _mutmut(mutmut, "show", name)) for name in names[Fate.SURVIVED]])


def _judge(survived: list[Mutant]) -> int:
    may_survive, where = listed(LIST.read_text(encoding="utf-8")), LIST.relative_to(ROOT)
    lines = [f"survives and is not in {where}: {each}" for each in beyond(survived, may_survive)]
    lines += [f"is in {where} and does not survive: {each}" for each in beyond(may_survive, survived)]
    print("\n".join(lines))
    return 1 if lines else 0


def _copy() -> None:
    """A fresh copy each time: mutmut does not test a mutant again because a test of it has changed."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in COPIED:
        source, target = ROOT / name, COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    # Imported before a mutant is at work: what a test module makes for its parameters must not break it, or
    # none of its tests is found.
    modules = [
        f"tests.handlers.{path.stem}" for path in sorted((ROOT / "tests" / "handlers").glob("test_*.py"))
    ]
    (COPY / "preload.txt").write_text("\n".join(["tests.mutation.profile", *modules]), encoding="utf-8")


def _by_fate() -> dict[Fate, list[str]]:
    """mutmut's names of all mutants, by what became of them."""
    found: dict[Fate, list[str]] = {each: [] for each in Fate}
    for path in sorted((COPY / "mutants" / "handlers").glob("**/*.meta")):
        for name, exit_code in json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"].items():
            found[fate(exit_code)].append(name)
    return found


def _mutmut(mutmut: Path, *arguments: str, seconds: float = 60) -> str:
    """What a command of mutmut prints.

    Raises:
        RunFailed: if it fails, or takes longer than this.
    """
    # Sets of test names are iterated: without a fixed hash seed their order is another in each run.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
    try:
        done = subprocess.run(
            [mutmut, *arguments],
            cwd=COPY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunFailed(f"mutmut {arguments[0]} took longer than {seconds:.0f} s") from None
    if done.returncode != 0:
        raise RunFailed(f"mutmut {arguments[0]}: {done.stdout[-4_000:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RunFailed as failed:
        sys.exit(str(failed))
