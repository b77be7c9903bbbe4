import torch

import audiogen.models  # noqa: F401
from audiogen import registry
from audiogen.data.words import WordStream, word_batch
from audiogen.text.neural import Spelling, say

SPELLING = Spelling("abc", ["A", "B", "C", "D"])
WORDS = [
    ("a", ["A"]),
    ("ab", ["A", "B"]),
    ("ba", ["B", "A"]),
    ("cab", ["C", "D", "A", "B"]),
    ("abba", ["A", "B", "B", "A"]),
]


def tiny() -> torch.nn.Module:
    torch.manual_seed(0)
    return registry.build("g2p", "ctc_g2p", {"letters": 3, "phones": 4, "dim": 32, "layers": 2})


def test_padded_rows_equal_single_rows():
    model = tiny().eval()
    batch = word_batch(WORDS, SPELLING)
    together = model(batch.letters)
    for row, (word, _) in enumerate(WORDS):
        alone = model(torch.tensor([SPELLING.letter_ids(word)]))
        torch.testing.assert_close(together[row, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-5)


def test_it_learns_a_handful_of_words():
    model, batch = tiny(), word_batch(WORDS, SPELLING)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(80):
        loss, _ = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert say(model.eval(), SPELLING, [word for word, _ in WORDS]) == [phones for _, phones in WORDS]


def test_batches_are_a_function_of_the_step():
    stream = WordStream(WORDS * 5, SPELLING, batch_size=2, seed=1)
    whole = [batch.letters.tolist() for _, batch in zip(range(40), stream.batches(), strict=False)]
    for start in (1, 13, 30):
        later = [batch.letters.tolist() for _, batch in zip(range(10), stream.batches(start), strict=False)]
        assert later == whole[start : start + 10]
    assert whole[: stream.batches_per_epoch] != whole[stream.batches_per_epoch : 2 * stream.batches_per_epoch]
