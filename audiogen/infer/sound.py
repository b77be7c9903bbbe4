"""Sound from a caption: whole, while it is made, going on from a recording, or between two of them.

What is longer than the clips a model was trained on is made window by window, each going on from the end of the one
before it. Only the codes of a window depend on those before it, so a piece of any length takes constant memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer import causal
from audiogen.infer.captions import caption_encoder
from audiogen.infer.causal import CausalOptions
from audiogen.infer.masked import MaskedOptions, Rescorer, fill_in
from audiogen.infer.sampling import seeded
from audiogen.models.magnet import Magnet
from audiogen.models.musicgen import MusicGen
from audiogen.nn.cross_transformer import Memory
from audiogen.nn.int8 import to_int8
from audiogen.protocols import AudioTokens, Codec, CodecSpec

MAX_SECONDS = 600.0
KEPT = 0.4  # share of a window that the next one goes on from, as MusicGen slides by 18 s of 30
CHUNK_SECONDS = 0.5  # of a stream


@dataclass(frozen=True)
class SoundOptions:
    """How to draw.

    Attributes:
        masked: For MAGNeT.
        causal: For MusicGen, and for a clip's beginning in a hybrid.
        begin_seconds: What is said causally before MAGNeT fills in the rest, by the companion if there is one, else by
            the model itself, which must then be a hybrid.
    """

    masked: MaskedOptions = field(default_factory=MaskedOptions)
    causal: CausalOptions = field(default_factory=CausalOptions)
    begin_seconds: float = 0.0

    def changed(self, steps: Sequence[int] | None = None, guidance: float | None = None) -> "SoundOptions":
        """The same with other steps for MAGNeT, and another guidance for both, where they are given."""
        masked = self.masked if steps is None else replace(self.masked, steps=tuple(steps))
        if guidance is None:
            return replace(self, masked=masked)
        return replace(self, masked=replace(masked, guidance=guidance), causal=replace(self.causal, guidance=guidance))


class SoundGenerator:
    """A model of sound with its codec.

    Args:
        bundle: Of kind `sound`, with its model.
        codec: What its codes are decoded by.

    Raises:
        AudiogenError: If the codec has not the codes that the model says.
    """

    def __init__(self, bundle: Bundle, codec: Codec) -> None:
        self.model: MusicGen | Magnet = bundle.model
        self.codec, self.spec = codec, bundle.model.config.codec
        _check_codec(self.spec, codec.spec)
        self.sample_rate: int = self.spec.sample_rate
        self.options = SoundOptions(MaskedOptions(**_plain(bundle.assets.get("options", {}))))
        self._captions = caption_encoder(bundle.assets["captions"])
        self._codes = bundle.codec["codes_sha256"], self.spec
        self._companion: SoundGenerator | None = None

    def take_along(self, companion: "SoundGenerator") -> None:
        """Let a MusicGen on the same codes rescore what this MAGNeT says, and begin for it if asked to.

        Raises:
            AudiogenError: If they are not a MAGNeT and a MusicGen, or their codes are not the same.
        """
        if not isinstance(self.model, Magnet) or not isinstance(companion.model, MusicGen):
            raise AudiogenError("only a MAGNeT is rescored, and only by a MusicGen")
        if self._codes != companion._codes:
            raise AudiogenError("the two models say the codes of different codecs; train them on the same")
        self._companion = companion

    def to_int8(self) -> None:
        """Draw with 8-bit weights from now on: faster on a CPU, a little less exact, and no longer the same in a batch.

        Raises:
            AudiogenError: If torch has none on this machine.
        """
        to_int8(self.model.network.transformer)

    def generate(
        self,
        captions: str | Sequence[str],
        seconds: float,
        options: SoundOptions | None = None,
        seed: int = 0,
        prompt: Tensor | None = None,
    ) -> Tensor:
        """Make a clip for each caption.

        Args:
            captions: What is to be heard; one or several.
            seconds: Length of each, the prompt's included.
            options: How; by default as the bundle says.
            seed: Another number, another sound. The n-th clip is the one that `seed + n` gives alone.
            prompt: A recording [1, N] at the model's rate to go on from.

        Returns:
            Waves [B, C, N], which begin with the prompt as the codec renders it.
        """
        captions = [captions] if isinstance(captions, str) else list(captions)
        known = self._prompt_codes(prompt, len(captions))
        request, seeds = self._request(captions, options), [seed + row for row in range(len(captions))]
        pieces = self._pieces(request, self._frames(seconds), seeds, known, chunk=0)
        codes = torch.cat([known, *pieces], 2)
        return self._decode(codes)[..., : round(seconds * self.sample_rate)]

    def stream(
        self,
        caption: str,
        seconds: float,
        options: SoundOptions | None = None,
        seed: int = 0,
        prompt: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """The clip of `generate` while it is made, in pieces [C, n]: a MAGNeT's come window by window."""
        known = self._prompt_codes(prompt, 1)
        chunk = max(1, round(CHUNK_SECONDS * self.spec.frame_rate))
        pieces = self._pieces(self._request([caption], options), self._frames(seconds), [seed], known, chunk)
        left = round(seconds * self.sample_rate)
        states = [self.codec.init_state(1) for _ in range(self.spec.channels)]
        for codes, final in _with_last(_chain(known, pieces)):
            waves = []
            for channel, state in enumerate(states):
                tokens = AudioTokens.from_codes(self.codec.spec, codes[:, channel :: self.spec.channels])
                wave, states[channel] = self.codec.decode_step(tokens, state, final)
                waves.append(wave[0])
            piece = torch.cat(waves)[:, :left]
            left -= piece.shape[1]
            if piece.shape[1]:
                yield piece

    def infill(
        self,
        caption: str,
        before: Tensor | None,
        seconds: float,
        after: Tensor,
        options: SoundOptions | None = None,
        seed: int = 0,
    ) -> Tensor:
        """What leads from one recording to another.

        Args:
            caption: What is to be heard.
            before: A recording [1, N] at the model's rate; None if the sound is to begin by itself.
            seconds: Length of what comes between.
            after: A recording [1, M] at the model's rate.
            options: How.
            seed: Another number, another sound.

        Returns:
            All three together, wave [C, n]; the recordings as the codec renders them.

        Raises:
            AudiogenError: If the model is no MAGNeT, or if it is longer than the clips the model was trained on.
        """
        if not isinstance(self.model, Magnet):
            raise AudiogenError("only a MAGNeT leads from one recording to another; this is a MusicGen")
        left, right = (self._prompt_codes(wave, 1) for wave in (before, after))
        between = left.new_zeros(*left.shape[:2], self._frames(seconds))
        codes = torch.cat([left, between, right], 2)
        if codes.shape[2] > self.model.config.window:
            longest = float(self.model.config.window / self.spec.frame_rate)
            raise AudiogenError(
                f"what is given and what is to be made between are longer than {longest:g} s together, as far as this"
                " model sees at once"
            )
        given = torch.ones(1, codes.shape[2], dtype=torch.bool)
        given[:, left.shape[2] : left.shape[2] + between.shape[2]] = False
        request = self._request([caption], options)
        drawing = request.options.masked
        filled = fill_in(self.model, request.memory, codes, given, drawing, [seed], request.rescorer)
        end = (left.shape[2] + between.shape[2]) * self.spec.hop_length + after.shape[-1]
        return self._decode(filled)[0, :, :end]

    def _pieces(
        self, request: "_Request", frames: int, seeds: list[int], known: Tensor, chunk: int
    ) -> Iterator[Tensor]:
        """The codes after `known`, up to `frames` frames: window by window, a MusicGen's in chunks if asked for."""
        missing, window = frames - known.shape[2], self.model.config.window
        if missing < 1:
            has, asked = (float(count / self.spec.frame_rate) for count in (known.shape[2], frames))
            raise AudiogenError(f"the prompt lasts {has:.2f} s of the {asked:.2f} s; ask for more seconds than it has")
        longest = max(1, int(KEPT * window))
        kept = known[:, :, max(0, known.shape[2] - longest) :]
        while missing:
            size = min(window, kept.shape[2] + missing)
            said = []
            for codes in self._window(request, kept, size, seeds, chunk):
                said.append(codes)
                yield codes
            missing -= size - kept.shape[2]
            kept = torch.cat([kept, *said], 2)[:, :, -longest:]
            seeds = [_next_seed(seed) for seed in seeds]

    def _window(self, request: "_Request", kept: Tensor, size: int, seeds: list[int], chunk: int) -> Iterator[Tensor]:
        """The codes of a window of `size` frames that follow those kept."""
        options = request.options
        if isinstance(self.model, MusicGen):
            yield from causal.stream(self.model, request.memory, size, options.causal, seeds, kept, chunk)
            return
        begun, begin = kept, min(size, round(options.begin_seconds * self.spec.frame_rate))
        if kept.shape[2] == 0 and begin:
            model, memory = self.model, request.memory
            if request.rescorer is not None:
                model, memory = request.rescorer.model, request.rescorer.memory
            begun = causal.generate(model, memory, begin, options.causal, seeds)
        codes = F.pad(begun, (0, size - begun.shape[2]))
        given = (torch.arange(size) < begun.shape[2]).expand(len(seeds), -1)
        filled = fill_in(self.model, request.memory, codes, given, options.masked, seeds, request.rescorer)
        yield filled[:, :, kept.shape[2] :]

    def _request(self, captions: Sequence[str], options: SoundOptions | None) -> "_Request":
        if not captions:
            raise AudiogenError("there is no caption; say what is to be heard")
        rescorer = None
        if self._companion is not None:
            rescorer = Rescorer(self._companion.model, self._companion._memory(captions))
        return _Request(self._memory(captions), options or self.options, rescorer)

    def _memory(self, captions: Sequence[str]) -> Memory:
        return self.model.network.remember(*self._captions(captions))

    def _frames(self, seconds: float) -> int:
        if not 0 < seconds <= MAX_SECONDS:
            raise AudiogenError(f"{seconds:g} seconds were asked for; more than 0 and at most {MAX_SECONDS:g} are made")
        return self.spec.num_frames(max(1, round(seconds * self.sample_rate)))

    def _prompt_codes(self, prompt: Tensor | None, count: int) -> Tensor:
        """The codes [count, K, P] of a recording, of no frames if there is none."""
        if prompt is None:
            return torch.zeros(count, self.spec.num_codebooks, 0, dtype=torch.long)
        codes = self.codec.encode(prompt[None]).codes[:, : self.spec.num_codebooks // self.spec.channels]
        return codes.repeat_interleave(self.spec.channels, 1).expand(count, -1, -1)

    def _decode(self, codes: Tensor) -> Tensor:
        """Waves [B, C, N]; the codebooks of two channels alternate."""
        channels = [codes[:, channel :: self.spec.channels] for channel in range(self.spec.channels)]
        return torch.cat([self.codec.decode(AudioTokens.from_codes(self.codec.spec, own)) for own in channels], 1)


@dataclass(frozen=True)
class _Request:
    """Captions as the models know them, and how to draw."""

    memory: Memory
    options: SoundOptions
    rescorer: Rescorer | None


def _check_codec(said: CodecSpec, has: CodecSpec) -> None:
    """Refuse a codec `has` without the codes that are `said`."""
    same = (said.sample_rate, said.hop_length, said.codebook_size) == (
        has.sample_rate,
        has.hop_length,
        has.codebook_size,
    )
    if not same or said.num_codebooks > has.num_codebooks * said.channels:
        raise AudiogenError(f"the model does not match its codec: it says {_codes(said)}, the codec has {_codes(has)}")


def _codes(spec: CodecSpec) -> str:
    books = f"{spec.num_codebooks} codebooks of {spec.codebook_size:,}"
    return f"{books}, {float(spec.frame_rate):g} frames a second at {spec.sample_rate:,} Hz"


def _plain(options: dict) -> dict:
    """Options of a bundle as `MaskedOptions` takes them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def _next_seed(seed: int) -> int:
    """The seed of a clip's next window: a draw, so that neighbouring seeds stay apart."""
    return int(torch.randint(1 << 62, (), generator=seeded(seed)))


def _chain(known: Tensor, pieces: Iterator[Tensor]) -> Iterator[Tensor]:
    if known.shape[2]:
        yield known
    yield from pieces


def _with_last(pieces: Iterator[Tensor]) -> Iterator[tuple[Tensor, bool]]:
    """Each piece, and whether it is the last."""
    previous = next(pieces)
    for piece in pieces:
        yield previous, False
        previous = piece
    yield previous, True
