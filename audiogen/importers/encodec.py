"""Published EnCodecs: the original `.th` files, Hugging Face folders, audiocraft's `compression_state_dict.bin`.

Tensors decide the sizes. What they do not show (rate, causality, padding, segments) comes from the settings that lie
beside them, or for the original files from which of the two published models it is. Only tensors are unpickled.

All layouts are first brought to one set of names with weight norm folded, e.g. `encoder.layers.3.conv.weight`,
`encoder.layers.1.block.3.conv.bias`, `quantizer.layers.0.codebook.embed`.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from audiogen import codecs, registry  # noqa: F401
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.importers.files import Tensors, find, load, load_folder
from audiogen.importers.weight_norm import fold_weight_norm
from audiogen.nn.seanet import Lstm, ResidualBlock, SeanetConfig, TimeNorm, Upsample

SPELLINGS = (
    (r"^audio_encoder\.", ""),
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.(conv|convtr)\.\1\.", ".conv."),
    (r"\.(conv|convtr)\.norm\.", ".norm."),
    (r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.layers.\1.codebook."),
    (r"parametrizations\.weight\.original0$", "weight_g"),
    (r"parametrizations\.weight\.original1$", "weight_v"),
)
LEARNT_WITH = re.compile(r"\.codebook\.(inited|cluster_size|embed_avg)$")
HUB_FILES = ["config.json", "model.safetensors", "compression_state_dict.bin"]


@dataclass(frozen=True)
class Settings:
    """What the tensors do not show. `segment` and its stride are samples, 0 for a codec that cuts nothing."""

    sample_rate: int
    causal: bool
    pad_mode: str = "reflect"
    dilation_growth: int = 2
    segment: int = 0
    segment_stride: int = 0


ORIGINAL_24KHZ = Settings(24_000, causal=True)
ORIGINAL_48KHZ = Settings(48_000, causal=False, segment=48_000, segment_stride=47_520)


def read(source: str, codebooks: int | None = None) -> Bundle:
    """The bundle of a published EnCodec.

    Args:
        source: A `.th` or `.bin` file, a folder in the Hugging Face layout, or a name on the Hugging Face hub.
        codebooks: Keep the first so many; all if None.

    Raises:
        AudiogenError: If it cannot be found or read, or is no EnCodec that we can build.
    """
    tensors, settings = _open(source)
    tensors = canonical(tensors)
    try:
        config = _config(tensors, settings)
    except (KeyError, IndexError, ValueError) as error:
        raise AudiogenError(f"{source} is not an EnCodec checkpoint: {error}") from None
    if codebooks is not None:
        if not 1 <= codebooks <= config["num_codebooks"]:
            raise AudiogenError(f"{codebooks} codebooks asked for; {source} has 1 to {config['num_codebooks']}")
        config["num_codebooks"] = codebooks
        tensors = {name: tensor for name, tensor in tensors.items() if _codebook(name) < codebooks}
    kind = "encodec_segmented" if settings.segment else "encodec"
    model = registry.build("codec", kind, config).eval()
    fill(model, tensors, source)
    return Bundle("codec", kind, config, training={"imported from": source}, licence="as published", model=model)


def canonical(tensors: Tensors) -> Tensors:
    """Tensors of any layout under one set of names, in float32, weight norm folded, training state left out."""
    within = "audio_encoder." if any(name.startswith("audio_encoder.") for name in tensors) else ""
    renamed = {_renamed(name): tensor for name, tensor in tensors.items() if name.startswith(within)}
    used = {name: tensor.float() for name, tensor in renamed.items() if not LEARNT_WITH.search(name)}
    return fold_weight_norm(used, "the checkpoint")


def fill(model: nn.Module, tensors: Tensors, source: str) -> None:
    """Set our codec's weights to `tensors` under canonical names.

    Raises:
        AudiogenError: If one is missing, left over or of the wrong shape; the message names it.
    """
    expected = published(model)
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        what = f"lacks {missing[0]!r}" if missing else f"has {extra[0]!r}, which its sizes leave no place for"
        raise AudiogenError(f"{source} {what}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            wanted = list(expected[name].shape)
            raise AudiogenError(f"{source}: {name!r} has shape {list(tensor.shape)}; its other sizes ask for {wanted}")
    with torch.no_grad():
        for prefix, part in _parts(model):
            _take(part, {name.removeprefix(prefix): tensors[name] for name in expected if name.startswith(prefix)})
        model.quantizer.vectors.copy_(torch.stack([tensors[name] for name in expected if ".codebook." in name]))


def published(model: nn.Module) -> Tensors:
    """The weights of our codec under canonical names, shaped as published."""
    tensors = {prefix + name: tensor for prefix, part in _parts(model) for name, tensor in _give(part).items()}
    codebooks = {f"quantizer.layers.{k}.codebook.embed": v for k, v in enumerate(model.quantizer.vectors)}
    return {name: tensor.detach().clone() for name, tensor in (tensors | codebooks).items()}


def original(model: nn.Module) -> Tensors:
    """The weights of our codec as a state dict of the `encodec` package: for use there."""
    tensors: Tensors = {}
    layers = _layers(model)
    for name, tensor in published(model).items():
        if match := re.fullmatch(r"quantizer\.layers\.(\d+)\.codebook\.embed", name):
            stem = f"quantizer.vq.layers.{match[1]}._codebook."
            usage = {"inited": torch.ones(1), "cluster_size": torch.ones(len(tensor))}
            tensors |= {stem + key: value for key, value in usage.items()}
            tensors |= {stem + "embed": tensor, stem + "embed_avg": tensor.clone()}
            continue
        prefix, rest = re.fullmatch(r"(\w+\.layers\.\d+\.)(.+)", name).groups()
        kind = "convtr" if isinstance(layers[prefix], Upsample) else "conv"
        rest = re.sub(r"(^|\.)conv\.", rf"\1{kind}.{kind}.", rest)
        rest = re.sub(r"(^|\.)norm\.", rf"\1{kind}.norm.", rest)
        name = prefix.replace("layers", "model") + rest
        if rest.endswith(f"{kind}.{kind}.weight") and not model.config.network.time_norm:
            tensors[f"{name}_g"] = tensor.flatten(1).norm(dim=1).view(-1, 1, 1)
            tensors[f"{name}_v"] = tensor
        else:
            tensors[name] = tensor
    return tensors


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """Our layers by the canonical start of their names; an ELU before a layer takes a number there too."""
    layers, encoder, decoder = {}, model.encoder, model.decoder
    for side, ours in (("encoder", [*encoder.down, *encoder.tail]), ("decoder", [*decoder.head, *decoder.up])):
        number = 0
        for layer in ours:
            number += getattr(layer, "activate", False)
            layers[f"{side}.layers.{number}."] = layer
            number += 1
    return layers


def _parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every layer that has weights itself, with the canonical start of their names."""
    for prefix, layer in _layers(model).items():
        if not isinstance(layer, ResidualBlock):
            yield prefix, layer
            continue
        yield f"{prefix}block.1.", layer.first
        yield f"{prefix}block.3.", layer.second
        if layer.shortcut is not None:
            yield f"{prefix}shortcut.", layer.shortcut


