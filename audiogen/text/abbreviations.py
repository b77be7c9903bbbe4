"""Abbreviations, acronyms, initials and Roman numerals as they are spoken in English."""

import re
from collections.abc import Callable

from audiogen.text import numbers
from audiogen.text.lexicon import cmudict

Match = re.Match[str]
Rule = tuple[re.Pattern[str], str | Callable[[Match], str]]

# Said in full before a name.
TITLES = {
    "mr": "mister", "mrs": "missus", "ms": "miz", "dr": "doctor", "prof": "professor", "rev": "reverend",
    "gen": "general", "col": "colonel", "capt": "captain", "lt": "lieutenant", "sgt": "sergeant", "gov": "governor",
    "sen": "senator", "rep": "representative", "pres": "president", "st": "saint", "mt": "mount", "ft": "fort",
    "messrs": "messieurs",
}  # fmt: skip
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip

_ALWAYS_TITLES = ("mr", "mrs")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CALENDAR = {name[:3]: name for name in MONTHS + _WEEKDAYS}
_CALENDAR |= {"sept": "september", "tues": "tuesday", "thurs": "thursday"}
# Said in full after a name.
_STREETS = {"st": "street", "dr": "drive", "rd": "road", "ln": "lane", "co": "company", "apt": "apartment"}
# Said in full before a number.
_COUNTERS = {
    "no": "number", "nos": "numbers", "vol": "volume", "fig": "figure", "p": "page", "pp": "pages", "ch": "chapter",
}  # fmt: skip
# Said in full anywhere.
_ANYWHERE = {
    "vs": "versus", "etc": "et cetera", "e.g": "for example", "i.e": "that is", "eg": "for example",
    "approx": "approximately", "dept": "department", "blvd": "boulevard", "ave": "avenue", "hwy": "highway",
    "jr": "junior", "sr": "senior", "inc": "incorporated", "ltd": "limited", "corp": "corporation", "ph.d": "p h d",
}  # fmt: skip
# Spelled although the dictionary has the word.
_SPELLED = frozenset("US USA UK EU UN IT AI TV PC ID CD DJ FBI CIA CEO IBM BBC NBC USB GPS DNA".split())
_LONGEST_SPELLED = 5
_LETTER_A = "ay"  # `a` alone is the article
_ROMAN = dict(zip("II III IV V VI VII VIII IX X XI XII XIII XIV XV XVI".split(), range(2, 17), strict=True))
_COUNTED = "Chapter|Part|War|Volume|Act|Scene|Section|Phase|Type|Book|Class|Title|Article|Level|Bowl"
_REGNAL = "Henry|Edward|George|Richard|William|James|Charles|Louis|Philip|Elizabeth|John Paul|Pope [A-Z][a-z]{1,12}"


def spell(letters: str) -> str:
    """Letter by letter: `"USA"` → `u s ay`."""
    return " ".join(_LETTER_A if letter == "a" else letter for letter in letters.lower())


def ends_text(match: Match) -> bool:
    """Whether nothing follows a match, so that a full stop in it is the sentence's too."""
    return not match.string[match.end() : match.end() + 3].strip()


def _with_full_stop(match: Match) -> str:
    """An abbreviation with its full stop, given what stands around it."""
    short, name = match["short"].lower(), match["name"] or ""
    following = match.string[match.end() : match.end() + 3].lstrip()[:1]
    capital = match["short"][0].isupper()
    if following.isdigit() and short in _COUNTERS:
        spoken = _COUNTERS[short]
    elif capital and name and short in _STREETS:
        spoken = _STREETS[short]
    elif short in TITLES and (following.isupper() or short in _ALWAYS_TITLES):
        spoken = TITLES[short]
    elif capital and short in _CALENDAR:
        spoken = _CALENDAR[short].capitalize()
    elif short in _ANYWHERE:
        spoken = _ANYWHERE[short]
    else:
        return match[0]
    return f"{name}{spoken}{'.' if ends_text(match) else ''}"


def _initials(match: Match) -> str:
    return spell(match[0].replace(".", "")) + ("." if ends_text(match) else "")


def _roman(match: Match) -> str:
    number = str(_ROMAN[match["roman"]])
    if match["counted"]:
        return f"{match['counted']} {numbers.cardinal(number)}"
    return f"{match['regnal']} the {numbers.ordinal(number)}"


def _capitals(match: Match) -> str:
    """A word if the dictionary has it or it is long, else spelled."""
    word = match["word"]
    if word not in _SPELLED and (word.lower() in cmudict() or len(word) > _LONGEST_SPELLED):
        return match[0]
    return spell(word) + ("'s" if match["plural"] else "")


# Before numbers are read, because some abbreviations ask for one.
WITH_FULL_STOP: list[Rule] = [
    (
        re.compile(r"(?P<name>\b[A-Z][a-z]{1,30} )?\b(?P<short>Ph\.D|[ei]\.[ge]|[A-Za-z]{1,6})\.(?!\w)"),
        _with_full_stop,
    ),
]
# After times are, because of `p.m.`
LETTERS: list[Rule] = [
    (re.compile(rf"\b(?:(?P<counted>{_COUNTED})|(?P<regnal>{_REGNAL})) (?P<roman>{'|'.join(_ROMAN)})\b"), _roman),
    (re.compile(r"(?<![\w.])(?:[A-Za-z]\.){2,8}(?!\w)"), _initials),
]
# For text that has small letters too: there, capitals mean something.
CAPITALS: list[Rule] = [(re.compile(r"\b(?P<word>[A-Z]{2,12})(?P<plural>'?s)?\b"), _capitals)]
