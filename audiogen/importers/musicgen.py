"""Published MusicGens and MAGNeTs: audiocraft's `state_dict.bin` and Hugging Face's folders, with their EnCodec.

Tensors decide the sizes; what they do not show (heads, pattern, spans, the captions' encoder) comes from the settings
beside them. Only tensors and plain values are unpickled. Each layout is a table of pairs: the rows of our tensors, one
after the other, are those of theirs.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from audiogen import registry
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.importers import encodec
from audiogen.importers.files import Tensors, find, load, load_folder
from audiogen.models.code_lm import CodeLMConfig
from audiogen.models.magnet import MagnetConfig
from audiogen.models.musicgen import MusicGenConfig
from audiogen.nn.patterns import PatternConfig
from audiogen.protocols import CodecSpec

Pairs = list[tuple[tuple[str, ...], tuple[str, ...]]]

AUDIOCRAFT, CONFIG = "state_dict.bin", "config.json"
HUB_FILES = [CONFIG, "model*.safetensors", AUDIOCRAFT, "compression_state_dict.bin"]
NO_WEIGHTS = re.compile(r"^(text_encoder|audio_encoder)\.|\.embed_positions\.weights$")
T5_OF_WIDTH = {512: "t5-small", 768: "t5-base", 1024: "t5-large"}
MUSICGEN_SECONDS = 30.0  # Hugging Face's settings do not tell it; all published ones have it
SOUND_RATE = 16_000  # the published models of this rate make sounds, and are drawn from otherwise than those of music
SOUND_OPTIONS = {"temperature": 3.5, "top_p": 0.8, "guidance": 20.0}
LONG_STEPS = {"steps": [60, 10]}


@dataclass(frozen=True)
class Settings:
    """What the tensors do not show; `seconds` is the length of the clips it was trained on."""

    name: str
    heads: int
    text_padding: str
    captions: str
    seconds: float
    pattern: PatternConfig
    channels: int = 1
    span: int = 3
    reach: int = 5


def read(source: str, codec: str = "") -> tuple[Bundle, Bundle]:
    """The bundles of a published model and of its codec.

    Args:
        source: A `state_dict.bin`, a folder that holds one or is in the Hugging Face layout, or a name on the Hugging
            Face hub.
        codec: Where its EnCodec is, as `audiogen.importers.encodec.read` takes it; by default beside it.

    Returns:
        The model's bundle, whose `codec` has still to be given the name of the other, and the codec's.

    Raises:
        AudiogenError: If it cannot be found or read, is none of these models, or does not fit the codec.
    """
    place = find(source, HUB_FILES)
    tensors, settings, pairs_of = _open(place)
    beside = place.parent if place.is_file() else place
    coded = encodec.read(codec or str(beside))
    codebooks, layers = (_count(tensors, pattern) for pattern in _counted(pairs_of))
    pairs = pairs_of(codebooks, layers)
    try:
        config = _config(tensors, pairs, codebooks, layers, settings, coded.model.spec)
        model = registry.build("sound", settings.name, config).eval()
    except (KeyError, IndexError, ValueError) as error:
        raise AudiogenError(f"{source} is no MusicGen or MAGNeT: {error}") from None
    fill(model, tensors, pairs, source)
    assets: dict[str, Any] = {"captions": {"name": "t5", "source": settings.captions}}
    if settings.name == "magnet":
        sound = SOUND_OPTIONS if coded.model.spec.sample_rate == SOUND_RATE else {}
        assets["options"] = {**sound, **(LONG_STEPS if settings.seconds > 10 else {})}
    described = {"spec": config["codec"], "codes_sha256": coded.model.codes_digest()}
    training = {"imported from": source}
    return (
        Bundle(
            "sound",
            settings.name,
            config,
            assets=assets,
            codec=described,
            training=training,
            licence="as published",
            model=model,
        ),
        coded,
    )


def fill(model: nn.Module, tensors: Tensors, pairs: Pairs, source: str) -> None:
    """Set our weights to theirs, of the layout that `pairs` describes.

    Raises:
        AudiogenError: If a tensor is missing, left over or of the wrong shape; the message names it.
    """
    named = {name for _, theirs in pairs for name in theirs}
    missing, extra = sorted(named - tensors.keys()), sorted(tensors.keys() - named)
    if missing or extra:
        what = f"lacks {missing[0]!r}" if missing else f"has {extra[0]!r}, which its sizes leave no place for"
        raise AudiogenError(f"{source} {what}")
    state = model.state_dict()
    for ours, theirs in pairs:
        joined = torch.cat([tensors[name].float() for name in theirs])
        wanted = [sum(len(state[name]) for name in ours), *state[ours[0]].shape[1:]]
        if list(joined.shape) != wanted:
            raise AudiogenError(f"{source}: {theirs[0]!r} has shape {list(joined.shape)}; its sizes ask for {wanted}")
        for name, part in zip(ours, joined.split([len(state[name]) for name in ours]), strict=True):
            state[name].copy_(part)


def published(model: nn.Module, pairs: Pairs) -> Tensors:
    """Our weights in the layout that `pairs` describes: the inverse of `fill`."""
    tensors, state = {}, model.state_dict()
    for ours, theirs in pairs:
        joined = torch.cat([state[name] for name in ours])
        tensors |= dict(zip(theirs, (part.clone() for part in joined.chunk(len(theirs))), strict=True))
    return tensors


def audiocraft_pairs(codebooks: int, layers: int) -> Pairs:
    """Our names and audiocraft's, of MusicGen and MAGNeT alike."""
    pairs: Pairs = []
    for k in range(codebooks):
        pairs += [((f"network.codes.{k}.weight",), (f"emb.{k}.weight",))]
        pairs += [((f"network.heads.{k}.weight",), (f"linears.{k}.weight",))]
    for i in range(layers):
        own, their = f"network.transformer.layers.{i}.", f"transformer.layers.{i}."
        pairs += [((own + "attention.inputs.weight",), (their + "self_attn.in_proj_weight",))]
        pairs += [((own + "attention.out.weight",), (their + "self_attn.out_proj.weight",))]
        text = (own + "text.queries.weight", own + "text.memory.weight")
        pairs += [(text, (their + "cross_attention.in_proj_weight",))]
        pairs += [((own + "text.out.weight",), (their + "cross_attention.out_proj.weight",))]
        pairs += [((own + "expand.weight",), (their + "linear1.weight",))]
        pairs += [((own + "reduce.weight",), (their + "linear2.weight",))]
        norms = {"attention_norm": "norm1", "text_norm": "norm_cross", "feedforward_norm": "norm2"}
        pairs += [p for ours, theirs in norms.items() for p in _weight_and_bias(own + ours, their + theirs)]
    pairs += _weight_and_bias("network.transformer.norm", "out_norm")
    text = "condition_provider.conditioners.description.output_proj"
    return pairs + _weight_and_bias("network.text.project", text)


