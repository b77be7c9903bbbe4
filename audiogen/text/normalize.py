"""English text as it is spoken: lower-case words, with punctuation kept where a voice would pause.

Passes run one after another, from the most specific pattern (dates, times, money) to the least (symbols). Every
pattern is linear: its quantifiers are possessive or bounded, so no text makes it slow.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

from audiogen.text import numbers
from audiogen.text.lexicon import cmudict

Match = re.Match[str]


def normalize(text: str) -> str:
    """`text` in spoken lower-case words, parted by single spaces, with `, . ? ! ; :` as phrase breaks.

    `"Dr. Lee paid $3.50 at 10:30!"` → `"doctor lee paid three dollars and fifty cents at ten thirty!"`. Characters
    that English does not read (emoji, other scripts) are left out.
    """
    text = text.translate(_FOLD)
    mixed_case = _SMALL_LETTER.search(text) is not None
    for pattern, replace in _passes():
        text = pattern.sub(replace, text)
    if mixed_case:
        text = _CAPITALS.sub(_capitals, text)
    return _tidy(text.lower())


def split_sentences(text: str, max_characters: int = 200) -> list[str]:
    """The sentences of `text` in order, none longer than `max_characters`.

    A longer one is cut at its last phrase break that fits, else between words, else anywhere. Nothing but white space
    is lost.
    """
    sentences = []
    for paragraph in _PARAGRAPH.split(text):
        start = 0
        for end in _sentence_ends(paragraph):
            sentences += _cut(" ".join(paragraph[start:end].split()), max_characters)
            start = end
    return sentences


# --- Characters ---------------------------------------------------------------------------------------------------


class _Fold(dict[int, str]):
    """Unicode to the few characters the passes know, one character at a time (so in linear time)."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if unicodedata.category(character) in ("Lu", "Ll", "Nd", "Mn") or code > 0xFF00:
            character = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
        self[code] = folded = character if character.isascii() else " "
        return folded


_FOLD = _Fold()
for _characters, _plain in {
    "‘’‚‛ʼ′´`": "'", "“”„‟«»″": '"', "‐‑": "-", "–−": "-", "—―": " , ", "…": " , ", "•·|": " , ", "、，": ", ",
    "。．": ". ", "！": "! ", "？": "? ", "；": "; ", "：": ": ", "½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3",
    "⅔": " 2/3", "⅛": " 1/8", "²": " squared", "³": " cubed", "×": " times ", "÷": " divided by ", "±": " plus or minus ",
    "≈": " about ", "≤": " at most ", "≥": " at least ", "≠": " is not ", "£": "£", "€": "€", "¥": "¥", "¢": "¢", "°": "°",
    "©": " copyright ", "®": " ", "™": " ", "§": " section ", "µμ": "micro", "Ωω": "ohm", "ß": "ss", "æ": "ae", "Æ": "Ae",
    "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "đ": "d",
    "ı": "i", "ﬁ": "fi", "ﬂ": "fl",
}.items():  # fmt: skip
    _FOLD.update(dict.fromkeys(map(ord, _characters), _plain))


def _tidy(text: str) -> str:
    """Letters, apostrophes inside words and breaks only; of neighbouring breaks the strongest."""
    text = _BRACKETS.sub(" , ", text)
    text = _UNSPOKEN.sub(" ", text)
    text = _OUTER_APOSTROPHE.sub(" ", text)
    text = _BREAKS.sub(lambda m: _strongest(m[0]) + " ", text)
    return text.lstrip(" ,.?!;:").rstrip()


_BRACKETS = re.compile(r"[()\[\]{}]| -+ |--+")
_UNSPOKEN = re.compile(r"[^a-z',.?!;: ]++")
_OUTER_APOSTROPHE = re.compile(r"(?<![a-z])'(?!(?:em|tis|twas|cause|til|bout)\b)|'(?=')|(?<!s)'(?![a-z])")
_BREAKS = re.compile(r" *+(?:[,.?!;:] *+)++| ++")


