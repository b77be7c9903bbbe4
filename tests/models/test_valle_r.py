"""VALL-E R: it learns a batch and says it again; its pointer keeps its promises; streams and batches change nothing."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.models.valle_r import GenerateOptions, Utterance, VallER, VallERConfig, VoicePrompt
from audiogen.protocols import CodecSpec

CODEC = CodecSpec("toy", sample_rate=24_000, hop_length=320, num_codebooks=3, codebook_size=16)
PHONES = 8
SURE = GenerateOptions(pointer_temperature=0)


@dataclass
class Batch:
    codes: Tensor
    lengths: Tensor
    phones: Tensor
    phone_lengths: Tensor
    durations: Tensor


def model(**changes) -> VallER:
    torch.manual_seed(0)
    small = dict(dim=32, heads=2, feedforward=48, coarse_layers=2, fine_layers=2, chunk=4, context=1, window=24)
    return VallER(VallERConfig(CODEC, PHONES, dropout=0.0, **{**small, **changes})).eval()


def codes_of(frames: int, merge: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(16, (1, frames // merge), generator=generator).repeat_interleave(merge, 1)
    return torch.cat([first, torch.randint(16, (2, frames), generator=generator)])


def batch_of(durations: list[list[int]], merge: int = 2) -> Batch:
    rows = [torch.tensor(row) for row in durations]
    pad = torch.nn.utils.rnn.pad_sequence
    generator = torch.Generator().manual_seed(1)
    phones = [torch.randint(PHONES, (len(row),), generator=generator) for row in rows]
    codes = [codes_of(int(row.sum()) * merge, merge, seed).T for seed, row in enumerate(rows)]
    return Batch(
        codes=pad(codes, True).transpose(1, 2),
        lengths=torch.tensor([len(c) for c in codes]),
        phones=pad(phones, True),
        phone_lengths=torch.tensor([len(p) for p in phones]),
        durations=pad(rows, True),
    )


def prompt(seed: int = 0, durations: tuple[int, ...] = (2, 1, 3)) -> VoicePrompt:
    phones = torch.arange(len(durations)) % PHONES
    return VoicePrompt(codes_of(2 * sum(durations), seed=seed), phones, torch.tensor(durations))


def said(system: VallER, utterances: list[Utterance], options=SURE, chunks=None, generator=None, primed=None):
    """Codes, and the durations at the end, of a stream of `chunks` at a time."""
    state = system.init_state(utterances, options, generator, primed)
    parts = []
    while not state.done:
        tokens, state = system.step(state, options, chunks)
        parts.append(tokens.codes)
    return torch.cat(parts, 2), system.durations(state)


@pytest.mark.parametrize("changes", [{}, {"phone_lag": 0}, {"merge": 1}, {"pointer": False}])
def test_it_learns_a_batch_and_says_it_again(changes):
    system = model(**changes).train()
    batch = batch_of([[2, 1, 3, 2], [1, 2, 1]], system.config.merge)
    optimizer = torch.optim.AdamW(system.parameters(), 1e-2)
    for step in range(100):
        loss, metrics = system.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / 105)
    assert metrics["coarse"] < 0.1
    utterances = [Utterance(batch.phones[i, : batch.phone_lengths[i]]) for i in range(2)]
    system.eval()
    codes, durations = said(system, utterances)
    for row, length in enumerate(batch.lengths.tolist()):
        assert torch.equal(codes[row, 0, :length], batch.codes[row, 0, :length])
        assert (codes[row, :, :length] == batch.codes[row, :, :length]).float().mean() > 0.8
        if system.config.pointer:
            assert durations[row].tolist() == batch.durations[row, : batch.phone_lengths[row]].tolist()


@pytest.mark.parametrize("changes", [{}, {"phone_lag": 0}, {"pointer": False}])
def test_cached_logits_equal_uncached(changes):
    system = model(**changes)
    batch = batch_of([[2, 1, 3, 2]])
    seen = []
    system.coarse.head.register_forward_hook(lambda module, inputs, output: seen.append(output))
    system.coarse.losses(batch)
    whole = seen.pop()
    path = iter(batch.codes[0, 0, ::2].tolist())
    forced = GenerateOptions(sample=lambda logits, uniforms: torch.tensor([next(path)]))
    state = system.init_state([Utterance(batch.phones[0], durations=batch.durations[0])], forced)
    system.step(state, forced)
    torch.testing.assert_close(torch.cat(seen)[:8], whole[:8], atol=1e-5, rtol=0)


@pytest.mark.parametrize("changes", [{}, {"phone_lag": 0}, {"pointer": False}])
def test_a_prompt_is_as_if_said_before(changes):
    """The logits after a prompt are those of one utterance that begins with it."""
    system = model(**changes)
    batch = batch_of([[2, 1, 3, 2]])
    seen = []
    system.coarse.head.register_forward_hook(lambda module, inputs, output: seen.append(output))
    system.coarse.losses(batch)
    whole = seen.pop()
    begin = VoicePrompt(batch.codes[0, :, :6], batch.phones[0, :2], batch.durations[0, :2])
    path = iter(batch.codes[0, 0, 6::2].tolist())
    forced = GenerateOptions(sample=lambda logits, uniforms: torch.tensor([next(path)]))
    state = system.init_state([Utterance(batch.phones[0, 2:], begin, batch.durations[0, 2:])], forced)
    system.step(state, forced)
    torch.testing.assert_close(torch.cat(seen)[:5], whole[3:8], atol=1e-5, rtol=0)


@pytest.mark.parametrize("changes", [{}, {"phone_lag": 0}, {"pointer": False}])
@pytest.mark.parametrize("chunks", [1, 3])
def test_a_stream_says_what_the_whole_says(changes, chunks):
    system = model(**changes)
    utterance = Utterance(torch.tensor([3, 3, 1, 4, 0, 7] * 4), prompt())
    options = replace(SURE, max_dwell=3)
    whole, durations = said(system, [utterance], options)
    streamed, same = said(system, [utterance], options, chunks)
    assert torch.equal(streamed, whole) and torch.equal(same[0], durations[0])
    if system.config.pointer:
        primed = system.prime([utterance.prompt])
        for _ in range(2):
            assert torch.equal(said(system, [utterance], options, chunks, primed=primed)[0], whole)


@pytest.mark.parametrize("changes", [{}, {"phone_lag": 0}, {"pointer": False}])
def test_a_batch_says_what_single_utterances_say(changes):
    system = model(**changes)
    utterances = [
        Utterance(torch.tensor([1, 2, 3, 4, 5]), prompt()),
        Utterance(torch.tensor([6, 6])),
        Utterance(torch.tensor([7, 0, 7]), prompt(1, (4, 1))),
    ]
    options = replace(SURE, max_dwell=4)
    state = system.init_state(utterances, options)
    tokens, state = system.step(state, options)
    for row, utterance in enumerate(utterances):
        single, durations = said(system, [utterance], options)
        assert tokens.lengths[row] == single.shape[2]
        assert torch.equal(tokens.codes[row, :, : single.shape[2]], single[0])
        assert torch.equal(system.durations(state)[row], durations[0])


def answers(system: VallER, phone: str, advance: float = 0.0) -> VallER:
    """The model with a pointer that always, never or at random would advance."""
    with torch.no_grad():
        system.coarse.path.phone_head.weight.zero_()
        slope = {"stay": -1e4, "go": 1e4, "tie": 0.0, "infinite": float("inf")}[phone]
        system.coarse.path.phone_head.bias.copy_(torch.arange(PHONES + 1.0) * slope)
        system.coarse.path.advance_head.weight.zero_()
        system.coarse.path.advance_head.bias.fill_(advance)
    return system


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("answer", ["random", "stay", "go", "tie"])
def test_the_pointer_visits_every_phone_in_order(lag, answer):
    system = model(phone_lag=lag)
    if answer != "random":
        answers(system, answer)
    phones = torch.tensor([0, 1, 1, 2, 5, 6, 7])
    options = GenerateOptions(max_dwell=5)
    state = system.coarse.init_state([Utterance(phones, prompt())], options, torch.Generator().manual_seed(3))
    places = []
    with torch.no_grad():
        while not state.done.all():
            _, place, count, state = system.coarse.step(state, options, most=2)
            places += place[0, : int(count)].tolist()
    steps = torch.tensor(places).diff()
    assert places[0] == 3 and places[-1] == 3 + len(phones) - 1
    assert set(steps.tolist()) <= {0, 1}
    dwell = torch.bincount(torch.tensor(places) - 3)
    assert dwell.min() >= 1 and dwell.max() <= 5
    if answer == "stay":
        assert (dwell[[0, 3, 4, 5]] == 5).all()
    if answer == "go":
        assert (dwell[[0, 2, 3, 4, 5, 6]] == 1).all()


@pytest.mark.parametrize(("advance", "dwell"), [(50.0, 1), (-50.0, 6)])
def test_equal_neighbours_go_by_the_advance_head(advance, dwell):
    system = answers(model(), "go", advance)
    _, durations = said(system, [Utterance(torch.tensor([2, 2, 2, 3]))], GenerateOptions(max_dwell=6))
    assert durations[0].tolist() == [dwell, dwell, 1, 1]


@pytest.mark.parametrize("lag", [0, 1])
def test_a_preset_path_is_kept_exactly(lag):
    system = model(phone_lag=lag)
    preset = torch.tensor([3, 1, 40, 2])
    codes, durations = said(system, [Utterance(torch.tensor([1, 1, 4, 2]), prompt(), preset)])
    assert durations[0].tolist() == preset.tolist() and codes.shape[2] == 2 * int(preset.sum())


@pytest.mark.parametrize("lag", [0, 1])
def test_some_phones_may_be_preset(lag):
    system = answers(model(phone_lag=lag), "go")
    preset = torch.tensor([0, 7, 0, 1, 0])
    _, durations = said(system, [Utterance(torch.arange(5), prompt(), preset)], GenerateOptions(min_dwell=2))
    assert durations[0].tolist() == [2, 7, 2, 1, 2]


@pytest.mark.parametrize("lag", [0, 1])
def test_what_follows_is_known_but_not_said(lag):
    system = model(phone_lag=lag)
    begin, rest = torch.tensor([1, 2, 3]), torch.tensor([4, 5])
    utterance = Utterance(begin, prompt(), torch.tensor([2, 1, 2]), rest)
    codes, durations = said(system, [utterance])
    assert durations[0].tolist() == [2, 1, 2] and codes.shape[2] == 10
    whole = Utterance(torch.cat([begin, rest]), prompt(), torch.tensor([2, 1, 2, 3, 3]))
    assert torch.equal(said(system, [whole])[0][:, 0, :10], codes[:, 0])


def test_a_long_utterance_stays_in_the_buffers_it_began_with():
    system = model()
    state = system.init_state([Utterance(torch.tensor([1, 2, 3]), prompt(), torch.tensor([90, 1, 90]))], SURE)
    room = state.fine.cache.keys[0].shape
    begun = [buffer.data_ptr() for buffer in (*state.coarse.cache.keys, *state.coarse.cache.values)]
    while not state.done:
        _, state = system.step(state, SURE, chunks=3)
    assert [buffer.data_ptr() for buffer in (*state.coarse.cache.keys, *state.coarse.cache.values)] == begun
    assert state.fine.cache.keys[0].shape == room and int(state.fine.frame) == 362


def test_plain_valle_is_stopped_at_the_cap():
    system = model(pointer=False)
    never = GenerateOptions(sample=lambda logits, uniforms: logits[:, :16].argmax(-1), max_dwell=3)
    assert said(system, [Utterance(torch.tensor([1, 2, 3, 4]), prompt())], never)[0].shape[2] == 2 * 12


@torch.no_grad()
def test_later_codebooks_do_not_reach_earlier_ones():
    fine = model().fine
    hidden, codes = torch.randn(2, 8, fine.config.dim), torch.randint(16, (2, 8, 3))
    known = torch.ones(2, 8, dtype=torch.bool)
    for stage in range(1, 3):
        changed = codes.clone()
        changed[..., stage:] = (changed[..., stage:] + 1) % 16
        assert torch.equal(fine._told(hidden, codes, known, stage), fine._told(hidden, changed, known, stage))


def test_codes_of_another_codec_begin_as_the_nearest_ones():
    system = model()
    vectors = torch.randn(3, 16, system.config.code_dim)
    system.start_from(vectors)
    before = system.coarse.codes.weight.clone()
    order = torch.randperm(16)
    system.adopt(vectors[:, order])
    assert torch.equal(system.coarse.codes.weight, before[[*order.tolist(), 16]])


def test_padding_changes_no_loss():
    system = model(window=40)
    one = batch_of([[2, 1, 3, 2]])
    two = Batch(
        codes=torch.nn.functional.pad(one.codes, (0, 6), value=3),
        lengths=one.lengths,
        phones=torch.nn.functional.pad(one.phones, (0, 2), value=5),
        phone_lengths=one.phone_lengths,
        durations=torch.nn.functional.pad(one.durations, (0, 2)),
    )
    first, second = system.loss(one)[1], system.loss(two)[1]
    assert {k: first[k] for k in ("coarse", "phone", "advance")} == pytest.approx(
        {k: second[k] for k in ("coarse", "phone", "advance")}, abs=1e-5
    )


@pytest.mark.parametrize(
    ("utterance", "message"),
    [
        (Utterance(torch.zeros(0, dtype=torch.long)), "no phones"),
        (Utterance(torch.tensor([1, 2]), durations=torch.tensor([1])), "1 durations for 2 phones"),
        (Utterance(torch.tensor([1]), durations=torch.tensor([-1])), "0 where it is free"),
        (Utterance(torch.tensor([1]), replace(prompt(), codes=codes_of(4))), "prompt of 4 frames has phones for 12"),
    ],
)
def test_what_does_not_fit_is_refused(utterance, message):
    with pytest.raises(AudiogenError, match=message):
        model().init_state([utterance], SURE)


@pytest.mark.parametrize("changes", [{}, {"phone_lag": 0}, {"pointer": False}])
def test_attention_is_shared_among_what_came_before(changes):
    system = model(**changes)
    utterance = Utterance(torch.tensor([1, 2, 3]), prompt(), torch.tensor([2, 1, 3]))
    shares = system.attention(utterance, torch.randint(16, (6,)))
    told = 3 + 3 + 1 + 6  # phones of prompt and text, the end symbol, frames of the prompt
    assert shares.shape == (6, told + 6)
    torch.testing.assert_close(shares.sum(1), torch.ones(6))
    assert (shares[:, :told] > 0).all()
    assert torch.equal(shares[:, told:] > 0, torch.ones(6, 6).tril() > 0)


def test_the_parts_keep_their_names():
    with torch.device("meta"):
        names = {name.split(".")[0] + "." + name.split(".")[1] for name in VallER(VallERConfig(CODEC, 8)).state_dict()}
    coarse = {"phones", "codes", "transformer", "head", "path"}
    fine = {"phones", "vectors", "input", "voice", "parts", "transformer", "refiner", "frequency"}
    assert names == {*(f"coarse.{part}" for part in coarse), *(f"fine.{part}" for part in fine)}
