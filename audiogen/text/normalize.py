"""English text as it is spoken: lower-case words, with punctuation kept where a voice would pause.

Rules run one after another, from the most specific (addresses, dates, times) to the least (symbols). None of them looks
further back or ahead than a bounded number of characters, so no text makes them slow.
"""

import re
import unicodedata

from audiogen.text import abbreviations, quantities
from audiogen.text.abbreviations import Match, Rule


def normalize(text: str) -> str:
    """`text` in spoken lower-case words, parted by single spaces, with `, . ? ! ; :` as phrase breaks.

    `"Dr. Lee paid $3.50 at 10:30!"` → `"doctor lee paid three dollars and fifty cents at ten thirty!"`. Characters
    that English does not read (emoji, other scripts) are left out.
    """
    text = text.translate(_PLAIN)
    capitals = abbreviations.CAPITALS if _SMALL_LETTER.search(text) else []
    for rules in (_ADDRESSES, abbreviations.WITH_FULL_STOP, quantities.RULES, abbreviations.LETTERS, capitals, _SIGNS):
        for pattern, spoken in rules:
            text = pattern.sub(spoken, text)
    return _tidy(text.lower())


class _PlainCharacters(dict[int, str]):
    """Unicode to the few characters the rules know; the rest is found out one character at a time, when it is met."""

    def __missing__(self, code: int) -> str:
        character = "".join(c for c in unicodedata.normalize("NFKD", chr(code)) if not unicodedata.combining(c))
        self[code] = character if character.isascii() else " "
        return self[code]


_PLAIN = _PlainCharacters()
for _characters, _plain in {
    "‘’‚‛ʼ′´`": "'", "“”„‟«»″": '"', "‐‑–−": "-", "—―…•·|": " , ", "、，": ", ", "。．": ". ", "！": "! ", "？": "? ",
    "；": "; ", "：": ": ", "½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3", "⅛": " 1/8",
    "²": " squared", "³": " cubed", "×": " times ", "÷": " divided by ", "±": " plus or minus ", "≈": " about ",
    "≤": " at most ", "≥": " at least ", "≠": " is not ", "£": "£", "€": "€", "¥": "¥", "¢": "¢", "°": "°", "®™": " ",
    "©": " copyright ", "§": " section ", "µμ": "micro", "Ωω": "ohm", "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe",
    "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ðđ": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i",
}.items():  # fmt: skip
    _PLAIN.update(dict.fromkeys(map(ord, _characters), _plain))


def _address(match: Match) -> str:
    """A web or mail address, its signs by name."""
    written = match[0].removeprefix("https://").removeprefix("http://")
    for sign, name in {".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", ":": "colon"}.items():
        written = written.replace(sign, f" {name} ")
    return f" {written.replace('www ', 'w w w ')} "


_ADDRESSES: list[Rule] = [
    (re.compile(r"(?<!\S)(?:https?://|www\.)[^\s,;!?()]{1,200}(?<!\.)"), _address),
    (re.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,64}+(?:\.\w{1,20}){1,4}"), _address),
]
_SIGN_NAMES = {
    "&": "and", "%": "percent", "+": "plus", "@": "at", "=": "equals", "#": "hash", "<": "less than",
    ">": "greater than", "°": "degrees",
}  # fmt: skip
_SIGNS: list[Rule] = [(re.compile(re.escape(sign)), f" {name} ") for sign, name in _SIGN_NAMES.items()]
_SMALL_LETTER = re.compile(r"[a-z]")
_BRACKETS = re.compile(r"[()\[\]{}]| -+ |--+")
_UNSPOKEN = re.compile(r"[^a-z',.?!;: ]++")
_OUTER_APOSTROPHE = re.compile(r"(?<![a-z])'(?!(?:em|tis|twas|cause|til|bout)\b)|'(?=')|(?<!s)'(?![a-z])")
_BREAKS = re.compile(r" *+(?:[,.?!;:] *+)++| ++")


def _tidy(text: str) -> str:
    """Letters, apostrophes inside words and breaks only; of neighbouring breaks the strongest."""
    text = _BRACKETS.sub(" , ", text)
    text = _UNSPOKEN.sub(" ", text)
    text = _OUTER_APOSTROPHE.sub(" ", text)
    text = _BREAKS.sub(lambda match: _strongest(match[0]) + " ", text)
    return text.lstrip(" ,.?!;:").rstrip()


def _strongest(run: str) -> str:
    return next((mark for mark in "?!.:;," if mark in run), "")
