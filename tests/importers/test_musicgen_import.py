"""Published MusicGen and MAGNeT layouts on random weights: the logits of `transformers`, and nothing passed over."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from audiogen.checkpoint import load_bundle
from audiogen.cli import main
from audiogen.errors import AudiogenError
from audiogen.importers.musicgen import audiocraft_pairs, hugging_face_pairs, published, read
from audiogen.infer.causal import CausalOptions, generate
from audiogen.nn.patterns import PatternConfig

transformers = pytest.importorskip("transformers")

CODES, BOOKS, LAYERS, DIM, TEXT = 32, 4, 2, 64, 48
ENCODEC = {"num_filters": 2, "hidden_size": 16, "sampling_rate": 16_000, "codebook_size": CODES, "codebook_dim": 16}
ENCODEC |= {"use_causal_conv": False, "use_conv_shortcut": False, "upsampling_ratios": [8, 5, 4, 2]}
CFG = """
lm_model: {lm_model}
channels: 1
transformer_lm: {{num_heads: 4, subcodes_context: 7}}
masking: {{span_len: 4}}
conditioners: {{description: {{model: t5, t5: {{name: t5-small}}}}}}
codebooks_pattern: {{modeling: delay, delay: {{delays: [0, 1, 2, 3]}}}}
dataset: {{segment_duration: 2}}
"""


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    text = transformers.T5Config(d_model=TEXT, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=40)
    coded = transformers.EncodecConfig(**ENCODEC, target_bandwidths=[50 * BOOKS * 5 / 1000])
    sizes = {"hidden_size": DIM, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "ffn_dim": 4 * DIM}
    ids = {"pad_token_id": CODES, "bos_token_id": CODES}
    decoder = transformers.MusicgenDecoderConfig(vocab_size=CODES, num_codebooks=BOOKS, **sizes, **ids)
    config = transformers.MusicgenConfig(text_encoder=text, audio_encoder=coded, decoder=decoder)
    model = transformers.MusicgenForConditionalGeneration(config).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.03 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("musicgen")
    theirs.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def ours(folder):
    return read(str(folder))[0].model


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(1)
    mask = torch.tensor([[True] * 6, [True, True, True, False, False, False]])
    return torch.randn(2, 6, TEXT) * mask[..., None], mask


def their_logits(theirs, codes, text, mask, attend):
    states = theirs.enc_to_dec_proj(text) * mask[..., None]
    options = {"encoder_attention_mask": mask.long()} if attend else {}
    with torch.no_grad():
        logits = theirs.decoder(codes.flatten(0, 1), encoder_hidden_states=states, **options).logits
    return logits.view(*codes.shape, -1)


@pytest.mark.parametrize("padding", ["masked", "zero_keys"])
def test_logits_are_those_of_transformers(theirs, ours, text, padding) -> None:
    codes = torch.randint(CODES + 1, (2, BOOKS, 37))
    ours.network.config.text_padding = padding
    network, memory = ours.network, ours.network.remember(*text)
    with torch.no_grad():
        hidden = network.transformer(network.embed(codes), memory, causal=True)
        logits = torch.stack([head(hidden) for head in network.heads], 1)
    expected = their_logits(theirs, codes, *text, attend=padding == "masked")
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def test_the_likeliest_codes_are_those_of_transformers(theirs, ours, text) -> None:
    """Theirs step by step without a cache, in the delay pattern, with guidance."""
    ours.network.config.text_padding = "masked"
    vectors, mask = text
    frames, pattern = 6, PatternConfig().build(BOOKS, 6)
    options = CausalOptions(temperature=0.0, guidance=3.0)
    codes = generate(ours, ours.network.remember(*text), frames, options, (0, 0))
    sequence, holds = torch.full((2, BOOKS, 1), CODES), pattern.holds()
    for step in range(1, pattern.num_steps):
        told = their_logits(theirs, sequence, vectors, mask, attend=True)[:, :, -1]
        untold = their_logits(theirs, sequence, vectors, torch.zeros_like(mask), attend=False)[:, :, -1]
        said = (untold + 3.0 * (told - untold)).argmax(-1)
        sequence = torch.cat([sequence, torch.where(holds[:, step], said, CODES)[..., None]], 2)
    assert torch.equal(codes, pattern.collect(sequence))


def test_the_codec_comes_along(folder) -> None:
    bundle, codec = read(str(folder))
    assert codec.model.spec.num_codebooks == BOOKS and bundle.model.config.window == 1500
    assert bundle.codec["codes_sha256"] == codec.model.codes_digest()
    assert bundle.assets["captions"] == {"name": "t5", "source": "t5-base"}


def audiocraft_folder(tmp_path, ours, theirs, lm_model: str, nested: bool = False, half: bool = False):
    """The folder that audiocraft would have exported of our weights, with an EnCodec in Hugging Face's layout."""
    tensors = published(ours, audiocraft_pairs(BOOKS, LAYERS))
    tensors = {name: tensor.half() if half else tensor for name, tensor in tensors.items()}
    state = {"model": tensors} if nested else tensors
    content = {"best_state": state, "xp.cfg": CFG.format(lm_model=lm_model), "version": "1.3", "exported": True}
    torch.save(content, tmp_path / "state_dict.bin")
    theirs.audio_encoder.save_pretrained(tmp_path / "encodec")
    return str(tmp_path), str(tmp_path / "encodec")