def _strongest(run: str) -> str:
    return next((mark for mark in "?!.:;," if mark in run), "")


# --- Sentences ----------------------------------------------------------------------------------------------------

_PARAGRAPH = re.compile(r"\n[ \t\r]*+\n")
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+(?=\s)|[。！？]++[”’」』]*+|$")
_LAST_WORD = re.compile(r"[\w.]*+$")
_PHRASE_END = re.compile(r"[,;:—–)](?=\s)|[，；：、]")
_LONGEST_WORD = 40


def _sentence_ends(text: str) -> Iterator[int]:
    for match in _SENTENCE_END.finditer(text):
        if match[0] == "." and _continues(text, match.start(), match.end()):
            continue
        yield match.end()


def _continues(text: str, dot: int, end: int) -> bool:
    """Whether the full stop at `dot` ends an abbreviation or an initial, or what follows is no new sentence."""
    before = text[max(0, dot - _LONGEST_WORD) : dot]
    word = before.rsplit(None, 1)[-1] if before.split() and not before[-1].isspace() else ""
    word = word.lstrip("([\"'“‘")
    following = text[end : end + _LONGEST_WORD].lstrip()[:1]
    return word.lower() in _TITLES or (len(word) == 1 and word.isupper() and word != "I") or following.islower()


def _cut(sentence: str, longest: int) -> Iterator[str]:
    while len(sentence) > longest:
        window = sentence[:longest]
        breaks = [match.end() for match in _PHRASE_END.finditer(window)]
        cut = breaks[-1] if breaks and breaks[-1] > longest // 4 else window.rfind(" ")
        cut = cut if cut > 0 else longest
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence


# --- Words --------------------------------------------------------------------------------------------------------

# Said in full wherever they end in a full stop.
_ABBREVIATIONS = {
    "vs": "versus", "etc": "et cetera", "e.g": "for example", "i.e": "that is", "eg": "for example", "approx": "approximately",
    "dept": "department", "blvd": "boulevard", "ave": "avenue", "hwy": "highway", "jr": "junior", "sr": "senior",
    "inc": "incorporated", "ltd": "limited", "corp": "corporation", "ph.d": "p h d",
}  # fmt: skip
# Said in full before a name.
_TITLES = {
    "mr": "mister", "mrs": "missus", "ms": "miz", "dr": "doctor", "prof": "professor", "rev": "reverend",
    "gen": "general", "col": "colonel", "capt": "captain", "lt": "lieutenant", "sgt": "sergeant", "gov": "governor",
    "sen": "senator", "rep": "representative", "pres": "president", "st": "saint", "mt": "mount", "ft": "fort",
    "messrs": "messieurs",
}  # fmt: skip
# Said in full after a name.
_STREETS = {"st": "street", "dr": "drive", "rd": "road", "ln": "lane", "co": "company", "apt": "apartment"}
# Said in full before a number.
_COUNTERS = {
    "no": "number", "nos": "numbers", "vol": "volume", "fig": "figure", "p": "page", "pp": "pages", "ch": "chapter",
}  # fmt: skip
_MONTHS = (
    "january february march april may june july august september october november december"
).split()  # fmt: skip
_MONTH_NAMES = {month: month for month in _MONTHS} | {month[:3]: month for month in _MONTHS} | {"sept": "september"}
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_CALENDAR = {name[:3]: name for name in _MONTHS + _WEEKDAYS} | {
    "sept": "september",
    "tues": "tuesday",
    "thurs": "thursday",
}
_SPELLED = frozenset("US USA UK EU UN IT AI TV PC ID CD DJ FBI CIA CEO IBM BBC NBC USB GPS DNA".split())
_LETTER_A = "ay"  # `a` alone is the article


def spell(letters: str) -> str:
    """Letter by letter: `"USA"` → `u s ay`."""
    return " ".join(_LETTER_A if letter == "a" else letter for letter in letters.lower())


