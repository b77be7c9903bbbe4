"""`audiogen import`: published checkpoints become models of ours."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogen.cli.parser import describe, group, new_command
from audiogen.errors import AudiogenError

if TYPE_CHECKING:
    from audiogen.checkpoint import Bundle


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen import`."""
    layouts = group(parser, "layouts")
    for add_layout in (_add_encodec, _add_sq_codec, _add_fastconformer, _add_musicgen, _add_sashimi):
        add_layout(layouts)


def _add_encodec(layouts: Any) -> None:
    parser = new_command(layouts, "encodec", "import an EnCodec codec of 24, 32 or 48 kHz")
    describe(
        parser,
        import_encodec,
        """
        audiogen import encodec encodec_24khz-d7cc33bc.th my-encodec --codebooks 8
        audiogen import encodec facebook/encodec_32khz my-encodec-32khz
        audiogen codec encode speech.wav speech.agc --model my-encodec
        """,
    )
    parser.add_argument(
        "source",
        metavar="CHECKPOINT",
        help="a .th file, audiocraft's compression_state_dict.bin, a folder or a name of the Hugging Face hub",
    )
    _add_target(parser)
    parser.add_argument("--codebooks", type=int, metavar="K", help="keep the first K codebooks only (default: all)")


def import_encodec(options: argparse.Namespace) -> None:
    """Write a published EnCodec as a bundle."""
    from audiogen.importers.encodec import read

    _check_new(options.target)
    _save(options.target, read(options.source, options.codebooks))


def _add_sq_codec(layouts: Any) -> None:
    parser = new_command(layouts, "sq_codec", "import an SQ-Codec, SimpleSpeech's")
    describe(parser, import_sq_codec, "audiogen import sq_codec 16k_32dim_5/ckpt.pth config.yaml my-sq-codec")
    parser.add_argument("source", metavar="CHECKPOINT", help="a file of tensors with 'codec_model'")
    parser.add_argument("settings", metavar="YAML", help="its configuration, with 'generator.config'")
    _add_target(parser)
    parser.add_argument("--levels", type=int, metavar="S", help="S, where no name such as 32dim_5 tells it")


def import_sq_codec(options: argparse.Namespace) -> None:
    """Write a published SQ-Codec as a bundle."""
    from audiogen.importers.sq_codec import read

    _check_new(options.target)
    _save(options.target, read(options.source, options.settings, options.levels))


def _add_fastconformer(layouts: Any) -> None:
    parser = new_command(layouts, "fastconformer", "import a FastConformer recogniser, NVIDIA's, streaming or offline")
    describe(
        parser,
        import_fastconformer,
        """
        audiogen import fastconformer stt_en_fastconformer_hybrid_large_streaming_multi.nemo my-recognizer
        audiogen import fastconformer nemotron-speech-streaming-en-0.6b my-recognizer
        audiogen transcribe --model my-recognizer --stream -
        """,
    )
    parser.add_argument("source", metavar="CHECKPOINT", help="a .nemo file, or a folder in the layout of transformers")
    _add_target(parser)


def import_fastconformer(options: argparse.Namespace) -> None:
    """Write a published FastConformer as a bundle."""
    from audiogen.importers.fastconformer import read

    _check_new(options.target)
    _save(options.target, read(options.source))


def _add_musicgen(layouts: Any) -> None:
    parser = new_command(layouts, "musicgen", "import a MusicGen or MAGNeT with its EnCodec")
    describe(
        parser,
        import_musicgen,
        """
        audiogen import musicgen facebook/musicgen-small my-music
        audiogen import musicgen facebook/magnet-small-10secs my-magnet --codec facebook/encodec_32khz
        """,
    )
    parser.add_argument(
        "source",
        metavar="CHECKPOINT",
        help="audiocraft's state_dict.bin, a folder with one or in Hugging Face's layout, or a name of the hub",
    )
    _add_target(parser, "the folder of the model; its codec goes into FOLDER-codec")
    parser.add_argument("--codec", default="", metavar="CHECKPOINT", help="its EnCodec, if that does not lie beside it")


def import_musicgen(options: argparse.Namespace) -> None:
    """Write a published MusicGen or MAGNeT and its EnCodec as two bundles, one beside the other."""
    from audiogen.importers.musicgen import read

    codec = f"{options.target.rstrip('/')}-codec"
    for folder in (options.target, codec):
        _check_new(folder)
    bundle, coded = read(options.source, options.codec)
    bundle.codec["bundle"] = Path(codec).name
    _save(codec, coded)
    _save(options.target, bundle)


def _add_sashimi(layouts: Any) -> None:
    parser = new_command(layouts, "sashimi", "import a SaShiMi, of state-spaces/s4 or simple-sashimi")
    describe(
        parser,
        import_sashimi,
        """
        audiogen import sashimi checkpoints/sashimi_sc09.pt my-digits
        audiogen import sashimi sashimi_beethoven.pt my-sonatas --law linear
        """,
    )
    parser.add_argument("source", metavar="CHECKPOINT", help="a file of tensors, with the embedding and the head")
    _add_target(parser)
    parser.add_argument("--rate", type=int, default=16_000, metavar="HZ", help="samples a second (default: 16000)")
    parser.add_argument("--law", default="mu", metavar="LAW", help="how sound was quantised: mu (default) or linear")


def import_sashimi(options: argparse.Namespace) -> None:
    """Write a published SaShiMi as a bundle."""
    from audiogen.importers.sashimi import read

    _check_new(options.target)
    _save(options.target, read(options.source, options.rate, options.law))


def _add_target(
    parser: argparse.ArgumentParser, what: str = "the folder of the model, which must not exist yet"
) -> None:
    parser.add_argument("target", metavar="FOLDER", help=what)


def _check_new(target: str) -> None:
    """Refuse a folder that exists, before the work of reading."""
    if Path(target).exists():
        raise AudiogenError(f"{target} exists already; name a new folder")


def _save(target: str, bundle: "Bundle") -> None:
    """Save what was read as a new folder."""
    from audiogen.checkpoint import save_bundle

    save_bundle(Path(target), bundle)
    parameters = sum(parameter.numel() for parameter in bundle.model.parameters())
    print(f"{target}: {bundle.kind} {bundle.name}, {parameters:,} parameters", file=sys.stderr)
