"""Dates, times, money, measures and other uses of digits as they are spoken in English.

Every pattern is linear: its quantifiers are possessive or bounded, and it begins where it cannot begin inside itself.
"""

import re

from audiogen.text import numbers
from audiogen.text.abbreviations import MONTHS, Match, Rule, ends_text, spell

_MONTH_NAMES = {name: name for name in MONTHS} | {name[:3]: name for name in MONTHS} | {"sept": "september"}
_SCALES = {
    "k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "thousand": "thousand",
    "million": "million", "billion": "billion", "trillion": "trillion",
}  # fmt: skip
_CURRENCIES = {  # symbol: (one, many, one part, many parts)
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
}
_UNITS = {  # symbol: (one, many)
    "km/h": ("kilometer per hour", "kilometers per hour"), "m/s": ("meter per second", "meters per second"),
    "mph": ("mile per hour", "miles per hour"), "km": ("kilometer", "kilometers"), "m": ("meter", "meters"),
    "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"), "mi": ("mile", "miles"),
    "ft": ("foot", "feet"), "yd": ("yard", "yards"), "kg": ("kilogram", "kilograms"), "g": ("gram", "grams"),
    "mg": ("milligram", "milligrams"), "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"), "ml": ("milliliter", "milliliters"), "mL": ("milliliter", "milliliters"),
    "l": ("liter", "liters"), "L": ("liter", "liters"), "kB": ("kilobyte", "kilobytes"),
    "KB": ("kilobyte", "kilobytes"), "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"), "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"), "GHz": ("gigahertz", "gigahertz"), "kW": ("kilowatt", "kilowatts"),
    "W": ("watt", "watts"), "V": ("volt", "volts"), "dB": ("decibel", "decibels"),
    "ms": ("millisecond", "milliseconds"), "sec": ("second", "seconds"), "min": ("minute", "minutes"),
    "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"), "°": ("degree", "degrees"), "%": ("percent", "percent"),
}  # fmt: skip
_DENOMINATORS = frozenset([*range(2, 11), 12, 16, 20, 32, 64, 100])


def _date(month: str, day: str, year: str | None) -> str | None:
    """A date in words, or None if there is no such month or day."""
    if month.isdigit():
        name = MONTHS[int(month) - 1] if 1 <= int(month) <= 12 else None
    else:
        name = _MONTH_NAMES[month.lower()]
    if name is None or not 1 <= int(day) <= 31:
        return None
    return f" {name} {numbers.ordinal(str(int(day)))}{' ' + numbers.year(year) if year else ''} "


def _dated(match: Match) -> str:
    return _date(match["month"], match["day"], match["year"]) or match[0]


def _time(match: Match) -> str:
    hour, minute, half = match["hour"], match["minute"], match["half"] or ""
    if int(hour) > 24 or int(minute or 0) > 59:
        return match[0]
    words = [numbers.cardinal(str(int(hour)))]
    if minute and int(minute):
        words.append(("oh " if minute[0] == "0" else "") + numbers.cardinal(str(int(minute))))
    elif not half:
        words.append("o'clock" if int(hour) <= 12 else "hundred")
    if half:
        words.append(spell(half[0] + "m"))
    return f" {' '.join(words)}{'.' if half.endswith('.') and ends_text(match) else ''} "


def _money(match: Match) -> str:
    amount, scale = match["amount"].replace(",", ""), match["scale"]
    one, many, one_part, many_parts = _CURRENCIES[match["currency"]]
    whole, _, part = amount.partition(".")
    if scale:
        return f" {_number(amount)} {_SCALES[scale.lower()]} {many} "
    if len(part) != 2:
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
    if not whole and (int(numerator) >= int(denominator) or int(denominator) not in _DENOMINATORS):
        return f" {numbers.cardinal(numerator)} {numbers.cardinal(denominator)} "  # open 24/7, 50/50
    return f" {numbers.cardinal(whole) + ' and ' if whole else ''}{numbers.fraction(numerator, denominator)} "


