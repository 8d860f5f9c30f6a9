"""Takes credentials out of text: a signed URL is one (docs/contract.md, section 4)."""

import re

# A URL ends at white space or at a character that no URL may hold. Working word by word, with patterns of
# bounded length, keeps the time linear for every text. Characters may be escaped as
# JSON does, or percent-encoded, and that up to three times over.
_WORD = re.compile(r"""[^\s"<>]+""")
_COLON, _SLASH, _QUESTION_MARK, _EQUALS = (
    rf"(?:\\{{0,7}}{re.escape(character)}|\\{{1,4}}u00{code}|%(?:25){{0,2}}{code})"
    for character, code in ((":", "3a"), ("/", "2f"), ("?", "3f"), ("=", "3d"))
)
_SCHEME_END = re.compile(rf"{_COLON}{_SLASH}{{2}}", re.IGNORECASE)
_QUERY_START = re.compile(_QUESTION_MARK, re.IGNORECASE)
# What is left of a URL that lost its beginning still betrays itself by the names of its parameters.
_SIGNED_PARAMETER = re.compile(
    rf"(?:x-(?:amz|goog|ms)-(?:signature|credential|security-token)|\b(?:signature|awsaccesskeyid|sig)){_EQUALS}",
    re.IGNORECASE,
)


def mask_urls(text: str) -> str:
    """Cuts every URL in the text from its `?` on, and from a signature's parameter on where one stands alone.

    Cuts rather too much than too little: what follows without white space goes too.
    """
    if "/" not in text and "=" not in text and "%" not in text and "\\" not in text:
        return text
    return _WORD.sub(_cut_word, text)


def _cut_word(match: re.Match[str]) -> str:
    word = match[0]
    scheme = _SCHEME_END.search(word)
    query = _QUERY_START.search(word, scheme.end()) if scheme else None
    if query:
        return word[: query.start()]
    parameter = _SIGNED_PARAMETER.search(word)
    return word[: parameter.start()] if parameter else word
