"""EnCodec: equal to the published implementations in codes and wave, and in a stream to the whole."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from audiogen import audio
from audiogen.api import load
from audiogen.checkpoint import save_bundle
from audiogen.cli import main
from audiogen.codecs import encodec
from audiogen.errors import AudiogenError
from audiogen.importers import encodec as importer
from audiogen.nn.seanet import Decoder, Encoder, SeanetConfig
from audiogen.protocols import AudioTokens, Codec

pytestmark = pytest.mark.filterwarnings("ignore")

KBPS = {24_000: [1.5, 3.0, 6.0, 12.0, 24.0], 32_000: [2.0], 48_000: [3.0, 6.0, 12.0, 24.0]}
CODEBOOKS = {24_000: 32, 32_000: 4, 48_000: 16}
SHAPES = {
    24_000: {"causal": True},
    32_000: {"causal": False, "pad_mode": "constant", "true_skip": True, "ratios": [8, 5, 4, 4]},
    48_000: {"causal": False, "norm": "time_group_norm", "channels": 2},
}
SEGMENT = 4800  # a tenth of the published length, and of the time a test takes
YAML = """
sample_rate: 32000
channels: 1
compression_model: encodec
encodec: {causal: false, renormalize: false}
seanet: {causal: '${encodec.causal}', pad_mode: constant, dilation_base: 2, decoder: {trim_right_ratio: 1.0}}
"""


def theirs(rate):
    """The `encodec` package's model, its full depth at a few channels, with random weights."""
    package = pytest.importorskip("encodec")
    torch.manual_seed(rate)
    shape = {"n_filters": 2, "dimension": 16, **SHAPES[rate]}
    model = package.EncodecModel(
        package.modules.SEANetEncoder(**shape),
        package.modules.SEANetDecoder(**shape),
        package.quantization.ResidualVectorQuantizer(16, CODEBOOKS[rate], 1024),
        KBPS[rate],
        rate,
        shape.get("channels", 1),
        normalize=rate == 48_000,
        segment=SEGMENT / rate if rate == 48_000 else None,
    ).eval()
    randomise(model, [layer._codebook for layer in model.quantizer.vq.layers])
    return model


def randomise(model, codebooks):
    """Weights that leave a signal, and codebooks that shrink as residuals do."""
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.mul_(1.5) if "lstm" not in name else tensor.add_(0)
        for number, codebook in enumerate(codebooks):
            codebook.embed.normal_(0, 0.1 * 0.9**number)
            codebook.inited.fill_(1)


def ours(state, rate, tmp_path):
    """Our codec with those weights, through the importer."""
    if rate == 32_000:
        half = {name: tensor.half() for name, tensor in state.items()}
        torch.save({"best_state": half, "xp.cfg": YAML, "version": "1", "exported": True}, tmp_path / "c.bin")
        return importer.read(str(tmp_path / "c.bin")).model
    torch.save(state, tmp_path / "c.th")
    return importer.read(str(tmp_path / "c.th")).model


@pytest.fixture(scope="module", params=[24_000, 32_000, 48_000])
def pair(request, tmp_path_factory):
    """The package's model and ours with the same weights."""
    rate, patch = request.param, pytest.MonkeyPatch()
    patch.setattr(importer, "ORIGINAL_48KHZ", replace(importer.ORIGINAL_48KHZ, segment=SEGMENT, segment_stride=4752))
    model = theirs(rate)
    if rate == 32_000:
        model.load_state_dict({name: tensor.half() for name, tensor in model.state_dict().items()})
    codec = ours(model.state_dict(), rate, tmp_path_factory.mktemp("encodec"))
    patch.undo()
    return model, codec


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def wave_of(codec, samples, rows=1, seed=0):
    generator = torch.Generator().manual_seed(seed + samples)
    return 0.3 * torch.randn(rows, codec.spec.channels, samples, generator=generator)


def test_offers_the_protocol(pair):
    _, codec = pair
    assert isinstance(codec, Codec)
    assert codec.spec.frame_rate == {24_000: 75, 32_000: 50, 48_000: 150}[codec.spec.sample_rate]


