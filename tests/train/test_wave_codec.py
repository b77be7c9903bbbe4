"""Training of wave codecs: content reaches the first codebook, discriminators judge, codebooks start."""

import pytest
import torch

pytest.importorskip("lightning_fabric")

from audiogen import codecs, registry  # noqa: F401
from audiogen.train.loop import TrainConfig
from audiogen.train.wave_codec import CodebookObjective, WaveObjective, WaveTrainConfig, content_loss, mel_distance

FRAMES = {"hop_length": 160, "n_fft": 640, "num_mels": 8, "decoder_dim": 8, "decoder_depth": 1}
SEMANTIC = {**FRAMES, "encoder_dim": 8, "encoder_depth": 1, "latent_dim": 4, "num_codebooks": 2, "codebook_size": 8}


def teacher(wave: torch.Tensor) -> torch.Tensor:
    """Loudness and crossings of zero of every 20 ms at 16 kHz."""
    frames = wave[:, : wave.shape[1] // 320 * 320].unflatten(1, (-1, 320))
    return torch.stack([frames.square().mean(2), frames.diff(dim=2).square().mean(2)], dim=2)


def steps(objective, count: int) -> list[dict[str, float]]:
    optimizers = objective.optimizers(TrainConfig(learning_rate=1e-2))
    batch, rows = 0.1 * torch.randn(2, 1, 4900), []
    for step in range(1, count + 1):
        row = {}
        for name, loss, figures in objective.losses(batch, step):
            optimizers[name].zero_grad()
            loss.backward()
            optimizers[name].step()
            row |= figures
        rows.append(row)
    return rows


def test_a_vocoder_learns_first_alone_then_against_discriminators():
    torch.manual_seed(0)
    objective = WaveObjective(registry.build("codec", "mel_vocoder", FRAMES), WaveTrainConfig(adversarial_from=6))
    rows = steps(objective, 8)
    assert set(rows[5]) == {"mel"}
    assert set(rows[6]) == {"discriminator", "mel", "adversarial", "feature"}
    assert rows[5]["mel"] < rows[0]["mel"]


def test_the_first_codebook_learns_to_say_what_the_teacher_hears():
    torch.manual_seed(0)
    config = WaveTrainConfig(start_codebooks_after=2, adversarial_from=100)
    objective = CodebookObjective(registry.build("codec", "semantic_rvq", SEMANTIC), config, teacher)
    rows = steps(objective, 12)
    assert "commitment" not in rows[0] and {"commitment", "perplexity/first"} <= rows[-1].keys()
    assert rows[-1]["content"] < rows[0]["content"]
    assert all(parameter.grad is not None for parameter in objective.modules["content"].parameters())


def test_content_is_a_cosine_along_time_whatever_its_scale():
    heard = torch.randn(2, 20, 3)
    alike = content_loss(5 * heard, heard)
    torch.testing.assert_close(alike, -torch.nn.functional.logsigmoid(torch.tensor(1.0)))
    assert content_loss(-heard, heard) > content_loss(torch.randn(2, 20, 3), heard) > alike
    assert content_loss(torch.randn(2, 80, 3), heard).ndim == 0


def test_the_mel_distance_is_zero_for_equal_waves_only():
    wave = 0.1 * torch.randn(1, 4800)
    assert mel_distance(wave, wave, 24_000) == 0
    assert mel_distance(0.5 * wave, wave, 24_000).item() == pytest.approx(0.693, abs=0.01)
