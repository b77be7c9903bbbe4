"""DiffWave: both ways in time, told what is asked for, able to learn; its sampler finds what a perfect net knows."""

import pytest
import torch

from audiogen import registry
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer.diffusion import DiffusionGenerator, sample
from audiogen.nn.ssm import S4, S4D, TwoSided
from audiogen.recipes.waveform_data import Recordings

TINY = {"sample_rate": 4000, "dim": 8, "layers": 1, "ssm": "s4d", "state_size": 8, "steps": 50}


def tiny(**options):
    torch.manual_seed(0)
    return registry.build("diffusion", "diffwave", {**TINY, **options}).eval()


@pytest.mark.parametrize("ssm", [S4, S4D])
@torch.inference_mode()
def test_two_sided_state_spaces_are_one_each_way(ssm):
    torch.manual_seed(0)
    both, u = TwoSided(ssm, 3, 8), torch.randn(2, 37, 3)
    behind = both.forwards(u)[0]
    ahead = both.backwards(u.flip(1))[0].flip(1) - both.backwards.d * u
    expected = behind + torch.nn.functional.pad(ahead[:, 1:], (0, 0, 0, 1))
    torch.testing.assert_close(both(u), expected, atol=1e-5, rtol=1e-4)


def stirred(**options):
    """With a last layer that is not zero any more."""
    model = tiny(**options)
    torch.nn.init.normal_(model.last.weight)
    return model


@torch.inference_mode()
def test_every_sample_sees_every_other():
    model, wave = stirred(), torch.randn(1, 70)
    changed = wave.clone()
    changed[0, 40] += 1
    differs = (model(wave, torch.tensor([3])) - model(changed, torch.tensor([3]))).abs()[0]
    assert (differs > 1e-6).all() and wave.shape == differs[None].shape


@torch.inference_mode()
def test_steps_classes_and_frames_are_told():
    wave, steps = torch.randn(2, 64), torch.tensor([1, 30])
    assert not torch.equal(stirred()(wave, steps), stirred()(wave, steps.flip(0)))
    model = stirred(classes=3)
    assert not torch.equal(model(wave, steps, torch.tensor([0, 1])), model(wave, steps, torch.tensor([0, 2])))
    vocoder = stirred(num_mels=6)
    frames = vocoder.frames(wave)
    assert frames.shape == (2, 2, 6)
    assert not torch.equal(vocoder(wave, steps, None, frames), vocoder(wave, steps, None, frames + 1))


def test_it_learns_a_batch_by_heart():
    model = tiny(classes=2).train()
    wave = 0.5 * torch.sin(torch.arange(64) / torch.tensor([[2.0], [5.0]])).repeat(4, 1)
    batch = Recordings(wave, torch.tensor([64, 48] * 4), torch.tensor([0, 1] * 4))
    optimizer, errors = torch.optim.AdamW(model.parameters(), 1e-2), []
    for _ in range(50):
        loss, figures = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(figures["error"])
    assert sum(errors[-10:]) / 10 < 0.5 < errors[0]


class Knowing(torch.nn.Module):
    """Knows the one wave there is, and so tells the noise exactly."""

    def __init__(self, wave):
        super().__init__()
        self.config, self.kept, self.wave = tiny().config, tiny().kept, wave

    def forward(self, noisy, steps, labels, frames):
        kept = self.kept[steps, None]
        return (noisy - kept.sqrt() * self.wave) / (1 - kept).sqrt()


@pytest.mark.parametrize(("steps", "chance"), [(1, 0.0), (4, 0.0), (50, 1.0)])
def test_the_sampler_finds_what_the_network_knows(steps, chance):
    wave = torch.sin(torch.arange(40.0))[None].repeat(2, 1)
    made = sample(Knowing(wave), (2, 40), steps, chance, torch.Generator().manual_seed(0))
    torch.testing.assert_close(made, wave, atol=1e-4, rtol=0)


def test_clips_are_asked_for_by_class_length_and_seed():
    settings = {**TINY, "classes": 2}
    bundle = Bundle("diffusion", "diffwave", settings, assets={"labels": ["a", "b"]}, model=stirred(classes=2))
    generator = DiffusionGenerator(bundle)
    made = generator.generate(0.02, 3, "b", steps=3)
    assert made.shape == (3, 1, 80) and made.abs().max() <= 1
    assert torch.equal(made, generator.generate(0.02, 3, "b", steps=3))
    for wrong, told in (
        ({"label": "c"}, "unknown class"),
        ({}, "which class"),
        ({"label": "a", "count": 0}, "above 0"),
        ({"label": "a", "steps": 51}, "1 to 50 steps"),
    ):
        with pytest.raises(AudiogenError, match=told):
            generator.generate(**{"seconds": 0.02, **wrong})
    with pytest.raises(AudiogenError, match="no vocoder"):
        generator.resynthesize(torch.zeros(1, 1, 40))


def test_a_vocoder_makes_as_many_samples_as_it_heard():
    settings = {**TINY, "num_mels": 6}
    vocoder = DiffusionGenerator(Bundle("diffusion", "diffwave", settings, model=stirred(num_mels=6)))
    assert vocoder.resynthesize(torch.randn(2, 1, 130), steps=2).shape == (2, 1, 130)
    with pytest.raises(AudiogenError, match="needs log-mel frames"):
        vocoder.generate(0.02)


@pytest.mark.parametrize("wrong", [{"ssm": "s5"}, {"noise": [0.1]}, {"noise": [0.5, 2.0]}])
def test_impossible_configs_are_refused(wrong):
    with pytest.raises(AudiogenError, match=r"ssm|noise"):
        tiny(**wrong)
