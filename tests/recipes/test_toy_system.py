"""A new system is four files: this adds one to a copy of the packages and takes it through the voice recipe."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tiny_recipes import THREE_STEPS, TONES

ROOT = Path(__file__).parents[2]

MODEL = '''
"""A toy voice: every phone is one steady sound of a fixed length."""

from dataclasses import dataclass

import torch
from torch import nn

from audiogen.nn.state import State
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.registry import register


@dataclass
class ToyConfig:
    codec: CodecSpec
    num_phones: int
    merge: int = 2
    dwell: int = 3


@dataclass
class ToyState(State):
    phones: torch.Tensor
    ended: torch.Tensor
    fine: None = None

    @property
    def done(self):
        return bool(self.ended.all())


@register("acoustic", "toy", ToyConfig)
class Toy(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.sounds = nn.Embedding(config.num_phones, config.codec.num_codebooks * config.codec.codebook_size)

    def loss(self, batch):
        rows = zip(batch.phones, batch.durations, batch.codes, batch.lengths)
        losses = [self._loss(p.repeat_interleave(d * self.config.merge), c[:, :n]) for p, d, c, n in rows]
        loss = torch.stack(losses).mean()
        return loss, {"loss": loss.item()}

    def prime(self, prompts):
        return None

    def init_state(self, utterances, options, generator=None, primed=None):
        return ToyState(torch.stack([utterance.phones for utterance in utterances]), torch.zeros(len(utterances)) > 0)

    def outline(self, state, options, chunks=None):
        frames = state.phones.repeat_interleave(self.config.dwell * self.config.merge, 1)
        return frames, ToyState(state.phones, torch.ones_like(state.ended))

    def fill(self, outline, state):
        return AudioTokens.from_codes(self.config.codec, self._logits(outline).argmax(-1)), state

    def durations(self, state):
        return [torch.full((len(phones),), self.config.dwell) for phones in state.phones]

    def _logits(self, phones):
        return self.sounds(phones).unflatten(-1, (self.config.codec.num_codebooks, -1)).transpose(-2, -3)

    def _loss(self, phones, codes):
        return nn.functional.cross_entropy(self._logits(phones).flatten(0, 1), codes.flatten())
'''
YAML = """
defaults:
  - /acoustic/schema/toy@config
  - _self_

kind: acoustic
name: toy
"""
TEST = """
import torch

import audiogen.models
from audiogen import registry


def test_toy_speaks():
    spec = {"name": "c", "sample_rate": 24000, "hop_length": 320, "num_codebooks": 2, "codebook_size": 8}
    toy = registry.build("acoustic", "toy", {"codec": spec, "num_phones": 5})
    assert toy._logits(torch.tensor([[1, 2, 3]])).shape == (1, 2, 3, 8)
"""
DRIVER = """
import sys

import pytest
from audiogen.recipes import tts
from audiogen.recipes.run import main
from tiny_recipes import Judges

tts.SpeechJudges = Judges
if pytest.main(["-q", "-p", "no:cacheprovider", f"--rootdir={sys.argv[1]}", sys.argv[1]]):
    sys.exit("the system's own test failed")
sys.exit(main(sys.argv[2:]))
"""


def test_a_system_of_four_files_goes_through_the_recipe(
    data_root: Path, tmp_path: Path, tiny_codec_bundle: Path, tiny_recognizer_bundle: Path
) -> None:
    package = copy_packages(tmp_path / "site")
    (package / "models" / "toy.py").write_text(MODEL)
    with (package / "models" / "__init__.py").open("a") as models:
        models.write("from audiogen.models import toy as toy\n")
    (package / "conf" / "model" / "toy.yaml").write_text(YAML)
    (tests := tmp_path / "tests" / "models").mkdir(parents=True)
    (tests / "test_toy.py").write_text(TEST)

    (tmp_path / "sentences.txt").write_text("Cat, tack.\n")
    given = [f"data_root={data_root}", f"exp_dir={tmp_path / 'exp'}", f"sentences={tmp_path / 'sentences.txt'}"]
    bundles = [f"codec_bundle={tiny_codec_bundle.name}", f"recognizer_bundle={tiny_recognizer_bundle.name}"]
    recipe = ["recipe=tts_kathleen", "model=toy", "model.config.dwell=2", "aligner_bundle=''", *THREE_STEPS, *TONES]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tests), *recipe, *given, *bundles],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parent)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    described = json.loads((tmp_path / "exp" / "train" / "bundle" / "config.json").read_text())
    assert (described["name"], described["config"]["dwell"]) == ("toy", 2)
    assert (tmp_path / "exp" / "score" / "scores.json").exists()


def copy_packages(site: Path) -> Path:
    """The packages as an installation lays them out, so that files can be added to them."""
    without = shutil.ignore_patterns("__pycache__", "pretrained")
    package = shutil.copytree(ROOT / "audiogen", site / "audiogen", ignore=without)
    (package / "pretrained").symlink_to(ROOT / "audiogen" / "pretrained")
    for name in ("codecs", "recipes", "conf", "serve"):
        shutil.copytree(ROOT / name, package / name, ignore=without)
    return package
