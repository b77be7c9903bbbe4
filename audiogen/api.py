"""Models by name: `load` gives an object that speaks, listens or codes; `list_models` says what there is."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from audiogen import checkpoint
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError

if TYPE_CHECKING:
    from audiogen.infer.compress import FileCodec
    from audiogen.infer.diffusion import DiffusionGenerator
    from audiogen.infer.listen import Listener, ListenOptions
    from audiogen.infer.sound import SoundGenerator
    from audiogen.infer.speak import Speaker
    from audiogen.infer.waveform import WaveformGenerator

    Model: TypeAlias = Speaker | Listener | FileCodec | SoundGenerator | WaveformGenerator | DiffusionGenerator


def load(name_or_folder: str | Path, kind: str | None = None, listen: "ListenOptions | None" = None) -> "Model":
    """The model of that name or in that folder, ready to use.

    Args:
        name_or_folder: A name that `audiogen models` lists, or the folder of a bundle.
        kind: If given, the kind it must be: `"acoustic"`, `"recognizer"`, `"codec"`, `"sound"`, `"waveform"` or
            `"diffusion"`.
        listen: How a recogniser listens; None is as it is best.

    Returns:
        A `Speaker` for a voice, a `Listener` for a recogniser, a `FileCodec` for a codec, a `SoundGenerator` for a
        model of sound from captions, a `WaveformGenerator` for a model of waveforms, a `DiffusionGenerator`
        for one that makes sound of noise.

    Raises:
        AudiogenError: If there is no such bundle, if it is damaged, or if it is of another kind.
    """
    for package in ("audiogen.codecs", "audiogen.models"):
        import_module(package)  # registers the classes that bundles name
    bundle = checkpoint.load_bundle(name_or_folder, kind)
    if bundle.kind not in (*_LOADERS, "recognizer"):
        raise AudiogenError(f"{str(name_or_folder)!r} is of kind {bundle.kind!r}, used by other models, not by itself")
    return _load_listener(bundle, listen) if bundle.kind == "recognizer" else _LOADERS[bundle.kind](bundle)


@dataclass(frozen=True)
class ModelInfo:
    """One line of the list of models.

    Attributes:
        name: What to call it in commands.
        kind: What it does.
        size: Bytes of its folder.
        languages: What it speaks or hears; empty where language does not matter.
        licence: Licence of the weights.
    """

    name: str
    kind: str
    size: int
    languages: tuple[str, ...]
    licence: str


def list_models() -> list[ModelInfo]:
    """Every shipped model and those in the folder `$AUDIOGEN_BUNDLES`."""
    return [_describe(name, folder) for name, folder in sorted(checkpoint.list_bundles().items())]


def _describe(name: str, folder: Path) -> ModelInfo:
    bundle = checkpoint.read_description(folder)
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return ModelInfo(name, bundle.kind, size, tuple(bundle.assets.get("languages", ())), bundle.licence)


def _load_speaker(bundle: Bundle) -> "Speaker":
    from audiogen.infer.speak import Speaker

    return Speaker(bundle, _codec_of(bundle))


def _load_listener(bundle: Bundle, options: "ListenOptions | None") -> "Listener":
    from audiogen.infer.listen import Listener

    return Listener(bundle, options)


def _load_codec(bundle: Bundle) -> "FileCodec":
    from audiogen.infer.compress import FileCodec

    return FileCodec(bundle)


def _load_sound(bundle: Bundle) -> "SoundGenerator":
    from audiogen.infer.sound import SoundGenerator

    return SoundGenerator(bundle, _codec_of(bundle).model)


def _load_waveform(bundle: Bundle) -> "WaveformGenerator":
    from audiogen.infer.waveform import WaveformGenerator

    return WaveformGenerator(bundle)


def _load_diffusion(bundle: Bundle) -> "DiffusionGenerator":
    from audiogen.infer.diffusion import DiffusionGenerator

    return DiffusionGenerator(bundle)


_LOADERS: dict[str, Any] = {
    "acoustic": _load_speaker,
    "codec": _load_codec,
    "sound": _load_sound,
    "waveform": _load_waveform,
    "diffusion": _load_diffusion,
}


def _codec_of(bundle: Bundle) -> Bundle:
    """The codec whose codes a voice was trained on: a bundle beside it, or one found by name."""
    if not bundle.codec:
        raise AudiogenError(f"{bundle.folder}: its config.json does not say which codec it speaks through")
    name = bundle.codec["bundle"]
    beside = bundle.folder.parent / name
    folder = beside if (beside / checkpoint.CONFIG).is_file() else checkpoint.find_bundle(name)
    codec = checkpoint.load_bundle(folder, kind="codec")
    if codec.model.codes_digest() != bundle.codec.get("codes_sha256"):
        raise AudiogenError(f"{bundle.folder} speaks through another codec than {folder}; get the one it came with")
    return codec
