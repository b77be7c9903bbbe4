"""Text to the phones a voice speaks. The settings travel inside bundles, which so read text as they learned to."""

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from audiogen.errors import AudiogenError
from audiogen.text.g2p import EnglishG2P
from audiogen.text.normalize import normalize
from audiogen.text.phones import INVENTORY, SILENCE, PhoneInventory

if TYPE_CHECKING:
    from audiogen.data.espeak import Espeak

LONGEST_TEXT = 20_000
_EXPLICIT = re.compile(r"\[\[([^\[\]]*+)\]\]")


class TextFrontend:
    """Normalises text and turns it into phones of one inventory.

    Args:
        language: `"en"` (also `"en-US"`, …), or a language of espeak-ng, which the extra `synth` installs.
        inventory: The phones that may come out.
    """

    def __init__(self, language: str = "en", inventory: PhoneInventory = INVENTORY):
        self.language = language
        self.inventory = inventory

    def phones(self, text: str) -> list[str]:
        """The phones of `text`: silence first, last, and once at every phrase break.

        A part in double brackets is read as phones: `"say [[təmˈeɪtoʊ]]"`; see `PhoneInventory.parse_timed`.

        Raises:
            AudiogenError: If the text is empty, has nothing to say, is too long, or holds brackets with unknown phones.
        """
        return [phone for phone, _ in self.timed_phones(text)]

    def timed_phones(self, text: str) -> list[tuple[str, float | None]]:
        """The same, each with the seconds it is told to last, as in `"wait [[sil:0.8]] for it"`, or None."""
        _check(text)
        parts = _EXPLICIT.split(text)  # plain text and explicit phones take turns
        phones: list[tuple[str, float | None]] = [(SILENCE, None)]
        for index, part in enumerate(parts):
            spoken = self.inventory.parse_timed(part) if index % 2 else [(phone, None) for phone in self._say(part)]
            for phone, seconds in spoken:
                if phone == SILENCE == phones[-1][0]:
                    phones[-1] = SILENCE, phones[-1][1] if seconds is None else seconds
                else:
                    phones.append((phone, seconds))
        if len(phones) == 1:
            raise AudiogenError(
                f"there is nothing to say in {text[:40]!r}; write words or numbers of the language {self.language!r}"
            )
        if phones[-1][0] != SILENCE:
            phones.append((SILENCE, None))
        self.inventory.encode(phone for phone, _ in phones)
        return phones

    def words(self, text: str) -> list[tuple[str, list[str]]]:
        """The words of `text` as they are said, each with its phones; a phrase break is a word of one silence.

        In languages other than English each word is said by itself.
        """
        if self._is_english:
            return self._english.phonemize_words(normalize(text))
        return [(word, self._say(word)) for word in text.split()]

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for a bundle."""
        return {"language": self.language, "inventory": self.inventory.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TextFrontend":
        """The frontend that `to_dict` described."""
        return cls(values["language"], PhoneInventory.from_dict(values["inventory"]))

    @property
    def _is_english(self) -> bool:
        return self.language.split("-")[0].lower() == "en"

    @cached_property
    def _english(self) -> EnglishG2P:
        return EnglishG2P()

    @cached_property
    def _espeak(self) -> "Espeak":
        from audiogen.data.espeak import Espeak

        return Espeak()

    def _say(self, text: str) -> list[str]:
        if not self._is_english:
            return self._espeak.ipa(text, self.language).split() if text.strip() else []
        return [phone for _, phones in self._english.phonemize_words(normalize(text)) for phone in phones]


def _check(text: str) -> None:
    if not text.strip():
        raise AudiogenError("the text is empty; give at least one word")
    if len(text) > LONGEST_TEXT:
        raise AudiogenError(f"the text has {len(text):,} characters; at most {LONGEST_TEXT:,} are spoken at a time")
