"""Masking: no signed URL survives in a text, however it was quoted or encoded, and whatever it costs to look
is linear."""

import json
import re
import re._parser as parser  # type: ignore[import-not-found]
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import masking
from handlers.masking import mask_urls
from tests.handlers.making import SECRET, SIGNED_URL

BASE, _, QUERY = SIGNED_URL.partition("?")


@pytest.mark.parametrize(
    "text",
    [
        SIGNED_URL,
        f"upload to {SIGNED_URL} failed",
        f"<{SIGNED_URL}>",
        f"({SIGNED_URL})",
        f"'{SIGNED_URL}'",
        f"[link]({SIGNED_URL})",
        json.dumps({"signedUrl": SIGNED_URL}),
        json.dumps(json.dumps({"signedUrl": SIGNED_URL})),
        json.dumps(SIGNED_URL).replace("/", "\\/"),
        json.dumps(SIGNED_URL).replace("?", "\\u003f"),
        json.dumps(SIGNED_URL).replace("?", "\\u003F").replace("=", "\\u003d").replace("&", "\\u0026"),
        json.dumps(SIGNED_URL).replace("/", "\\u002f").replace(":", "\\u003a").replace("=", "\\u003d"),
        json.dumps(json.dumps(SIGNED_URL).replace("/", "\\/")).replace("/", "\\/"),
        json.dumps(json.dumps("https://h/p?token=" + SECRET).replace("?", "\\u003f")),
        urllib.parse.quote(SIGNED_URL, safe=""),
        urllib.parse.quote(SIGNED_URL, safe="").lower(),
        urllib.parse.quote(urllib.parse.quote(SIGNED_URL, safe=""), safe=""),
        f"https://portal.example/open#to={urllib.parse.quote(SIGNED_URL, safe='')}",
        f"https://portal.example/plain,{SIGNED_URL}",
        f"https://portal.example/plain\n{SIGNED_URL}",
        SIGNED_URL.replace("https", "HTTPS"),
        SIGNED_URL.replace("https", "s3"),
        SIGNED_URL.replace("&", "\n&"),
        SIGNED_URL.replace("&", " &"),
        f"GET /exports/report.csv?{QUERY} HTTP/1.1",
        f"{BASE} with {QUERY}",
        f"https://storage.googleapis.com/b/o?X-Goog-Signature={SECRET}",
        f"https://account.blob.core.windows.net/c/b?sv=2024&sig={SECRET}",
        f"https://b.s3.amazonaws.com/o?AWSAccessKeyId=AK&Signature={SECRET}&Expires=1",
        f"https://host/p?q=\u00e9\U0001f600&key={SECRET}",
        f"https://host/p?{SECRET}",
        f"X-Amz-Signature={SECRET}",
    ],
)
def test_no_secret_part_of_a_signed_url_is_left(text: str) -> None:
    masked = mask_urls(text)
    assert SECRET not in masked
    assert SECRET[:6] not in masked


def test_a_url_keeps_everything_before_its_question_mark() -> None:
    assert mask_urls(f"see {SIGNED_URL} for more") == f"see {BASE} for more"
    assert mask_urls(f'{{"a":"{SIGNED_URL}","b":1}}') == f'{{"a":"{BASE}","b":1}}'
    assert mask_urls("is it there?https://host/p?token") == "is it there?https://host/p"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "report.csv",
        "what is 1/2 = 50 %?",
        "https://example.com/a/b#c",
        "is it done? 3 = 3",
        "a/b?c",
        "100%",
    ],
)
def test_text_without_a_url_s_query_stays_unchanged(text: str) -> None:
    assert mask_urls(text) == text


PREFIXES = st.text(alphabet='ab :/?="<>\\%&\n', max_size=20)


@given(PREFIXES, PREFIXES, st.sampled_from(["https://h/p?", "https:\\/\\/h\\/p?", "https%3A%2F%2Fh%2Fp%3F"]))
def test_a_query_is_cut_whatever_stands_around_the_url(before: str, after: str, beginning: str) -> None:
    assert SECRET not in mask_urls(f"{before}{beginning}X-Amz-Signature={SECRET}{after}")


@given(st.text())
def test_masking_twice_is_masking_once(text: str) -> None:
    masked = mask_urls(text)
    assert mask_urls(masked) == masked


class CountingWords:
    """Stands in for the compiled pattern that cuts a text into words; counts what the others look at."""

    def __init__(self, pattern: re.Pattern[str], looked_at: list[int]) -> None:
        self._pattern = pattern
        self._looked_at = looked_at

    def search(self, word: str, start: int = 0) -> re.Match[str] | None:
        found = self._pattern.search(word, start)
        self._looked_at[0] += (found.end() if found else len(word)) - start
        return found


@pytest.mark.parametrize(
    "piece",
    [
        "https://",
        "a://b?",
        "%3a%2f%2f",
        "\\/",
        "?",
        "x-amz-signature",
        "https:/ ",
        '"',
        "%25",
        "%252525",
        "\\u003f",
    ],
)
def test_looking_at_400_kb_costs_a_fixed_number_of_passes(
    piece: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = [0]
    for name in ("_SCHEME_END", "_QUERY_START", "_SIGNED_PARAMETER"):
        monkeypatch.setattr(masking, name, CountingWords(getattr(masking, name), looked_at))
    text = piece * (400_000 // len(piece))
    mask_urls(text)
    assert looked_at[0] <= 3 * len(text)


def test_each_pattern_looks_at_a_bounded_stretch_from_each_character() -> None:
    """So a pass costs its text's length times a constant, and the number of passes is fixed, see above."""
    for pattern in (masking._SCHEME_END, masking._QUERY_START, masking._SIGNED_PARAMETER):
        _, longest = parser.parse(pattern.pattern, pattern.flags).getwidth()
        assert longest <= 64, pattern.pattern
