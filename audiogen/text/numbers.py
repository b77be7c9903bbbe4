"""Numbers in English words."""

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ["", "thousand", "million", "billion", "trillion", "quadrillion"]
_LONGEST = 3 * len(_SCALES)
_IRREGULAR_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip


def cardinal(number: str) -> str:
    """Digits as a number: `"1204"` → `one thousand two hundred four`.

    A leading zero (but for zero itself) or more digits than there are names for are read one by one.
    """
    if len(number) > _LONGEST or (number[0] == "0" and len(number) > 1):
        return digits(number)
    if int(number) == 0:
        return _ONES[0]
    number = number.zfill(-(-len(number) // 3) * 3)
    groups = [int(number[start : start + 3]) for start in range(0, len(number), 3)]
    scales = reversed(_SCALES[: len(groups)])
    return " ".join(
        f"{_below_thousand(group)} {scale}".strip() for group, scale in zip(groups, scales, strict=True) if group
    )


def ordinal(number: str) -> str:
    """`"21"` → `twenty first`."""
    head, _, last = cardinal(number).rpartition(" ")
    if last in _IRREGULAR_ORDINALS:
        last = _IRREGULAR_ORDINALS[last]
    else:
        last = last.removesuffix("y") + "ieth" if last.endswith("y") else last + "th"
    return f"{head} {last}".strip()


def year(number: str) -> str:
    """Four digits as a year: `1984` → `nineteen eighty four`, `2000` → `two thousand`, `1905` → `nineteen oh five`."""
    century, rest = number[:2], number[2:]
    if number[1:3] == "00" or len(number) != 4:
        return cardinal(number)
    if rest == "00":
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' + cardinal(rest[1]) if rest[0] == '0' else cardinal(rest)}"


def decimal(whole: str, fraction: str) -> str:
    """`("3", "14")` → `three point one four`."""
    return f"{cardinal(whole or '0')} point {digits(fraction)}"


def digits(number: str) -> str:
    """Digit by digit: `"007"` → `zero zero seven`."""
    return " ".join(_ONES[int(digit)] for digit in number)


def fraction(numerator: str, denominator: str) -> str:
    """`("3", "4")` → `three quarters`, `("1", "2")` → `one half`."""
    one = int(numerator) == 1
    if denominator == "2":
        part = "half" if one else "halves"
    else:
        part = ("quarter" if denominator == "4" else ordinal(denominator)) + ("" if one else "s")
    return f"{cardinal(numerator)} {part}"


def plural(words: str) -> str:
    """The last word in the plural: `nineteen eighty` → `nineteen eighties`, `six` → `sixes`."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(("x", "s")) else "s")


def _below_thousand(number: int) -> str:
    words = []
    if number >= 100:
        words += [_ONES[number // 100], "hundred"]
    number %= 100
    if number >= 20:
        words.append(_TENS[number // 10])
        number %= 10
    if number:
        words.append(_ONES[number])
    return " ".join(words)
