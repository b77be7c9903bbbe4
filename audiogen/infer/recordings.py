"""Recordings that speech is made after: their codes, and where in them each phone of their transcript is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from audiogen import audio
from audiogen.checkpoint import load_bundle
from audiogen.data.alignment import durations, tiled
from audiogen.errors import AudiogenError
from audiogen.infer.align import align
from audiogen.infer.script import TimedPhone
from audiogen.models.valle_r import VoicePrompt
from audiogen.protocols import AudioTokens
from audiogen.text.phones import PhoneInventory


@dataclass(frozen=True)
class Recording:
    """A wave [1, N] of one speaker at `sample_rate`."""

    wave: Tensor
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.wave.shape[-1] / self.sample_rate

    @classmethod
    def of(cls, source: str | Path | Tensor, sample_rate: int, limits: tuple[float, float]) -> "Recording":
        """A sound file, or a wave [N] or [1, N] at `sample_rate`.

        Raises:
            AudiogenError: If it cannot be read, or its seconds are not within `limits`.
        """
        if isinstance(source, Tensor):
            recording = cls(source.reshape(1, -1), sample_rate)
        else:
            recording = cls(audio.read(source), audio.check(source).samplerate)
        shortest, longest = limits
        if not shortest <= recording.seconds <= longest:
            raise AudiogenError(
                f"the recording lasts {recording.seconds:.1f} s; it must be {shortest:g} to {longest:g} s long"
            )
        return recording

    def timings(self, aligner: str | Path, phones: Sequence[str]) -> list[TimedPhone]:
        """When each of its phones is said, pauses as they are heard, without gaps.

        Args:
            aligner: Name or folder of a recogniser of phones.
            phones: What is said.
        """
        listener = load_bundle(aligner, "recognizer")
        heard = audio.resample(self.wave, self.sample_rate, listener.model.config.sample_rate)[0]
        return tiled(align(listener, heard, phones), self.seconds)


@dataclass(frozen=True)
class Coded:
    """A recording as a voice model knows it.

    Attributes:
        codes: [K, T].
        phones: Their symbols' ids [P].
        durations: Merged frames of each phone [P].
        gain: What the recording was multiplied by before it was coded.
        merge: Frames in a merged one.
    """

    codes: Tensor
    phones: Tensor
    durations: Tensor
    gain: float
    merge: int

    @property
    def prompt(self) -> VoicePrompt:
        """All of it as a voice to speak in."""
        return VoicePrompt(self.codes, self.phones, self.durations)

    def part(self, first: int, end: int) -> VoicePrompt:
        """Phones `first` to `end` − 1 of it."""
        begin, stop = (int(self.durations[:place].sum()) * self.merge for place in (first, end))
        return VoicePrompt(self.codes[:, begin:stop], self.phones[first:end], self.durations[first:end])


@torch.inference_mode()
def coded(
    recording: Recording, timings: Sequence[TimedPhone], codec: nn.Module, inventory: PhoneInventory, merge: int
) -> Coded:
    """The codes of a recording, with its phones fitted to them.

    Args:
        recording: The sound.
        timings: Its phones, without gaps.
        codec: Codes it, all recordings at one level.
        inventory: Numbers the phones.
        merge: Frames that share a code of the first codebook.
    """
    wave = audio.resample(recording.wave, recording.sample_rate, codec.spec.sample_rate)
    levelled = audio.at_level(wave)
    codes = codec.encode(levelled[None], merge=merge).codes[0]
    counts = durations(timings, codes.shape[1] // merge, float(codec.spec.frame_rate / merge))
    ids = inventory.encode(symbol for symbol, _, _ in timings)
    gain = float(levelled.norm() / wave.norm().clamp(min=1e-9))
    return Coded(codes, torch.tensor(ids), torch.tensor(counts), gain, merge)


class StreamDecoder:
    """Codes to sound as they come.

    Args:
        codec: The codec.
        before: Codes [K, T] that were heard already: what comes follows on them.
    """

    def __init__(self, codec: nn.Module, before: Tensor | None = None) -> None:
        self._codec, self._state, self._heard = codec, codec.init_state(1), 0
        if before is not None:
            self._heard = before.shape[1] * codec.spec.hop_length
            self(before)

    @torch.inference_mode()
    def __call__(self, codes: Tensor, final: bool = False) -> Tensor:
        """The next codes [K, t] to the samples [1, n] that they settle; after the `final` ones nothing is held back."""
        tokens = AudioTokens.from_codes(self._codec.spec, codes[None])
        wave, self._state = self._codec.decode_step(tokens, self._state, final=final)
        skipped = min(self._heard, wave.shape[-1])
        self._heard -= skipped
        return wave[0, :, skipped:]

    def rest(self) -> Tensor:
        """The samples [1, n] that were held back."""
        return self(torch.zeros(self._codec.spec.num_codebooks, 0, dtype=torch.long), final=True)