@pytest.mark.parametrize("samples", [1, 5, 319, 320, 641, 2239, 2240, 4752, 4753, 4801, 9552])
def test_codes_and_wave_equal_the_packages(pair, samples):
    model, codec = pair
    wave = wave_of(codec, samples, rows=2)
    frames, tokens = model.encode(wave), codec.encode(wave)
    assert torch.equal(tokens.codes, torch.cat([codes for codes, _ in frames], -1))
    assert tokens.codes.shape[-1] == codec.spec.num_frames(samples)
    heard, expected = codec.decode(tokens), model.decode(frames)
    torch.testing.assert_close(heard, expected[..., :samples], atol=1e-5, rtol=0)
    assert heard.shape[-1] == samples and expected.std() > 1e-3


def test_codes_and_wave_equal_the_packages_at_every_bandwidth(pair):
    model, codec = pair
    wave = wave_of(codec, 3000)
    for kbps in KBPS[codec.spec.sample_rate]:
        model.set_target_bandwidth(kbps)
        frames, tokens = model.encode(wave), codec.encode(wave, codebooks=codec.codebooks_at(kbps))
        assert torch.equal(tokens.codes, torch.cat([codes for codes, _ in frames], -1))
        torch.testing.assert_close(codec.decode(tokens), model.decode(frames)[..., :3000], atol=1e-5, rtol=0)
    model.bandwidth = None


def test_weights_go_back_into_the_package(pair):
    model, codec = pair
    before = importer.canonical(model.state_dict())
    back = importer.original(codec)
    if codec.spec.sample_rate != 32_000:
        theirs(codec.spec.sample_rate).load_state_dict(back)
    after = importer.canonical(back)
    assert before.keys() == after.keys()
    for name in before:
        if ".bias_" not in name:
            torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=1e-5)


def streamed(codec, wave, sizes):
    """Codes and decoded wave of `wave` in chunks of `sizes`, the last marked final."""
    state, codes, waves = codec.init_state(len(wave)), [], []
    chunks = wave.split(sizes, dim=-1)
    for number, chunk in enumerate(chunks, start=1):
        tokens, state = codec.encode_step(chunk, state, final=number == len(chunks))
        samples, state = codec.decode_step(tokens, state, final=number == len(chunks))
        codes.append(tokens.codes)
        waves.append(samples)
    return torch.cat(codes, -1), torch.cat(waves, -1)


def ragged(total, largest, seed):
    """Chunk sizes that make `total`, none and one among them."""
    generator = torch.Generator().manual_seed(seed)
    sizes = []
    while sum(sizes) < total:
        sizes.append(min(int(torch.randint(0, largest, (), generator=generator)), total - sum(sizes)))
    return sizes or [0]


@pytest.mark.parametrize("seed", range(12))
def test_streamed_equals_whole_on_ragged_chunks(pair, seed):
    _, codec = pair
    total = [1, 2, 50, 640, 1500, 2239, 2241, 3333, 4753, 5000, 9555, 14_300][seed]
    wave = wave_of(codec, total, seed=seed)
    whole = codec.encode(wave)
    codes, heard = streamed(codec, wave, ragged(total, [3000, 900, 5000][seed % 3], seed))
    assert torch.equal(codes, whole.codes)
    assert heard.shape[-1] >= total
    torch.testing.assert_close(heard[..., :total], codec.decode(whole), atol=1e-6, rtol=0)


def test_blocks_do_not_change_a_whole(pair, monkeypatch):
    _, codec = pair
    wave = wave_of(codec, 20 * codec.spec.hop_length + 7)
    before = codec.encode(wave)
    heard = codec.decode(before)
    monkeypatch.setattr(encodec, "BLOCK_FRAMES", 9)
    assert torch.equal(codec.encode(wave).codes, before.codes)
    torch.testing.assert_close(codec.decode(before), heard, atol=1e-6, rtol=0)


def test_an_empty_stream_gives_nothing(pair):
    _, codec = pair
    codes, heard = streamed(codec, wave_of(codec, 0), [0])
    assert codes.shape[-1] == heard.shape[-1] == 0


