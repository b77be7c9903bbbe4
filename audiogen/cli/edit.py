"""`audiogen edit`: words changed in a recording."""

import argparse
import sys

import audiogen
from audiogen.cli.common import load_judge, one_thread_a_worker
from audiogen.cli.parser import DEFAULT_VOICE, describe


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen edit`."""
    describe(
        parser,
        edit,
        """
        audiogen edit me.wav --transcript "We meet at noon." --to "We meet at seven." --out seven.wav
        audiogen edit me.wav --transcript "I do not agree." --to "I agree." --out agree.wav
        """,
    )
    parser.add_argument("recording", metavar="FILE", help="a recording of one speaker, at most a minute")
    parser.add_argument("--transcript", required=True, metavar="TEXT", help="what is said in it, word for word")
    parser.add_argument("--to", required=True, metavar="TEXT", help="what it should say; words that differ are made")
    parser.add_argument("--out", default="edited.wav", metavar="FILE", help="the file to write (default: %(default)s)")
    parser.add_argument("--best-of", type=int, default=1, metavar="N", help="make it N times, keep the clearest")
    parser.add_argument("--model", default=DEFAULT_VOICE, metavar="NAME", help="a voice model (default: %(default)s)")
    parser.add_argument("--seed", type=int, metavar="N", help="another number, another reading (default: 0)", default=0)


def edit(options: argparse.Namespace) -> None:
    """Change words in a recording."""
    from audiogen import audio
    from audiogen.infer.edit import edit as edit_recording

    audio.check_target(options.out)
    audio.check(options.recording)
    one_thread_a_worker()
    speaker = audiogen.load(options.model, "acoustic")
    texts, judge = (options.transcript, options.to), load_judge(options)
    edited = edit_recording(
        speaker, options.recording, *texts, seed=options.seed, readings=options.best_of, judge=judge
    )
    audio.write(options.out, edited.wave, edited.sample_rate)
    new = ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in edited.new)
    print(f"{options.out}: new from {new}", file=sys.stderr)
