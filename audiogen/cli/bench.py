"""`audiogen bench`: how fast the models are."""

import argparse

from audiogen.cli.measuring import add_models_measured, measure, part
from audiogen.cli.parser import add_json, describe
from audiogen.errors import AudiogenError, unknown_name

BENCHES = ("codec", "say", "transcribe")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen bench`."""
    describe(
        parser,
        bench,
        """
        audiogen bench
        audiogen bench say --json speed.json
        audiogen bench codec --threads 1
        """,
    )
    parser.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="codec, say, transcribe (default: these), encodec, encoder, lm, magnet, mamba, sashimi",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of torch (default: transcribe 2, others 1)")
    add_models_measured(parser)
    add_json(parser)


def bench(options: argparse.Namespace) -> None:
    """Measure speed."""
    threads = {} if options.threads is None else {"threads": options.threads}
    voice, recognizer = options.voice_model, options.recognizer
    measures = {
        "codec": lambda: part("bench.codec").bench_codec(options.codec, **threads),
        "encodec": lambda: part("bench.encodec").bench_encodec(**threads),
        "say": lambda: part("bench.say").bench_say(voice, **threads),
        "transcribe": lambda: part("bench.transcribe").bench_transcribe(recognizer, voice, **threads),
        "encoder": lambda: part("bench.encoder").bench_encoder(recognizer, **threads),
        "lm": lambda: part("bench.lm").bench_lm(**threads),
        "magnet": lambda: part("bench.sound").bench_magnet(**threads),
        "mamba": lambda: part("bench.mamba").bench_mamba(**threads),
        "sashimi": lambda: part("bench.waveform").bench_sashimi(**threads),
    }
    if options.threads is not None and options.threads < 1:
        raise AudiogenError(f"--threads {options.threads}: at least 1 is needed")
    for what in options.what:
        if what not in measures:
            raise unknown_name("benchmark", what, measures)
    measure([measures[what] for what in options.what or BENCHES], options.json)