def _telephone(match: Match) -> str:
    return f" {', '.join(map(numbers.digits, match[0].split('-')))} "


def _plain(match: Match) -> str:
    written = match[0]
    if len(written) == 4 and written.isdigit() and ("1100" <= written <= "1999" or "2010" <= written <= "2099"):
        return f" {numbers.year(written)} "
    if written.count(".") > 1:
        return f" {' point '.join(map(numbers.cardinal, written.split('.')))} "
    return f" {_number(written)} "


def _number(written: str) -> str:
    """A plain number, with or without thousands commas and a decimal part."""
    whole, dot, fraction = written.replace(",", "").partition(".")
    return numbers.decimal(whole, fraction) if dot else numbers.cardinal(whole)


def _alternatives(words: dict[str, object]) -> str:
    """The longest first, for a pattern."""
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


_NUMBER = r"\d{1,3}(?:,\d{3}){1,5}(?!,?\d)(?:\.\d{1,18}+)?|\d++(?:\.\d{1,18}+)?"
_MONTH = rf"(?P<month>{_alternatives({name.capitalize(): name for name in _MONTH_NAMES})})\b\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,? (?P<year>\d{4})\b)?"
_HALF = r"(?P<half>[ap]m\b|[ap]\.m\.|[AP]M\b|[AP]\.M\.)"

RULES: list[Rule] = [
    (re.compile(pattern), spoken)
    for pattern, spoken in [
        (r"(?<![\d-])(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?![\d-])", _dated),
        (r"(?<![\d/])(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4}|\d\d)(?![\d/])", _dated),
        (rf"\b{_MONTH} {_DAY}\b(?![:.]\d){_YEAR}", _dated),
        (rf"(?<!\w){_DAY} (?:of )?{_MONTH}{_YEAR}", _dated),
        (r"(?<![\d-])(?:\d-)?(?:\d{3}-){1,2}\d{4}(?![\d-])", _telephone),
        (r"([$£€¥])(\d{1,9})-\1?(?=\d)", r"\2 to \1"),
        (r"(?<![\d-])(\d{1,4})-(?=\d{1,4}(?![\d-]))", r"\1 to "),
        (rf"(?<![\d:.])(?P<hour>\d{{1,2}}):(?P<minute>\d\d)(?::\d\d)?(?![\d:])(?: ?{_HALF})?", _time),
        (rf"(?<![\d:.,])(?P<hour>\d{{1,2}})(?P<minute>) ?{_HALF}", _time),
        (rf"(?P<currency>[$£€¥]) ?(?P<amount>{_NUMBER})(?: ?(?P<scale>(?i:{_alternatives(_SCALES)}))\b)?", _money),
        (r"(?<!\d)(\d{1,3}) ?¢", r"\1 cents "),
        (rf"(?<![\d.,])(?P<amount>{_NUMBER}) ?(?P<unit>{_alternatives(_UNITS)})(?!\w)", _measure),
        (r"(?<!\d)(\d{1,15})(?:st|nd|rd|th)\b", lambda match: f" {numbers.ordinal(match[1])} "),
        (r"(?<!\d)(\d{3}0)'?s\b", lambda match: f" {numbers.plural(numbers.year(match[1]))} "),
        (r"(?<!\w)'?([2-9]0)'?s\b", lambda match: f" {numbers.plural(numbers.cardinal(match[1]))} "),
        (r"(?<![\d/.])(?:(?P<whole>\d{1,3}) )?+(?P<numerator>\d{1,3})/(?P<denominator>\d{1,3})(?![\d/])", _fraction),
        (r"(?<!\S)-(?=\d)", " minus "),
        (r"#(?=\d)", " number "),
        (rf"\d++(?:\.\d++){{2,8}}+|{_NUMBER}", _plain),
    ]
]
