"""Whole recordings through a codec's steps: in blocks, so that memory stays small, and rows of a batch as if alone."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from audiogen.protocols import AudioTokens

BLOCK_SECONDS = 5.0


def encode_whole(codec: nn.Module, wave: Tensor, lengths: Tensor | None = None, **options: Any) -> AudioTokens:
    """Encode wave [B, 1, N], rows of `lengths` [B] samples, by `codec.encode_step(…, **options)`.

    What follows the end of a row is silence to it, as at the end of a stream.
    """
    lengths = torch.full((len(wave),), wave.shape[-1]) if lengths is None else lengths
    wave = wave * (torch.arange(wave.shape[-1]) < lengths[:, None, None])
    hop, parts, state = codec.spec.hop_length, [], codec.init_state(len(wave))
    blocks = wave.split(_block_frames(codec) * hop, dim=-1)
    for number, block in enumerate(blocks, start=1):
        tokens, state = codec.encode_step(block, state, final=number == len(blocks), **options)
        parts.append(tokens.codes if tokens.latents is None else tokens.latents)
    field = "codes" if tokens.latents is None else "latents"
    return AudioTokens(codec.spec, -(-lengths // hop), num_samples=lengths, **{field: torch.cat(parts, dim=-1)})


def decode_whole(codec: nn.Module, tokens: AudioTokens) -> Tensor:
    """Decode codes or latents [B, ·, T] to wave [B, 1, N], by `codec.decode_step`."""
    field = "codes" if tokens.latents is None else "latents"
    values = getattr(tokens, field)
    if len(set(tokens.lengths.tolist())) > 1:
        rows = [_row(tokens, field, row) for row in range(len(values))]
        waves = [decode_whole(codec, row) for row in rows]
        longest = max(wave.shape[-1] for wave in waves)
        return torch.cat([nn.functional.pad(wave, (0, longest - wave.shape[-1])) for wave in waves])
    waves, state = [], codec.init_state(len(values))
    blocks = values[..., : int(tokens.lengths[0])].split(_block_frames(codec), dim=-1)
    for number, block in enumerate(blocks, start=1):
        step = replace(tokens, lengths=torch.full((len(block),), block.shape[-1]), **{field: block})
        wave, state = codec.decode_step(step, state, final=number == len(blocks))
        waves.append(wave)
    wave = torch.cat(waves, dim=-1)
    return wave if tokens.num_samples is None else wave[..., : int(tokens.num_samples.max())]


def _block_frames(codec: nn.Module) -> int:
    return max(1, int(BLOCK_SECONDS * codec.spec.frame_rate))


def _row(tokens: AudioTokens, field: str, row: int) -> AudioTokens:
    one = slice(row, row + 1)
    values = getattr(tokens, field)[one, :, : int(tokens.lengths[row])]
    samples = None if tokens.num_samples is None else tokens.num_samples[one]
    return replace(tokens, lengths=tokens.lengths[one], num_samples=samples, **{field: values})
