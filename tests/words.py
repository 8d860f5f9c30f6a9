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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_IN_TEN_THOUSAND = 25

IDIOMS = (
    r"told",
    r"nobody",
    r"somebody",
    r"whoever",
    r"(?:is|are|was|be) none",
    r"in hand",
    r"for ever",
    r"so long",
    r"so many",
    r"so much",
    r"mend(?:s|ed|ing)?",
    r"borne",
    r"aloud",
    r"anew",
    r"whom",
    r"likewise",
    r"meanwhile",
    r"all the same",
    r"at (?:its|the) tip",
    r"of (?:its|their|one's|our|his) own",
    r"for its own sake",
    r"once more",
    r"as it is",
    r"says",
    r"said",
    r"taken",
    r"(?:give|given|gives|giving|gave) up",
    r"what of the",
    r"over (?:its|the|their) head",
    r"for want of",
    r"beside",
)
_IDIOM = re.compile(rf"\b(?:{'|'.join(each.replace(' ', chr(92) + 's+') for each in IDIOMS)})\b")
_WORD = re.compile(r"[A-Za-z][a-z']+")
_PROSE, _STRING, _NAME = "prose", "string", "name"
_ENGLISH_PAGES = ("*.md", ":!README.es.md")
_SCRIPTS = ("Makefile", "Dockerfile", ".env.example", "*.toml", "*.yaml", "*.yml", "*.tf", "*.hcl", ".ci/run")


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text: its kind, its first line and its words."""

    kind: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One idiom in one place."""

    path: str
    line: int
    kind: str
    idiom: str


def texts_of_module(source: str) -> Iterator[Text]:
    """Everything in a module that people read: comments, docstrings, strings, and each identifier once."""
    docstrings = set(_docstring_lines(ast.parse(source)))
    comment: list[str] = []
    comment_line = 0
    names: set[str] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            if comment and line == comment_line + len(comment):
                comment.append(token.string.lstrip("#: "))
                continue
            yield Text(_PROSE, comment_line, "\n".join(comment))
            comment, comment_line = [token.string.lstrip("#: ")], line
        elif token.type == tokenize.STRING:
            yield Text(_PROSE if line in docstrings else _STRING, line, token.string)
        elif token.type == getattr(tokenize, "FSTRING_MIDDLE", -1):
            yield Text(_STRING, line, token.string)
        elif token.type == tokenize.NAME and token.string not in names:
            names.add(token.string)
            yield Text(
                _NAME, line, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", token.string).replace("_", " ").lower()
            )
    yield Text(_PROSE, comment_line, "\n".join(comment))


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        for statement in getattr(node, "body", ()) if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                yield statement.lineno


def texts_of_page(source: str) -> Iterator[Text]:
    """A page is one text; a configuration file is its comments and strings, taken as one too."""
    yield Text(_PROSE, 1, source)


def findings(path: str, texts: Iterable[Text]) -> Iterator[Finding]:
    """Each idiom in these texts."""
    for each in texts:
        for match in _IDIOM.finditer(each.text):
            line = each.line + each.text.count("\n", 0, match.start())
            yield Finding(path, line, each.kind, " ".join(match[0].split()))


def tracked(patterns: Iterable[str]) -> list[str]:
    """The files that git tracks, by patterns."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def main() -> int:
    """Counts, and fails above the limit.

    Returns:
        1 if comments, docstrings and pages, or these with all strings, hold too many idioms.
    """
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--list", action="store_true", help="show each finding")
    arguments.add_argument("paths", nargs="*", help="files or folders (all that git tracks)")
    chosen = arguments.parse_args()
    modules = tracked(chosen.paths or ["*.py"])
    pages = [] if chosen.paths else tracked([*_ENGLISH_PAGES, *_SCRIPTS])
    pages += [path for path in modules if not path.endswith(".py")]
    found: list[Finding] = []
    words: Counter[str] = Counter()
    for path in dict.fromkeys([*modules, *pages]):
        if path in (str(Path(__file__).relative_to(ROOT)), "README.es.md"):
            continue
        source = (ROOT / path).read_text(encoding="utf-8")
        texts = list(texts_of_module(source) if path.endswith(".py") else texts_of_page(source))
        for each in texts:
            words[each.kind] += len(_WORD.findall(each.text))
        found.extend(findings(path, texts))
    if chosen.list:
        for each_found in found:
            print(f"{each_found.path}:{each_found.line}: {each_found.idiom} ({each_found.kind})")
    prose = sum(each.kind == _PROSE for each in found)
    rates = {
        "comments, docstrings and pages": prose / max(1, words[_PROSE]) * 10_000,
        "all with strings and identifiers": len(found) / max(1, words[_PROSE] + words[_STRING]) * 10_000,
    }
    for what, rate in rates.items():
        print(f"idioms in 10,000 words of {what}: {rate:.0f} (at most {MOST_IN_TEN_THOUSAND})")
    print(
        "most frequent:",
        ", ".join(f"{idiom} {n}" for idiom, n in Counter(f.idiom for f in found).most_common(12)),
    )
    return int(max(rates.values()) > MOST_IN_TEN_THOUSAND)


if __name__ == "__main__":
    sys.exit(main())