def _abbreviation(match: Match) -> str:
    """An abbreviation with its full stop, given what stands around it."""
    written = match["short"]
    short = written.lower()
    after = match.string[match.end() : match.end() + 3].lstrip()[:1]
    after_name = match["name"] is not None
    if after.isdigit() and short in _COUNTERS:
        spoken = _COUNTERS[short]
    elif written[0].isupper() and short in _STREETS and after_name:
        spoken = _STREETS[short]
    elif short in _TITLES and (after.isupper() or short in ("mr", "mrs")):
        return f"{match['name'] or ''}{_TITLES[short]}"
    elif written[0].isupper() and short in _CALENDAR:
        spoken = _CALENDAR[short].capitalize()
    elif short in _ABBREVIATIONS:
        spoken = _ABBREVIATIONS[short]
    else:
        return match[0]
    return f"{match['name'] or ''}{spoken}{'' if after else '.'}"


def _dotted(match: Match) -> str:
    """Initials: `U.S.A.`; the last full stop also ends the text if nothing follows."""
    ends = not match.string[match.end() : match.end() + 3].strip()
    return spell(match[0].replace(".", "")) + ("." if ends else "")


def _capitals(match: Match) -> str:
    """Capitals in a text that also has small letters: a word if the dictionary has it, else spelled."""
    word, plural = match["word"], match["plural"] or ""
    if word not in _SPELLED and (word.lower() in cmudict() or len(word) > 5):
        return match[0]
    return spell(word) + ("'s" if plural else "")


_ROMAN = dict(zip("II III IV V VI VII VIII IX X XI XII XIII XIV XV XVI".split(), range(2, 17), strict=True))
_COUNTED = "Chapter|Part|War|Volume|Act|Scene|Section|Phase|Type|Book|Class|Title|Article|Level|Bowl"
_REGNAL = "Henry|Edward|George|Richard|William|James|Charles|Louis|Philip|Elizabeth|John Paul|Pope [A-Z][a-z]{1,12}"


def _roman(match: Match) -> str:
    number = str(_ROMAN[match["roman"]])
    if match["counted"]:
        return f"{match['counted']} {numbers.cardinal(number)}"
    return f"{match['regnal']} the {numbers.ordinal(number)}"


# --- Numbers ------------------------------------------------------------------------------------------------------

_NUMBER = r"\d{1,3}(?:,\d{3}){1,5}(?!,?\d)(?:\.\d{1,18}+)?|\d++(?:\.\d{1,18}+)?"
_MONTH = "|".join(sorted((name.capitalize() for name in _MONTH_NAMES), key=len, reverse=True))
_SCALES = {
    "k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "thousand": "thousand",
    "million": "million", "billion": "billion", "trillion": "trillion",
}  # fmt: skip
_CURRENCIES = {  # symbol: (one, many, one part, many parts)
    "$": ("dollar", "dollars", "cent", "cents"), "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"), "¥": ("yen", "yen", "sen", "sen"),
}  # fmt: skip
_UNITS = {  # symbol: (one, many)
    "km/h": ("kilometer per hour", "kilometers per hour"), "m/s": ("meter per second", "meters per second"),
    "mph": ("mile per hour", "miles per hour"), "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"), "m": ("meter", "meters"), "mi": ("mile", "miles"), "ft": ("foot", "feet"),
    "yd": ("yard", "yards"), "kg": ("kilogram", "kilograms"), "mg": ("milligram", "milligrams"), "g": ("gram", "grams"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"), "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"), "l": ("liter", "liters"), "L": ("liter", "liters"),
    "GB": ("gigabyte", "gigabytes"), "MB": ("megabyte", "megabytes"), "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"), "TB": ("terabyte", "terabytes"), "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"), "GHz": ("gigahertz", "gigahertz"),
    "kW": ("kilowatt", "kilowatts"), "W": ("watt", "watts"), "V": ("volt", "volts"), "dB": ("decibel", "decibels"),
    "ms": ("millisecond", "milliseconds"), "sec": ("second", "seconds"), "min": ("minute", "minutes"),
    "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"), "°": ("degree", "degrees"), "%": ("percent", "percent"),
}  # fmt: skip
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))


