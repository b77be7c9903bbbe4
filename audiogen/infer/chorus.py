"""Streams of speech for many listeners at once, from one model: whoever comes joins those who are speaking.

One thread takes all sessions on together, chunk by chunk; each listener's own thread reads the text, begins sentences
and decodes sound. A sentence is begun when the one before it has been taken, so a slow listener holds up nobody.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from threading import Thread

from torch import Tensor

from audiogen.infer.batch import SpeechBatch, Spoken
from audiogen.infer.recordings import StreamDecoder
from audiogen.infer.speak import Speaker
from audiogen.infer.speech import SpeakOptions
from audiogen.models.valle_r import SpeechState, VoicePrompt


@dataclass(eq=False)
class Session:
    """A sentence under way: its first `state`, what was `said` of it, and whether its listener has `left`."""

    state: SpeechState
    said: SimpleQueue[Spoken | Exception] = field(default_factory=SimpleQueue)
    left: bool = False


class Chorus:
    """Speaks for many at once, all with the same options but for the speed. Its thread ends with the process.

    Args:
        speaker: Whose voices to use.
        options: How all speak.
    """

    def __init__(self, speaker: Speaker, options: SpeakOptions | None = None) -> None:
        self.speaker, self._options = speaker, options or SpeakOptions()
        self._coming: SimpleQueue[Session] = SimpleQueue()
        Thread(target=self._work, name="chorus", daemon=True).start()

    def stream(
        self, text: str, voice: str | VoicePrompt | None = None, seed: int = 0, speed: float = 1.0
    ) -> Iterator[Tensor]:
        """Speak `text` in chunks [1, n], as `Speaker.stream` does; who leaves the iterator leaves the chorus."""
        decode, options = StreamDecoder(self.speaker.codec), replace(self._options, speed=speed)
        for task in self.speaker.tasks(text, voice, options, seed):
            for codes in self._say(self.speaker.begin(task, options)):
                yield from _unless_empty(decode(codes))
        yield from _unless_empty(decode.rest())

    def _say(self, state: SpeechState) -> Iterator[Tensor]:
        """The codes [K, T] of a line, chunk by chunk."""
        session = Session(state)
        self._coming.put(session)
        try:
            while True:
                spoken = session.said.get()
                if isinstance(spoken, Exception):
                    raise spoken
                yield spoken.codes
                if spoken.durations is not None:
                    return
        finally:
            session.left = True

    def _work(self) -> None:
        """Take all sessions on, for ever; what goes wrong is told to all whom it concerns."""
        while True:
            batch, sessions = SpeechBatch(self.speaker.model, self._options.generate()), {}
            try:
                while True:
                    self._admit(batch, sessions)
                    for number, spoken in batch.step().items():
                        sessions[number].said.put(spoken)
            except Exception as error:
                for session in sessions.values():
                    session.said.put(error)

    def _admit(self, batch: SpeechBatch, sessions: dict[int, Session]) -> None:
        """Let those go who have left, and in who has come; if nobody is there, wait for somebody."""
        for number, session in list(sessions.items()):
            if number not in batch or session.left:
                del sessions[number]
                if number in batch:
                    batch.leave(number)
        while not len(batch) or not self._coming.empty():
            session = self._coming.get()
            try:
                sessions[batch.join(session.state)] = session
            except Exception as error:
                session.said.put(error)
                raise


def _unless_empty(wave: Tensor) -> Iterator[Tensor]:
    if wave.shape[-1]:
        yield wave