def hugging_face_pairs(codebooks: int, layers: int) -> Pairs:
    """Our names and those of Hugging Face's MusicGen."""
    pairs: Pairs = []
    for k in range(codebooks):
        pairs += [((f"network.codes.{k}.weight",), (f"decoder.model.decoder.embed_tokens.{k}.weight",))]
        pairs += [((f"network.heads.{k}.weight",), (f"decoder.lm_heads.{k}.weight",))]
    for i in range(layers):
        own, their = f"network.transformer.layers.{i}.", f"decoder.model.decoder.layers.{i}."
        inputs = tuple(f"{their}self_attn.{part}_proj.weight" for part in "qkv")
        memory = tuple(f"{their}encoder_attn.{part}_proj.weight" for part in "kv")
        pairs += [((own + "attention.inputs.weight",), inputs)]
        pairs += [((own + "attention.out.weight",), (their + "self_attn.out_proj.weight",))]
        pairs += [((own + "text.queries.weight",), (their + "encoder_attn.q_proj.weight",))]
        pairs += [((own + "text.memory.weight",), memory)]
        pairs += [((own + "text.out.weight",), (their + "encoder_attn.out_proj.weight",))]
        pairs += [((own + "expand.weight",), (their + "fc1.weight",))]
        pairs += [((own + "reduce.weight",), (their + "fc2.weight",))]
        norms = {
            "attention_norm": "self_attn_layer_norm",
            "text_norm": "encoder_attn_layer_norm",
            "feedforward_norm": "final_layer_norm",
        }
        pairs += [p for ours, theirs in norms.items() for p in _weight_and_bias(own + ours, their + theirs)]
    pairs += _weight_and_bias("network.transformer.norm", "decoder.model.decoder.layer_norm")
    return pairs + _weight_and_bias("network.text.project", "enc_to_dec_proj")


def _weight_and_bias(ours: str, theirs: str) -> Pairs:
    return [((f"{ours}.{part}",), (f"{theirs}.{part}",)) for part in ("weight", "bias")]


def _counted(pairs_of: Any) -> Iterator[str]:
    """Patterns whose number is that of a codebook and of a layer."""
    for ours in ("network.codes.0.weight", "network.transformer.layers.0.attention.out.weight"):
        theirs = next(theirs[0] for own, theirs in pairs_of(1, 1) if own == (ours,))
        yield re.escape(theirs).replace("0", r"(\d+)")


