"""CMUdict, the pronouncing dictionary of Carnegie Mellon University, as shipped beside this file.

The data is under a BSD-style licence, kept in `CMUDICT_LICENSE.txt`.
"""

import gzip
from functools import cache
from pathlib import Path

from audiogen.text.phones import from_arpabet

CMUDICT = Path(__file__).parent / "cmudict.dict.gz"


class Lexicon:
    """Words in lower case and how they are said, the commonest way first.

    Args:
        entries: Word → its pronunciations as strings of ARPAbet symbols. A phone string is only read when asked for:
            most of the dictionary never is.
    """

    def __init__(self, entries: dict[str, list[str]]):
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, word: str) -> bool:
        return word in self._entries

    def words(self) -> list[str]:
        """Every word, in the dictionary's order."""
        return list(self._entries)

    def phones(self) -> set[str]:
        """Every phone that occurs."""
        symbols = {symbol for ways in self._entries.values() for way in ways for symbol in way.split()}
        return set(map(from_arpabet, symbols))

    def pronunciations(self, word: str) -> list[list[str]]:
        """All pronunciations of `word` in phones of the inventory; none if it is unknown."""
        return [[from_arpabet(symbol) for symbol in symbols.split()] for symbols in self._entries.get(word, [])]

    def arpabet(self, word: str) -> list[list[str]]:
        """All pronunciations of `word` as they are written there; none if it is unknown."""
        return [symbols.split() for symbols in self._entries.get(word, [])]

    def get(self, word: str) -> list[str] | None:
        """The first pronunciation of `word`, or None if it is unknown."""
        entry = self._entries.get(word)
        return [from_arpabet(symbol) for symbol in entry[0].split()] if entry else None


@cache
def cmudict() -> Lexicon:
    """The shipped dictionary, read once (about 0.1 s)."""
    entries: dict[str, list[str]] = {}
    for line in gzip.decompress(CMUDICT.read_bytes()).decode("utf-8").splitlines():
        word, symbols = line.split(" ", 1)
        if word.endswith(")"):  # `read(2)` is the second pronunciation of `read`
            word = word[: word.index("(")]
        entries.setdefault(word, []).append(symbols)
    return Lexicon(entries)
