"""Speech with exact phone timings from espeak-ng (extra `synth`), which lives in a process of its own.

It speaks text of many languages, or phones of our inventory with an English voice. Phones come back with the times at
which espeak-ng made them. `ipa` transcribes text without speaking.
"""

import json
import re
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.extras import require
from audiogen.text.phones import INVENTORY, SILENCE, split_stress

WORD_BREAK = " "
PADDING_S = 0.1
_QUIET = 1  # of 32,768
_SHORTEST = 330  # samples, 15 ms
_STRESS = {"": "", "ˈ": "'", "ˌ": ","}
_MNEMONICS = {
    "ɑ": "A:", "æ": "a", "ʌ": "V", "ə": "@", "ɔ": "O:", "aʊ": "aU", "aɪ": "aI", "ɛ": "E", "ɝ": "3:", "ɚ": "3",
    "eɪ": "eI", "ɪ": "I", "i": "i:", "oʊ": "oU", "ɔɪ": "OI", "ʊ": "U", "u": "u:", "p": "p", "b": "b", "t": "t",
    "d": "d", "k": "k", "ɡ": "g", "tʃ": "tS", "dʒ": "dZ", "f": "f", "v": "v", "θ": "T", "ð": "D", "s": "s", "z": "z",
    "ʃ": "S", "ʒ": "Z", "h": "h", "m": "m", "n": "n", "ŋ": "N", "l": "l", "ɹ": "r", "j": "j", "w": "w",
}  # fmt: skip
# What espeak-ng writes that our inventory spells differently or lacks.
_RESPELLED = (
    ("-", ""), ("ʝ", "j"), ("ɟ", "dʒ"), ("ɜː", "ɝ"), ("ɜ", "ɐ"), ("əʊ", "oʊ"), ("ʌʊ", "aʊ"), ("ɔø", "ɔɪ"), ("ᵻ", "ɪ"),
    ("ɒ", "ɔ"), ("ɵ", "ʏ"), ("n̩", "ən"), ("l̩", "əl"), ("m̩", "əm"), ("ʲ", "j"), ("ɬ", "l"), ("ɫ", "l"), ("g", "ɡ"),
)  # fmt: skip
_LANGUAGE_SWITCH = re.compile(r"\([a-z-]+\)")


@dataclass
class SyntheticSpeech:
    """What espeak-ng said: `wave` float32 [N] and `phones` as (symbol, start_s, end_s), which tile it without gaps."""

    wave: Tensor
    sample_rate: int
    phones: list[tuple[str, float, float]]


class Espeak:
    """A running espeak-ng; close it, or use it in a `with` block. A process that died is started again."""

    def __init__(self) -> None:
        loader = require("espeakng_loader", "synth")
        self._arguments = [loader.get_library_path(), loader.get_data_path()]
        self._process: subprocess.Popen | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(
        self,
        text: str | None = None,
        phones: Sequence[str] | None = None,
        voice: str = "en-us",
        rate: int = 175,
        pitch: int = 50,
        pitch_range: int = 50,
    ) -> SyntheticSpeech:
        """Speak a text, or phones of our inventory.

        Args:
            text: What to say in the voice's language, or:
            phones: Symbols of the inventory; `"sil"` is a phrase break and `" "` ends a word, which helps the rhythm.
                The symbols come back as they were given.
            voice: A language of espeak-ng, with `+variant` for another speaker: `"en-us+f3"`. For `phones` it is
                an `en-us` one.
            rate: Words a minute, 80 to 450.
            pitch: Base pitch, 0 to 99.
            pitch_range: Liveliness of the intonation, 0 to 99.

        Returns:
            Speech that begins and ends with silence.

        Raises:
            AudiogenError: For an unknown voice or phone, nothing to say, or input that espeak-ng cannot handle.
        """
        if (text is None) == (phones is None):
            raise AudiogenError("espeak-ng says either a text or phones: give one of them")
        if phones is not None and not voice.startswith("en-us"):
            raise AudiogenError(f"the voice {voice!r} cannot say phones; an en-us voice can, e.g. 'en-us+f3'")
        spoken = text if phones is None else _bracketed(phones)
        answer, samples = self._ask(
            do="say", text=spoken, in_brackets=phones is not None, voice=voice, rate=rate, pitch=pitch,
            pitch_range=pitch_range,
        )  # fmt: skip
        events = [(start, name) for start, name in answer["events"]]
        if not any(name for _, name in events):
            raise AudiogenError(f"espeak-ng finds nothing to say in {spoken[:60]!r}")
        intervals = _intervals(events, np.frombuffer(samples, np.int16))
        labelled = _as_heard(intervals) if phones is None else _as_given(intervals, phones)
        return _padded(labelled, samples, answer["sample_rate"])

    def ipa(self, text: str, language: str) -> str:
        """`text` in IPA as symbols of our inventory: phones separated by spaces, phrases by ` sil `.

        Raises:
            AudiogenError: If espeak-ng lacks the language or writes a sound that the inventory lacks.
        """
        answer, _ = self._ask(do="ipa", text=text, voice=language)
        clauses = (to_inventory(clause.replace("_", " ")) for clause in answer["clauses"])
        return f" {SILENCE} ".join(" ".join(clause) for clause in clauses if clause)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, **request: Any) -> tuple[dict[str, Any], bytes]:
        if "\0" in request["text"]:
            raise AudiogenError("the text holds a NUL character; take it out")
        with self._lock:
            answer, samples = self._exchange(json.dumps(request).encode() + b"\n")
        if "error" in answer:
            raise AudiogenError(answer["error"])
        return answer, samples

    def _exchange(self, request: bytes) -> tuple[dict[str, Any], bytes]:
        process = self._running()
        try:
            process.stdin.write(request)
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
        except (BrokenPipeError, ValueError):
            self.close()
            raise AudiogenError(
                "espeak-ng does not run here; install it again: pip install 'audiogen[synth]'"
            ) from None
        return answer, process.stdout.read(answer.get("num_bytes", 0))

    def _running(self) -> subprocess.Popen:
        if self._process is None or self._process.poll() is not None:
            self.close()
            command = [sys.executable, "-I", str(Path(__file__).with_name("espeak_worker.py")), *self._arguments]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        return self._process


