"""Files of published FastConformers: tensors under one set of names, settings, and the pieces of words.

A `.nemo` file is a tar archive with `model_config.yaml`, `model_weights.ckpt` and the tokenizer's SentencePiece model.
A folder of `transformers` has them as `config.json`, `model.safetensors` and `tokenizer.json`.
"""

import json
import re
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from safetensors.torch import load_file

from audiogen.errors import AudiogenError
from audiogen.importers.files import Tensors, load
from audiogen.text.pieces import PieceTokenizer, read_sentencepiece

TRANSFORMERS_LOOKAHEADS = [13, 6, 1, 0]
"""Look-aheads of a streaming model whose processor names none, as `transformers` has it."""
UNUSED = re.compile(r"num_batches_tracked$|^encoder\.pos_bias_|^(spec_augmentation|loss|wer|ctc_wer)\.")
TRANSFORMERS_NAMES = (
    (r"^encoder\.subsampling\.conv_in\.", "encoder.pre_encode.conv.0."),
    (r"^encoder\.subsampling\.layers\.0\.depthwise_conv\.", "encoder.pre_encode.conv.2."),
    (r"^encoder\.subsampling\.layers\.0\.pointwise_conv\.", "encoder.pre_encode.conv.3."),
    (r"^encoder\.subsampling\.layers\.1\.depthwise_conv\.", "encoder.pre_encode.conv.5."),
    (r"^encoder\.subsampling\.layers\.1\.pointwise_conv\.", "encoder.pre_encode.conv.6."),
    (r"^encoder\.subsampling\.layers\.(\d)\.", r"encoder.pre_encode.conv.\1."),
    (r"^encoder\.subsampling\.linear\.", "encoder.pre_encode.out."),
    (r"\.conv\.norm\.", ".conv.batch_norm."),
    (r"\.self_attn\.([qkv])_proj\.", r".self_attn.linear_\1."),
    (r"\.self_attn\.o_proj\.", ".self_attn.linear_out."),
    (r"\.self_attn\.relative_k_proj\.", ".self_attn.linear_pos."),
    (r"\.self_attn\.bias_([uv])$", r".self_attn.pos_bias_\1"),
    (r"^ctc_head\.", "ctc_decoder.decoder_layers.0."),
    (r"^encoder_projector\.", "joint.enc."),
    (r"^decoder\.decoder_projector\.", "joint.pred."),
    (r"^decoder\.embedding\.", "decoder.prediction.embed."),
    (r"^decoder\.lstm\.", "decoder.prediction.dec_rnn.lstm."),
    (r"^joint\.head\.", "joint.joint_net.2."),
)


@dataclass(frozen=True)
class Published:
    """A published checkpoint as it lies in its files.

    Attributes:
        tensors: Under the names of `.nemo` files.
        sample_rate: Of the sound it hears, hertz.
        num_mels: Bands of its features.
        left_context: Frames to the left that a frame sees; of streaming models.
        lookaheads: Look-aheads it was trained with, the default first; none for an offline model.
        scale_input: Whether the encoder's input is multiplied by the root of its width.
        pieces: What the labels write, if it is known.
    """

    tensors: Tensors
    sample_rate: int
    num_mels: int
    left_context: int
    lookaheads: list[int]
    scale_input: bool
    pieces: PieceTokenizer | None


def open_published(source: str) -> Published:
    """Read a `.nemo` file, or a folder in the layout of `transformers`.

    Raises:
        AudiogenError: If it cannot be found or read, or if its settings are of a model we cannot build.
    """
    path = Path(source)
    try:
        if path.is_file():
            return _open_nemo(path)
        if path.is_dir():
            return _open_folder(path)
    except (KeyError, TypeError, ValueError, OSError, tarfile.TarError, SafetensorError) as error:
        raise AudiogenError(f"{source} cannot be read as a published FastConformer: {error!r}") from None
    raise AudiogenError(f"{source}: no such file or folder")


def _open_nemo(path: Path) -> Published:
    with tarfile.open(path) as archive:
        members = {Path(member.name).name: member for member in archive.getmembers() if member.isfile()}
        content = {name: archive.extractfile(member).read() for name, member in members.items()}
    try:
        described = OmegaConf.to_container(OmegaConf.create(content["model_config.yaml"].decode()))
    except OmegaConfBaseException as error:
        raise AudiogenError(f"{path}: its model_config.yaml cannot be read: {error}") from None
    tensors = load(BytesIO(content["model_weights.ckpt"]), f"model_weights.ckpt of {path}")
    tensors = {name: tensor for name, tensor in tensors.items() if not UNUSED.search(name)}
    if "decoder.decoder_layers.0.weight" in tensors:
        tensors = {re.sub(r"^decoder\.decoder_layers", "ctc_decoder.decoder_layers", n): t for n, t in tensors.items()}
    encoder, sound = described["encoder"], described["preprocessor"]
    _check(path, "subsampling", encoder.get("subsampling"), "dw_striding")
    _check(path, "subsampling_factor", encoder.get("subsampling_factor"), 8)
    _check(path, "self_attention_model", encoder.get("self_attention_model"), "rel_pos")
    _check(path, "window_size", sound.get("window_size", 0.025), 0.025)
    _check(path, "window_stride", sound.get("window_stride", 0.01), 0.01)
    left, lookaheads = _nemo_contexts(path, encoder, sound.get("normalize"))
    return Published(
        tensors,
        sound["sample_rate"],
        sound["features"],
        left,
        lookaheads,
        encoder.get("xscaling", True),
        _nemo_pieces(described, content),
    )


