"""Long text in sentences, so that speech can begin before all of it is read."""

import re
from collections.abc import Iterator

from audiogen.text.abbreviations import TITLES

_PARAGRAPH = re.compile(r"\n[ \t\r]*+\n")
_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+(?=\s)|[。！？]++[”’」』]*+|$")
_PHRASE_END = re.compile(r"[,;:—–)](?=\s)|[，；：、]")
_LONGEST_WORD = 40


def split_sentences(text: str, max_characters: int = 200) -> list[str]:
    """The sentences of `text` in order, none longer than `max_characters`.

    A longer one is cut at its last phrase break that fits, else between words, else anywhere. Nothing but white space
    is lost.
    """
    sentences = []
    for paragraph in _PARAGRAPH.split(text):
        start = 0
        for end in _ends(paragraph):
            sentences += _cut(" ".join(paragraph[start:end].split()), max_characters)
            start = end
    return sentences


def _ends(text: str) -> Iterator[int]:
    for match in _END.finditer(text):
        if match[0] != "." or not _continues(text, match.start(), match.end()):
            yield match.end()


def _continues(text: str, dot: int, end: int) -> bool:
    """Whether the full stop at `dot` ends a title or an initial, or what follows begins no sentence."""
    before = text[max(0, dot - _LONGEST_WORD) : dot]
    word = before.split()[-1].lstrip("([\"'“‘") if before.strip() else ""
    following = text[end : end + _LONGEST_WORD].lstrip()[:1]
    return word.lower() in TITLES or (len(word) == 1 and word.isupper() and word != "I") or following.islower()


def _cut(sentence: str, longest: int) -> Iterator[str]:
    while len(sentence) > longest:
        window = sentence[:longest]
        breaks = [match.end() for match in _PHRASE_END.finditer(window)]
        cut = breaks[-1] if breaks and breaks[-1] > longest // 4 else max(window.rfind(" "), 0)
        cut = cut or longest
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
