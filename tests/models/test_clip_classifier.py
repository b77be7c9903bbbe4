"""The judge of clips: padding and level do not count, and it learns to tell tones apart."""

from types import SimpleNamespace

import torch

from audiogen.models.clip_classifier import ClipClassifier, ClipClassifierConfig


def tones(count: int, length: int = 1200) -> SimpleNamespace:
    """Clips at 4 kHz of three pitches with some noise."""
    generator = torch.Generator().manual_seed(count)
    labels = torch.arange(count) % 3
    time, pitch = torch.arange(length) / 4000, torch.tensor([300.0, 700.0, 1500.0])[labels]
    wave = 0.3 * torch.sin(2 * torch.pi * pitch[:, None] * time) + 0.02 * torch.randn(
        count, length, generator=generator
    )
    return SimpleNamespace(wave=wave, lengths=torch.full((count,), length), labels=labels)


def tiny() -> ClipClassifier:
    torch.manual_seed(0)
    return ClipClassifier(ClipClassifierConfig(4000, 3, num_mels=20, dim=4, features=8))


@torch.inference_mode()
def test_padding_and_level_do_not_count():
    model, batch = tiny().eval(), tones(3)
    expected = model(batch.wave, batch.lengths)
    for wave in (torch.nn.functional.pad(batch.wave, (0, 777)), 0.5 * batch.wave):
        torch.testing.assert_close(model(wave, batch.lengths), expected, atol=1e-2, rtol=1e-2)


def test_it_learns_to_tell_tones_apart():
    model, batch = tiny(), tones(12)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(40):
        loss, _ = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        assert model.eval().loss(tones(15))[1]["right"] > 0.9
