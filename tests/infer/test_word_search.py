"""The search for words: it finds what trying all word sequences finds, in parts of any length as in one."""

import itertools

import numpy as np
import pytest
import torch

from audiogen.infer.lexicon import ROOT, phone_tree
from audiogen.infer.word_search import SearchWeights, Vocabulary, WordSearch
from audiogen.text.lexicon import cmudict
from audiogen.text.phones import PhoneInventory, unstressed
from audiogen.text.trigrams import Followers, WordTrigrams

INVENTORY = PhoneInventory(["sil", "t", "i", "ɪ", "æ", "ə", "eɪ"])
WORDS = ["a", "at", "eat", "it", "tea"]
WEIGHTS = SearchWeights(words=0.7, bonus=0.4, blank=0.3)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    singles = np.array([0.4, 0.2, 0.1, 0.2, 0.1])
    keys = np.array([1 * 5 + 0, 2 * 5 + 3, 5 * 5 + 3])  # a after at, it after eat and at the start
    pairs = Followers.of(keys, np.full(3, 0.6), 6, 5)
    triples = Followers.of(np.array([0 * 5 + 4]), np.full(1, 0.8), 1, 5)  # tea after eat it
    return Vocabulary(INVENTORY, WordTrigrams(WORDS, singles, pairs, np.array([2 * 5 + 3]), triples), WEIGHTS)


def random_log_probs(frames: int, seed: int) -> torch.Tensor:
    return (2 * torch.randn(frames, len(INVENTORY) + 1, generator=torch.Generator().manual_seed(seed))).log_softmax(-1)


def ways(word: str) -> list[list[int]]:
    return [INVENTORY.encode(map(unstressed, phones)) for phones in cmudict().pronunciations(word)]


def best_path(phones: list[int], heard: np.ndarray) -> float:
    """Log-probability of the best way through the phones, each entered once and then heard or followed by blanks."""
    scores = np.full(len(phones) + 1, -np.inf)
    scores[0] = 0.0
    for frame in heard:
        blank = frame[-1] - WEIGHTS.blank
        stay = np.append(blank, np.maximum(frame[phones], blank))
        enter = np.append(-np.inf, scores[:-1] + frame[phones])
        scores = np.maximum(scores + stay, enter)
    return scores[-1]


def word_price(trigrams: WordTrigrams, words: tuple[int, ...]) -> float:
    price, history = 0.0, np.array([trigrams.start])
    for word in words:
        price += trigrams.log_prob(history, np.array([word]))[0]
        history = trigrams.after(history, np.array([word]))
    return price


def try_all(vocabulary: Vocabulary, heard: np.ndarray, longest: int) -> list[str]:
    best: tuple[float, list[str]] = (-np.inf, [])
    for count in range(longest + 1):
        for words in itertools.product(range(len(WORDS)), repeat=count):
            price = word_price(vocabulary.trigrams, words)
            spoken = [
                list(itertools.chain(*said)) for said in itertools.product(*(ways(WORDS[word]) for word in words))
            ]
            sound = max(best_path(phones, heard) for phones in spoken)
            score = sound + WEIGHTS.words * price + WEIGHTS.bonus * count
            best = max(best, (score, [WORDS[word] for word in words]))
    return best[1]


@pytest.mark.parametrize("seed", range(12))
def test_a_wide_search_finds_what_trying_all_finds(vocabulary, seed):
    log_probs = random_log_probs(4, seed)
    search = WordSearch(vocabulary, 0.02, width=10_000, margin=1e9)
    search.feed(log_probs)
    assert [word.word for word in search.words(final=True)] == try_all(vocabulary, log_probs.double().numpy(), 4)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_parts_give_what_the_whole_gives(vocabulary, size):
    log_probs = random_log_probs(60, 0)
    whole, parts = (WordSearch(vocabulary, 0.02, width=20) for _ in range(2))
    whole.feed(log_probs)
    settled: list[str] = []
    for start in range(0, 60, size):
        parts.feed(log_probs[start : start + size])
        words = [word.word for word in parts.words()]
        assert words[: len(settled)] == settled
        settled = words[: parts.stable()]
    assert settled
    assert parts.words(final=True) == whole.words(final=True)


def test_words_have_times_and_confidences(vocabulary):
    log_probs = torch.full((10, len(INVENTORY) + 1), 1e-3)
    for frame, symbol in enumerate([None, "ɪ", "ɪ", "t", None, None, "t", "i", "i", None]):
        log_probs[frame, INVENTORY.encode([symbol])[0] if symbol else -1] = 1.0
    search = WordSearch(vocabulary, 0.02)
    search.feed(log_probs.log())
    first, second = search.words(final=True)
    assert (first.word, first.start_s, first.end_s) == ("it", 0.02, 0.08)
    assert (second.word, second.start_s, second.end_s) == ("tea", 0.12, 0.18)
    assert first.confidence == second.confidence == 1.0


def test_silence_says_nothing(vocabulary):
    search = WordSearch(vocabulary, 0.02)
    assert search.words(final=True) == []
    search.feed(torch.tensor([[-20.0] * len(INVENTORY) + [0.0]]).repeat(5, 1))
    assert search.words() == search.words(final=True) == []


def test_the_tree_holds_every_pronunciation():
    said = [(0, (1, 2)), (1, (1, 2, 3)), (2, (2,)), (0, (4, 2)), (3, (1, 2))]
    tree = phone_tree(said, np.array([-3.0, -1.0, -2.0, -4.0]), root_label=9)
    found = set()

    def walk(node: int, phones: tuple[int, ...]) -> float:
        own = [int(word) for word in tree.words[tree.first_word[node] :][: tree.num_words[node]]]
        found.update((word, phones) for word in own)
        children = range(tree.first_child[node], tree.first_child[node] + tree.num_children[node])
        below = [walk(child, (*phones, int(tree.labels[child]))) for child in children]
        best = max([*below, *([-3.0, -1.0, -2.0, -4.0][word] for word in own)])
        assert node == ROOT or best == tree.best[node]
        return best

    walk(ROOT, ())
    assert found == set(said) and tree.labels[ROOT] == 9