def _nemo_contexts(path: Path, encoder: dict[str, Any], normalize: str | None) -> tuple[int, list[int]]:
    """Left context and look-aheads of a streaming model; 0 and none of an offline one."""
    contexts = encoder.get("att_context_size") or [-1, -1]
    contexts = contexts if isinstance(contexts[0], list) else [contexts]
    if encoder.get("att_context_style", "regular") == "regular" and contexts == [[-1, -1]]:
        _check(path, "normalize", normalize, "per_feature")
        _check(path, "causal_downsampling", bool(encoder.get("causal_downsampling")), False)
        return 0, []
    _check(path, "att_context_style", encoder.get("att_context_style"), "chunked_limited")
    _check(path, "conv_context_size", encoder.get("conv_context_size"), "causal")
    _check(path, "causal_downsampling", encoder.get("causal_downsampling"), True)
    _check(path, "normalize", normalize or "NA", "NA")
    if len({left for left, _ in contexts}) > 1:
        raise AudiogenError(f"{path} has several left contexts, {contexts}; audiogen builds models of one")
    return contexts[0][0], [ahead for _, ahead in contexts]


def _nemo_pieces(described: dict[str, Any], content: dict[str, bytes]) -> PieceTokenizer | None:
    """The SentencePiece model of an archive; without one, the list of labels in its settings."""
    model = next((data for name, data in sorted(content.items()) if name.endswith("tokenizer.model")), None)
    if model is not None:
        return read_sentencepiece(model)
    labels = described.get("labels") or (described.get("decoder") or {}).get("vocabulary")
    return PieceTokenizer(labels) if labels else None


def _open_folder(folder: Path) -> Published:
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = described.get("model_type")
    streaming = kind in ("nemotron_asr_streaming", "nemotron_asr_streaming_encoder")
    if not streaming and kind not in ("parakeet_ctc", "parakeet_rnnt"):
        raise AudiogenError(
            f"{folder} holds a model of type {kind!r}; nemotron_asr_streaming, parakeet_ctc or parakeet_rnnt is needed"
        )
    encoder, vocab_size = described["encoder_config"], described["vocab_size"]
    blank = described["pad_token_id" if kind == "parakeet_ctc" else "blank_token_id"]
    _check(folder, "the blank's label", blank, vocab_size - 1)
    _check(folder, "hidden_act of the encoder", encoder.get("hidden_act", "silu"), "silu")
    _check(folder, "subsampling_factor", encoder.get("subsampling_factor", 8), 8)
    tensors = {name: tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    tensors = {_renamed(name): tensor for name, tensor in tensors.items() if not UNUSED.search(name)}
    return Published(
        tensors,
        16_000,
        encoder["num_mel_bins"],
        encoder["sliding_window"] - 1 if streaming else 0,
        _transformers_lookaheads(folder) if streaming else [],
        encoder.get("scale_input", True),
        _transformers_pieces(folder, vocab_size - 1),
    )


def _transformers_lookaheads(folder: Path) -> list[int]:
    """The look-aheads that a folder's processor names, its default first."""
    path = folder / "processor_config.json"
    described = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    known = described.get("supported_num_lookahead_tokens") or TRANSFORMERS_LOOKAHEADS
    default = described.get("default_num_lookahead_tokens", known[0])
    return [default, *(ahead for ahead in known if ahead != default)]


def _transformers_pieces(folder: Path, vocab_size: int) -> PieceTokenizer | None:
    """The pieces of a folder's `tokenizer.json`, if it has one."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    described = json.loads(path.read_text(encoding="utf-8"))
    model = described["model"]
    _check(folder, "the tokenizer's model", model["type"], *("BPE", "Unigram"))
    if model["type"] == "Unigram":
        symbols, scores = zip(*model["vocab"], strict=True)
        return PieceTokenizer(symbols[:vocab_size], scores[:vocab_size], "unigram")
    names = {index: piece for piece, index in model["vocab"].items()}
    names |= {added["id"]: added["content"] for added in described.get("added_tokens", ())}
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    ranks: dict[str, int] = {}
    for rank, (first, second) in enumerate(merges):
        ranks.setdefault(first + second, rank)
    symbols = [names.get(index, "<unused>") for index in range(vocab_size)]
    return PieceTokenizer(symbols, [-float(ranks.get(symbol, len(merges))) for symbol in symbols], "bpe")


def _renamed(name: str) -> str:
    for pattern, replacement in TRANSFORMERS_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _check(path: Path, what: str, value: Any, *known: Any) -> None:
    """Refuse a setting that is none of those we know."""
    if value not in known:
        wanted = " or ".join(map(repr, known))
        raise AudiogenError(f"{path}: {what} is {value!r}; audiogen builds models with {wanted}")
