"""Character labels for recognition. The blank of CTC is no character: it is the index after the last label."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from audiogen.errors import AudiogenError

ENGLISH = (" ", "'", *"abcdefghijklmnopqrstuvwxyz")


class CharTokenizer:
    """Text to labels and back, one label a character.

    Args:
        symbols: The characters in the order of their labels; the default writes English.
    """

    def __init__(self, symbols: Sequence[str] = ENGLISH):
        self.symbols = tuple(symbols)
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        if len(self._ids) != len(self.symbols) or any(len(symbol) != 1 for symbol in self.symbols):
            raise AudiogenError("a tokenizer's symbols are single characters, each given once")

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def blank(self) -> int:
        """The index of CTC's blank."""
        return len(self.symbols)

    def encode(self, text: str) -> list[int]:
        """The labels of `text` in lower case. Punctuation parts words and is left out; accents are left out if unknown.

        Raises:
            AudiogenError: For a letter or digit without a label.
        """
        return [self._ids[character] for character in self.clean(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the labels `ids`."""
        return "".join(self.symbols[index] for index in ids)

    def clean(self, text: str) -> str:
        """`text` as the labels can write it: what `decode(encode(text))` gives."""
        text = unicodedata.normalize("NFC", text.replace("’", "'")).lower()
        return " ".join("".join(map(self._spell, text)).split())

    def to_dict(self) -> dict[str, Any]:
        """The tokenizer as plain values, for a bundle."""
        return {"symbols": list(self.symbols)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CharTokenizer":
        """The tokenizer that `to_dict` described."""
        return cls(values["symbols"])

    def _spell(self, character: str) -> str:
        """One character in known symbols."""
        if character in self._ids:
            return character
        plain = "".join(c for c in unicodedata.normalize("NFKD", character) if c in self._ids)
        if plain.strip():
            return plain
        if character.isalnum():
            raise AudiogenError(
                f"{character!r} has no label; write the text in {''.join(self.symbols)!r} (numbers as words)"
            )
        return " "
