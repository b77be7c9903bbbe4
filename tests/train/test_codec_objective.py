"""Codec training: what a step of it moves, and what it leaves alone."""

import pytest
import torch

pytest.importorskip("lightning_fabric")

from audiogen import codecs, registry  # noqa: F401
from audiogen.train.codec import CodecObjective, CodecTrainConfig
from audiogen.train.loop import TrainConfig

TINY = {
    "encoder_dim": 8,
    "encoder_depth": 1,
    "decoder_dim": 8,
    "decoder_depth": 1,
    "codebook_size": 16,
    "latent_dim": 4,
}


def trained(steps: int, **config) -> tuple[torch.nn.Module, list[str]]:
    """A tiny codec after some steps, and the names of the losses that moved it."""
    torch.manual_seed(0)
    objective = CodecObjective(registry.build("codec", "magnitude_rvq", TINY), CodecTrainConfig(**config))
    optimizers = objective.optimizers(TrainConfig(learning_rate=1e-2))
    batch, names = 0.1 * torch.randn(2, 1, 5120), []
    for step in range(1, steps + 1):
        for name, loss, figures in objective.losses(batch, step):
            assert all(value == value for value in figures.values())
            optimizers[name].zero_grad()
            loss.backward()
            optimizers[name].step()
            names.append(name)
    return objective.modules["codec"], names


def test_a_decoder_is_trained_against_discriminators_and_the_codes_stay():
    before, _ = trained(0)
    after, names = trained(2, decoder_only=True, adversarial_from=0)
    assert names == ["discriminators", "codec"] * 2
    assert after.codes_digest() == before.codes_digest()
    assert not torch.equal(after.decoder.skip.weight, before.decoder.skip.weight)


def test_all_of_a_codec_is_trained_once_its_codebooks_have_started():
    before, _ = trained(0)
    after, names = trained(4, start_codebooks_after=2)
    assert names == ["codec"] * 4
    for part in ("encoder.skip.weight", "quantizer.vectors", "decoder.skip.weight"):
        assert not torch.equal(after.state_dict()[part], before.state_dict()[part]), part


def test_discriminators_learn_from_their_own_loss_only():
    torch.manual_seed(0)
    config = CodecTrainConfig(decoder_only=True, adversarial_from=0)
    objective = CodecObjective(registry.build("codec", "magnitude_rvq", TINY), config)
    losses = objective.losses(0.1 * torch.randn(2, 1, 5120), step=1)
    next(losses)
    _, loss, _ = next(losses)
    loss.backward()
    assert all(parameter.grad is None for parameter in objective.modules["discriminators"].parameters())
    assert all(parameter.requires_grad for parameter in objective.modules["discriminators"].parameters())
