"""Speech to text with a recogniser's bundle: whole files in constant memory, and streams with partial results.

Everything goes through the streaming step, chunk by chunk, so a stream ends with the very text a file gives, however it
is cut. Chunks of several streams can be heard in one step (`step`).
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audiogen import audio
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer.buffered import Buffered
from audiogen.infer.ctc import Word
from audiogen.infer.decoders import Decoder, ListenOptions, reading
from audiogen.infer.endpoint import EndpointRules, VoiceActivity

BLOCK_SECONDS = 10.0


@dataclass(frozen=True)
class Transcript:
    """What was said: the text, its words as (word, start_s, end_s, confidence), and how long the sound was."""

    text: str
    words: list[Word]
    duration_s: float


@dataclass(frozen=True)
class Partial:
    """What has been heard so far, of an utterance if the stream is cut into such.

    Attributes:
        text: The text; its end may still change.
        stable: The beginning of the text that will not change any more.
        is_final: Whether the stream, or the utterance, has ended.
        words: Words as (word, start_s, end_s, confidence).
        utterance: Its number, from 0.
    """

    text: str
    stable: str
    is_final: bool
    words: list[Word]
    utterance: int = 0


class Listener:
    """Transcribes with a bundle of kind `recognizer`: of phones with a vocabulary, of characters or of pieces of words.

    An offline model is run again and again over a window that slides (`Buffered`).

    Raises:
        AudiogenError: If the bundle gives no words, the look-ahead is none it was trained with, or the options do not
            fit it.
    """

    def __init__(self, bundle: Bundle, options: ListenOptions | None = None) -> None:
        self.options = options or ListenOptions()
        trained = bundle.model.config.lookaheads
        if self.options.lookahead not in (None, *trained):
            raise AudiogenError(f"lookahead={self.options.lookahead} was not trained; choose one of {trained}")
        self.reading = reading(bundle, self.options)
        self.model = bundle.model if bundle.model.streams else Buffered(bundle.model)

    @property
    def sample_rate(self) -> int:
        """Rate of the waves it takes."""
        return self.model.config.sample_rate

    def without_memory(self) -> "Listener":
        """The same, with the model run again over its whole left context for every chunk: what remembering is for."""
        if isinstance(self.model, Buffered):
            return self
        config, other = self.model.config, copy.copy(self)
        lookahead = config.lookaheads[0] if self.options.lookahead is None else self.options.lookahead
        other.model = Buffered(self.model, config.left_context, lookahead + 1, right=0, lookahead=lookahead)
        return other

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

    def stream(self, chunks: Iterable[Tensor | np.ndarray], endpoint: EndpointRules | None = None) -> Iterator[Partial]:
        """Results of a stream of waves [n] at `sample_rate`, n ≥ 0: one whenever the text changes, then the final one.

        Args:
            chunks: The waves.
            endpoint: When an utterance has ended; each has a final result then. None makes one of the whole stream.

        Raises:
            AudiogenError: If a chunk holds samples that are not finite.
        """
        session, shown = self.session(endpoint), ""
        for chunk in chunks:
            session.feed(chunk)
            for partial in session.results():
                if partial.is_final or partial.text != shown:
                    shown = "" if partial.is_final else partial.text
                    yield partial
        session.finish()
        yield from session.results()

    def session(self, endpoint: EndpointRules | None = None) -> "ListenSession":
        """One stream, to be fed by hand; `endpoint` as in `stream`."""
        return ListenSession(self, endpoint)

    def read(self, frames: Tensor) -> Tensor:
        """Frames [B, T, D] of the encoder as the decoders take them."""
        return self.model.label_log_probs(frames) if self.reading.head == "ctc" else frames

    def _blocks(self, source: str | Path | Tensor | np.ndarray, sample_rate: int) -> Iterator[Tensor]:
        if isinstance(source, str | Path):
            yield from (block[0] for block in audio.blocks(source, self.sample_rate, BLOCK_SECONDS))
            return
        wave = _mono(source)
        audio.check_finite(wave[None], "the wave")
        resampled = audio.resample(wave[None], sample_rate, self.sample_rate)[0]
        yield from resampled.split(int(BLOCK_SECONDS * self.sample_rate))


class ListenSession:
    """One stream: what the model and the decoder remember of it.

    `feed` hears samples at once. To hear several streams in one step, give each its samples with `take`, and call
    `step` with those that are `ready` and of one `shape`.
    """

    def __init__(self, listener: Listener, endpoint: EndpointRules | None = None) -> None:
        self.seconds = 0.0
        self.is_final = False
        self._listener, self._endpoint = listener, endpoint
        self._voice = VoiceActivity(listener.sample_rate) if endpoint else None
        self._decoder: Decoder = listener.reading.decoder()
        self._state = listener.model.init_state(1, listener.options.lookahead)
        self._waiting: list[Tensor] = []
        self._samples = self._frames = self._began = self._utterance = 0
        self._ended: list[Partial] = []

    def feed(self, wave: Tensor | np.ndarray) -> None:
        """Hear the next samples [n], any number."""
        self.take(wave)
        # One chunk of the model at a time, however much comes at once: so all streams compute the very same.
        while self.ready:
            step([self])

    def take(self, wave: Tensor | np.ndarray) -> None:
        """Keep the next samples [n] for steps to come."""
        if self.is_final:
            raise AudiogenError("this stream has ended; begin a new session")
        wave = _mono(wave)
        audio.check_finite(wave[None], f"the sound after {self.seconds:.1f} s")
        self.seconds += len(wave) / self._listener.sample_rate
        if self._voice is not None:
            self._voice.feed(wave)
        self._waiting.append(wave)
        self._samples += len(wave)

    @property
    def ready(self) -> bool:
        """Whether enough samples wait for a step."""
        return self._samples >= self._listener.model.missing(self._state)

    @property
    def shape(self) -> tuple:
        """What must be equal in sessions of one step."""
        return self._listener.model.missing(self._state), self._state.shapes()

    @torch.inference_mode()
    def finish(self) -> None:
        """Hear what still waits for its look-ahead."""
        rest = torch.cat([*self._waiting, torch.zeros(0)])
        frames, self._state = self._listener.model.encode_step(rest[None], self._state, final=True)
        self._hear(self._listener.read(frames)[0])
        self._waiting, self._samples, self.is_final = [], 0, True

    def partial(self) -> Partial:
        """What has been heard so far, of the utterance that has not ended."""
        return self._partial(self.is_final)

    def results(self) -> list[Partial]:
        """The utterances that have ended since this was asked last, and what has been heard of the next."""
        ended, self._ended = self._ended, []
        return [*ended, self.partial()]

    def _partial(self, final: bool) -> Partial:
        heard, began = self._decoder.words(final), self._began * self._listener.reading.frame_seconds
        if began:
            heard = [_later(word, began) for word in heard]
        text = " ".join(word.word for word in heard)
        settled = len(heard) if final else self._decoder.stable()
        return Partial(text, " ".join(word.word for word in heard[:settled]), final, heard, self._utterance)

    def _next_chunk(self) -> Tensor:
        """The samples [n] of the next step."""
        size = self._listener.model.missing(self._state)
        wave = torch.cat(self._waiting)
        self._waiting, self._samples = [wave[size:]], len(wave) - size
        return wave[:size]

    def _hear(self, frames: Tensor) -> None:
        """Take what the model says of the next frames, as the decoder reads it."""
        self._decoder.feed(frames)
        self._frames += len(frames)
        if self._endpoint is not None and len(frames):
            self._end_utterance()

    def _end_utterance(self) -> None:
        """Begin a new utterance if this one has ended."""
        seconds = self._listener.reading.frame_seconds
        now, began = self._frames * seconds, self._began * seconds
        since_voice = now - max(self._voice.last_voice, began)
        if since_voice < self._endpoint.silence_after and now - began < self._endpoint.longest:
            return
        partial = self._partial(final=True)
        silence = min([since_voice, *(now - word.end_s for word in partial.words[-1:])])
        if self._endpoint.ended(now - began, silence, bool(partial.words)):
            self._decoder, self._began = self._listener.reading.decoder(), self._frames
            if partial.words:
                self._ended.append(partial)
                self._utterance += 1


@torch.inference_mode()
def step(sessions: Sequence[ListenSession]) -> None:
    """One chunk of each of the sessions, which are ready and of one `shape`, through the model at once."""
    listener = sessions[0]._listener
    wave = torch.stack([session._next_chunk() for session in sessions])
    state = type(sessions[0]._state).cat([session._state for session in sessions])
    frames, state = listener.model.encode_step(wave, state)
    for row, (session, heard) in enumerate(zip(sessions, listener.read(frames), strict=True)):
        session._state = state.select([row]) if len(sessions) > 1 else state
        session._hear(heard)


def _later(word: Word, seconds: float) -> Word:
    return word._replace(start_s=round(word.start_s + seconds, 3), end_s=round(word.end_s + seconds, 3))


def _mono(wave: Tensor | np.ndarray) -> Tensor:
    """A wave [N] or [C, N] as float32 [N]."""
    wave = torch.as_tensor(wave, dtype=torch.float32)
    return wave.mean(0) if wave.dim() > 1 else wave