def ipa(text: str, language: str) -> str:
    """`Espeak.ipa` with a process for this one call."""
    with Espeak() as espeak:
        return espeak.ipa(text, language)


def to_inventory(ipa: str) -> list[str]:
    """IPA as espeak-ng writes it, as symbols of our inventory.

    Raises:
        AudiogenError: For a sound that the inventory lacks.
    """
    ipa = _LANGUAGE_SWITCH.sub("", unicodedata.normalize("NFC", ipa))
    for theirs, ours in _RESPELLED:
        ipa = ipa.replace(theirs, ours)
    return INVENTORY.parse(ipa)


def _bracketed(phones: Sequence[str]) -> str:
    """Phones as espeak-ng's mnemonics: `[[D|@ k|'a|t]], [[…]].`, one pair of brackets a phrase."""
    phrases, words = [], [""]
    for phone in [*phones, SILENCE]:
        if phone == SILENCE:
            phrases.append(" ".join(word for word in words if word))
            words = [""]
        elif phone == WORD_BREAK:
            words.append("")
        else:
            words[-1] += ("|" if words[-1] else "") + _mnemonic(phone)
    return ", ".join(f"[[{phrase}]]" for phrase in phrases if phrase) + "."


def _mnemonic(phone: str) -> str:
    stress, base = split_stress(phone)
    if base not in _MNEMONICS:
        raise AudiogenError(f"{phone!r} is no English phone; known: {' '.join(_MNEMONICS)}")
    return _STRESS[stress] + _MNEMONICS[base]


def _intervals(events: list[tuple[int, str]], samples: np.ndarray) -> list[tuple[str, int, int]]:
    """Events as (IPA or empty, first sample, end), in order and within the samples.

    espeak-ng marks a phone after the closure that belongs to it, so a start moves back over the silence before it.
    It marks an l or r late, at times only where it ends; such a one gets the last third of the phone before it.
    """
    starts, names = [0], [""]
    for start, name in events:
        start = min(max(start, starts[-1]), len(samples))
        if name and names[-1]:
            sounding = np.flatnonzero(np.abs(samples[starts[-1] : start]) > _QUIET)
            start = starts[-1] + (int(sounding[-1]) + 1 if len(sounding) else start - starts[-1])
        if names[-1] and start - starts[-1] < _SHORTEST and len(starts) > 1 and names[-2]:
            starts[-1] -= (starts[-1] - starts[-2]) // 3
        starts.append(start)
        names.append(name)
    return list(zip(names, starts, [*starts[1:], len(samples)], strict=True))


def _as_heard(intervals: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Label intervals with our symbols for espeak-ng's; one of its sounds that is several of ours is split evenly."""
    labelled = []
    for name, start, end in intervals:
        symbols = to_inventory(name) if name else [SILENCE]
        bounds = [start + (end - start) * i // max(len(symbols), 1) for i in range(len(symbols) + 1)]
        labelled += list(zip(symbols, bounds[:-1], bounds[1:], strict=True))
    return labelled


def _as_given(intervals: list[tuple[str, int, int]], phones: Sequence[str]) -> list[tuple[str, int, int]]:
    """Label intervals with the phones that were asked for."""
    asked = [phone for phone in phones if phone not in (SILENCE, WORD_BREAK)]
    labelled: list[tuple[str, int, int]] = []
    position = 0
    for name, start, end in intervals:
        following = asked[position] if position < len(asked) else SILENCE
        if name == "ɹ" != following and labelled[-1][0].endswith(("ɚ", "ɝ")):  # espeak-ng links them to a vowel
            labelled[-1] = (labelled[-1][0], labelled[-1][1], end)
        elif name:
            labelled.append((following, start, end))
            position += 1
        else:
            labelled.append((SILENCE, start, end))
    if position != len(asked):
        raise AudiogenError(f"espeak-ng said {position} phones, asked for {len(asked)}: {' '.join(asked)[:60]}")
    return labelled


def _padded(intervals: list[tuple[str, int, int]], samples: bytes, sample_rate: int) -> SyntheticSpeech:
    """Speech with silence around it; neighbouring silences are joined and empty ones left out."""
    padding = round(PADDING_S * sample_rate)
    wave = torch.from_numpy(np.frombuffer(samples, np.int16).astype(np.float32) / 32768)
    wave = torch.nn.functional.pad(wave, (padding, padding))
    phones = [(SILENCE, 0, padding)]
    for symbol, start, end in [*intervals, (SILENCE, len(wave) - 2 * padding, len(wave) - padding)]:
        start, end = start + padding, end + padding
        if symbol != SILENCE:
            phones.append((symbol, start, end))
        elif phones[-1][0] == SILENCE:
            phones[-1] = (SILENCE, phones[-1][1], end)
        elif end > start:
            phones.append((SILENCE, start, end))
    return SyntheticSpeech(wave, sample_rate, [(s, a / sample_rate, b / sample_rate) for s, a, b in phones])
