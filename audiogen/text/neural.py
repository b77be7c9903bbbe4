"""The network for words that no dictionary holds, read from its bundle."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from audiogen.checkpoint import load_bundle
from audiogen.text.phones import is_reduced, is_vowel, split_stress, stressed


class NeuralG2P:
    """Says words by their letters.

    Args:
        bundle: Name or folder of a bundle of kind `g2p`; its assets are a `Spelling`.
    """

    def __init__(self, bundle: str | Path):
        import audiogen.models.g2p  # noqa: F401  (registers the class)

        loaded = load_bundle(bundle, kind="g2p")
        self.model, self.spelling = loaded.model, Spelling.from_dict(loaded.assets)

    def say(self, words: Sequence[str]) -> list[list[str]]:
        """The phones of each word."""
        return say(self.model, self.spelling, words)


class Spelling:
    """The letters a network reads and the phones it says, in the order of their indices."""

    def __init__(self, letters: str, phones: Sequence[str]):
        self.letters, self.phones = letters, tuple(phones)
        self._letter_ids = {letter: index for index, letter in enumerate(letters)}
        self._phone_ids = {phone: index for index, phone in enumerate(self.phones)}

    def letter_ids(self, word: str) -> list[int]:
        """Indices of the word's letters; others are skipped."""
        return [self._letter_ids[letter] for letter in word if letter in self._letter_ids]

    def phone_ids(self, phones: Sequence[str]) -> list[int]:
        """Indices of phones."""
        return [self._phone_ids[phone] for phone in phones]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for a bundle."""
        return {"letters": self.letters, "phones": list(self.phones)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Spelling":
        """The spelling that `to_dict` described."""
        return cls(values["letters"], values["phones"])


def say(model: nn.Module, spelling: Spelling, words: Sequence[str]) -> list[list[str]]:
    """The phones of each of `words` by a network of kind `g2p`."""
    rows = [torch.tensor(spelling.letter_ids(word), dtype=torch.long) for word in words]
    lengths = torch.tensor([len(row) for row in rows])
    letters = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=len(spelling.letters))
    with torch.inference_mode():
        said = model.pronounce(letters, lengths)
    return [_with_one_primary_stress([spelling.phones[index] for index in phones]) for phones in said]


def _with_one_primary_stress(phones: list[str]) -> list[str]:
    """As nearly every word has it; slots are decided independently, so a network may say none or two.

    The first stays and others become secondary; where there is none, the likeliest vowel gets it: one with secondary
    stress, else one that is not reduced, else any.
    """
    primary = [index for index, phone in enumerate(phones) if split_stress(phone)[0] == "ˈ"]
    vowels = [index for index, phone in enumerate(phones) if is_vowel(phone)]
    if not primary and vowels:
        first = min(vowels, key=lambda index: (split_stress(phones[index])[0] != "ˌ", is_reduced(phones[index])))
        phones[first] = stressed(phones[first])
    for index in primary[1:]:
        phones[index] = f"ˌ{phones[index][1:]}"
    return phones
