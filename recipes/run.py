"""The entry point of all recipes: `python -m audiogen.recipes.run recipe=tts_kathleen exp_dir=… stage=train key=value`.

`audiogen run` and every `egs/<corpus>/<task>/run.sh` come here. `--stop-stage train` is another way to write
`stop_stage=train`, as scripts are used to.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audiogen.errors import AudiogenError
from audiogen.protocols import Stage
from audiogen.recipes import (
    aligner,
    asr,
    codec,
    diffwave,
    espeak,
    g2p,
    music,
    piano,
    tta,
    tts,
    tts_data,
    wave_codec,
    waveform,
    waveform_data,
)
from audiogen.recipes.compose import compose_run
from audiogen.recipes.runner import Span, run_stages
from audiogen.recipes.settings import RunConfig


@dataclass(frozen=True)
class Task:
    """What a recipe can be of: its settings and its stages."""

    settings: type[RunConfig]
    stages: Sequence[Stage]


TASKS = {
    "aligner": Task(aligner.AlignerRun, aligner.STAGES),
    "asr": Task(asr.AsrRun, asr.STAGES),
    "codec": Task(codec.CodecRun, codec.STAGES),
    "diffusion": Task(diffwave.DiffusionRun, diffwave.STAGES),
    "espeak": Task(espeak.EspeakRun, espeak.STAGES),
    "g2p": Task(g2p.G2PRun, g2p.STAGES),
    "music": Task(music.MusicRun, music.STAGES),
    "piano": Task(piano.PianoRun, piano.STAGES),
    "tta": Task(tta.TtaRun, tta.STAGES),
    "tts": Task(tts_data.TtsRun, tts.STAGES),
    "wave_codec": Task(wave_codec.WaveCodecRun, wave_codec.STAGES),
    "waveform": Task(waveform_data.WaveformRun, waveform.STAGES),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a recipe with Hydra overrides; returns the exit status, and prints what a person can mend as one line."""
    try:
        run(list(sys.argv[1:] if argv is None else argv))
    except AudiogenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def run(arguments: list[str]) -> list[str]:
    """Compose the settings and run the stages; returns the names of those that did work."""
    config = compose_run(_overrides(arguments), {name: task.settings for name, task in TASKS.items()})
    span = Span(config.stage, config.stop_stage, config.force, config.keep)
    return run_stages(TASKS[config.task].stages, config, Path(config.exp_dir), span)


def _overrides(arguments: list[str]) -> list[str]:
    """Arguments with `--key value` and `--key=value` written as overrides."""
    overrides: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("--"):
            overrides.append(argument)
            continue
        key, given, value = argument[2:].partition("=")
        value = value if given else next(remaining, None)
        if value is None:
            raise AudiogenError(f"{argument} needs a value")
        overrides.append(f"{key.replace('-', '_')}={value}")
    return overrides


if __name__ == "__main__":
    sys.exit(main())
