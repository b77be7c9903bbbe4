"""Published FastConformers give the numbers they give in `transformers`: features, encoder, heads, whole and cached."""

import io
import json
import pickle
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from audiogen import api
from audiogen.cli import main
from audiogen.errors import AudiogenError
from audiogen.importers.fastconformer import read
from audiogen.importers.fastconformer_files import TRANSFORMERS_NAMES, open_published

transformers = pytest.importorskip("transformers")
pytest.importorskip("transformers.models.nemotron_asr_streaming")
VOCAB = 7
SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_kernel_size": 5,
    "subsampling_conv_channels": 4,
    "num_mel_bins": 24,
}
PIECES = {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "▁a": 4, "ab": 5, "▁ab": 6, "<blank>": 7}
MERGES = ["▁ a", "a b", "▁a b"]


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """`model` with weights of which none is zero or one, and batch statistics."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(0.5 + noise.abs() if name.endswith("running_var") else 0.2 * noise + 0.5 * tensor)
    return model.eval().requires_grad_(False)


def save(model: torch.nn.Module, folder: Path, **processor) -> Path:
    model.save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps(processor))
    tokenizer = {"model": {"type": "BPE", "vocab": PIECES, "merges": MERGES}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.fixture(scope="module")
def streaming(tmp_path_factory):
    """A streaming transducer of `transformers`, and its folder."""
    encoder = transformers.NemotronAsrStreamingEncoderConfig(**SHAPE, sliding_window=5, default_num_lookahead_tokens=1)
    config = transformers.NemotronAsrStreamingConfig(
        vocab_size=VOCAB + 1, decoder_hidden_size=8, num_decoder_layers=2, blank_token_id=VOCAB, encoder_config=encoder
    )
    model = shaken(transformers.NemotronAsrStreamingForRNNT(config))
    folder = tmp_path_factory.mktemp("streaming")
    return model, save(model, folder, supported_num_lookahead_tokens=[1, 0, 3])


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """An offline CTC model of `transformers`, and its folder."""
    encoder = transformers.ParakeetEncoderConfig(**SHAPE, convolution_bias=False, attention_bias=False)
    config = transformers.ParakeetCTCConfig(vocab_size=VOCAB + 1, pad_token_id=VOCAB, encoder_config=encoder)
    model = shaken(transformers.ParakeetForCTC(config))
    return model, save(model, tmp_path_factory.mktemp("offline"))


def wave(samples: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(seed))
    return 0.1 * noise * torch.sin(torch.arange(samples) * 0.002)


def features(kind: str, *waves: torch.Tensor) -> dict[str, torch.Tensor]:
    extractor = getattr(transformers, kind)(feature_size=SHAPE["num_mel_bins"])
    return extractor([row.numpy() for row in waves], sampling_rate=16_000, return_tensors="pt")


@pytest.mark.parametrize("lookahead", [0, 1, 3])
@pytest.mark.parametrize("samples", [8 * 1280 + 17, 6500])
def test_streaming_transducer_whole_and_in_pieces(streaming, lookahead, samples):
    theirs, folder = streaming
    ours, sound = read(str(folder)).model, wave(samples)
    heard = features("NemotronAsrStreamingFeatureExtractor", sound)
    labels = torch.tensor([[2, 5, 1]])
    start = torch.tensor([[VOCAB]])
    said = torch.cat([start, labels], 1)
    expected = theirs(**heard, decoder_input_ids=said, num_lookahead_tokens=lookahead).logits
    frames, count = ours.encode(sound[None], lookahead=lookahead)
    expected = expected[:, : int(count)]
    torch.testing.assert_close(ours.transducer_logits(frames, labels), expected, atol=1e-4, rtol=0)
    state, parts = ours.init_state(1, lookahead), []
    for piece in sound.split(997):
        part, state = ours.encode_step(piece[None], state)
        parts.append(part)
    parts.append(ours.encode_step(sound[None, :0], state, final=True)[0])
    streamed = torch.cat(parts, 1)
    assert streamed.shape[1] == int(count)
    torch.testing.assert_close(ours.transducer_logits(streamed, labels), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("lookahead", [0, 3])
def test_streaming_equals_their_cached_steps(streaming, lookahead):
    theirs, folder = streaming
    ours, sound = read(str(folder)).model, wave(14_000)
    mel = features("NemotronAsrStreamingFeatureExtractor", sound)["input_features"]
    size, caches, parts = 8 * (lookahead + 1), {}, []
    ends = list(range(1 + 8 * lookahead, mel.shape[1], size))
    for begin, end in zip([0, *ends], ends, strict=False):
        out = theirs.get_audio_features(mel[:, begin:end], use_cache=True, num_lookahead_tokens=lookahead, **caches)
        caches = {"past_key_values": out.past_key_values, "padding_cache": out.padding_cache}
        parts.append(out.pooler_output)
    expected = torch.cat(parts, 1)
    frames, _ = ours.encode_step(sound[None], ours.init_state(1, lookahead))
    torch.testing.assert_close(ours.joiner.frames(frames[:, : expected.shape[1]]), expected, atol=1e-4, rtol=0)


def test_offline_ctc_with_ragged_rows(offline):
    theirs, folder = offline
    ours, waves = read(str(folder)).model, [wave(9000), wave(6123, 1)]
    heard = features("ParakeetFeatureExtractor", *waves)
    expected = theirs(**heard).logits.log_softmax(-1)
    padded = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
    log_probs, lengths = ours.log_probs(padded, torch.tensor([9000, 6123]))
    for row, length in enumerate(lengths):
        torch.testing.assert_close(log_probs[row, :length], expected[row, :length], atol=1e-4, rtol=0)
    with pytest.raises(AudiogenError, match="cannot hear sound as it arrives"):
        ours.init_state()
    with pytest.raises(AudiogenError, match="at most 30 s"):
        ours.encode(torch.zeros(1, 31 * 16_000))


def nemo(folder: Path, path: Path, weights: bytes | None = None, **encoder) -> Path:
    """The streaming model of a folder as a `.nemo` file."""
    published = open_published(str(folder))
    described = {
        "preprocessor": {"sample_rate": 16_000, "features": SHAPE["num_mel_bins"], "normalize": "NA"},
        "encoder": {
            "subsampling": "dw_striding",
            "subsampling_factor": 8,
            "self_attention_model": "rel_pos",
            "att_context_size": [[4, 1], [4, 0], [4, 3]],
            "att_context_style": "chunked_limited",
            "conv_context_size": "causal",
            "causal_downsampling": True,
            "xscaling": True,
            **encoder,
        },
    }
    if weights is None:
        buffer = io.BytesIO()
        torch.save(published.tensors, buffer)
        weights = buffer.getvalue()
    files = {
        "./model_config.yaml": OmegaConf.to_yaml(OmegaConf.create(described)).encode(),
        "./model_weights.ckpt": weights,
        "./0a1b_tokenizer.model": sentencepiece(),
    }
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def sentencepiece() -> bytes:
    """A SentencePiece model of the same pieces, written by hand."""
    data = b""
    for piece in list(PIECES)[:VOCAB]:
        rank = next((i for i, merge in enumerate(MERGES) if merge.replace(" ", "") == piece), len(MERGES))
        text = piece.encode()
        inside = bytes([0x0A, len(text)]) + text + b"\x15" + np.float32(-rank).tobytes()
        data += bytes([0x0A, len(inside)]) + inside
    return data + b"\x12\x02\x18\x02"


def test_a_nemo_file_is_the_same_model(streaming, tmp_path):
    _, folder = streaming
    from_folder, from_file = read(str(folder)), read(str(nemo(folder, tmp_path / "x.nemo")))
    assert from_file.config == from_folder.config and from_file.assets == from_folder.assets
    for name, tensor in from_folder.model.state_dict().items():
        assert torch.equal(tensor, from_file.model.state_dict()[name]), name
    assert from_file.config["lookaheads"] == [1, 0, 3] and from_file.config["ctc_weight"] == 0.0


def test_an_imported_model_transcribes_by_command(streaming, offline, tmp_path, capsys):
    for name, (_, folder) in (("streaming", streaming), ("offline", offline)):
        assert main(["import", "fastconformer", str(folder), str(tmp_path / name)]) == 0
        assert "recognizer fastconformer_" in capsys.readouterr().err
        listener, sound = api.load(tmp_path / name, "recognizer"), wave(30_000)
        assert list(listener.stream(sound.split(999)))[-1].text == listener.transcribe(sound).text
    assert main(["import", "fastconformer", str(folder), str(tmp_path / name)]) == 2


def test_what_cannot_be_built_is_refused(streaming, tmp_path):
    _, folder = streaming

    class Hostile:
        def __reduce__(self):
            return exec, ("raise SystemExit('unpickled')",)

    with pytest.raises(AudiogenError, match="cannot be read as a file of tensors"):
        read(str(nemo(folder, tmp_path / "a.nemo", pickle.dumps({"a": Hostile()}))))
    with pytest.raises(AudiogenError, match="att_context_style is 'regular'"):
        read(str(nemo(folder, tmp_path / "b.nemo", att_context_style="regular")))
    with pytest.raises(AudiogenError, match="no such file"):
        read(str(tmp_path / "nothing"))
    (tmp_path / "c.nemo").write_bytes(b"not an archive")
    with pytest.raises(AudiogenError, match="cannot be read"):
        read(str(tmp_path / "c.nemo"))
    published = open_published(str(folder)).tensors
    changes = {
        "has 'encoder.extra'": {**published, "encoder.extra": torch.zeros(1)},
        "lacks 'joint.enc.bias'": {k: v for k, v in published.items() if k != "joint.enc.bias"},
        "in some layers": {k: v for k, v in published.items() if k != "encoder.layers.1.conv.pointwise_conv1.bias"},
    }
    for said, tensors in changes.items():
        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        with pytest.raises(AudiogenError, match=re.escape(said)):
            read(str(nemo(folder, tmp_path / "d.nemo", buffer.getvalue())))


def test_names_of_transformers_are_all_known(offline):
    names = open_published(str(offline[1])).tensors
    assert not [name for name in names if any(re.search(pattern, name) for pattern, _ in TRANSFORMERS_NAMES)]
