"""Which search turns what a recogniser hears into words: by its head, its labels, and how it is to be listened to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError, unknown_name
from audiogen.infer.bias import Bias, WordWeights
from audiogen.infer.ctc import GreedyDecoder, Search, Speller, Word
from audiogen.infer.hot_words import HotWords
from audiogen.infer.prefix_beam import PrefixBeam
from audiogen.infer.transducer import TransducerBeam, TransducerGreedy
from audiogen.infer.word_search import Vocabulary, WordSearch
from audiogen.text.phones import PhoneInventory
from audiogen.text.pieces import PieceTokenizer
from audiogen.text.tokenizer import CharTokenizer
from audiogen.text.trigrams import read_trigrams


@dataclass(frozen=True)
class ListenOptions:
    """How to listen.

    Attributes:
        beam: Hypotheses that the search for words keeps, of a recogniser of phones.
        lookahead: Frames of 80 ms waited for, one of those the model was trained with; None is its default.
        head: `ctc` or `rnnt`, for a recogniser that has both; "" is its first.
        label_beam: Hypotheses kept by the search of a recogniser of characters or pieces; 1 takes the best label at
            every step.
        language: For characters and pieces of English, the weight of how likely words follow each other; 0 leaves it
            out. It needs a `label_beam` of at least 2.
        hot_words: Words and phrases to listen for. A search for labels needs a `label_beam` of at least 2.
        hot_bonus: What each of their labels adds to the log-probability of a hypothesis; of phones, each word.
    """

    beam: int = 200
    lookahead: int | None = None
    head: str = ""
    label_beam: int = 1
    language: float = 0.0
    hot_words: list[str] = field(default_factory=list)
    hot_bonus: float = 1.5


class Decoder(Protocol):
    """Words out of what the model says of each frame, as it arrives."""

    def feed(self, frames: Tensor) -> None:
        """Take the next frames, log-probabilities [T, V + 1] or of the encoder [T, D], as the decoder reads."""

    def words(self, final: bool = False) -> list[Word]:
        """The best words so far; `final` says that no more frames come."""

    def stable(self) -> int:
        """How many of the first words later frames cannot change any more."""


@dataclass(frozen=True)
class Reading:
    """How the frames of a model become words.

    Attributes:
        head: What decoders are fed with: log-probabilities of `ctc`, or for `rnnt` the encoder's frames.
        decoder: A new decoder.
        frame_seconds: Duration of what they take for a frame.
    """

    head: str
    decoder: Callable[[], Decoder]
    frame_seconds: float


def reading(bundle: Bundle, options: ListenOptions) -> Reading:
    """How a recogniser's frames become words.

    Raises:
        AudiogenError: If the bundle gives no words, or the options do not fit it.
    """
    model, assets = bundle.model, bundle.assets
    if options.beam < 1 or options.label_beam < 1:
        name = "beam" if options.beam < 1 else "label_beam"
        raise AudiogenError(f"{name}={getattr(options, name)} keeps nothing; it must be at least 1")
    if "words" in assets:
        return _words(model, assets, options)
    head = options.head or model.heads[0]
    if head not in model.heads:
        raise unknown_name("head", head, model.heads)
    tokenizer = _tokenizer(bundle)
    seconds = model.label_seconds if head == "ctc" else model.frame_seconds
    search = _search(model, head, tokenizer, options)
    return Reading(head, lambda: Speller(search(), tokenizer.symbols, seconds), seconds)


def _words(model: Any, assets: dict[str, Any], options: ListenOptions) -> Reading:
    """A search for words in what CTC says of phones."""
    if "ctc" not in model.heads or options.head not in ("", "ctc"):
        raise AudiogenError("words are searched for in what the head 'ctc' says of phones, not in a transducer's")
    inventory = PhoneInventory.from_dict(assets["inventory"])
    hot = dict.fromkeys(options.hot_words, options.hot_bonus)
    vocabulary = Vocabulary.english(inventory, assets["words"], hot)
    return Reading("ctc", lambda: WordSearch(vocabulary, model.label_seconds, options.beam), model.label_seconds)


def _tokenizer(bundle: Bundle) -> CharTokenizer | PieceTokenizer:
    if "tokenizer" in bundle.assets:
        return CharTokenizer.from_dict(bundle.assets["tokenizer"])
    if "pieces" in bundle.assets:
        return PieceTokenizer.from_dict(bundle.assets["pieces"])
    raise AudiogenError(
        f"{bundle.folder or bundle.name} gives no words; choose a recogniser that does, not one for alignment"
    )


def _search(
    model: Any, head: str, tokenizer: CharTokenizer | PieceTokenizer, options: ListenOptions
) -> Callable[[], Search]:
    """What makes a new search for labels."""
    if options.label_beam == 1:
        if options.hot_words or options.language:
            raise AudiogenError("hot_words and language choose between hypotheses; give a label_beam of at least 2")
        return (lambda: TransducerGreedy(model)) if head == "rnnt" else lambda: GreedyDecoder(model.blank)
    language = read_trigrams() if options.language else None
    hot = None
    if options.hot_words:
        hot = HotWords([tokenizer.encode(phrase) for phrase in options.hot_words], options.hot_bonus)
    bias = Bias(tokenizer.symbols, language, WordWeights(words=options.language), hot)
    if head == "rnnt":
        return lambda: TransducerBeam(model, bias, options.label_beam)
    return lambda: PrefixBeam(bias, options.label_beam)
