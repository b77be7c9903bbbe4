"""The command `audiogen`: what can be asked of it, and how mistakes are told.

What the commands do is in `commands.py`, imported when one runs, so that help and mistakes come at once. What a person
can mend is one line on standard error and exit status 2; an interruption is 130; a fault of our own is 1.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from audiogen import __version__
from audiogen.errors import AudiogenError

DEMO_TEXT = "The lighthouse keeper counted seven boats before the evening fog came in."
DEFAULT_VOICE, DEFAULT_RECOGNIZER, DEFAULT_CODEC = "voice-en", "recognizer-en", "codec-24khz"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        options = build_parser().parse_args([argument for argument in arguments if argument != "--debug"])
        getattr(import_module(f"audiogen.{options.module}"), options.command)(options)
        sys.stdout.flush()
        return 0
    except AudiogenError as error:
        return _told(str(error), 2, debug)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has left; without this Python complains again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        hint = "a fault of audiogen's own; --debug shows where"
        return _told(f"{type(error).__name__}: {error} ({hint})", 1, debug)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `options.command` names a function of `options.module`."""
    parser = _Parser(
        prog="audiogen",
        description="Speech out of text, text out of speech, on the machine you have.",
        epilog="Try: audiogen demo      Every command explains itself: audiogen say --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"audiogen {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where an error came from (any command)")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        _add_say,
        _add_edit,
        _add_transcribe,
        _add_codec,
        _add_generate,
        _add_models,
        _add_import,
        _add_demo,
        _add_serve,
        _add_run,
        _add_bench,
        _add_score,
    ):
        add(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser that raises for a mistake, so that every mistake is told in one place and in one line."""

    def error(self, message: str) -> NoReturn:
        raise AudiogenError(f"{message} (see: {self.prog} --help)")


def _command(
    commands: Any, name: str, about: str, examples: str, module: str = "commands", **options: Any
) -> argparse.ArgumentParser:
    """A new command, run by `module`'s function of its name, with a one-line description and worked examples."""
    parser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )
    parser.set_defaults(module=module, command=name)
    return parser


def _add_say(commands: Any) -> None:
    parser = _command(
        commands,
        "say",
        "speak a text into a sound file",
        """
audiogen say "The kettle is on." --out kettle.wav
audiogen say - --out chapter.flac < chapter.txt
audiogen say "Straight to the speakers." --stream | aplay -t raw -f S16_LE -r 24000
audiogen say "In another voice." --prompt me.wav --transcript "What I say in me dot wav."
audiogen say "Wait [[sil:0.8]] for the [[təmˈeɪ:0.3toʊz]]."    # a pause of 0.8 s, phones, one of them of 0.3 s
audiogen say "A quarter faster, with short pauses." --speed 1.25 --pause 0.15
audiogen say "Just as I read it." --timing me_reading_it.wav --voice lj
audiogen say "Seven boats came in." --save-lines boats.json && audiogen say --lines boats.json --voice lj
audiogen say "Only the clearest of four readings." --best-of 4
""",
        module="saying",
    )
    parser.add_argument(
        "text", nargs="?", help="what to say, phones in double brackets; - reads it from standard input"
    )
    parser.add_argument("--out", metavar="FILE", help="a .wav, .flac or .ogg file (default: speech.wav)")
    parser.add_argument("--voice", metavar="NAME", help="a voice of the model (default: its first)")
    parser.add_argument("--model", default=DEFAULT_VOICE, metavar="NAME", help="a voice model (default: %(default)s)")
    parser.add_argument("--prompt", metavar="FILE", help="speak like this recording, a few seconds of one speaker")
    parser.add_argument("--transcript", metavar="TEXT", help="what is said in --prompt, word for word")
    parser.add_argument(
        "--go-on", action="store_true", help="go on where --prompt ends, as if it had not ended; gives what is new"
    )
    parser.add_argument("--stream", action="store_true", help="raw 16-bit mono sound to standard output as it is made")
    parser.add_argument("--int8", action="store_true", help="8-bit weights: faster on CPUs with VNNI, less exact")
    rhythm = parser.add_argument_group("rhythm (models with a phone pointer)")
    rhythm.add_argument("--speed", type=float, default=1.0, metavar="X", help="1.25 is a quarter faster (default: 1)")
    rhythm.add_argument("--pause", type=float, metavar="SECONDS", help="pause so long at commas and after sentences")
    rhythm.add_argument(
        "--longest-phone", type=float, metavar="SECONDS", help="no phone or pause lasts longer (default: 0.32)"
    )
    rhythm.add_argument("--timing", metavar="FILE", help="a recording of the same text, to be followed phone by phone")
    rhythm.add_argument("--lines", metavar="FILE", help="instead of a text: phones and seconds, as --save-lines writes")
    rhythm.add_argument("--save-lines", metavar="FILE", help="write the phones and how long each was, as .json")
    choice = parser.add_argument_group("chance")
    choice.add_argument("--temperature", type=float, metavar="T", help="chance in the sound (default: 0.4; 0 is none)")
    choice.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest codes only (default: 0.9)")
    choice.add_argument(
        "--best-of", type=int, default=1, metavar="N", help="read each sentence N times, keep the clearest"
    )
    choice.add_argument("--seed", type=int, metavar="N", help="another number, another reading (default: 0)", default=0)
    _add_json(parser)


def _add_edit(commands: Any) -> None:
    parser = _command(
        commands,
        "edit",
        "change words in a recording, in its own voice",
        """
audiogen edit me.wav --transcript "We meet at noon." --to "We meet at seven." --out seven.wav
audiogen edit me.wav --transcript "I do not agree." --to "I agree." --out agree.wav
""",
        module="saying",
    )
    parser.add_argument("recording", metavar="FILE", help="a recording of one speaker, at most a minute")
    parser.add_argument("--transcript", required=True, metavar="TEXT", help="what is said in it, word for word")
    parser.add_argument("--to", required=True, metavar="TEXT", help="what it should say; words that differ are made")
    parser.add_argument("--out", default="edited.wav", metavar="FILE", help="the file to write (default: %(default)s)")
    parser.add_argument("--best-of", type=int, default=1, metavar="N", help="make it N times, keep the clearest")
    parser.add_argument("--model", default=DEFAULT_VOICE, metavar="NAME", help="a voice model (default: %(default)s)")
    parser.add_argument("--seed", type=int, metavar="N", help="another number, another reading (default: 0)", default=0)


def _add_transcribe(commands: Any) -> None:
    parser = _command(
        commands,
        "transcribe",
        "write down what is said in sound files",
        """
audiogen transcribe kettle.wav
audiogen transcribe kettle.wav --stream
audiogen transcribe recordings/*.flac --json transcripts.json
audiogen transcribe meeting.wav --hot-words kathleen lighthouse
arecord -q -t raw -f S16_LE -r 16000 | audiogen transcribe --stream -
""",
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a WAV, FLAC, OGG or MP3 file; - with --stream hears WAV or raw 16-bit mono sound from standard input",
    )
    parser.add_argument(
        "--model", default=DEFAULT_RECOGNIZER, metavar="NAME", help="a recogniser (default: %(default)s)"
    )
    parser.add_argument("--stream", action="store_true", help="show the text while the sound is being heard")
    parser.add_argument(
        "--rate", type=int, default=16_000, metavar="HZ", help="of raw sound from standard input (default: %(default)s)"
    )
    parser.add_argument(
        "--lookahead", type=int, metavar="N", help="wait for N frames of 80 ms; the fewer, the sooner and the rougher"
    )
    parser.add_argument("--hot-words", nargs="+", metavar="WORD", help="words to listen for above others")
    _add_json(parser, '{"results": [{"file", "text", "words"}]}')


def _add_codec(commands: Any) -> None:
    about = "make sound files small, and sound again"
    parser = commands.add_parser("codec", help=about, description=about[0].upper() + about[1:] + ".")
    directions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    encode = _command(
        directions,
        "encode",
        "encode a sound file",
        """
audiogen codec encode speech.wav speech.agc
audiogen codec encode speech.wav speech.agc --codebooks 2
cat speech.wav | audiogen codec encode - - | audiogen codec decode - - > back.wav
""",
    )
    encode.add_argument("source", metavar="SOUND", help="a WAV, FLAC, OGG or MP3 file; - is WAV on standard input")
    encode.add_argument("target", metavar="CODES", help="the .agc file to write; - is standard output")
    encode.add_argument(
        "--codebooks", type=int, metavar="K", help="keep the first K codebooks only: smaller, rougher (default: all)"
    )
    decode = _command(directions, "decode", "decode a file of codes", "audiogen codec decode speech.agc back.wav")
    decode.add_argument("source", metavar="CODES", help="a .agc file; - is standard input")
    decode.add_argument("target", metavar="SOUND", help="the .wav, .flac or .ogg file to write; - is standard output")
    for direction in (encode, decode):
        direction.add_argument("--model", default=DEFAULT_CODEC, metavar="NAME", help="a codec (default: %(default)s)")


def _add_generate(commands: Any) -> None:
    about = "make sound that is not speech"
    parser = commands.add_parser("generate", help=about, description=about[0].upper() + about[1:] + ".")
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_generate_audio(kinds)
    _add_generate_waveform(kinds)


def _add_generate_audio(kinds: Any) -> None:
    parser = _command(
        kinds,
        "audio",
        "make sound or music from a caption",
        """
audiogen generate audio "a slow waltz in D minor" --model exp/text_to_music/train/bundle --out waltz.wav
audiogen generate audio "a dog barking" --model my-sounds --seconds 3 --steps 10 5
audiogen generate audio "a lively tune" --model my-music --prompt start.wav --seconds 20 --out more.flac
audiogen generate audio "a drum roll" --model my-magnet --prompt verse.wav --until chorus.wav --seconds 9
audiogen generate audio "a calm piece" --model my-magnet --rescorer my-musicgen
audiogen generate audio "rain" --model my-music --stream | aplay -t raw -f S16_LE -r 24000
""",
    )
    parser.add_argument("caption", help="what is to be heard")
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="a model of sound, by name or folder: trained or imported"
    )
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="its length (default: 10)")
    parser.add_argument("--out", metavar="FILE", help="a .wav, .flac or .ogg file (default: generated.wav)")
    parser.add_argument("--prompt", metavar="FILE", help="go on from this recording, which counts as part of the sound")
    parser.add_argument(
        "--until", metavar="FILE", help="MAGNeT: lead to this recording, which counts as part of it too"
    )
    parser.add_argument(
        "--steps", type=int, nargs="+", metavar="N", help="MAGNeT: steps of each codebook; fewer is faster"
    )
    parser.add_argument(
        "--guidance", type=float, metavar="G", help="how far to lean towards the caption; 1 is no further than learnt"
    )
    parser.add_argument("--int8", action="store_true", help="8-bit weights: faster, less exact")
    parser.add_argument("--rescorer", metavar="NAME", help="a MusicGen that helps a MAGNeT judge what it has made")
    parser.add_argument("--stream", action="store_true", help="raw 16-bit sound to standard output as it is made")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another number, another sound (default: 0)")
    parser.set_defaults(module="generating", command="generate_audio")
    _add_json(parser)


