"""Speech to text with a recogniser's bundle: whole files in constant memory, and streams with partial results.

Everything goes through the streaming step, chunk by chunk, so a stream ends with the very text a file gives, however it
is cut.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from audiogen import audio
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer.ctc import Speller, Word
from audiogen.infer.word_search import Vocabulary, WordSearch
from audiogen.text.phones import PhoneInventory
from audiogen.text.tokenizer import CharTokenizer

BLOCK_SECONDS = 10.0


@dataclass(frozen=True)
class ListenOptions:
    """How to listen.

    Attributes:
        beam: Hypotheses the search for words keeps. A recogniser of characters has no such search.
        lookahead: Frames of 80 ms waited for, one of those the model was trained with; None is its default.
    """

    beam: int = 200
    lookahead: int | None = None


@dataclass(frozen=True)
class Transcript:
    """What was said: the text, its words as (word, start_s, end_s, confidence), and how long the sound was."""

    text: str
    words: list[Word]
    duration_s: float


@dataclass(frozen=True)
class Partial:
    """What has been heard so far.

    Attributes:
        text: The text; its end may still change.
        stable: The beginning of the text that will not change any more.
        is_final: Whether the stream has ended.
        words: Words as (word, start_s, end_s, confidence).
    """

    text: str
    stable: str
    is_final: bool
    words: list[Word]


class Decoder(Protocol):
    """Words out of log-probabilities, as they arrive."""

    def feed(self, log_probs: Tensor) -> None:
        """Take the next frames [T, V + 1]."""

    def words(self, final: bool = False) -> list[Word]:
        """The best words so far; `final` says that no more frames come."""

    def stable(self) -> int:
        """How many of the first words later frames cannot change any more."""


class Listener:
    """Transcribes with a bundle of kind `recognizer`, of phones with a vocabulary or of characters.

    Raises:
        AudiogenError: If the bundle gives no words, the look-ahead is none it was trained with, or no hypothesis may
            be kept.
    """

    def __init__(self, bundle: Bundle, options: ListenOptions | None = None) -> None:
        self.model, assets = bundle.model, bundle.assets
        self.options = options or ListenOptions()
        trained = self.model.config.lookaheads
        if self.options.lookahead not in (None, *trained):
            raise AudiogenError(f"lookahead={self.options.lookahead} was not trained; choose one of {trained}")
        if self.options.beam < 1:
            raise AudiogenError(f"beam={self.options.beam} keeps nothing; it must be at least 1")
        if "words" in assets:
            vocabulary = Vocabulary.english(PhoneInventory.from_dict(assets["inventory"]), assets["words"])
            self._decoder = lambda: WordSearch(vocabulary, self.model.label_seconds, self.options.beam)
        elif "tokenizer" in assets:
            symbols = CharTokenizer.from_dict(assets["tokenizer"]).symbols
            self._decoder = lambda: Speller(symbols, self.model.label_seconds)
        else:
            raise AudiogenError(
                f"{bundle.folder or bundle.name} gives no words; choose a recogniser that does, not one for alignment"
            )

    @property
    def sample_rate(self) -> int:
        """Rate of the waves it takes."""
        return self.model.config.sample_rate

    def transcribe(
        self,
        source: str | Path | Tensor | np.ndarray,
        sample_rate: int | None = None,
        on_partial: Callable[[Partial], None] | None = None,
    ) -> Transcript:
        """The text of a sound file, or of a wave [N] or [C, N].

        Args:
            source: A path or the wave.
            sample_rate: Rate of the wave, by default the model's own. A file says its own.
            on_partial: Called with the result after every ten seconds of sound.

        Raises:
            AudiogenError: For a file or wave that cannot be taken.
        """
        session = self.session()
        for block in self._blocks(source, sample_rate or self.sample_rate):
            session.feed(block)
            if on_partial is not None:
                on_partial(session.partial())
        session.finish()
        result = session.partial()
        return Transcript(result.text, result.words, session.seconds)

    def stream(self, chunks: Iterable[Tensor | np.ndarray]) -> Iterator[Partial]:
        """Results of a stream of waves [n] at `sample_rate`, n ≥ 0: one whenever the text changes, then the final one.

        Raises:
            AudiogenError: If a chunk holds samples that are not finite.
        """
        session, text = self.session(), ""
        for chunk in chunks:
            session.feed(chunk)
            partial = session.partial()
            if partial.text != text:
                text = partial.text
                yield partial
        session.finish()
        yield session.partial()

    def session(self) -> "ListenSession":
        """One stream, to be fed by hand."""
        return ListenSession(self, self._decoder())

    def _blocks(self, source: str | Path | Tensor | np.ndarray, sample_rate: int) -> Iterator[Tensor]:
        if isinstance(source, str | Path):
            yield from (block[0] for block in audio.blocks(source, self.sample_rate, BLOCK_SECONDS))
            return
        wave = _mono(source)
        audio.check_finite(wave[None], "the wave")
        resampled = audio.resample(wave[None], sample_rate, self.sample_rate)[0]
        yield from resampled.split(int(BLOCK_SECONDS * self.sample_rate))


class ListenSession:
    """One stream: what the model and the decoder remember of it."""

    def __init__(self, listener: Listener, decoder: Decoder) -> None:
        self.seconds = 0.0
        self.is_final = False
        self._listener, self._decoder = listener, decoder
        self._state = listener.model.init_state(1, listener.options.lookahead)
        self._chunk = listener.model.chunk_length(self._state.lookahead)

    def feed(self, wave: Tensor | np.ndarray) -> None:
        """Hear the next samples [n], any number."""
        if self.is_final:
            raise AudiogenError("this stream has ended; begin a new session")
        wave = _mono(wave)
        audio.check_finite(wave[None], f"the sound after {self.seconds:.1f} s")
        self.seconds += len(wave) / self._listener.sample_rate
        missing = self._chunk - self._state.samples.shape[1]
        # One chunk of the model at a time, however much comes at once: so all streams compute the very same.
        for piece in (wave[:missing], *wave[missing:].split(self._chunk)):
            self._step(piece)

    def finish(self) -> None:
        """Hear what still waits for its look-ahead."""
        self._step(torch.zeros(0), final=True)
        self.is_final = True

    def partial(self) -> Partial:
        """What has been heard so far."""
        heard = self._decoder.words(self.is_final)
        text = " ".join(word.word for word in heard)
        settled = len(heard) if self.is_final else self._decoder.stable()
        return Partial(text, " ".join(word.word for word in heard[:settled]), self.is_final, heard)

    @torch.inference_mode()
    def _step(self, wave: Tensor, final: bool = False) -> None:
        log_probs, self._state = self._listener.model.step(wave[None], self._state, final)
        self._decoder.feed(log_probs[0])


def _mono(wave: Tensor | np.ndarray) -> Tensor:
    """A wave [N] or [C, N] as float32 [N]."""
    wave = torch.as_tensor(wave, dtype=torch.float32)
    return wave.mean(0) if wave.dim() > 1 else wave