def _number(written: str) -> str:
    """A plain number, with or without thousands commas and a decimal part."""
    whole, dot, fraction = written.replace(",", "").partition(".")
    return numbers.decimal(whole, fraction) if dot else numbers.cardinal(whole)


def _plain_number(match: Match) -> str:
    written = match[0]
    if len(written) == 4 and written.isdigit() and ("1100" <= written <= "1999" or "2010" <= written <= "2099"):
        return f" {numbers.year(written)} "
    if written.count(".") > 1:
        return f" {' point '.join(numbers.cardinal(part) for part in written.split('.'))} "
    return f" {_number(written)} "


def _date(month: int | str, day: str, year: str | None) -> str | None:
    """A date in words, or None if there is no such month or day."""
    name = _MONTH_NAMES[month.lower()] if isinstance(month, str) else _MONTHS[month - 1] if 1 <= month <= 12 else None
    if name is None or not 1 <= int(day) <= 31:
        return None
    return f" {name} {numbers.ordinal(str(int(day)))}{' ' + _year(year) if year else ''} "


def _year(year: str) -> str:
    return numbers.year(year) if len(year) == 4 else numbers.cardinal(year)


def _numeric_date(match: Match) -> str:
    return _date(int(match["month"]), match["day"], match["year"]) or match[0]


def _named_date(match: Match) -> str:
    return _date(match["month"], match["day"], match["year"]) or match[0]


def _time(match: Match) -> str:
    hour, minute, half = match["hour"], match["minute"], (match["half"] or "")[:1].lower()
    if int(hour) > 24 or int(minute or 0) > 59:
        return match[0]
    words = [numbers.cardinal(str(int(hour)))]
    if minute and int(minute):
        words.append(("oh " if minute[0] == "0" else "") + numbers.cardinal(str(int(minute))))
    elif not half:
        words.append("o'clock" if int(hour) <= 12 else "hundred")
    if half:
        words.append(spell(half + "m"))
    ends = match["half"] and match["half"].endswith(".") and not match.string[match.end() : match.end() + 3].strip()
    return f" {' '.join(words)}{'.' if ends else ''} "


def _money(match: Match) -> str:
    amount, scale = match["amount"].replace(",", ""), (match["scale"] or "").lower()
    one, many, one_part, many_parts = _CURRENCIES[match["currency"]]
    whole, dot, part = amount.partition(".")
    if scale:
        return f" {_number(amount)} {_SCALES[scale]} {many} "
    if not dot or len(part) != 2:
        return f" {_number(amount)} {one if amount == '1' else many} "
    words = [f"{numbers.cardinal(whole)} {one if whole == '1' else many}"] if int(whole) or not int(part) else []
    if int(part):
        words.append(f"{numbers.cardinal(str(int(part)))} {one_part if int(part) == 1 else many_parts}")
    return f" {' and '.join(words)} "


def _measure(match: Match) -> str:
    one, many = _UNITS[match["unit"]]
    return f" {_number(match['amount'])} {one if match['amount'] == '1' else many} "


def _fraction(match: Match) -> str:
    whole, numerator, denominator = match["whole"], match["numerator"], match["denominator"]
    if not 2 <= int(denominator) <= 100:
        return f" {numbers.cardinal(numerator)} over {numbers.cardinal(denominator)} "
    return f" {numbers.cardinal(whole) + ' and ' if whole else ''}{numbers.fraction(numerator, denominator)} "


def _range(match: Match) -> str:
    ends = [_year(end) if len(end) == 4 and end[0] in "12" else numbers.cardinal(end) for end in (match[1], match[2])]
    return f" {ends[0]} to {ends[1]} "


def _telephone(match: Match) -> str:
    return " " + ", ".join(numbers.digits(group) for group in match[0].split("-")) + " "


def _address(match: Match) -> str:
    """A web or mail address, its signs by name."""
    written = re.sub(r"^https?://", "", match[0])
    for sign, name in {".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", ":": "colon"}.items():
        written = written.replace(sign, f" {name} ")
    return f" {written.replace('www ', 'w w w ')} "


