"""The phone inventory: one broad IPA set with stress and silence that English and its neighbours map into.

A vowel is three symbols: unstressed `æ`, with primary stress `ˈæ`, with secondary stress `ˌæ`. Affricates and
diphthongs are single symbols. Length is not marked: the durations carry it.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from audiogen.errors import AudiogenError

SILENCE = "sil"
LONGEST_GIVEN = 10.0
"""Seconds that a phone may be told to last."""
STRESS_MARKS = ("ˈ", "ˌ")

_ENGLISH_VOWELS = "ɑ æ ʌ ə ɔ aʊ aɪ ɛ ɝ ɚ eɪ ɪ i oʊ ɔɪ ʊ u".split()
_OTHER_VOWELS = "a e o y ø œ ʏ ɐ ɛɪ œy ɑ̃ ɛ̃ ɔ̃ œ̃".split()
_ENGLISH_CONSONANTS = "p b t d k ɡ tʃ dʒ f v θ ð s z ʃ ʒ h m n ŋ l ɹ j w".split()
_OTHER_CONSONANTS = "ts pf ç x ɣ ʁ r ɾ ʋ β ɲ ʎ ʔ".split()

_ARPABET = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ", "ER": "ɝ", "EY": "eɪ", "IH": "ɪ",
    "IY": "i", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "u", "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f",
    "G": "ɡ", "HH": "h", "JH": "dʒ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s",
    "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
_ARPABET_STRESS = {"0": "", "1": "ˈ", "2": "ˌ"}
_REDUCED = {"ʌ": "ə", "ɝ": "ɚ"}
_FULL = {reduced: full for full, reduced in _REDUCED.items()}


class PhoneInventory:
    """An ordered set of phone symbols; `SILENCE` is id 0.

    Args:
        symbols: The symbols in the order of their ids, silence first.

    Raises:
        AudiogenError: If silence is not first or a symbol occurs twice.
    """

    def __init__(self, symbols: Sequence[str]):
        self.symbols = tuple(unicodedata.normalize("NFC", symbol) for symbol in symbols)
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        if self.symbols[:1] != (SILENCE,):
            raise AudiogenError(f"a phone inventory begins with {SILENCE!r}, got {list(self.symbols[:1])}")
        if len(self._ids) != len(self.symbols):
            raise AudiogenError("a phone inventory holds each symbol once")

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhoneInventory) and self.symbols == other.symbols

    def __hash__(self) -> int:
        return hash(self.symbols)

    def encode(self, phones: Iterable[str]) -> list[int]:
        """The ids of `phones`.

        Raises:
            AudiogenError: For a symbol that is not in the inventory.
        """
        try:
            return [self._ids[phone] for phone in phones]
        except KeyError as error:
            raise AudiogenError(f"{error.args[0]!r} is no phone of this inventory; known: {self._listed}") from None

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The symbols of `ids`."""
        return [self.symbols[index] for index in ids]

    def parse(self, ipa: str) -> list[str]:
        """Read a phonetic transcription such as `həˈloʊ wˈɜːld` or `h ə ˈl oʊ`, longest symbol first.

        Spaces separate symbols (`t ʃ` is not `tʃ`); length marks, ties and syllable dots are ignored. A stress
        mark, wherever its syllable begins, goes to the next vowel.

        Raises:
            AudiogenError: For a character that begins no symbol, naming the rest of the text from there.
        """
        ipa = unicodedata.normalize("NFC", ipa).translate(_IGNORED)
        phones: list[str] = []
        stress, position = "", 0
        while position < len(ipa):
            if ipa[position].isspace():
                position += 1
            elif ipa[position] in STRESS_MARKS:
                stress, position = ipa[position], position + 1
            else:
                symbol = self._longest_symbol(ipa, position)
                position += len(symbol)
                if stress and stress + symbol in self._ids:
                    symbol, stress = stress + symbol, ""
                phones.append(symbol)
        return phones

    def parse_timed(self, ipa: str) -> list[tuple[str, float | None]]:
        """The same where a number after a colon may say how many seconds a phone lasts: `h ə ˈl oʊ:0.3`.

        Raises:
            AudiogenError: Also for seconds that follow no phone, or are not above 0 and at most `LONGEST_GIVEN`.
        """
        phones: list[tuple[str, float | None]] = []
        *timed, rest = re.split(r":(\d+\.?\d*|\.\d+)", ipa)
        for part, number in zip(timed[::2], timed[1::2], strict=True):
            symbols = self.parse(part)
            if not symbols:
                raise AudiogenError(f"':{number}' in {ipa[:40]!r} must follow a phone, as in 'sil:{number}'")
            if not 0 < float(number) <= LONGEST_GIVEN:
                raise AudiogenError(f"{symbols[-1]}:{number} lasts too long or no time; at most {LONGEST_GIVEN:g} s")
            phones += [*((symbol, None) for symbol in symbols[:-1]), (symbols[-1], float(number))]
        return [*phones, *((symbol, None) for symbol in self.parse(rest))]

    def to_dict(self) -> dict[str, Any]:
        """The inventory as plain values, for a bundle."""
        return {"symbols": list(self.symbols)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PhoneInventory":
        """The inventory that `to_dict` described."""
        return cls(values["symbols"])

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.symbols))

    def _longest_symbol(self, ipa: str, position: int) -> str:
        for length in range(self._longest, 0, -1):
            candidate = ipa[position : position + length]
            if candidate in self._ids:
                return candidate
        raise AudiogenError(f"{ipa[position : position + 20]!r} begins with no known phone; known: {self._listed}")

    @property
    def _listed(self) -> str:
        """The phones without their stressed variants, for an error."""
        return " ".join(symbol for symbol in self.symbols if not symbol.startswith(STRESS_MARKS))


