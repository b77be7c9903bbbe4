"""The built-in corpus `espeak`: English sentences said by many synthetic voices, with exact phone timings.

The corpus is a folder in the manifest form of `audiogen.data.corpora`. Its phones are those that the text frontend
gives for the sentence, so a model that learns from it reads text as it will later. Each clip is a function of the
seed and its number alone.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from audiogen import audio
from audiogen.data.corpora import MANIFEST
from audiogen.data.espeak import WORD_BREAK, Espeak, SyntheticSpeech
from audiogen.data.journal import read_journal
from audiogen.data.sentences import draw_sentence
from audiogen.errors import AudiogenError
from audiogen.files import write_json
from audiogen.text.g2p import BREAKS, EnglishG2P
from audiogen.text.normalize import normalize
from audiogen.text.phones import SILENCE

VOICES = tuple(
    """
    f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 klatt klatt3 klatt6 Alex Alicia Andrea Andy Annie Denis Diogo Henrique
    Hugo Lee Mario Michael Mike Nguyen Reed adam anika aunty belinda benjamin boris caleb david edward edward2
    grandma grandpa ian iven3 john kaukovalta linda marcelo max michel miguel norbert pablo quincy rob robert
    shelby steph travis victor zac
    """.split()
)
UNSEEN_VOICES = ("anika", "benjamin", "f4", "michel")
_SETTINGS = "corpus.json"
_PITCHES = (38, 50, 64)
_VALID_SHARE = 0.02
_NOISE_DB = (-75.0, -50.0)


@dataclass(frozen=True)
class SyntheticConfig:
    """What decides a synthetic corpus.

    Attributes:
        hours: Length; clips are added until it is reached.
        seed: Decides sentences, voices, rates and pitches.
        voices: Variants of espeak-ng's American English voice. Those in `UNSEEN_VOICES` make the split `test`.
        transcript_share: Share of the clips that say one of the transcripts rather than a generated sentence.
        slowest: Lowest speaking rate, words a minute.
        fastest: Highest speaking rate.
    """

    hours: float = 2.0
    seed: int = 0
    voices: tuple[str, ...] = VOICES
    transcript_share: float = 0.3
    slowest: int = 130
    fastest: int = 210


def make_corpus(
    folder: Path,
    config: SyntheticConfig,
    transcripts: Sequence[str] = (),
    excluded: Iterable[str] = (),
) -> None:
    """Write the corpus into `folder`, or go on where an earlier call was stopped.

    Args:
        folder: Becomes a manifest corpus: `audio/*.flac` and, when all is done, `manifest.jsonl`.
        config: What to make.
        transcripts: Sentences that may be said besides generated ones. Give those of training clips only.
        excluded: Sentences never to be said, such as those a model will be tested on.

    Raises:
        AudiogenError: If `folder` holds a corpus made with other settings.
    """
    forbidden = {_words(sentence) for sentence in excluded}
    texts = [text for text in transcripts if _words(text) not in forbidden]
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    _check_settings(folder, config, texts, forbidden)
    if (folder / MANIFEST).exists():
        return
    journal = folder / f"{MANIFEST}.partial"
    rows = read_journal(journal)
    seconds, number = sum(row["duration_s"] for row in rows), rows[-1]["number"] + 1 if rows else 0
    total = config.hours * 3600
    with (
        Espeak() as espeak,
        open(journal, "a", encoding="utf-8") as lines,
        Progress(console=Console(stderr=True)) as bar,
    ):
        task = bar.add_task("synthetic speech", total=total, completed=seconds)
        speaker = _Speaker(espeak, config, texts, forbidden)
        while seconds < total:
            row = speaker.clip(folder, number)
            number += 1
            if row is not None:
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                lines.flush()
                seconds += row["duration_s"]
                bar.update(task, completed=seconds)
    journal.rename(folder / MANIFEST)


class _Speaker:
    """Says the clips of one corpus."""

    def __init__(
        self, espeak: Espeak, config: SyntheticConfig, texts: list[str], forbidden: set[tuple[str, ...]]
    ) -> None:
        self._espeak, self._config, self._texts, self._forbidden = espeak, config, texts, forbidden
        self._g2p = EnglishG2P()

    def clip(self, folder: Path, number: int) -> dict[str, Any] | None:
        """Write clip `number` and give its manifest row; None if its sentence cannot be used."""
        draw = random.Random(f"{self._config.seed} {number}")
        from_texts = self._texts and draw.random() < self._config.transcript_share
        text = draw.choice(self._texts) if from_texts else draw_sentence(draw)
        variant, pitch = draw.choice(self._config.voices), draw.choice(_PITCHES)
        manner = {
            "rate": draw.randint(self._config.slowest, self._config.fastest),
            "pitch": pitch + draw.randint(-3, 3),
            "pitch_range": draw.randint(30, 70),
        }
        phones = self._phones(text)
        if phones is None:
            return None
        try:
            speech = self._espeak.say(phones=phones, voice=f"en-us+{variant}", **manner)
        except AudiogenError:
            return None
        if [symbol for symbol, _, _ in speech.phones] != _without_word_breaks(phones):
            return None
        clip = f"espeak_{number:06d}"
        audio.write(folder / "audio" / f"{clip}.flac", _with_noise(speech, draw), speech.sample_rate)
        return {
            "id": clip,
            "audio": f"audio/{clip}.flac",
            "text": text,
            "speaker": f"{variant}_{pitch}",
            "language": "en-US",
            "duration_s": round(len(speech.wave) / speech.sample_rate, 4),
            "sampling_rate": speech.sample_rate,
            "split": "test" if variant in UNSEEN_VOICES else "valid" if draw.random() < _VALID_SHARE else "train",
            "number": number,
            **manner,
            "phones": [[symbol, round(start, 5), round(end, 5)] for symbol, start, end in speech.phones],
        }

    def _phones(self, text: str) -> list[str] | None:
        """The frontend's phones of a text with word breaks; None if it is excluded or holds a word of unknown sound."""
        words = _words(text)
        if not words or words in self._forbidden or not all(self._g2p.known(word) for word in words):
            return None
        phones = [SILENCE]
        for _, spoken in self._g2p.phonemize_words(normalize(text)):
            phones += [*spoken, WORD_BREAK]
        return [*phones, SILENCE]