def _give(part: nn.Module) -> Tensors:
    """The weights of one layer as published: convolutions [out, in, kernel], transposed ones [in, out, kernel]."""
    if isinstance(part, Lstm):
        tensors: Tensors = {}
        for k, (inputs, hidden, bias) in enumerate(
            zip(part.input_weights, part.hidden_weights, part.biases, strict=True)
        ):
            tensors |= {f"lstm.weight_ih_l{k}": _last_two_swapped(inputs.T)}
            tensors |= {f"lstm.weight_hh_l{k}": _last_two_swapped(hidden.T)}
            tensors |= {f"lstm.bias_ih_l{k}": _last_two_swapped(bias), f"lstm.bias_hh_l{k}": torch.zeros_like(bias)}
        return tensors
    if isinstance(part, Upsample):
        weight = part.weight.flip(0).unflatten(2, (part.stride, -1)).permute(1, 3, 0, 2).flatten(2)
    else:
        weight = part.weight.reshape(part.kernel_size, part.inputs, -1).permute(2, 1, 0)
    norm = {f"norm.{name}": value for name, value in part.norm.named_parameters()}
    return {"conv.weight": weight.contiguous(), "conv.bias": part.bias, **norm}


def _take(part: nn.Module, tensors: Tensors) -> None:
    """The inverse of `_give`."""
    if isinstance(part, Lstm):
        for k in range(len(part.biases)):
            part.input_weights[k].copy_(_last_two_swapped(tensors[f"lstm.weight_ih_l{k}"]).T)
            part.hidden_weights[k].copy_(_last_two_swapped(tensors[f"lstm.weight_hh_l{k}"]).T)
            bias = tensors[f"lstm.bias_ih_l{k}"] + tensors[f"lstm.bias_hh_l{k}"]
            part.biases[k].copy_(_last_two_swapped(bias))
        return
    weight = tensors["conv.weight"]
    if isinstance(part, Upsample):
        part.weight.copy_(weight.unflatten(2, (2, part.stride)).permute(2, 0, 3, 1).flatten(2).flip(0))
    else:
        part.weight.copy_(weight.permute(2, 1, 0).reshape(part.weight.shape))
    part.bias.copy_(tensors["conv.bias"])
    if isinstance(part.norm, TimeNorm):
        part.norm.weight.copy_(tensors["norm.weight"])
        part.norm.bias.copy_(tensors["norm.bias"])


