"""Speech editing: words of a recording replaced, put in or left out, in its own voice; every other sample is kept.

New words are said inside the utterance: what comes before them is the prompt they go on from, what comes after is known
as text, and the pointer tells where they end. Where little comes before, what comes after is heard first, for its
voice. New sound is faded in and out within its own stretch, so nothing outside it changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from audiogen import audio
from audiogen.errors import AudiogenError
from audiogen.infer.judge import PhoneJudge
from audiogen.infer.recordings import Coded, Recording, StreamDecoder, coded
from audiogen.infer.sampling import seeded
from audiogen.infer.script import TimedPhone
from audiogen.infer.speak import Speaker, reading_seed
from audiogen.infer.speech import SpeakOptions
from audiogen.models.valle_r import Utterance, VoicePrompt
from audiogen.text.frontend import TextFrontend
from audiogen.text.phones import SILENCE

EDITED_SECONDS = (0.2, 60.0)
HEARD_SECONDS = 8.0  # of the recording before the new words, or, where that is short, of both sides
FOLLOWING_PHONES = 20
DECODED_SECONDS = 1.0  # that the codec hears before and after new sound
FADE_SECONDS = 0.01


@dataclass(frozen=True)
class Edited:
    """An edited recording: `wave` [1, N] at its own `sample_rate`, and the seconds in it that are `new`."""

    wave: Tensor
    sample_rate: int
    new: list[tuple[float, float]]


@dataclass(frozen=True)
class Change:
    """Places `first` to `end` − 1 among a recording's phones are to become `phones`."""

    first: int
    end: int
    phones: list[str]


@torch.inference_mode()
def edit(
    speaker: Speaker,
    recording: str | Path | Tensor,
    transcript: str,
    wanted: str,
    options: SpeakOptions | None = None,
    seed: int = 0,
    sample_rate: int | None = None,
    readings: int = 1,
    judge: PhoneJudge | None = None,
) -> Edited:
    """Make a recording of `transcript` say `wanted`.

    Args:
        speaker: Says the new words; its model must have a pointer.
        recording: A sound file, or a wave [N] or [1, N] with its `sample_rate`, of at most a minute.
        transcript: What is said in it, word for word.
        wanted: What should be said; the words that differ are made.
        options: How to draw what is new.
        seed: Another number, another reading.
        sample_rate: Of a wave.
        readings: Say what is new so many times and keep what fits its phones best.
        judge: Who decides that; without one the first is kept.

    Raises:
        AudiogenError: If nothing or everything differs, or the recording does not fit its transcript.
    """
    if not speaker.model.config.pointer:
        raise AudiogenError("plain VALL-E cannot tell where new words end; editing needs a model with a phone pointer")
    heard = Recording.of(recording, sample_rate or speaker.sample_rate, EDITED_SECONDS)
    said = _words(speaker.frontend, transcript)
    timings = heard.timings(speaker.aligner, [phone for word in said for phone in word.phones])
    found = list(_changes(said, _words(speaker.frontend, wanted), timings))
    if not found:
        raise AudiogenError("the wanted text is what the recording says; change at least one word")
    known = coded(heard, timings, speaker.codec, speaker.frontend.inventory, speaker.model.config.merge)
    splicer, options = _Splicer(heard, speaker.frame_rate), options or SpeakOptions()
    for number, change in enumerate(found):
        seeds = [reading_seed(seed, number, reading) for reading in range(readings if change.phones else 1)]
        sounds = [_new_sound(speaker, known, change, options, own) for own in seeds]
        sound = min(sounds, key=partial(_misfit, judge, change, speaker.sample_rate))
        first, end = (int(known.durations[:place].sum()) for place in (change.first, change.end))
        splicer.replace(first, end, audio.resample(sound, speaker.sample_rate, heard.sample_rate))
    return splicer.finish()


@dataclass(frozen=True)
class _Word:
    """A word and its phones, which begin with silence where a break comes before it."""

    text: str
    phones: list[str]


def _words(frontend: TextFrontend, text: str) -> list[_Word]:
    words, pause = [], False
    for word, phones in frontend.words(text):
        if phones != [SILENCE]:
            words.append(_Word(word, [SILENCE] * pause + phones))
        pause = phones == [SILENCE]
    return words


def _changes(said: Sequence[_Word], wanted: Sequence[_Word], timings: Sequence[TimedPhone]) -> Iterator[Change]:
    """What differs, as places among the timings.

    Pauses at the edges of what is replaced stay; a word that is left out takes the pause after it along.
    """
    spoken = [place for place, (phone, _, _) in enumerate(timings) if phone != SILENCE]
    ends = list(accumulate((sum(phone != SILENCE for phone in word.phones) for word in said), initial=0))
    texts = ([word.text for word in words] for words in (said, wanted))
    for kind, first, end, begin, stop in SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        phones = [phone for word in wanted[begin:stop] for phone in word.phones]
        if end - first == len(said):
            raise AudiogenError("no word of the recording is kept; say the text with the recording as --prompt instead")
        after = spoken[ends[end] - 1] + 1 if end else spoken[0]
        if kind == "insert":
            yield Change(after, after, phones)
        elif kind == "delete":
            yield Change(spoken[ends[first]], spoken[ends[end]] if end < len(said) else after, [])
        else:
            yield Change(spoken[ends[first]], after, phones[phones[0] == SILENCE :])


