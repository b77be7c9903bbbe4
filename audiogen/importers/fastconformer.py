"""Published FastConformers: NVIDIA's `.nemo` files, and folders in the layout of `transformers`.

Cache-aware streaming models and offline ones, with CTC, a transducer, or both. Only tensors are unpickled. What our
modules do once, published ones do at every step, so it is done here: the scale of the encoder's input goes into the
subsampler's last layer, that of the scores into the position biases, the projected sinusoids into a table of position
keys, batch normalisation into the convolution before it. Biases that are left out there are zero here.

Both layouts are first brought to the names of `.nemo` files, e.g. `encoder.layers.3.self_attn.linear_q.weight`.
"""

import math
import re
from dataclasses import asdict

import torch
from torch import Tensor

from audiogen import models, registry  # noqa: F401
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.importers.fastconformer_files import Published, open_published
from audiogen.importers.files import Tensors
from audiogen.models.fastconformer import FastConformerConfig
from audiogen.models.fastconformer_hybrid import FastConformerHybridConfig
from audiogen.nn.features import slaney_filters

OFFLINE_FRAMES = 375
"""Frames an imported offline model hears at once, 30 s: its table of position keys ends there."""
BATCH_NORM_EPSILON = 1e-5
BLOCK_NAMES = {
    "feed_forward_1.norm": "norm_feed_forward1",
    "feed_forward_1.expand": "feed_forward1.linear1",
    "feed_forward_1.contract": "feed_forward1.linear2",
    "attention.norm": "norm_self_att",
    "attention.out": "self_attn.linear_out",
    "convolution.norm": "norm_conv",
    "convolution.gated": "conv.pointwise_conv1",
    "convolution.out": "conv.pointwise_conv2",
    "feed_forward_2.norm": "norm_feed_forward2",
    "feed_forward_2.expand": "feed_forward2.linear1",
    "feed_forward_2.contract": "feed_forward2.linear2",
    "norm": "norm_out",
}
"""Layers of a block, ours and theirs, that differ in nothing but the name."""


def read(source: str) -> Bundle:
    """The bundle of a published FastConformer.

    Args:
        source: A `.nemo` file, or a folder with `config.json`, `model.safetensors`, `tokenizer.json` and, for streaming
            models, `processor_config.json`.

    Raises:
        AudiogenError: If it cannot be found or read, or is no FastConformer that we can build.
    """
    published = open_published(source)
    weights = _Weights(published.tensors, source)
    _check_filters(weights, published)
    name, config = _config(weights, published)
    model = registry.build("recognizer", name, asdict(config)).eval()
    tensors = _encoder(weights, config, published.scale_input) | _heads(weights, name, config)
    weights.check_empty()
    _fill(model, tensors, source)
    assets = {"pieces": published.pieces.to_dict()} if published.pieces else {}
    training = {"imported from": source}
    return Bundle(
        "recognizer", name, asdict(config), assets=assets, training=training, licence="as published", model=model
    )


class _Weights:
    """The tensors of a checkpoint, each to be used once."""

    def __init__(self, tensors: Tensors, source: str) -> None:
        self._left, self._source = dict(tensors), source
        self._biased: dict[str, bool] = {}

    def has(self, name: str) -> bool:
        """Whether a tensor is there, and still unused."""
        return name in self._left

    def shape(self, name: str) -> torch.Size:
        """The shape of a tensor that is used later."""
        if name not in self._left:
            raise AudiogenError(f"{self._source} lacks {name!r}; it is no FastConformer that audiogen can build")
        return self._left[name].shape

    def take(self, name: str) -> Tensor:
        """A tensor in double precision."""
        self.shape(name)
        return self._left.pop(name).double()

    def layer(self, name: str) -> tuple[Tensor, Tensor]:
        """Weight and bias of a layer, zeros where no block has one. Convolutions over one frame are linear layers."""
        weight, kind = self.take(f"{name}.weight"), re.sub(r"\d+", "#", name)
        left_out = not self.has(f"{name}.bias") and name.startswith("encoder.layers.")
        if self._biased.setdefault(kind, not left_out) == left_out:
            raise AudiogenError(f"{self._source} has biases in some layers like {name!r} and lacks them in others")
        bias = weight.new_zeros(len(weight)) if left_out else self.take(f"{name}.bias")
        return (weight[..., 0] if weight.dim() == 3 and weight.shape[2] == 1 else weight), bias

    def count(self, prefix: str) -> int:
        """How many layers are numbered after `prefix`."""
        return len({name[len(prefix) :].split(".")[0] for name in self._left if name.startswith(prefix)})

    def check_empty(self) -> None:
        """Refuse a checkpoint of which something was not used."""
        if self._left:
            more = f" and {len(self._left) - 1} more" if len(self._left) > 1 else ""
            raise AudiogenError(f"{self._source} has {min(self._left)!r}{more}, which audiogen has no place for")


