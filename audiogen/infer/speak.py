"""Text to speech with a voice bundle: whole, or in a stream that begins to sound while the rest is being made.

Text is spoken sentence by sentence, each after the same voice prompt, so memory does not grow and the voice does not
drift. The first codebook runs a chunk ahead in a thread of its own, the others and the codec follow; a chunk never
hears what comes after it, so the speech is the same as when it is made whole.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, repeat
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from audiogen import audio
from audiogen.checkpoint import Bundle, load_bundle
from audiogen.data.alignment import durations as frames_of
from audiogen.data.alignment import tiled
from audiogen.errors import AudiogenError, unknown_name
from audiogen.infer.align import align
from audiogen.infer.sampling import Sampler
from audiogen.models.valle_r import GenerateOptions, Outline, SpeechState, Utterance, VoicePrompt
from audiogen.protocols import AudioTokens
from audiogen.text.frontend import LONGEST_TEXT, TextFrontend
from audiogen.text.sentences import split_sentences

ALIGNER = "aligner-en"
STREAMED_CHUNKS = (1, 1, 2, 3)  # the first chunk soon, later ones in larger steps, which cost less
PROMPT_SECONDS = (1.0, 15.0)
REMEMBERED_VOICES = 4

TimedPhone = tuple[str, float, float]
Item = TypeVar("Item")


@dataclass(frozen=True)
class SpeakOptions:
    """How to speak.

    Attributes:
        temperature: Chance in the sound; 0 always takes the likeliest code.
        top_p: Keeps the likeliest codes that together reach this probability.
        top_k: Keeps this many codes; 0 keeps all.
        pointer_temperature: Chance in how long phones last.
        speed: Above 1 speaks faster.
        max_dwell: The longest a phone may last, in frames of the first codebook.
    """

    temperature: float = 0.4
    top_p: float = 0.9
    top_k: int = 0
    pointer_temperature: float = 0.3
    speed: float = 1.0
    max_dwell: int = 12

    def __post_init__(self) -> None:
        if not 0.25 <= self.speed <= 4:
            raise AudiogenError(f"speed is {self.speed}; it must be between 0.25 and 4")
        if self.pointer_temperature < 0 or self.max_dwell < 1:
            wrong = f"pointer_temperature {self.pointer_temperature} and max_dwell {self.max_dwell}"
            raise AudiogenError(f"{wrong} must be at least 0 and 1")

    def generate(self) -> GenerateOptions:
        """The same for the model."""
        sampler = Sampler(self.temperature, self.top_p, self.top_k)
        return GenerateOptions(sampler, self.pointer_temperature, self.speed, self.max_dwell)


@dataclass(frozen=True)
class Speech:
    """What was said: `wave` [1, N] and its phones with times in seconds, none from a model without a pointer."""

    wave: Tensor
    sample_rate: int
    phones: list[TimedPhone]


class Speaker:
    """Speaks with one voice model through one codec.

    Args:
        bundle: A bundle of kind `acoustic`; its assets hold the `frontend` and the `voices`, and its model speaks by
            `prime`, `init_state`, `outline`, `fill` and `durations`, as `VallER` does.
        codec: The bundle of the codec it was trained on, with its model.
        aligner: Name or folder of the phone recogniser that finds the phones in a recorded voice prompt.
    """

    def __init__(self, bundle: Bundle, codec: Bundle, aligner: str | Path = ALIGNER) -> None:
        for asset in ("frontend", "voices"):
            if not bundle.assets.get(asset):
                raise AudiogenError(f"the voice bundle {bundle.folder or bundle.name} lacks its {asset!r}")
        self._model, self._codec, self._aligner = bundle.model, codec.model, aligner
        self._frontend = TextFrontend.from_dict(bundle.assets["frontend"])
        self._voices = {name: self._read_voice(voice) for name, voice in bundle.assets["voices"].items()}
        # Reading a prompt takes as long as speaking a second, and is the same for every sentence.
        self._primed = lru_cache(REMEMBERED_VOICES)(lambda prompt: self._model.prime([prompt]))

    @property
    def sample_rate(self) -> int:
        """Of everything it speaks."""
        return self._codec.spec.sample_rate

    @property
    def voices(self) -> list[str]:
        """Names of its voices; the first is the default."""
        return list(self._voices)

    def synthesize(
        self, text: str, voice: str | VoicePrompt | None = None, options: SpeakOptions | None = None, seed: int = 0
    ) -> Speech:
        """Speak `text` whole.

        Args:
            text: What to say; parts in double brackets are phones.
            voice: A name of `voices`, or what `voice_from_recording` made.
            options: How to say it.
            seed: Another number, another reading.

        Raises:
            AudiogenError: For a text with nothing to say, a text that is too long, or an unknown voice.
        """
        waves, phones = [], []
        for wave, said in self._blocks(text, voice, options or SpeakOptions(), seed, repeat(None)):
            waves.append(wave)
            phones += said
        return Speech(torch.cat(waves, -1), self.sample_rate, phones)

    def stream(
        self, text: str, voice: str | VoicePrompt | None = None, options: SpeakOptions | None = None, seed: int = 0
    ) -> Iterator[Tensor]:
        """Speak `text` in chunks [1, n], each as soon as it is made; see `synthesize`."""
        steps = chain(STREAMED_CHUNKS, repeat(STREAMED_CHUNKS[-1]))
        for wave, _ in self._blocks(text, voice, options or SpeakOptions(), seed, steps):
            if wave.shape[-1]:
                yield wave

    @torch.inference_mode()
    def voice_from_recording(
        self, recording: str | Path | Tensor, transcript: str, sample_rate: int | None = None
    ) -> VoicePrompt:
        """A voice like that of a recording of a few seconds.

        Args:
            recording: A sound file, or a wave [N] or [1, N] with its `sample_rate`.
            transcript: What is said in it, word for word.

        Raises:
            AudiogenError: If the recording cannot be read, is too short or too long, or does not fit the transcript.
        """
        if isinstance(recording, Tensor):
            wave, rate = recording.reshape(1, -1), sample_rate or self.sample_rate
        else:
            wave, rate = audio.read(recording), audio.check(recording).samplerate
        if not transcript or not transcript.strip():
            raise AudiogenError("a voice prompt needs a transcript: what is said in it, word for word")
        seconds, (shortest, longest) = wave.shape[-1] / rate, PROMPT_SECONDS
        if not shortest <= seconds <= longest:
            raise AudiogenError(
                f"the voice prompt lasts {seconds:.1f} s; it must be {shortest:g} to {longest:g} s long"
            )
        merge = self._model.config.merge
        levelled = audio.at_level(audio.resample(wave, rate, self.sample_rate))
        codes = self._codec.encode(levelled[None], merge=merge).codes[0]
        listener = load_bundle(self._aligner, "recognizer")
        heard = audio.resample(wave, rate, listener.model.config.sample_rate)[0]
        timings = tiled(align(listener, heard, self._frontend.phones(transcript)), seconds)
        counts = frames_of(timings, codes.shape[1] // merge, float(self._codec.spec.frame_rate / merge))
        ids = self._frontend.inventory.encode(symbol for symbol, _, _ in timings)
        return VoicePrompt(codes, torch.tensor(ids), torch.tensor(counts))

    def _read_voice(self, voice: dict[str, Any]) -> VoicePrompt:
        phones = torch.tensor(self._frontend.inventory.encode(voice["phones"]))
        return VoicePrompt(torch.tensor(voice["codes"]), phones, torch.tensor(voice["durations"]))

    def _prompt(self, voice: str | VoicePrompt | None) -> VoicePrompt:
        if isinstance(voice, VoicePrompt):
            return voice
        name = self.voices[0] if voice is None else voice
        if name not in self._voices:
            raise unknown_name("voice", name, self._voices)
        return self._voices[name]

    @torch.inference_mode()
    def _blocks(
        self,
        text: str,
        voice: str | VoicePrompt | None,
        options: SpeakOptions,
        seed: int,
        steps: Iterator[int | None],
    ) -> Iterator[tuple[Tensor, list[TimedPhone]]]:
        """The wave [1, n] of the next of `steps` chunks at a time, and with the last of a sentence its phones."""
        decoder, frames, fine = self._codec.init_state(1), 0, None
        for phones, state, outline in ahead(self._outlines(text, self._prompt(voice), options, seed, steps)):
            if fine is None:
                begun, fine = frames, state.fine
            tokens, fine = self._model.fill(outline, fine)
            frames += tokens.codes.shape[-1]
            wave, decoder = self._codec.decode_step(tokens, decoder)
            yield wave[0], self._timings(phones, state, begun) if state.done else []
            fine = None if state.done else fine
        nothing = torch.zeros(1, self._codec.spec.num_codebooks, 0, dtype=torch.long)
        wave, _ = self._codec.decode_step(AudioTokens.from_codes(self._codec.spec, nothing), decoder, final=True)
        yield wave[0], []

    @torch.inference_mode()
    def _outlines(
        self, text: str, prompt: VoicePrompt, options: SpeakOptions, seed: int, steps: Iterator[int | None]
    ) -> Iterator[tuple[list[str], SpeechState, Outline]]:
        """A sentence, its state after the next of `steps` chunks, with `fine` as at its start, and those chunks."""
        drawing, generator = options.generate(), torch.Generator().manual_seed(seed)
        for phones in self._sentences(text):
            ids = torch.tensor(self._frontend.inventory.encode(phones))
            state = self._model.init_state([Utterance(ids, prompt)], drawing, self._primed(prompt))
            while not state.done:
                outline, state = self._model.outline(state, drawing, generator, next(steps))
                yield phones, state, outline

    def _sentences(self, text: str) -> Iterator[list[str]]:
        """The phones of each sentence that has any."""
        if len(text) > LONGEST_TEXT:
            raise AudiogenError(f"the text has {len(text):,} characters; at most {LONGEST_TEXT:,} are spoken at a time")
        sentences = split_sentences(text)
        sayable = [sentence for sentence in sentences if any(map(str.isalnum, sentence))]
        for sentence in sayable or [text]:
            yield self._frontend.phones(sentence)

    def _timings(self, phones: list[str], state: Any, begun: int) -> list[TimedPhone]:
        """The phones of a finished sentence that began at frame `begun`."""
        seconds = float(1 / self._codec.spec.frame_rate)
        timings, place = [], begun
        for phone, count in zip(phones, self._model.durations(state)[0].tolist(), strict=True):
            end = place + count * self._model.config.merge
            if count:
                timings.append((phone, place * seconds, end * seconds))
            place = end
        return timings


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; while one is used, the next is made in another thread."""
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = worker.submit(next, items, None)
            yield item