def _words(text: str) -> tuple[str, ...]:
    """The spoken words of a text: what decides whether two sentences are the same."""
    return tuple(normalize(text).translate(str.maketrans(dict.fromkeys(BREAKS, " "))).split())


def _without_word_breaks(phones: list[str]) -> list[str]:
    """The phones with word breaks left out and neighbouring silences joined."""
    kept: list[str] = []
    for phone in phones:
        if phone != WORD_BREAK and not (phone == SILENCE and kept and kept[-1] == SILENCE):
            kept.append(phone)
    return kept


def _with_noise(speech: SyntheticSpeech, draw: random.Random) -> torch.Tensor:
    """Speech below full scale over a faint noise, as rooms and microphones have one."""
    level = 10 ** (draw.uniform(*_NOISE_DB) / 20)
    noise = torch.randn(len(speech.wave), generator=torch.Generator().manual_seed(draw.getrandbits(32)))
    return speech.wave * 0.95 + level * noise


def _check_settings(folder: Path, config: SyntheticConfig, texts: list[str], forbidden: set[tuple[str, ...]]) -> None:
    """Note what the corpus is made of, or compare with what was noted."""
    sentences = hashlib.sha256("\n".join([*texts, "", *sorted(map(" ".join, forbidden))]).encode()).hexdigest()
    settings = {**asdict(config), "voices": list(config.voices), "sentences_sha256": sentences}
    path = folder / _SETTINGS
    if not path.exists():
        write_json(path, settings)
        return
    noted = json.loads(path.read_text(encoding="utf-8"))
    differing = [key for key in settings if noted.get(key) != settings[key]]
    if differing:
        raise AudiogenError(f"{folder} holds a corpus made with another {differing[0]}; choose another folder")