def _config(weights: _Weights, published: Published) -> tuple[str, FastConformerConfig]:
    """Registered name and config of the model with those weights."""
    layer = "encoder.layers.0."
    dim, head = weights.shape("encoder.pre_encode.out.weight")[0], "ctc_decoder.decoder_layers.0.weight"
    streaming = bool(published.lookaheads)
    shape = {
        "head_frames": 1,
        "sample_rate": published.sample_rate,
        "num_mels": published.num_mels,
        "subsampling_channels": weights.shape("encoder.pre_encode.conv.0.weight")[0],
        "dim": dim,
        "depth": weights.count("encoder.layers."),
        "num_heads": weights.shape(f"{layer}self_attn.pos_bias_u")[0],
        "ffn_multiplier": weights.shape(f"{layer}feed_forward1.linear1.weight")[0] // dim,
        "kernel_size": weights.shape(f"{layer}conv.depthwise_conv.weight")[2],
        "left_context": published.left_context if streaming else 0,
        "lookaheads": published.lookaheads if streaming else [OFFLINE_FRAMES - 1],
        "framing": "centred" if streaming else "offline",
        "convolution_norm": not weights.has(f"{layer}conv.batch_norm.running_mean"),
    }
    if not weights.has("decoder.prediction.embed.weight"):
        return "fastconformer_ctc", FastConformerConfig(vocab_size=weights.shape(head)[0] - 1, **shape)
    transducer = {
        "vocab_size": weights.shape("decoder.prediction.embed.weight")[0] - 1,
        "predictor_dim": weights.shape("decoder.prediction.embed.weight")[1],
        "predictor_layers": weights.count("decoder.prediction.dec_rnn.lstm.weight_ih_l"),
        "joint_dim": weights.shape("joint.enc.weight")[0],
    }
    if not weights.has(head):
        transducer["ctc_weight"] = 0.0
    return "fastconformer_hybrid", FastConformerHybridConfig(**shape, **transducer)


def _encoder(weights: _Weights, config: FastConformerConfig, scale_input: bool) -> Tensors:
    """Subsampler and blocks under our names."""
    tensors = {}
    for ours, theirs in (("first", 0), ("depthwise.0", 2), ("pointwise.0", 3), ("depthwise.1", 5), ("pointwise.1", 6)):
        tensors |= _named(f"subsampling.{ours}", weights.layer(f"encoder.pre_encode.conv.{theirs}"))
    scale = math.sqrt(config.dim) if scale_input else 1.0
    weight, bias = weights.layer("encoder.pre_encode.out")
    tensors |= _named("subsampling.out", (scale * weight, scale * bias))
    for index in range(config.depth):
        block = _block(weights, f"encoder.layers.{index}.", config)
        tensors |= {f"encoder.blocks.{index}.{name}": tensor for name, tensor in block.items()}
    return tensors


def _block(weights: _Weights, prefix: str, config: FastConformerConfig) -> Tensors:
    """One Conformer block."""
    tensors = {}
    for ours, theirs in BLOCK_NAMES.items():
        tensors |= _named(ours, weights.layer(prefix + theirs))
    projections = [weights.layer(f"{prefix}self_attn.linear_{which}") for which in "qkv"]
    query_key_value = tuple(torch.cat(parts) for parts in zip(*projections, strict=True))
    return {
        **tensors,
        **_named("attention.query_key_value", query_key_value),
        **_positions(weights, f"{prefix}self_attn.", config),
        **_depthwise(weights, f"{prefix}conv.", config.convolution_norm),
    }


