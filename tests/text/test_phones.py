import json

import pytest

from audiogen.errors import AudiogenError
from audiogen.text.phones import INVENTORY, SILENCE, PhoneInventory, from_arpabet, is_vowel, split_stress


def test_silence_is_zero_and_ids_round_trip():
    assert INVENTORY.encode([SILENCE]) == [0]
    assert INVENTORY.decode(INVENTORY.encode(INVENTORY.symbols)) == list(INVENTORY.symbols)
    assert len(set(INVENTORY.symbols)) == len(INVENTORY)


def test_inventory_travels_as_json():
    assert PhoneInventory.from_dict(json.loads(json.dumps(INVENTORY.to_dict()))) == INVENTORY


@pytest.mark.parametrize(
    ("arpabet", "ipa"),
    [("AE1", "ˈæ"), ("AE2", "ˌæ"), ("AE0", "æ"), ("AH0", "ə"), ("AH1", "ˈʌ"), ("ER0", "ɚ"), ("ER1", "ˈɝ"), ("HH", "h"),
     ("NG", "ŋ"), ("IY", "i"), ("sil", SILENCE), ("sp", SILENCE)],
)  # fmt: skip
def test_arpabet_maps_into_the_inventory(arpabet: str, ipa: str):
    assert from_arpabet(arpabet) == ipa
    assert ipa in INVENTORY


def test_parse_reads_joined_and_spaced_ipa_and_moves_stress_to_the_vowel():
    assert INVENTORY.parse("həˈloʊ") == INVENTORY.parse("h ə ˈl oʊ") == ["h", "ə", "l", "ˈoʊ"]
    assert INVENTORY.parse("tʃ t ʃ") == ["tʃ", "t", "ʃ"]
    assert INVENTORY.parse("biː.t͡s") == ["b", "i", "ts"]


def test_every_symbol_parses_as_itself():
    assert INVENTORY.parse(" ".join(INVENTORY.symbols)) == list(INVENTORY.symbols)


def test_stress_and_vowels():
    assert split_stress("ˈaɪ") == ("ˈ", "aɪ")
    assert split_stress("t") == ("", "t")
    assert is_vowel("ˌœ̃") and is_vowel("ə") and not is_vowel("ŋ") and not is_vowel(SILENCE)


@pytest.mark.parametrize(
    ("call", "named"),
    [(lambda: INVENTORY.encode(["q"]), "'q'"), (lambda: INVENTORY.parse("aq!"), "'q!'"),
     (lambda: from_arpabet("QX1"), "'QX1'"), (lambda: PhoneInventory(["a"]), "'sil'"),
     (lambda: PhoneInventory(["sil", "a", "a"]), "once")],
)  # fmt: skip
def test_errors_name_the_value(call, named: str):
    with pytest.raises(AudiogenError, match=named):
        call()