def _count(tensors: Tensors, pattern: str) -> int:
    return 1 + max((int(match[1]) for name in tensors if (match := re.fullmatch(pattern, name))), default=-1)


def _config(
    tensors: Tensors, pairs: Pairs, codebooks: int, layers: int, settings: Settings, codec: CodecSpec
) -> dict[str, Any]:
    """The config of the model, as plain values."""
    theirs = {ours[0]: names[0] for ours, names in pairs}
    size, dim = tensors[theirs["network.heads.0.weight"]].shape
    per_channel = codebooks // settings.channels
    if (per_channel, size) != (codec.num_codebooks, codec.codebook_size):
        raise AudiogenError(
            f"it says {per_channel} codebooks of {size}; the codec has {codec.num_codebooks} of {codec.codebook_size}"
        )
    network = CodeLMConfig(
        dim=dim,
        heads=settings.heads,
        layers=layers,
        text="features",
        text_size=tensors[theirs["network.text.project.weight"]].shape[1],
        text_padding=settings.text_padding,
    )
    spec = replace(codec, num_codebooks=codebooks, channels=settings.channels)
    window = round(settings.seconds * codec.frame_rate)
    if settings.name == "magnet":
        return asdict(MagnetConfig(spec, network, settings.span, settings.reach, window=window))
    return asdict(MusicGenConfig(spec, network, settings.pattern, window))


def _open(place: Path) -> tuple[Tensors, Settings, Any]:
    """Tensors, settings and the table of pairs of a file or folder."""
    if place.is_file():
        return *_open_audiocraft(place), audiocraft_pairs
    if (place / AUDIOCRAFT).is_file():
        return *_open_audiocraft(place / AUDIOCRAFT), audiocraft_pairs
    return *_open_hugging_face(place), hugging_face_pairs


def _open_audiocraft(path: Path) -> tuple[Tensors, Settings]:
    content = load(path)
    if not isinstance(content, dict) or not isinstance(content.get("best_state"), dict) or "xp.cfg" not in content:
        raise AudiogenError(f"{path} has no 'best_state' and 'xp.cfg'; it is no model of audiocraft")
    tensors = content["best_state"].get("model", content["best_state"])
    try:
        return tensors, _audiocraft_settings(OmegaConf.create(content["xp.cfg"]))
    except (OmegaConfBaseException, AttributeError, TypeError, KeyError) as error:
        raise AudiogenError(f"{path}: its xp.cfg cannot be read: {str(error).splitlines()[0]}") from None


def _audiocraft_settings(config: DictConfig) -> Settings:
    """Zeros pad captions there. A MAGNeT needs no pattern: its codebooks come one after the other."""
    magnet = config.lm_model == "transformer_lm_magnet"
    if not magnet and config.lm_model != "transformer_lm":
        raise AudiogenError(f"lm_model {config.lm_model!r} is not supported, only transformer_lm(_magnet)")
    chosen = config.codebooks_pattern.modeling
    described = config.codebooks_pattern.get(chosen) or {}
    delays, turns = described.get("delays") or [], described.get("flattening") or []
    if chosen == "coarse_first" and delays:
        delays = [0, *delays]
    return Settings(
        "magnet" if magnet else "musicgen",
        config.transformer_lm.num_heads,
        "zero_keys",
        config.conditioners.description.t5.name,
        config.dataset.segment_duration,
        PatternConfig() if magnet else PatternConfig(chosen, [*delays], [*turns]),
        config.get("channels", 1),
        config.masking.span_len if magnet else 3,
        max(0, config.transformer_lm.subcodes_context) if magnet else 5,
    )


def _open_hugging_face(folder: Path) -> tuple[Tensors, Settings]:
    files = sorted(folder.glob("model*.safetensors"))
    if not files or not (folder / CONFIG).is_file():
        raise AudiogenError(f"{folder} holds neither {AUDIOCRAFT} nor {CONFIG} with model.safetensors")
    config, tensors = load_folder(folder, CONFIG, files)
    if config.get("model_type") != "musicgen":
        raise AudiogenError(f"{folder} holds a model of type {config.get('model_type')!r}, not 'musicgen'")
    decoder, project = config["decoder"], tensors.get("enc_to_dec_proj.weight", torch.zeros(1, 0))
    channels = decoder.get("audio_channels", 1)
    codebooks = decoder.get("num_codebooks", 4)
    settings = Settings(
        "musicgen",
        decoder.get("num_attention_heads", 16),
        "masked",
        T5_OF_WIDTH.get(project.shape[1], "t5-base"),
        MUSICGEN_SECONDS,
        PatternConfig("delay", [k // channels for k in range(codebooks)]),
        channels,
    )
    return {name: tensor for name, tensor in tensors.items() if not NO_WEIGHTS.search(name)}, settings
