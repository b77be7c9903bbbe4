"""`audiogen score`: how good the models are."""

import argparse
from pathlib import Path

from audiogen.cli.measuring import add_models_measured, measure, part
from audiogen.cli.parser import add_json, describe
from audiogen.errors import AudiogenError, unknown_name


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen score`."""
    describe(
        parser,
        score,
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
    add_models_measured(parser)
    add_json(parser)


def score(options: argparse.Namespace) -> None:
    """Measure quality."""
    given = {"data_root": options.data_root, "limit": options.limit}
    corpus = {} if options.corpus is None else {"corpus": options.corpus[0]}
    corpora = {} if options.corpus is None else {"corpora": options.corpus}
    voices, codecs = [*options.beside, options.voice_model], [options.codec, *options.beside]
    measures = {
        "codec": lambda: (
            part("score.robustness").score_robustness(codecs, **corpora, **given)
            if options.robustness
            else part("score.codec").score_codec(codecs, **corpora, **given)
        ),
        "transcribe": lambda: part("score.transcribe").score_transcribe(
            options.recognizer, **corpora, **given, every_way=options.every_way
        ),
        "say": lambda: part("score.say").score_say(
            _sentences(options), voices, recognizer=options.recognizer, int8=options.int8, **corpus, **given
        ),
        "hard": lambda: part("score.hard").score_hard(
            _sentences(options), voices, options.recognizer, range(options.seeds), options.top_p
        ),
        "prosody": lambda: part("score.prosody").score_prosody(options.voice_model, **corpus, **given),
        "prompts": lambda: part("score.say").score_prompts(
            _sentences(options), options.voice_model, data_root=options.data_root, **corpus
        ),
    }
    if options.what not in measures:
        raise unknown_name("score", options.what, measures)
    measure([measures[options.what]], options.json)


def _sentences(options: argparse.Namespace) -> list[str]:
    """The sentences of `--sentences`, a line each."""
    if options.sentences is None:
        raise AudiogenError("--sentences FILE is needed: what to say, a sentence a line")
    try:
        text = Path(options.sentences).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AudiogenError(f"cannot read the sentences in {options.sentences}: {error}") from None
    sentences = [line.strip() for line in text.splitlines() if line.strip()]
    if not sentences:
        raise AudiogenError(f"{options.sentences} holds no sentence")
    return sentences[: options.limit]
