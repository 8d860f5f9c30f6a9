"""Counts idioms that readers of many languages stumble over: `python -m tests.words`, part of `make lint`.

It looks at comments, docstrings, other strings, identifiers and every page. `--list` shows each finding as
`path:line: idiom`; paths as arguments limit what it looks at.
"""

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MOST_IN_TEN_THOUSAND = 25

IDIOMS = Path(__file__).with_name("idioms.txt").read_text(encoding="utf-8").splitlines()
"""Regular expressions."""

_IDIOM = re.compile(rf"\b(?:{'|'.join(each.replace(' ', chr(92) + 's+') for each in IDIOMS)})\b")
_WORD = re.compile(r"[A-Za-z][a-z']+")
_PROSE, _STRING, _NAME = "prose", "string", "name"
_LEFT_OUT = ("tests/words.py", "tests/test_words.py", "README.es.md")
_ENGLISH_PAGES = ("*.md", ":!README.es.md")
_SCRIPTS = ("Makefile", "Dockerfile", ".env.example", "*.toml", "*.yaml", "*.yml", "*.tf", "*.hcl", ".ci/run")


class Text(NamedTuple):
    """A piece of text: its kind, its first line and its words."""

    kind: str
    line: int
    text: str


class Finding(NamedTuple):
    """One idiom in one place."""

    line: int
    idiom: str
    kind: str


def texts_of_module(source: str) -> Iterator[Text]:
    """Everything in a module that people read: comments, docstrings, strings, and each identifier once.

    Strings and identifiers come from the syntax tree: tokens of f-strings differ between versions of Python.
    """
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {each.start[0]: each.string.lstrip("#: ") for each in tokens if each.type == tokenize.COMMENT}
    lines = (comments.get(number, ".") for number in range(1, max(comments, default=0) + 1))
    yield Text(_PROSE, 1, "\n".join(lines))
    tree = ast.parse(source)
    # Strings that stand alone as a statement: those of attributes too.
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    names: dict[str, int] = {}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 1)
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield Text(_PROSE if node in docstrings else _STRING, line, node.value)
            continue
        for _, value in ast.iter_fields(node):
            for name in value if isinstance(value, list) else [value]:
                if isinstance(name, str):
                    names.setdefault(name, line)
    for name, line in names.items():
        yield Text(_NAME, line, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace("_", " ").lower())


def texts_of(path: str, source: str) -> list[Text]:
    """The texts of a module; a page, or a configuration file, is one text."""
    return [*texts_of_module(source)] if path.endswith(".py") else [Text(_PROSE, 1, source)]


def findings(texts: Iterable[Text]) -> Iterator[Finding]:
    """Each idiom in these texts."""
    for kind, line, text in texts:
        for match in _IDIOM.finditer(text):
            yield Finding(line + text.count("\n", 0, match.start()), " ".join(match[0].split()), kind)


def tracked(patterns: Iterable[str]) -> list[str]:
    """The files that git tracks, by patterns."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def main(argv: Sequence[str] | None = None) -> int:
    """Counts, and fails above the limit.

    Args:
        argv: the command line (that of this process).

    Returns:
        1 if comments, docstrings and pages, or these with all strings, hold too many idioms.
    """
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--list", action="store_true", help="show each finding")
    arguments.add_argument("paths", nargs="*", help="files or folders (all that git tracks)")
    chosen = arguments.parse_args(argv)
    modules = tracked(chosen.paths or ["*.py"])
    pages = [] if chosen.paths else tracked([*_ENGLISH_PAGES, *_SCRIPTS])
    pages += [path for path in modules if not path.endswith(".py")]
    found: list[Finding] = []
    words: Counter[str] = Counter()
    for path in dict.fromkeys([*modules, *pages]):
        if path in _LEFT_OUT:
            continue
        texts = texts_of(path, (ROOT / path).read_text(encoding="utf-8"))
        for each in texts:
            words[each.kind] += len(_WORD.findall(each.text))
        here = [*findings(texts)]
        found += here
        if chosen.list:
            print("".join(f"{path}:{line}: {idiom} ({kind})\n" for line, idiom, kind in here), end="")
    prose = sum(each.kind == _PROSE for each in found)
    rates = {
        "comments, docstrings and pages": prose / max(1, words[_PROSE]) * 10_000,
        "all with strings and identifiers": len(found) / max(1, words[_PROSE] + words[_STRING]) * 10_000,
    }
    for what, rate in rates.items():
        print(f"idioms in 10,000 words of {what}: {rate:.0f} (at most {MOST_IN_TEN_THOUSAND})")
    frequent = Counter(each.idiom for each in found).most_common(12)
    print("most frequent:", ", ".join(f"{idiom} {count}" for idiom, count in frequent))
    return int(max(rates.values()) > MOST_IN_TEN_THOUSAND)


if __name__ == "__main__":
    sys.exit(main())