def _add_generate_waveform(kinds: Any) -> None:
    parser = _command(
        kinds,
        "waveform",
        "make sound sample by sample",
        """
audiogen generate waveform --model exp/waveform_digits/train/bundle --label seven --out seven.wav
audiogen generate waveform --model my-digits --label seven --count 5 --reject
audiogen generate waveform --model my-digits --label three --stream | aplay -t raw -f S16_LE -r 8000
audiogen generate waveform --model my-sonatas --prompt start.wav --seconds 20 --out more.flac
""",
    )
    parser.add_argument("--label", metavar="CLASS", help="what it should be, for a model of classes")
    parser.add_argument("--out", metavar="FILE", help="a .wav, .flac or .ogg file (default: generated.wav)")
    parser.add_argument("--model", required=True, metavar="NAME", help="a waveform model, or the folder of one")
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="its length, or most, if it ends by itself (default: 2)"
    )
    parser.add_argument("--prompt", metavar="FILE", help="go on from this recording; FILE and what follows are written")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="make N, into FILE-1, FILE-2, … (default: 1)")
    parser.add_argument(
        "--reject", action="store_true", help="make more, and leave out the 40 %% least and 5 %% most likely"
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, metavar="T", help="below 1 for less chance (default: 1)"
    )
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="keep the likeliest share P of each draw")
    parser.add_argument("--stream", action="store_true", help="raw 16-bit mono sound to standard output as it is made")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another number, another sound (default: 0)")
    parser.set_defaults(module="generating", command="generate_waveform")
    _add_json(parser)


