import json
import subprocess
import sys

import pytest

from audiogen.errors import AudiogenError
from audiogen.text.frontend import TextFrontend
from audiogen.text.phones import INVENTORY, SILENCE, PhoneInventory


def test_silence_begins_ends_and_breaks_phrases():
    phones = TextFrontend().phones("Hello, ... world!")
    assert phones == ["sil", "h", "ə", "l", "ˈoʊ", "sil", "w", "ˈɝ", "l", "d", "sil"]


def test_explicit_phones():
    frontend = TextFrontend()
    assert frontend.phones("[[təmˈeɪtoʊ]]") == [SILENCE, "t", "ə", "m", "ˈeɪ", "t", "oʊ", SILENCE]
    assert frontend.phones("a [[t ə]] test") == [SILENCE, "ə", "t", "ə", "t", "ˈɛ", "s", "t", SILENCE]


def test_settings_travel_as_json():
    frontend = TextFrontend(inventory=PhoneInventory(INVENTORY.symbols[::-1][-1:] + INVENTORY.symbols[1:]))
    again = TextFrontend.from_dict(json.loads(json.dumps(frontend.to_dict())))
    assert again.language == "en" and again.inventory == frontend.inventory
    assert again.phones("ten past ten") == frontend.phones("ten past ten")


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty"), (" \n", "empty"), ("😀😀", "nothing to say"), ("привет мир", "nothing to say"),
     ("...!?", "nothing to say"), ("a" * 100_000, "100,000 characters"),
     ("[[q$]]", "no known phone"), ("[[]]", "nothing to say")],
)  # fmt: skip
def test_bad_input_is_one_clear_line(text: str, message: str):
    with pytest.raises(AudiogenError, match=message) as caught:
        TextFrontend().phones(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_a_phone_outside_the_inventory_is_an_error():
    with pytest.raises(AudiogenError, match="no phone of this inventory"):
        TextFrontend(inventory=PhoneInventory(["sil", "ə"])).phones("hello")


def test_other_languages_go_through_espeak():
    pytest.importorskip("espeakng_loader")
    phones = TextFrontend("de").phones("Schöne Füße, danke.")
    assert phones[0] == phones[-1] == SILENCE and phones.count(SILENCE) == 3
    assert phones[1:3] == ["ʃ", "ˈø"]


def test_reading_known_words_loads_no_network():
    program = "import sys, audiogen.text.frontend as f; f.TextFrontend().phones('hi'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
