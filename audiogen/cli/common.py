"""What several commands do alike."""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import audiogen
from audiogen.cli.parser import DEFAULT_RECOGNIZER
from audiogen.errors import AudiogenError

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from audiogen.infer.judge import PhoneJudge
    from audiogen.infer.listen import Listener
    from audiogen.infer.speak import Speaker

UNBROKEN = 240


def one_thread_a_worker() -> None:
    """Keep torch from sharing out its work, which the speaker does, unless `OMP_NUM_THREADS` says otherwise.

    The models are small; threads that wait for each other beside a busy program take many times as long as one.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def load_pair(options: argparse.Namespace) -> "tuple[Speaker, Listener]":
    """The models that `add_pair` names."""
    return audiogen.load(options.voice_model, "acoustic"), audiogen.load(options.recognizer, "recognizer")


def load_judge(options: argparse.Namespace) -> "PhoneJudge | None":
    """Who chooses among the readings of `--best-of`, if there are several."""
    from audiogen.checkpoint import load_bundle
    from audiogen.infer.judge import PhoneJudge

    if options.best_of < 1:
        raise AudiogenError(f"--best-of {options.best_of}: at least 1 is needed")
    return PhoneJudge(load_bundle(DEFAULT_RECOGNIZER, "recognizer")) if options.best_of > 1 else None


def console() -> "Console":
    """A console that breaks no line of a table that goes into a file."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else UNBROKEN)


def refuse_terminal() -> None:
    """Refuse to write raw sound to a terminal."""
    if sys.stdout.isatty():
        raise AudiogenError(
            "--stream writes raw sound; pipe it to a player, as in: … | aplay -t raw -f S16_LE -r 24000"
        )


class Making:
    """Sound that is being made: how much so far, and how long the first of it and all of it took, in seconds."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.begun = time.perf_counter()
        self.samples, self.first, self.taken = 0, None, 0.0

    @property
    def seconds(self) -> float:
        """How long the sound is."""
        return self.samples / self.sample_rate

    def follow(self, pieces: "Iterable[Tensor]", play: bool) -> "Iterator[Tensor]":
        """Pass on the pieces [C, n] as they come; `play` sends each to standard output at once, 16 bits a sample."""
        from audiogen import audio

        for piece in pieces:
            self.first = self.first or time.perf_counter() - self.begun
            self.samples += piece.shape[-1]
            if play:
                sys.stdout.buffer.write(audio.to_bytes(piece, self.sample_rate, "RAW", "PCM_16"))
                sys.stdout.buffer.flush()
            yield piece
        self.taken = time.perf_counter() - self.begun

    def rows(self, what: str) -> list[dict[str, Any]]:
        """The figures of the sound, called `what`."""
        return [
            {"name": what, "value": round(self.seconds, 3), "unit": "s"},
            {"name": "time taken", "value": round(self.taken, 3), "unit": "s"},
            {"name": "real-time factor", "value": round(self.taken / self.seconds, 4), "unit": "x"},
            {"name": "first audio", "value": round(1000 * self.first, 1), "unit": "ms"},
        ]
