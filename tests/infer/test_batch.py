"""Sessions of a batch say what they say alone, whenever they join and whoever leaves."""

from random import Random

import pytest
import torch
from torch import Tensor

from audiogen.infer.batch import SpeechBatch
from audiogen.infer.sampling import Sampler
from audiogen.models.valle_r import GenerateOptions, Utterance, VallER, VallERConfig, VoicePrompt
from audiogen.protocols import CodecSpec

CODEC = CodecSpec("toy", sample_rate=24_000, hop_length=320, num_codebooks=3, codebook_size=16)
OPTIONS = GenerateOptions(Sampler(top_p=0.9).pick, max_dwell=4)


@pytest.fixture(scope="module", params=[{}, {"phone_lag": 0}, {"pointer": False}], ids=["pointer", "lag 0", "plain"])
def model(request) -> VallER:
    torch.manual_seed(0)
    small = dict(dim=32, heads=2, feedforward=48, coarse_layers=2, fine_layers=1, chunk=4, context=1)
    return VallER(VallERConfig(CODEC, 8, **small, **request.param)).eval()


def utterance(number: int) -> Utterance:
    """One of several that differ in text, prompt and length."""
    chance = Random(number)
    frames = 2 * chance.randrange(4)
    prompt = VoicePrompt(torch.arange(3 * frames).view(3, frames) % 16, torch.tensor([2]), torch.tensor([frames // 2]))
    return Utterance(
        torch.tensor([chance.randrange(8) for _ in range(chance.randint(1, 6))]), prompt if frames else None
    )


def begun(model: VallER, number: int):
    return model.init_state([utterance(number)], OPTIONS, torch.Generator().manual_seed(number))


def alone(model: VallER, number: int) -> tuple[Tensor, Tensor]:
    """Codes and durations of an utterance by itself."""
    tokens, state = model.step(begun(model, number), OPTIONS)
    return tokens.codes[0], model.durations(state)[0]


@pytest.mark.parametrize("seed", range(3))
@torch.inference_mode()
def test_sessions_join_and_leave_at_any_step_and_say_what_they_say_alone(model, seed):
    chance, batch = Random(seed), SpeechBatch(model, OPTIONS)
    waiting, said, whose, left = list(range(12)), {}, {}, set()
    most = 0
    while waiting or len(batch):
        while waiting and chance.random() < 0.6:
            number = waiting.pop()
            session = batch.join(begun(model, number))
            whose[session], said[session] = number, []
        if len(batch) and chance.random() < 0.1:
            session = chance.choice([session for session in whose if session in batch])
            batch.leave(session)
            left.add(session)
        most = max(most, len(batch))
        for session, spoken in batch.step().items():
            said[session].append(spoken)
    assert most > 2 and len(whose) == 12
    for session, number in whose.items():
        codes, durations = alone(model, number)
        if not said[session]:
            continue
        heard = torch.cat([spoken.codes for spoken in said[session]], 1)
        assert torch.equal(heard, codes[:, : heard.shape[1]])
        if session not in left:
            assert heard.shape == codes.shape and torch.equal(said[session][-1].durations, durations)
            assert all(spoken.durations is None for spoken in said[session][:-1])


@torch.inference_mode()
def test_a_row_is_used_again_and_free_rows_are_given_up(model):
    batch = SpeechBatch(model, OPTIONS)
    sessions = [batch.join(begun(model, number)) for number in range(4)]
    batch.leave(sessions[1])
    batch.join(begun(model, 5))
    assert len(batch) == len(batch._rows) == 4
    for session in sessions[2:]:
        batch.leave(session)
    batch.step()
    assert len(batch._rows) == 2
    assert SpeechBatch(model, OPTIONS).step() == {}