def _last_two_swapped(gates: Tensor) -> Tensor:
    """LSTM gates [4D, …] from the order i, f, g, o to i, f, o, g, or back."""
    i, f, third, fourth = gates.chunk(4)
    return torch.cat([i, f, fourth, third])


def _renamed(name: str) -> str:
    for pattern, replacement in SPELLINGS:
        name = re.sub(pattern, replacement, name)
    return name


def _codebook(name: str) -> int:
    """Number of the codebook that a tensor belongs to, -1 for tensors of the network."""
    match = re.match(r"quantizer\.layers\.(\d+)\.", name)
    return int(match[1]) if match else -1


def _config(tensors: Tensors, settings: Settings) -> dict[str, Any]:
    """The config of the codec whose weights are `tensors`."""
    named = {
        int(m[1]): t for n, t in tensors.items() if (m := re.fullmatch(r"encoder\.layers\.(\d+)\.conv\.weight", n))
    }
    first, *strided, last = (named[number] for number in sorted(named))
    block = tensors["encoder.layers.1.block.1.conv.weight"]
    blocks = sum(bool(re.fullmatch(r"encoder\.layers\.\d+\.block\.1\.conv\.bias", name)) for name in tensors)
    codebooks = sorted(name for name in tensors if _codebook(name) >= 0)
    network = SeanetConfig(
        channels=first.shape[1],
        filters=first.shape[0],
        ratios=[weight.shape[2] // 2 for weight in reversed(strided)],
        latent_dim=last.shape[0],
        kernel_size=first.shape[2],
        last_kernel_size=last.shape[2],
        residual_kernel_size=block.shape[2],
        residual_layers=blocks // len(strided),
        dilation_growth=settings.dilation_growth,
        compress=block.shape[1] // block.shape[0],
        lstm_layers=sum(bool(re.fullmatch(r"encoder\.layers\.\d+\.lstm\.bias_ih_l\d+", name)) for name in tensors),
        causal=settings.causal,
        pad_mode=settings.pad_mode,
        conv_shortcut=any(".shortcut." in name for name in tensors),
        time_norm=any(".norm." in name for name in tensors),
    )
    segments = {"segment": settings.segment, "segment_stride": settings.segment_stride} if settings.segment else {}
    return {
        "sample_rate": settings.sample_rate,
        "num_codebooks": len(codebooks),
        "codebook_size": len(tensors[codebooks[0]]),
        "network": asdict(network),
        **segments,
    }


def _open(source: str) -> tuple[Tensors, Settings]:
    """The tensors of a checkpoint as they are named in it, and its settings."""
    path = find(source, HUB_FILES)
    return _open_file(path) if path.is_file() else _open_folder(path)


def _open_folder(folder: Path) -> tuple[Tensors, Settings]:
    if (folder / HUB_FILES[2]).is_file():
        return _open_file(folder / HUB_FILES[2])
    for name in HUB_FILES[:2]:
        if not (folder / name).is_file():
            raise AudiogenError(f"{folder} has no {name}; a folder in the Hugging Face layout holds {HUB_FILES[:2]}")
    described, tensors = load_folder(folder, HUB_FILES[0], [folder / HUB_FILES[1]])
    described = described.get("audio_encoder", described)
    if described.get("model_type") != "encodec":
        raise AudiogenError(f"{folder} holds a model of type {described.get('model_type')!r}, not 'encodec'")
    return tensors, _hugging_face_settings(described, folder)


def _open_file(path: Path) -> tuple[Tensors, Settings]:
    _check_hash(path)
    content = load(path)
    if isinstance(content, dict) and "pretrained" in content:
        return _open(content["pretrained"])
    if isinstance(content, dict) and "best_state" in content:
        tensors = content["best_state"].get("model", content["best_state"])
        return tensors, _audiocraft_settings(content.get("xp.cfg", ""), path)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise AudiogenError(f"{path} is not a state dict of tensors")
    normed = any(".norm." in name for name in content)
    return content, ORIGINAL_48KHZ if normed else ORIGINAL_24KHZ


def _check_hash(path: Path) -> None:
    """The original files carry the start of their SHA-256 in their names."""
    match = re.search(r"-([0-9a-f]{8})\.th$", path.name)
    if match and not hashlib.sha256(path.read_bytes()).hexdigest().startswith(match[1]):
        raise AudiogenError(f"{path} is damaged: its SHA-256 does not start with {match[1]}; get it again")


def _hugging_face_settings(described: dict[str, Any], where: Path) -> Settings:
    rate, seconds = described.get("sampling_rate", 24_000), described.get("chunk_length_s")
    if described.get("trim_right_ratio", 1.0) != 1.0:
        raise AudiogenError(f"{where}: trim_right_ratio {described['trim_right_ratio']} is not supported, only 1.0")
    if bool(described.get("normalize")) != (seconds is not None):
        raise AudiogenError(f"{where}: normalize and chunk_length_s are supported together only")
    segment = int(seconds * rate) if seconds is not None else 0
    return Settings(
        rate,
        described.get("use_causal_conv", True),
        described.get("pad_mode", "reflect"),
        described.get("dilation_growth_rate", 2),
        segment,
        int((1.0 - (described.get("overlap") or 0.0)) * segment),
    )


def _audiocraft_settings(text: str, where: Path) -> Settings:
    try:
        config = OmegaConf.create(text)
        trimmed = config.seanet.get("decoder", {}).get("trim_right_ratio", 1.0)
        if config.compression_model != "encodec" or config.encodec.get("renormalize") or trimmed != 1.0:
            raise AudiogenError(
                f"{where}: only plain EnCodecs are supported, without renormalize, trim_right_ratio 1.0"
            )
        return Settings(config.sample_rate, config.seanet.causal, config.seanet.pad_mode, config.seanet.dilation_base)
    except (OmegaConfBaseException, AttributeError, TypeError) as error:
        raise AudiogenError(f"{where}: its xp.cfg cannot be read: {str(error).splitlines()[0]}") from None