_IGNORED = str.maketrans("", "", "ː͡ˑ‿.")


def split_stress(phone: str) -> tuple[str, str]:
    """A phone as its stress mark (or an empty string) and the rest: `"ˈæ"` → `("ˈ", "æ")`."""
    return (phone[0], phone[1:]) if phone.startswith(STRESS_MARKS) else ("", phone)


def unstressed(phone: str) -> str:
    """`phone` without its stress mark."""
    return split_stress(phone)[1]


def is_vowel(phone: str) -> bool:
    """Whether `phone`, with or without stress, is a vowel of the default inventory."""
    return split_stress(phone)[1] in _VOWELS


def stressed(vowel: str) -> str:
    """`vowel` with primary stress; the two reduced ones become full: `"ə"` → `"ˈʌ"`."""
    base = split_stress(vowel)[1]
    return "ˈ" + _FULL.get(base, base)


def is_reduced(phone: str) -> bool:
    """Whether `phone` is a vowel that only occurs unstressed in English."""
    return phone in _FULL


def from_arpabet(symbol: str) -> str:
    """The inventory's symbol for an ARPAbet one: `"AE1"` → `"ˈæ"`, `"AH0"` → `"ə"`, `"sil"` → `"sil"`.

    A vowel without a stress digit counts as unstressed.

    Raises:
        AudiogenError: If it is not ARPAbet.
    """
    if symbol.lower() in (SILENCE, "sp", "spn", ""):
        return SILENCE
    base, stress = symbol.rstrip("012"), _ARPABET_STRESS.get(symbol[-1], "")
    if base not in _ARPABET:
        raise AudiogenError(f"{symbol!r} is not ARPAbet; examples of what is: AE1, AH0, NG")
    phone = _ARPABET[base]
    return stress + phone if stress else _REDUCED.get(phone, phone)


_VOWELS = frozenset(unicodedata.normalize("NFC", vowel) for vowel in _ENGLISH_VOWELS + _OTHER_VOWELS)

INVENTORY = PhoneInventory(
    [SILENCE]
    + [stress + vowel for vowel in _ENGLISH_VOWELS + _OTHER_VOWELS for stress in ("", *STRESS_MARKS)]
    + _ENGLISH_CONSONANTS
    + _OTHER_CONSONANTS
)

ENGLISH_SOUNDS = PhoneInventory([SILENCE, *_ENGLISH_VOWELS, *_ENGLISH_CONSONANTS])
"""The phones of English without stress: what a recogniser tells apart to find words in the dictionary."""
