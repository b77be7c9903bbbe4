from pathlib import Path

import pytest
import torch

from audiogen import registry
from audiogen.checkpoint import Bundle, save_bundle
from audiogen.text.g2p import EnglishG2P
from audiogen.text.lexicon import cmudict
from audiogen.text.neural import Spelling
from audiogen.text.phones import INVENTORY, SILENCE
from audiogen.text.sentences import split_sentences

LETTERS, PHONES = "'-.abcdefghijklmnopqrstuvwxyz", ["b", "t", "ə", "ˈæ"]


@pytest.fixture
def g2p() -> EnglishG2P:
    return EnglishG2P()


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = {"letters": len(LETTERS), "phones": len(PHONES), "dim": 8, "layers": 1}
    model = registry.build("g2p", "ctc_g2p", config)
    assets = Spelling(LETTERS, PHONES).to_dict()
    save_bundle(tmp_path / "tiny", Bundle("g2p", "ctc_g2p", config, assets=assets, model=model))
    return tmp_path / "tiny"


def say(g2p: EnglishG2P, text: str) -> str:
    return " | ".join(" ".join(phones) for _, phones in g2p.phonemize_words(text))


def test_the_dictionary_is_whole_and_in_the_inventory():
    lexicon = cmudict()
    assert len(lexicon) > 125_000
    assert lexicon.get("hello") == ["h", "ə", "l", "ˈoʊ"]
    assert len(lexicon.pronunciations("read")) == 2
    assert lexicon.get("qqqq") is None
    for word in lexicon.words()[::50]:
        assert all(phone in INVENTORY for phones in lexicon.pronunciations(word) for phone in phones)


def test_words_and_breaks(g2p: EnglishG2P):
    spoken = g2p.phonemize_words("hello, world.")
    assert [word for word, _ in spoken] == ["hello", ",", "world", "."]
    assert spoken[1][1] == [SILENCE]
    assert spoken[2][1] == ["w", "ˈɝ", "l", "d"]


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("firewalls", "f ˈaɪ ɹ w ɑ l z"),  # plural
        ("kindergartner's", "k ˈɪ n d ɚ ɡ ˌɑ ɹ t n ɚ z"),  # possessive
        ("dogs'", "d ˈɔ ɡ z"),
        ("disembarking", "d ɪ s ɛ m b ˈɑ ɹ k ɪ ŋ"),
        ("waterfront", "w ˈɔ t ɚ f ɹ ˌʌ n t"),
        ("xkcd", "ˈɛ k s k ˈeɪ s ˈi d ˈi"),  # spelled
    ],
)
def test_words_made_of_known_ones(g2p: EnglishG2P, word: str, phones: str):
    assert g2p.known(word) == phones.split()


def test_endings_follow_the_last_sound(g2p: EnglishG2P):
    from audiogen.text.g2p import _with_ed, _with_s

    assert [_with_s([phone])[1:] for phone in ("t", "d", "s")] == [["s"], ["z"], ["ɪ", "z"]]
    assert [_with_ed([phone])[1:] for phone in ("k", "n", "t", "z", "ʃ")] == [["t"], ["d"], ["ɪ", "d"], ["d"], ["t"]]


def test_context_decides(g2p: EnglishG2P):
    assert say(g2p, "the record") == "ð ə | ɹ ˈɛ k ɚ d"
    assert say(g2p, "to record") == "t ˈu | ɹ ɪ k ˈɔ ɹ d"
    assert say(g2p, "the apple") == "ð i | ˈæ p ə l"


def test_the_network_is_read_only_for_an_unknown_word(tiny_bundle: Path):
    g2p = EnglishG2P(str(tiny_bundle))
    g2p.phonemize_words("the quick brown fox's firewalls")
    assert "network" not in vars(g2p)
    assert g2p.word("zorblattish")
    assert "network" in vars(g2p)
    assert set(g2p.word("zorblattish")) <= set(INVENTORY.symbols)


def test_a_word_has_one_primary_stress():
    from audiogen.text.neural import _with_one_primary_stress as settle

    assert settle("k ˈæ t ˈɪ ŋ".split()) == "k ˈæ t ˌɪ ŋ".split()
    assert settle("k ə t ˌɪ ŋ".split()) == "k ə t ˈɪ ŋ".split()
    assert settle("k ə t i".split()) == "k ə t ˈi".split()
    assert settle("k ə".split()) == "k ˈʌ".split()
    assert settle(["k"]) == ["k"]


def test_the_shipped_network_says_unknown_words(g2p: EnglishG2P):
    assert g2p.known("blorptable") is None
    phones = g2p.word("blorptable")
    assert phones[:2] == ["b", "l"] and phones[-1] == "l"


def test_sentences_of_the_kathleen_recipe_are_sayable_without_the_network():
    path = Path(__file__).parents[2] / "egs/kathleen_en/tts/local/unseen_sentences.txt"
    sentences = path.read_text(encoding="utf-8").splitlines()
    assert len(sentences) == len(set(sentences)) == 40
    assert all(5 <= len(sentence.split()) <= 14 and not any(map(str.isdigit, sentence)) for sentence in sentences)
    assert all(split_sentences(sentence) == [sentence] for sentence in sentences)