def test_ragged_rows_equal_single_rows(pair):
    _, codec = pair
    batch = wave_of(codec, 5000, rows=2)
    together = codec.encode(batch, torch.tensor([5000, 1290]))
    heard = codec.decode(together)
    for row, samples in enumerate((5000, 1290)):
        alone = codec.encode(batch[row : row + 1, :, :samples])
        frames = int(together.lengths[row])
        assert frames == alone.codes.shape[-1]
        assert torch.equal(together.codes[row, :, :frames], alone.codes[0])
        torch.testing.assert_close(heard[row, :, :samples], codec.decode(alone)[0], atol=1e-6, rtol=0)


def test_causal_frames_come_as_soon_as_seven_have_been_heard(pair):
    _, codec = pair
    if codec.spec.sample_rate != 24_000:
        pytest.skip("only the causal model can")
    wave, state, counts = wave_of(codec, 9 * 320), codec.init_state(), []
    for chunk in wave.split(320, dim=-1):
        tokens, state = codec.encode_step(chunk, state)
        counts.append(tokens.codes.shape[-1])
    assert counts == [0, 0, 0, 0, 0, 0, 7, 1, 1]


def test_what_a_codec_cannot_take_is_refused(pair):
    _, codec = pair
    channels = codec.spec.channels
    with pytest.raises(AudiogenError, match="3 channels"):
        codec.encode(torch.zeros(1, 3, 400))
    with pytest.raises(AudiogenError, match="99 codebooks"):
        codec.encode(torch.zeros(1, channels, 400), codebooks=99)
    if codec.spec.segment:
        with pytest.raises(AudiogenError, match="scales"):
            codec.decode(AudioTokens.from_codes(codec.spec, torch.zeros(1, 16, 3, dtype=torch.long)))
        mono = codec.encode(torch.full((1, 1, 400), 0.1))
        assert torch.equal(mono.codes, codec.encode(torch.full((1, 2, 400), 0.1)).codes)
    with pytest.raises(AudiogenError, match="reset"):
        codec.init_state(2).reset(torch.tensor([True, False]))