def _depthwise(weights: _Weights, prefix: str, norm: bool) -> Tensors:
    """The depthwise convolution and its LayerNorm, or the one with batch normalisation folded in."""
    weight, bias = weights.layer(f"{prefix}depthwise_conv")
    gain, shift = weights.layer(f"{prefix}batch_norm")
    if norm:
        return _named("convolution.depthwise", (weight, bias)) | _named("convolution.depthwise_norm", (gain, shift))
    mean, variance = (weights.take(f"{prefix}batch_norm.running_{which}") for which in ("mean", "var"))
    gain = gain / (variance + BATCH_NORM_EPSILON).sqrt()
    return _named("convolution.depthwise", (weight * gain[:, None, None], (bias - mean) * gain + shift))


def _positions(weights: _Weights, prefix: str, config: FastConformerConfig) -> Tensors:
    """The table of position keys, and both query biases, scaled as our queries are."""
    ahead = max(config.lookaheads)
    distances = torch.arange(-ahead, config.left_context + ahead + 1, dtype=torch.float64)
    rates = 10_000 ** (-torch.arange(0, config.dim, 2, dtype=torch.float64) / config.dim)
    angles = distances[:, None] * rates
    sinusoids = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
    keys = sinusoids @ weights.take(f"{prefix}linear_pos.weight").T
    scale = (config.dim // config.num_heads) ** -0.5
    content, position = (scale * weights.take(f"{prefix}pos_bias_{which}")[:, None] for which in "uv")
    return {
        "attention.position_keys": keys.unflatten(1, (config.num_heads, -1)).transpose(0, 1),
        "attention.content_bias": content,
        "attention.position_bias": position,
    }


def _heads(weights: _Weights, name: str, config: FastConformerConfig) -> Tensors:
    """CTC's head, the predictor and the joiner, as far as the model has them."""
    tensors: Tensors = {}
    if weights.has("ctc_decoder.decoder_layers.0.weight"):
        tensors |= _named("head", weights.layer("ctc_decoder.decoder_layers.0"))
    if name == "fastconformer_ctc":
        return tensors
    for ours, theirs in (("frames", "enc"), ("predicted", "pred"), ("out", _joint_out(weights))):
        tensors |= _named(f"joiner.{ours}", weights.layer(f"joint.{theirs}"))
    tensors["predictor.embedding.weight"] = weights.take("decoder.prediction.embed.weight")
    for index in range(config.predictor_layers):
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            theirs = f"decoder.prediction.dec_rnn.lstm.{part}_l{index}"
            tensors[f"predictor.lstm.{part}_l{index}"] = weights.take(theirs)
    return tensors


def _named(name: str, layer: tuple[Tensor, ...]) -> Tensors:
    """Weight and bias of a layer under their full names."""
    return {f"{name}.weight": layer[0], f"{name}.bias": layer[1]}


def _joint_out(weights: _Weights) -> str:
    """The joiner's last layer: its number depends on whether it was trained with dropout."""
    return "joint_net.2" if weights.has("joint.joint_net.2.weight") else "joint_net.1"


def _check_filters(weights: _Weights, published: Published) -> None:
    """Compare the mel filters a checkpoint carries, where it does, with those we compute."""
    name = "preprocessor.featurizer.fb"
    if weights.has("preprocessor.featurizer.window"):
        weights.take("preprocessor.featurizer.window")
    if not weights.has(name):
        return
    theirs = weights.take(name).reshape(published.num_mels, -1).T
    ours = slaney_filters(published.sample_rate, 2 * (len(theirs) - 1), theirs.shape[1]).double()
    if not torch.allclose(ours, theirs, atol=1e-3 * float(theirs.max())):
        raise AudiogenError("the checkpoint's mel filters are not Slaney's, which are all that audiogen can import")


def _fill(model: torch.nn.Module, tensors: Tensors, source: str) -> None:
    """Set a model's weights, which must be just those.

    Raises:
        AudiogenError: If one is missing, left over or of the wrong shape; the message names it.
    """
    expected = model.state_dict()
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise AudiogenError(f"{source}: {(missing + extra)[0]!r} does not fit its other sizes")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            wanted = list(expected[name].shape)
            raise AudiogenError(f"{source}: {name!r} has shape {list(tensor.shape)}; its other sizes ask for {wanted}")
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