@pytest.mark.parametrize("nested", [False, True])
def test_audiocrafts_file_becomes_the_same_musicgen(tmp_path, ours, theirs, nested) -> None:
    bundle, _ = read(*audiocraft_folder(tmp_path, ours, theirs, "transformer_lm", nested))
    assert bundle.name == "musicgen" and bundle.model.config.network.text_padding == "zero_keys"
    assert bundle.model.config.window == 100 and bundle.model.config.pattern.delays == [0, 1, 2, 3]
    for name, tensor in ours.state_dict().items():
        assert torch.equal(bundle.model.state_dict()[name], tensor), name


def test_audiocrafts_magnet_in_half_precision(tmp_path, ours, theirs) -> None:
    bundle, _ = read(*audiocraft_folder(tmp_path, ours, theirs, "transformer_lm_magnet", half=True))
    config = bundle.model.config
    assert bundle.name == "magnet" and (config.span, config.reach, config.window) == (4, 7, 100)
    assert bundle.assets["options"]["temperature"] == 3.5  # of 16 kHz: sounds
    assert all(tensor.dtype == torch.float32 for tensor in bundle.model.state_dict().values())


def test_what_is_published_is_read_back(ours) -> None:
    pairs = hugging_face_pairs(BOOKS, LAYERS)
    names = {name for _, theirs in pairs for name in theirs}
    assert published(ours, pairs).keys() == names


@pytest.fixture
def spoilt(folder, tmp_path):
    """The folder with tensors changed by a function."""

    def make(change):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text((folder / "config.json").read_text())
        return str(tmp_path)

    return make


BIAS = "decoder.model.decoder.layers.1.fc1.bias"
NORM = "decoder.model.decoder.layers.1.final_layer_norm.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(NORM), f"lacks '{NORM}'"),
        (lambda tensors: tensors.update({BIAS: torch.zeros(2)}), f"has '{BIAS}'"),
        (lambda tensors: tensors.update({NORM: torch.zeros(2)}), r"shape \[2\]; its sizes ask for \[64\]"),
        (lambda tensors: tensors.pop("decoder.lm_heads.0.weight"), "no MusicGen"),
    ],
)
def test_what_does_not_fit_is_named(spoilt, change, message) -> None:
    with pytest.raises(AudiogenError, match=message):
        read(spoilt(change))


def test_other_files_are_refused(tmp_path, folder) -> None:
    (tmp_path / "state_dict.bin").write_bytes(b"not tensors")
    with pytest.raises(AudiogenError, match="cannot be read as a file of tensors"):
        read(str(tmp_path))
    torch.save({"weights": torch.zeros(2)}, tmp_path / "state_dict.bin")
    with pytest.raises(AudiogenError, match="no model of audiocraft"):
        read(str(tmp_path))
    with pytest.raises(AudiogenError, match="no such file or folder"):
        read("nowhere")
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "bert"}))
    save_file({"a": torch.zeros(1)}, other / "model.safetensors")
    with pytest.raises(AudiogenError, match="not 'musicgen'"):
        read(str(other))


def test_the_command_writes_model_and_codec_side_by_side(folder, tmp_path, capsys) -> None:
    target = tmp_path / "my-music"
    assert main(["import", "musicgen", str(folder), str(target)]) == 0
    bundle, codec = load_bundle(target, "sound"), load_bundle(tmp_path / "my-music-codec", "codec")
    assert bundle.codec["bundle"] == "my-music-codec" and bundle.codec["codes_sha256"] == codec.model.codes_digest()
    assert main(["import", "musicgen", str(folder), str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