@pytest.mark.parametrize("rate", [24_000, 32_000, 48_000])
def test_codes_and_wave_equal_those_of_transformers(rate, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(rate)
    shape = {"num_filters": 2, "hidden_size": 16, "sampling_rate": rate, "target_bandwidths": KBPS[rate]}
    if rate == 32_000:
        shape |= {"use_causal_conv": False, "use_conv_shortcut": False, "upsampling_ratios": [8, 5, 4, 4]}
    if rate == 48_000:
        shape |= {"use_causal_conv": False, "norm_type": "time_group_norm", "audio_channels": 2}
        shape |= {"normalize": True, "chunk_length_s": SEGMENT / rate, "overlap": 0.01}
    model = transformers.EncodecModel(transformers.EncodecConfig(**shape)).eval()
    randomise(model, [layer.codebook for layer in model.quantizer.layers])
    model.save_pretrained(tmp_path)
    codec = importer.read(str(tmp_path)).model
    for samples in (777, 4790):
        for kbps in KBPS[rate]:
            wave = wave_of(codec, samples)
            coded = model.encode(wave, bandwidth=kbps)
            cut = coded.last_frame_pad_length
            codes = torch.cat(list(coded.audio_codes), -1)
            tokens = codec.encode(wave, codebooks=codec.codebooks_at(kbps))
            assert torch.equal(tokens.codes, codes[..., : codes.shape[-1] - cut])
            expected = model.decode(coded.audio_codes, coded.audio_scales, last_frame_pad_length=cut)
            torch.testing.assert_close(codec.decode(tokens), expected.audio_values[..., :samples], atol=1e-5, rtol=0)


@pytest.fixture
def published(tmp_path):
    """A published 24 kHz file."""
    torch.save(theirs(24_000).state_dict(), tmp_path / "published.th")
    return tmp_path / "published.th"


def test_a_published_file_becomes_a_bundle_that_codes_files(published, tmp_path):
    assert main(["import", "encodec", str(published), str(tmp_path / "bundle"), "--codebooks", "8"]) == 0
    codec = load(tmp_path / "bundle", "codec")
    assert codec.spec.num_codebooks == 8
    audio.write(tmp_path / "sound.wav", wave_of(codec, 5000)[0], 24_000)
    tokens = codec.encode(tmp_path / "sound.wav")
    assert tokens.codes.shape == (1, 8, 16)
    assert codec.decode(tokens).shape == (1, 5000)
    description = json.loads((tmp_path / "bundle" / "config.json").read_text())
    assert description["training"] == {"imported from": str(published)}


def test_nothing_is_written_over(published, tmp_path, capsys):
    kept = tmp_path / "kept.txt"
    kept.write_text("mine")
    assert main(["import", "encodec", str(published), str(tmp_path)]) == 2
    assert "exists" in capsys.readouterr().err and kept.read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("decoder.model.15.conv.conv.bias"), "lacks 'decoder.layers.15.conv.bias'"),
        (lambda state: state.pop("decoder.model.3.convtr.convtr.weight_g"), "decoder.layers.3.conv.weight_g"),
        (lambda state: state.update({"decoder.more": torch.zeros(1)}), "'decoder.more'"),
        (lambda state: state.update({"decoder.model.0.conv.conv.bias": torch.zeros(5)}), r"shape \[5\]"),
        (lambda state: state.clear(), "not an EnCodec"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(published, change, said):
    state = torch.load(published, weights_only=True)
    change(state)
    torch.save(state, published)
    with pytest.raises(AudiogenError, match=said):
        importer.read(str(published))


def test_files_that_are_no_checkpoints_are_refused(tmp_path, published):
    damaged = tmp_path / "encodec_24khz-d7cc33bc.th"
    damaged.write_bytes(published.read_bytes()[:-9])
    text = tmp_path / "text.bin"
    text.write_text("hello")
    (tmp_path / "config.json").write_text("{}")
    for source, said in [
        (damaged, "d7cc33bc"),
        (text, "file of tensors"),
        (tmp_path / "nothing", "no such file"),
        (tmp_path, "model.safetensors"),
    ]:
        with pytest.raises(AudiogenError, match=said):
            importer.read(str(source))


def test_names_are_fetched_from_the_hub(published, tmp_path, monkeypatch):
    fetched, snapshot = [], tmp_path / "snapshot"
    snapshot.mkdir()
    published.rename(snapshot / "compression_state_dict.bin")
    hub = SimpleNamespace(snapshot_download=lambda name, allow_patterns: fetched.append(name) or str(snapshot))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    torch.save({"pretrained": "someone/encodec", "exported": True, "version": "1"}, tmp_path / "pointer.bin")
    assert importer.read(str(tmp_path / "pointer.bin"), codebooks=1).model.spec.num_codebooks == 1
    assert fetched == ["someone/encodec"]


def test_without_a_network_the_hub_is_a_plain_error(monkeypatch):
    def offline(name, allow_patterns):
        raise OSError("no network")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=offline))
    with pytest.raises(AudiogenError, match=r"someone/encodec cannot be fetched .* no network"):
        importer.read("someone/encodec")


def test_a_bundle_loads_as_it_was_saved(published, tmp_path):
    bundle = importer.read(str(published), codebooks=4)
    save_bundle(tmp_path / "bundle", bundle)
    codec = load(tmp_path / "bundle").codec
    wave = wave_of(codec, 2000)
    assert torch.equal(codec.encode(wave).codes, bundle.model.encode(wave).codes)


def test_sessions_batched_equal_sessions_alone(pair):
    _, codec = pair
    waves = [wave_of(codec, 2600, seed=seed) for seed in (1, 2)]
    begun = [codec.encode_step(wave[..., :2400], codec.init_state()) for wave in waves]
    states = [state for _, state in begun]
    joined, _ = codec.encode_step(torch.cat(waves)[..., 2400:], type(states[0]).cat(states), final=True)
    for row, (wave, state) in enumerate(zip(waves, states, strict=True)):
        alone, _ = codec.encode_step(wave[..., 2400:], state, final=True)
        assert torch.equal(joined.codes[row], alone.codes[0])


@pytest.mark.parametrize("time_norm", [False, True])
def test_gradients_reach_every_weight(time_norm):
    with torch.inference_mode(False):
        config = SeanetConfig(filters=2, latent_dim=4, causal=not time_norm, time_norm=time_norm)
        encoder, decoder = Encoder(config), Decoder(config)
        latents, _ = encoder(torch.randn(1, 3000, 1), encoder.init_state(1), final=True)
        wave, _ = decoder(latents, decoder.init_state(1), final=True)
        wave.square().sum().backward()
        for name, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name
