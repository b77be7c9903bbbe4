"""The page in a real browser: it speaks, listens to a file and to the microphone, and says what is wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from browser import CHROMEDRIVER, CHROMIUM, Browser

from audiogen import audio

pytestmark = pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs Debian's chromium and chromium-driver")

SPEECH, HEARING = "document.querySelector('#ag-speech-status')", "document.querySelector('#ag-listen-status')"
ENDED = f"['Done.', 'No words were heard.'].includes({HEARING}.textContent)"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "noise.wav"
    audio.write(path, 0.1 * torch.randn(1, 48_000, generator=torch.Generator().manual_seed(0)), 24_000)
    return path


@pytest.fixture(scope="module")
def page(service: str, recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile"), microphone=recording) as browser:
        browser.open(f"http://{service}/")
        browser.wait("window.audiogen && document.querySelector('#ag-speak')")
        yield browser


def press(page: Browser, selector: str, label: str = "") -> None:
    """Click the first element that `selector` finds and whose text contains `label`."""
    find = "[...document.querySelectorAll(arguments[0])].find(found => found.textContent.includes(arguments[1]))"
    page.run(f"{find}.click()", selector, label)


def test_it_speaks_and_plays(page: Browser):
    page.run(
        "const text = document.querySelector('#ag-say textarea'); text.value = 'Hi.';"
        "text.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    press(page, "#ag-speak")
    page.wait(f"{SPEECH}.textContent.includes('real-time factor')")
    assert page.wait("document.querySelector('#ag-audio').duration") > 0.1
    assert page.run(
        "return document.querySelector('#ag-wave').getContext('2d').getImageData(0, 40, 9, 9).data.some(x => x)"
    )


def test_it_asks_for_consent_before_it_uses_a_voice(page: Browser, recording: Path):
    press(page, "button", "Speak like a recording")
    page.wait("document.querySelector('#ag-prompt-file')")
    page.choose_file("#ag-prompt-file", recording)
    page.wait("document.querySelector('#ag-prompt-status').textContent.includes('2.00 s')")
    press(page, "#ag-speak")
    page.wait(f"{SPEECH}.textContent.includes('may use this voice')")
    press(page, "#ag-prompt-clear")


def test_it_listens_to_a_file(page: Browser, recording: Path):
    press(page, "button[role=tab]", "Listen")
    page.wait("document.querySelector('#ag-listen-file')")
    page.choose_file("#ag-listen-file", recording)
    page.wait(ENDED)
    assert page.run("return document.querySelector('#ag-text').classList.contains('ag-final')")


def test_it_says_what_is_no_sound(page: Browser, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("not sound")
    page.choose_file("#ag-listen-file", tmp_path / "notes.txt")
    page.wait(f"{HEARING}.textContent.includes('not a sound file')")


def test_it_listens_to_the_microphone(page: Browser):
    press(page, "#ag-microphone")
    page.wait(
        f"{HEARING}.textContent === 'Listening …' && parseFloat(document.querySelector('#ag-level').style.width) > 0"
    )
    press(page, "#ag-microphone")
    page.wait(ENDED)


def test_it_generates_and_plays(page: Browser):
    press(page, "button[role=tab]", "Generate")
    page.wait("document.querySelector('#ag-generate')")
    press(page, "#ag-generate")
    page.wait("document.querySelector('#ag-made .ag-status').textContent.includes('real-time factor')")
    assert page.wait("document.querySelector('#ag-made audio').duration") > 0.1


def test_it_makes_what_a_caption_says_and_plays_it(page: Browser):
    press(page, "button[role=tab]", "Sound")
    page.wait("document.querySelector('#ag-make')")
    press(page, "#ag-make")
    page.wait("document.querySelector('#ag-sound .ag-status').textContent.includes('real-time factor')")
    assert page.wait("document.querySelector('#ag-sound audio').duration") > 0.1


def test_it_asks_nothing_of_other_machines(page: Browser):
    asked = page.run("return performance.getEntriesByType('resource').map(entry => new URL(entry.name).host)")
    assert {host for host in asked if host} == {page.run("return location.host")}