def _add_models(commands: Any) -> None:
    _command(commands, "models", "list the models there are", "audiogen models")


def _add_import(commands: Any) -> None:
    about = "turn a published checkpoint into a model of ours"
    parser = commands.add_parser("import", help=about, description=about[0].upper() + about[1:] + ".")
    layouts = parser.add_subparsers(title="layouts", metavar="LAYOUT", required=True)
    encodec = _command(
        layouts,
        "encodec",
        "import an EnCodec codec of 24, 32 or 48 kHz",
        """
audiogen import encodec encodec_24khz-d7cc33bc.th my-encodec --codebooks 8
audiogen import encodec facebook/encodec_32khz my-encodec-32khz
audiogen codec encode speech.wav speech.agc --model my-encodec
""",
    )
    encodec.add_argument(
        "source",
        metavar="CHECKPOINT",
        help="a .th file, audiocraft's compression_state_dict.bin, a folder or a name of the Hugging Face hub",
    )
    encodec.add_argument("target", metavar="FOLDER", help="the folder of the model, which must not exist yet")
    encodec.add_argument("--codebooks", type=int, metavar="K", help="keep the first K codebooks only (default: all)")
    encodec.set_defaults(command="import_encodec")
    sq_codec = _command(
        layouts,
        "sq_codec",
        "import an SQ-Codec, SimpleSpeech's",
        "audiogen import sq_codec 16k_32dim_5/ckpt.pth config.yaml my-sq-codec",
    )
    sq_codec.add_argument("source", metavar="CHECKPOINT", help="a file of tensors with 'codec_model'")
    sq_codec.add_argument("settings", metavar="YAML", help="its configuration, with 'generator.config'")
    sq_codec.add_argument("target", metavar="FOLDER", help="the folder of the model, which must not exist yet")
    sq_codec.add_argument("--levels", type=int, metavar="S", help="S, where no name such as 32dim_5 tells it")
    sq_codec.set_defaults(command="import_sq_codec")
    fastconformer = _command(
        layouts,
        "fastconformer",
        "import a FastConformer recogniser, NVIDIA's, streaming or offline",
        """
audiogen import fastconformer stt_en_fastconformer_hybrid_large_streaming_multi.nemo my-recognizer
audiogen import fastconformer nemotron-speech-streaming-en-0.6b my-recognizer
audiogen transcribe --model my-recognizer --stream -
""",
    )
    fastconformer.add_argument(
        "source", metavar="CHECKPOINT", help="a .nemo file, or a folder in the layout of transformers"
    )
    fastconformer.add_argument("target", metavar="FOLDER", help="the folder of the model, which must not exist yet")
    fastconformer.set_defaults(command="import_fastconformer")
    musicgen = _command(
        layouts,
        "musicgen",
        "import a MusicGen or MAGNeT with its EnCodec",
        """
audiogen import musicgen facebook/musicgen-small my-music
audiogen import musicgen facebook/magnet-small-10secs my-magnet --codec facebook/encodec_32khz
""",
    )
    musicgen.add_argument(
        "source",
        metavar="CHECKPOINT",
        help="audiocraft's state_dict.bin, a folder with one or in Hugging Face's layout, or a name of the hub",
    )
    musicgen.add_argument("target", metavar="FOLDER", help="the folder of the model; its codec goes into FOLDER-codec")
    musicgen.add_argument(
        "--codec", default="", metavar="CHECKPOINT", help="its EnCodec, if that does not lie beside it"
    )
    musicgen.set_defaults(command="import_musicgen")
    sashimi = _command(
        layouts,
        "sashimi",
        "import a SaShiMi, of state-spaces/s4 or simple-sashimi",
        """
audiogen import sashimi checkpoints/sashimi_sc09.pt my-digits
audiogen import sashimi sashimi_beethoven.pt my-sonatas --law linear
""",
    )
    sashimi.add_argument("source", metavar="CHECKPOINT", help="a file of tensors, with the embedding and the head")
    sashimi.add_argument("target", metavar="FOLDER", help="the folder of the model, which must not exist yet")
    sashimi.add_argument("--rate", type=int, default=16_000, metavar="HZ", help="samples a second (default: 16000)")
    sashimi.add_argument("--law", default="mu", metavar="LAW", help="how sound was quantised: mu (default) or linear")
    sashimi.set_defaults(command="import_sashimi")


