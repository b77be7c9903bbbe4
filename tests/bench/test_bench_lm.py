import pytest
import torch

from audiogen.bench import limits, lm
from audiogen.nn.stepper import Stepper, stepper


@pytest.mark.parametrize("kind", [stepper, Stepper], ids=["fastest", "plain"])
@torch.no_grad()
def test_cached_steps_give_the_logits_of_the_uncached_whole(kind):
    torch.manual_seed(0)
    model, codes = lm.CodecLM(64, layers=2).eval(), torch.randint(lm.CODES, (3, lm.CODEBOOKS, 20))
    state = model.transformer.init_state(3, 20)
    torch.testing.assert_close(model.steps(codes, state, kind), model.whole(codes), atol=1e-4, rtol=0)


def test_a_language_model_is_timed_beside_the_public_way_and_the_limit(monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.01)
    table = lm.bench_lm(dim=64, layers=2, past=5)
    names = [f"{weights}, batch {batch}" for weights in ("float32", "8-bit weights") for batch in (1, 16)]
    assert [row["name"] for row in table.rows] == names
    for row in table.rows:
        assert row["times the reference"] == pytest.approx(row["ours"] / row["reference"])
        assert row["share of the limit"] == pytest.approx(100 * row["ours"] / row["limit"])
    alone, together = table.rows[:2]
    assert alone["times alone"] is None
    assert together["times alone"] == pytest.approx(together["ours"] / alone["ours"])
