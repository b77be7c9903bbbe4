"""A speaker small enough for tests: an untrained model, and a codec that any ear can check."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.checkpoint import Bundle
from audiogen.infer.speak import Speaker, SpeakOptions
from audiogen.models.valle_r import VallER, VallERConfig
from audiogen.nn.state import State
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.text.frontend import TextFrontend

SPEC = CodecSpec("toy", sample_rate=24_000, hop_length=320, num_codebooks=3, codebook_size=16)
SAYS = SpeakOptions(max_dwell=3)


@dataclass
class Held(State):
    """The frames that the toy codec holds back."""

    codes: Tensor


class ToyCodec(nn.Module):
    """A frame is its codes' sum for 320 samples, spoken one frame late."""

    spec = SPEC

    def init_state(self, batch_size: int = 1) -> Held:
        return Held(torch.zeros(batch_size, 3, 0, dtype=torch.long))

    def decode_step(self, tokens: AudioTokens, state: Held, final: bool = False) -> tuple[Tensor, Held]:
        codes = torch.cat([state.codes, tokens.codes], 2)
        settled = codes.shape[2] if final else max(codes.shape[2] - 1, 0)
        wave = codes[:, :, :settled].sum(1).repeat_interleave(320, 1)[:, None] / 64
        return wave, Held(codes[:, :, settled:])

    def encode(self, wave: Tensor, lengths: Tensor | None = None, merge: int = 1) -> AudioTokens:
        frames = -(-wave.shape[-1] // 320 // merge) * merge
        return AudioTokens.from_codes(SPEC, torch.full((1, 3, frames), 5))


def tiny_speaker(pointer: bool = True) -> Speaker:
    """A speaker of one tiny untrained model with two voices."""
    frontend = TextFrontend("en")
    torch.manual_seed(0)
    small = dict(dim=32, heads=2, feedforward=48, coarse_layers=1, fine_layers=1, chunk=8, context=1)
    config = VallERConfig(SPEC, len(frontend.inventory), pointer=pointer, **small)
    voice = {"codes": [[3] * 8, [1, 2] * 4, [4] * 8], "phones": ["sil", "ˈæ", "sil"], "durations": [1, 2, 1]}
    assets = {"frontend": frontend.to_dict(), "voices": {"ann": voice, "bob": {**voice, "codes": [[9] * 8] * 3}}}
    bundle = Bundle("acoustic", "valle_r", {}, assets=assets, model=VallER(config).eval())
    return Speaker(bundle, Bundle("codec", "toy", {}, model=ToyCodec()))
