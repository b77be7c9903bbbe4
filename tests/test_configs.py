"""Every YAML file of the Hydra tree composes, checks its keys and builds a network."""

import os
import re
from pathlib import Path

import pytest

from audiogen.recipes.compose import TREE, compose_run, groups
from audiogen.recipes.run import TASKS
from audiogen.recipes.settings import ModelConfig, RunConfig
from audiogen.text.phones import INVENTORY

ROOT = Path(__file__).parents[1]
SCHEMAS = {name: task.settings for name, task in TASKS.items()}
SPEC = {"name": "any", "sample_rate": 24_000, "hop_length": 320, "num_codebooks": 8, "codebook_size": 1024}
DERIVED = {
    "codec": SPEC,
    "num_phones": len(INVENTORY),
    "vocab_size": 28,
    "letters": 27,
    "phones": 40,
    "sample_rate": 8000,
}
CODES = {**SPEC, "hop_length": 1, "num_codebooks": 1, "codebook_size": 256}
SMALLER = ("dim", "encoder_dim", "decoder_dim")


def compose(*overrides: str) -> RunConfig:
    return compose_run([*overrides, "exp_dir=exp"], SCHEMAS)


def models(config: RunConfig) -> list[ModelConfig]:
    return [value for value in vars(config).values() if isinstance(value, ModelConfig)]


@pytest.mark.parametrize("recipe", groups()["recipe"])
def test_every_recipe_composes_and_builds(recipe: str) -> None:
    config = compose(f"recipe={recipe}")
    assert config.task in TASKS and config.licence
    for model in models(config):
        described = model.completed(**DERIVED | ({"codec": CODES} if model.kind == "waveform" else {}))
        tiny = {key: 16 for key in SMALLER if key in described.config}
        ModelConfig(described.kind, described.name, {**described.config, **tiny}).build()


@pytest.mark.parametrize(
    ("recipe", "choice"),
    [
        ("tts_kathleen", "infer=speak_likeliest"),
        ("tts_kathleen", "data=english_voices"),
        ("tts_kathleen", "model=valle"),
        ("text_to_music", "model=musicgen"),
        ("text_to_music", "model=magnet_hybrid"),
        ("text_to_music", "model=magnet_paper_small"),
        ("text_to_music", "model=magnet_paper_large"),
        ("tts_ablation", "model=valle_unmerged"),
        ("tts_ablation", "model=valle_r_unmerged"),
        ("asr_english", "model=fastconformer_hybrid"),
        ("diffwave_digits", "model=diffwave"),
        ("waveform_digits", "model=wavenet_small"),
        ("waveform_digits", "model=samplernn_small"),
        ("waveform_sc09", "model=wavenet"),
        ("waveform_sc09", "model=samplernn"),
    ],
)
def test_other_choices_compose(recipe: str, choice: str) -> None:
    compose(f"recipe={recipe}", choice)


def test_every_file_is_some_recipes_choice() -> None:
    chosen = {tuple(case[1].split("=")) for case in test_other_choices_compose.pytestmark[0].args[1]}
    for path in TREE.glob("recipe/*.yaml"):
        chosen |= set(re.findall(r"- (?:override )?/(\w+)[:/] ?(\w+)", path.read_text()))
    for group in set(groups()) - {"recipe"}:
        assert {(group, name) for name in groups()[group]} <= chosen, group


def test_every_file_is_in_a_group() -> None:
    assert {path.parent.name for path in TREE.rglob("*.yaml") if path.parent != TREE} == set(groups())


@pytest.mark.parametrize("script", sorted(ROOT.glob("egs/*/*/run.sh")), ids=lambda path: str(path.parent))
def test_every_script_runs_a_recipe_and_passes_overrides_on(script: Path) -> None:
    text = script.read_text()
    assert re.search(r"recipe=(\w+) ", text)[1] in groups()["recipe"]
    assert text.rstrip().endswith('"$@"') and os.access(script, os.X_OK)


def test_files_hold_no_classes_by_path() -> None:
    assert not [path for path in TREE.rglob("*.yaml") if "_target_" in path.read_text()]
