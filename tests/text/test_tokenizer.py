import json

import pytest

from audiogen.errors import AudiogenError
from audiogen.text.tokenizer import CharTokenizer


def test_round_trip_in_lower_case_without_punctuation():
    tokenizer = CharTokenizer()
    assert tokenizer.decode(tokenizer.encode("Don’t stop -- it's a  café!")) == "don't stop it's a cafe"
    assert tokenizer.blank == len(tokenizer) == 28


def test_travels_as_json_with_other_alphabets():
    german = CharTokenizer((" ", *"abcdefghijklmnopqrstuvwxyzäöüß"))
    again = CharTokenizer.from_dict(json.loads(json.dumps(german.to_dict())))
    assert again.symbols == german.symbols
    assert again.decode(again.encode("Schöne Grüße")) == "schöne grüße"


@pytest.mark.parametrize("text", ["route 66", "привет", "你好"])
def test_a_letter_without_label_is_an_error(text: str):
    with pytest.raises(AudiogenError, match="has no label"):
        CharTokenizer().encode(text)


def test_symbols_are_single_characters_given_once():
    with pytest.raises(AudiogenError):
        CharTokenizer(["a", "a"])