def _add_demo(commands: Any) -> None:
    parser = _command(
        commands,
        "demo",
        "speak a sentence, hear it back, and show what happened",
        """
audiogen demo
audiogen demo --text "Anything you like." --out mine
""",
    )
    parser.add_argument("--text", default=DEMO_TEXT, help="another sentence to speak (default: %(default)s)")
    parser.add_argument("--out", default="demo", metavar="FOLDER", help="where to leave the files (default: ./demo)")
    _add_pair(parser)


def _add_serve(commands: Any) -> None:
    parser = _command(
        commands,
        "serve",
        "open a page that speaks and listens",
        """
audiogen serve
audiogen serve --port 8080
AUDIOGEN_AUTH=anna:secret audiogen serve --host 0.0.0.0
""",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; only this machine by default")
    parser.add_argument("--port", type=int, default=7860, help="the port (default: %(default)s)")
    parser.add_argument("--waveform", metavar="NAME", help="a waveform model, for a tab that generates sound")
    parser.add_argument("--sound", metavar="NAME", help="a model of sound from captions, for a tab that makes them")
    _add_pair(parser)


def _add_run(commands: Any) -> None:
    parser = _command(
        commands,
        "run",
        "run a recipe, from its data to its scores",
        """
audiogen run recipe=codec_default exp_dir=exp/codec
audiogen run recipe=codec_default exp_dir=exp/codec stage=train train.steps=1000
""",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="the recipe and any of its settings")


def _add_bench(commands: Any) -> None:
    parser = _command(
        commands,
        "bench",
        "measure how fast the models are on this machine",
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
        help="codec, say, transcribe (default: these), encodec, encoder, magnet, mamba, sashimi",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of torch (default: transcribe 2, others 1)")
    _add_models_measured(parser)
    _add_json(parser)


def _add_score(commands: Any) -> None:
    parser = _command(
        commands,
        "score",
        "measure how good the models are on held-out recordings",
        """
audiogen score codec --data-root data
audiogen score codec --beside exp/codec_encodec/train/bundle --corpus speech_48k esc10_sounds
audiogen score codec --robustness
audiogen score transcribe --corpus kathleen_en fsdd_digits --limit 20 --json scores.json
audiogen score say --sentences unseen.txt --beside exp/plain/train/bundle
audiogen score prompts --sentences unseen.txt --corpus nonnative_en
audiogen score prosody --corpus nonnative_en --limit 20
audiogen score hard --sentences egs/kathleen_en/tts/local/hard_sentences.tsv --seeds 3 --top-p 0.1 0.5 1.0
""",
    )
    parser.add_argument(
        "what",
        metavar="WHAT",
        help="codec, transcribe, say, prompts (other speakers' voices), hard (texts that voices get lost in), prosody",
    )
    parser.add_argument("--corpus", nargs="+", metavar="NAME", help="corpora, or folders of recordings")
    parser.add_argument("--data-root", metavar="FOLDER", help="where the corpora lie (default: $AUDIOGEN_DATA)")
    parser.add_argument("--sentences", metavar="FILE", help="what to say, a sentence a line; all that speak need it")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many clips and sentences")
    parser.add_argument(
        "--every-way", action="store_true", help="transcribe: also each look-ahead, head and search, and without memory"
    )
    parser.add_argument(
        "--beside", nargs="+", default=[], metavar="NAME", help="codec, say, hard: further models for the table"
    )
    parser.add_argument(
        "--robustness", action="store_true", help="codec: on quiet, clipped and noisy clips, and on silence"
    )
    parser.add_argument("--int8", action="store_true", help="say: each voice with 8-bit weights too")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="hard: readings of each sentence")
    parser.add_argument("--top-p", type=float, nargs="+", default=[0.9], metavar="P", help="hard: how far to draw from")
    _add_models_measured(parser)
    _add_json(parser)


def _add_models_measured(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--codec", default=DEFAULT_CODEC, metavar="NAME", help="a codec (default: %(default)s)")
    _add_pair(parser)


def _add_pair(parser: argparse.ArgumentParser) -> None:
    """The options of commands that both speak and listen."""
    parser.add_argument(
        "--voice-model", default=DEFAULT_VOICE, metavar="NAME", help="the model that speaks (default: %(default)s)"
    )
    parser.add_argument(
        "--recognizer", default=DEFAULT_RECOGNIZER, metavar="NAME", help="the model that listens (default: %(default)s)"
    )


def _add_json(parser: argparse.ArgumentParser, form: str = '{"rows": [{"name", "value", "unit"}]}') -> None:
    parser.add_argument("--json", metavar="FILE", help=f"also write the figures to FILE, as {form}")


def _told(message: str, status: int, debug: bool) -> int:
    """Print `message` as the one line of an error, after the traceback if asked for."""
    if debug:
        traceback.print_exc()
    line = " ".join(message.split())
    print(f"error: {line}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