def _new_sound(speaker: Speaker, known: Coded, change: Change, options: SpeakOptions, seed: int) -> Tensor:
    """The sound [1, n] of a change's phones at the recording's level, at the codec's rate."""
    if not change.phones:
        return torch.zeros(1, 0)
    phones = torch.tensor(speaker.frontend.inventory.encode(change.phones))
    following = known.phones[change.end : change.end + FOLLOWING_PHONES]
    utterance = Utterance(phones, _heard(known, change, speaker.frame_rate), following=following)
    generator = seeded(seed)
    codes = speaker.model.generate([utterance], options.generate(), generator).codes[0]
    shown = round(DECODED_SECONDS * speaker.frame_rate) * speaker.model.config.merge
    before = known.codes[:, : _frame(known, change.first)][:, -shown:]
    after = known.codes[:, _frame(known, change.end) :][:, :shown]
    decode = StreamDecoder(speaker.codec, before)
    sound = torch.cat([decode(codes), decode(after), decode.rest()], -1)
    return sound[:, : codes.shape[1] * speaker.codec.spec.hop_length] / known.gain


def _misfit(judge: PhoneJudge | None, change: Change, sample_rate: int, sound: Tensor) -> float:
    """How badly `sound` fits the phones of a change; without a judge everything is as good."""
    return 0.0 if judge is None else judge.misfit(change.phones, sound, sample_rate)


def _heard(known: Coded, change: Change, frame_rate: float) -> VoicePrompt:
    """What the new words go on from: the recording before them, and first, where there is room, what comes after."""
    room = round(HEARD_SECONDS * frame_rate)
    before = known.durations[: change.first].flip(0).cumsum(0)
    start = change.first - int((before <= room).sum())
    room -= int(known.durations[start : change.first].sum())
    after = known.durations[change.end :].cumsum(0)
    parts = [known.part(change.end, change.end + int((after <= room).sum())), known.part(start, change.first)]
    joined = (torch.cat([getattr(part, name) for part in parts], -1) for name in ("codes", "phones", "durations"))
    return VoicePrompt(*joined)


def _frame(known: Coded, place: int) -> int:
    """The first frame of the phone at `place`."""
    return int(known.durations[:place].sum()) * known.merge


class _Splicer:
    """Builds a wave from a recording and new sound, left to right."""

    def __init__(self, recording: Recording, frame_rate: float) -> None:
        self._wave, self._rate, self._frame_rate = recording.wave, recording.sample_rate, frame_rate
        self._parts: list[Tensor] = []
        self._taken, self._length = 0, 0
        self._new: list[tuple[float, float]] = []

    def replace(self, first: int, end: int, sound: Tensor) -> None:
        """Put `sound` [1, n] where merged frames `first` to `end` − 1 of the recording were."""
        first, end = (min(round(frame / self._frame_rate * self._rate), self._wave.shape[-1]) for frame in (first, end))
        self._add(self._wave[:, self._taken : first])
        begun = self._length
        self._add(self._faded(sound, first, end))
        self._taken = end
        self._new.append((begun / self._rate, self._length / self._rate))

    def finish(self) -> Edited:
        """The whole, with the rest of the recording."""
        self._add(self._wave[:, self._taken :])
        return Edited(torch.cat(self._parts, -1), self._rate, self._new)

    def _add(self, part: Tensor) -> None:
        self._parts.append(part)
        self._length += part.shape[-1]

    def _faded(self, sound: Tensor, first: int, end: int) -> Tensor:
        """`sound` that begins as the recording goes on at sample `first`, and ends as it comes to sample `end`."""
        size = min(round(FADE_SECONDS * self._rate), self._wave.shape[-1] - first, end)
        sound = torch.cat([sound, sound.new_zeros(1, max(0, size - sound.shape[-1]))], -1)
        rising = torch.linspace(0, 1, size)
        weight = torch.ones(sound.shape[-1])
        leaving, coming = torch.zeros_like(sound), torch.zeros_like(sound)
        leaving[:, :size] = self._wave[:, first : first + size] * (1 - rising)
        coming[:, sound.shape[-1] - size :] = self._wave[:, end - size : end] * rising
        weight[:size] *= rising
        weight[sound.shape[-1] - size :] *= 1 - rising
        return sound * weight + leaving + coming
