"""Random streams through a codec, for the tests that a stream gives what the whole does."""

import torch
from torch import Tensor, nn


def wave_of(samples: int, rows: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Noise [rows, 1, samples]."""
    return 0.1 * torch.randn(rows, 1, samples, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def check_stream(codec: nn.Module, seed: int, rows: int, longest: int, chunk: int, tolerance: float = 1e-5) -> None:
    """Noise of random length in random chunks, some of them empty: codes, latents and wave are those of the whole."""
    generator = torch.Generator().manual_seed(seed)
    dtype = next((parameter.dtype for parameter in codec.parameters()), torch.float32)
    wave = wave_of(int(torch.randint(1, longest, (), generator=generator)), rows, seed, dtype)
    whole = codec.encode(wave)
    heard = codec.decode(whole)
    assert heard.shape == wave.shape  # no sample is lost
    state, made, waves, at = codec.init_state(rows), [], [], 0
    while at < wave.shape[-1]:
        size = int(torch.randint(0, chunk, (), generator=generator))
        final = at + size >= wave.shape[-1]
        tokens, state = codec.encode_step(wave[..., at : at + size], state, final)
        samples, state = codec.decode_step(tokens, state, final)
        made.append(tokens)
        waves.append(samples)
        at += size
    streamed = torch.cat(waves, -1)
    assert streamed.shape[-1] >= wave.shape[-1]
    torch.testing.assert_close(streamed[..., : wave.shape[-1]], heard, atol=tolerance, rtol=0)
    if whole.latents is None:
        assert torch.equal(torch.cat([tokens.codes for tokens in made], -1), whole.codes)
    else:
        latents = torch.cat([tokens.latents for tokens in made], -1)
        torch.testing.assert_close(latents, whole.latents, atol=tolerance, rtol=tolerance)