@cache
def _passes() -> list[tuple[re.Pattern[str], str | Callable[[Match], str]]]:
    """What to look for and how to say it, in order."""
    month = rf"(?P<month>{_MONTH})\b\.?"
    day = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
    year = r"(?:,? (?P<year>\d{4})\b)?"
    half = r"(?P<half>[ap]m\b|[ap]\.m\.|[AP]M\b|[AP]\.M\.)"
    passes: list[tuple[str, str | Callable[[Match], str]]] = [
        (r"(?<!\S)(?:https?://|www\.)[^\s,;!?()]{1,200}(?<!\.)", _address),
        (r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,64}+(?:\.\w{1,20}){1,4}", _address),
        (r"(?P<name>\b[A-Z][a-z]{1,30} )?\b(?P<short>Ph\.D|[ei]\.[ge]|[A-Za-z]{1,6})\.(?!\w)", _abbreviation),
        (r"(?<![\d-])(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?![\d-])", _numeric_date),
        (r"(?<![\d/])(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4}|\d\d)(?![\d/])", _numeric_date),
        (rf"\b{month} {day}\b(?![:.]\d){year}", _named_date),
        (rf"(?<!\w){day} (?:of )?{month}{year}", _named_date),
        (rf"(?<![\d:.])(?P<hour>\d{{1,2}}):(?P<minute>\d\d)(?::\d\d)?(?![\d:])(?: ?{half})?", _time),
        (rf"(?<![\d:.,])(?P<hour>\d{{1,2}})(?P<minute>) ?{half}", _time),
        (
            rf"(?P<currency>[$£€¥]) ?(?P<amount>{_NUMBER})"
            r"(?: ?(?P<scale>thousand|million|billion|trillion|k|m|mn|b|bn|K|M|B)\b)?",
            _money,
        ),
        (r"(?<!\d)(\d{1,3}) ?¢", r"\1 cents "),
        (rf"(?<![\d.,])(?P<amount>{_NUMBER}) ?(?P<unit>{_UNIT})(?!\w)", _measure),
        (r"(?<!\d)(\d{1,15})(?:st|nd|rd|th)\b", lambda m: f" {numbers.ordinal(m[1])} "),
        (r"(?<!\d)(\d{3}0)'?s\b", lambda m: f" {numbers.plural(numbers.year(m[1]))} "),
        (r"(?<!\w)'?([2-9]0)'?s\b", lambda m: f" {numbers.plural(numbers.cardinal(m[1]))} "),
        (r"(?<![\d-])(?:\d-)?(?:\d{3}-){1,2}\d{4}(?![\d-])", _telephone),
        (r"(?<![\d.-])(\d{1,4}) ?- ?(\d{1,4})(?![\d.-])", _range),
        (
            r"(?<![\d/.])(?:(?P<whole>\d{1,3}) )?+(?P<numerator>\d{1,3})/(?P<denominator>\d{1,3})(?![\d/])",
            _fraction,
        ),
        (rf"\b(?:(?P<counted>{_COUNTED})|(?P<regnal>{_REGNAL})) (?P<roman>{'|'.join(_ROMAN)})\b", _roman),
        (r"(?<![\w.])(?:[A-Za-z]\.){2,8}(?!\w)", _dotted),
        (r"(?<!\S)-(?=\d)", " minus "),
        (r"#(?=\d)", " number "),
        (rf"\d++(?:\.\d++){{2,8}}+|{_NUMBER}", _plain_number),
        (r"&", " and "),
        (r"%", " percent "),
        (r"\+", " plus "),
        (r"@", " at "),
        (r"=", " equals "),
        (r"#", " hash "),
        (r"<", " less than "),
        (r">", " greater than "),
        (r"°", " degrees "),
    ]
    return [(re.compile(pattern), replace) for pattern, replace in passes]


_CAPITALS = re.compile(r"\b(?P<word>[A-Z]{2,12})(?P<plural>'?s)?\b")
_SMALL_LETTER = re.compile(r"[a-z]")
