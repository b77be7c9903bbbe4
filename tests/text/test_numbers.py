import pytest

from audiogen.text import numbers


@pytest.mark.parametrize(
    ("digits", "words"),
    [("0", "zero"), ("7", "seven"), ("13", "thirteen"), ("40", "forty"), ("99", "ninety nine"), ("100", "one hundred"),
     ("1000", "one thousand"), ("1204", "one thousand two hundred four"), ("1000001", "one million one"),
     ("007", "zero zero seven"), ("1" * 19, " ".join(["one"] * 19))],
)  # fmt: skip
def test_cardinal(digits: str, words: str):
    assert numbers.cardinal(digits) == words


@pytest.mark.parametrize(
    ("digits", "words"),
    [("1", "first"), ("2", "second"), ("3", "third"), ("4", "fourth"), ("12", "twelfth"), ("20", "twentieth"),
     ("21", "twenty first"), ("100", "one hundredth"), ("1000", "one thousandth")],
)  # fmt: skip
def test_ordinal(digits: str, words: str):
    assert numbers.ordinal(digits) == words


@pytest.mark.parametrize(
    ("digits", "words"),
    [("1984", "nineteen eighty four"), ("1905", "nineteen oh five"), ("1900", "nineteen hundred"),
     ("2000", "two thousand"),
     ("2008", "two thousand eight"), ("2024", "twenty twenty four"), ("1066", "ten sixty six"),
     ("476", "four hundred seventy six")],
)  # fmt: skip
def test_year(digits: str, words: str):
    assert numbers.year(digits) == words


def test_fractions_decimals_plurals():
    assert numbers.fraction("1", "2") == "one half"
    assert numbers.fraction("3", "2") == "three halves"
    assert numbers.fraction("3", "4") == "three quarters"
    assert numbers.fraction("2", "3") == "two thirds"
    assert numbers.decimal("3", "14") == "three point one four"
    assert numbers.decimal("", "5") == "zero point five"
    assert numbers.plural("nineteen eighty") == "nineteen eighties"
    assert numbers.plural("six") == "sixes"
