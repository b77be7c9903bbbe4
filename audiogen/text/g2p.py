"""English words to phones: the dictionary, inflections of its words, and a small network for what is left."""

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from audiogen.text import heteronyms
from audiogen.text.lexicon import Lexicon, cmudict
from audiogen.text.phones import SILENCE, is_vowel

if TYPE_CHECKING:
    from audiogen.text.neural import NeuralG2P

BREAKS = frozenset(",.?!;:")
_SIBILANTS = frozenset("s z ʃ ʒ tʃ dʒ".split())
_VOICELESS = frozenset("p t k f θ s ʃ tʃ".split())


class EnglishG2P:
    """Says English words.

    Args:
        bundle: Name or folder of the bundle that says words the dictionary lacks. It is read when the first such word
            comes up.
    """

    def __init__(self, bundle: str = "g2p-en"):
        self.bundle = bundle
        self._cached_word = lru_cache(maxsize=20_000)(self._say)

    @cached_property
    def lexicon(self) -> Lexicon:
        """The pronouncing dictionary."""
        return cmudict()

    @cached_property
    def network(self) -> "NeuralG2P":
        """The network for unknown words."""
        from audiogen.text.neural import NeuralG2P

        return NeuralG2P(self.bundle)

    def phonemize_words(self, text: str) -> list[tuple[str, list[str]]]:
        """Normalised text as (word, its phones) in order; a phrase break is (its character, one silence)."""
        tokens = _tokens(text)
        spoken = []
        for index, token in enumerate(tokens):
            if token in BREAKS:
                spoken.append((token, [SILENCE]))
                continue
            following = tokens[index + 1] if index + 1 < len(tokens) else "."
            previous = tokens[index - 1] if index else ""
            spoken.append((token, self._in_context(previous, token, following)))
        return spoken

    def word(self, word: str) -> list[str]:
        """The phones of one word in lower case."""
        return list(self._cached_word(word))

    def known(self, word: str) -> list[str] | None:
        """The phones of a word in the dictionary, or an inflection of one, or an abbreviation to be spelled."""
        ways = (self.lexicon.get, self._possessive, self._inflected, self._spelled)
        return next((phones for way in ways if (phones := way(word))), None)

    def _in_context(self, previous: str, word: str, following: str) -> list[str]:
        if word == "the" and following not in BREAKS and any(map(is_vowel, self.word(following)[:1])):
            return ["ð", "i"]
        return heteronyms.say(previous, word) or self.word(word)

    def _say(self, word: str) -> tuple[str, ...]:
        return tuple(self.known(word) or self.network.say([word])[0] or self._letters(word))

    def _possessive(self, word: str) -> list[str] | None:
        if word.endswith("'"):
            return self.known(word[:-1])
        stem = self.known(word[:-2]) if word.endswith("'s") else None
        return stem and _with_s(stem)

    def _inflected(self, word: str) -> list[str] | None:
        """Regular -s, -es, -ed, -ing, -ly, -ness, -less of a known word."""
        for suffix, attach in _SUFFIXES:
            if word.endswith(suffix) and len(word) - len(suffix) >= 3:
                for stem in _stems(word[: -len(suffix)], suffix):
                    phones = self.lexicon.get(stem)
                    if phones:
                        return attach(phones)
        return None

    def _spelled(self, word: str) -> list[str] | None:
        """A word that no vowel makes sayable, letter by letter."""
        return None if any(letter in "aeiouy" for letter in word) else self._letters(word)

    def _letters(self, word: str) -> list[str]:
        return [phone for letter in word for phone in self.lexicon.get(letter) or []]


def _tokens(text: str) -> list[str]:
    """Words and breaks of normalised text."""
    for mark in BREAKS:
        text = text.replace(mark, f" {mark} ")
    return text.lower().split()


def _with_s(stem: list[str]) -> list[str]:
    """Plural, possessive or third person: s, z or ɪz by the last sound."""
    last = stem[-1]
    if last in _SIBILANTS:
        return [*stem, "ɪ", "z"]
    return [*stem, "s" if last in _VOICELESS else "z"]


def _with_ed(stem: list[str]) -> list[str]:
    """Past tense: t, d or ɪd by the last sound."""
    last = stem[-1]
    if last in ("t", "d"):
        return [*stem, "ɪ", "d"]
    return [*stem, "t" if last in _VOICELESS else "d"]


_SUFFIXES = (
    ("s", _with_s),
    ("ed", _with_ed),
    ("ing", lambda stem: [*stem, "ɪ", "ŋ"]),
    ("ly", lambda stem: [*stem, "l", "i"]),
    ("ness", lambda stem: [*stem, "n", "ə", "s"]),
    ("less", lambda stem: [*stem, "l", "ə", "s"]),
)


def _stems(stem: str, suffix: str) -> list[str]:
    """How a word may be spelled without its suffix: bake for `bak(ed)`, stop for `stopp(ed)`, try for `tri(ed)`."""
    stems = [stem]
    if suffix in ("ed", "ing"):
        stems.append(stem + "e")
        if stem[-1] == stem[-2]:
            stems.append(stem[:-1])
    if stem.endswith("i") and suffix not in ("ing", "s"):
        stems.append(stem[:-1] + "y")
    if suffix == "s" and stem.endswith("ie"):
        stems.append(stem[:-2] + "y")
    if suffix == "s" and stem.endswith("e"):
        stems.append(stem[:-1])
    return stems
