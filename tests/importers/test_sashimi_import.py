"""Published SaShiMi layouts, written here as their code has them: read back they are the model that was written."""

import pytest
import torch

from audiogen.checkpoint import load_bundle, save_bundle
from audiogen.codecs.pcm import PcmCodec, PcmConfig
from audiogen.errors import AudiogenError
from audiogen.importers.sashimi import as_complex, both, build, canonical, discrete, read
from audiogen.models.sashimi import Sashimi, SashimiConfig
from audiogen.nn.ssm import impulse_response

LENGTH = 48
LAYOUTS = [
    ("v2", {"scalar_norm": True}),
    ("v2", {"scalar_norm": True, "glu": True}),
    ("v3", {"scalar_norm": True, "tied": False}),
    ("v4", {"scalar_norm": True, "glu": True}),
    ("v4", {"scalar_norm": True, "unet": True}),
    ("standalone", {"glu": True}),
    ("standalone", {"unet": True}),
]


def perturbed(**options):
    torch.manual_seed(0)
    spec = PcmCodec(PcmConfig()).spec
    model = Sashimi(SashimiConfig(spec, dim=4, layers=2, pools=[4, 2], state_size=8, **options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.2 * torch.randn_like(parameter)).add_(0.01)
    return model


def written(model, layout):
    """The state dict that the public code of `layout` would have for this model, at length `LENGTH`."""
    tensors, unet = {}, model.config.unet
    root = "sashimi." if layout == "standalone" else "model."

    def put(name, tensor):
        tensors[root + name] = tensor.detach().clone()

    def linear(name, layer, normed=False):
        weight = layer.weight[..., None] if layout == "standalone" else layer.weight
        if normed and layout != "standalone" and not unet:
            put(f"{name}.weight_v", 3 * weight)
            put(f"{name}.weight_g", weight.norm(dim=1, keepdim=True))
        else:
            put(f"{name}.weight", weight)
        put(f"{name}.bias", layer.bias)

    def norm(name, layer):
        if layout == "standalone":
            put(f"{name}.norm.weight", layer.weight)
            put(f"{name}.norm.bias", layer.bias)
        else:
            put(f"{name}.norm.norm.s", layer.gain)
            put(f"{name}.norm.norm.m", layer.shift)

    def system(name, ssm):
        name += ".layer.layer" if layout == "v4" else ".layer"
        kernel = f"{name}.kernel" if layout == "v4" else f"{name}.kernel.kernel"
        put(f"{name}.D", ssm.d[None])
        real, imaginary, dt, length = {
            "v2": ("log_w_real", "w_imag", "log_dt", "omega"),
            "v3": ("inv_w_real", "w_imag", "log_dt", "L"),
            "v4": ("A_real", "A_imag", "inv_dt", "l_kernel"),
            "standalone": ("inv_w_real", "w_imag", "log_dt", "L"),
        }[layout]
        sign = -1 if layout == "v4" else 1
        put(f"{kernel}.{dt}", ssm.log_dt[:, None] if layout == "v4" else ssm.log_dt)
        put(f"{kernel}.{real}", ssm.log_decay)
        put(f"{kernel}.{imaginary}", sign * ssm.frequency)
        put(f"{kernel}.{length}", torch.zeros(LENGTH // 2 + 1, 2) if layout == "v2" else torch.tensor(LENGTH))
        named = {"log_dt": ssm.log_dt, "log_decay": ssm.log_decay, "frequency": ssm.frequency}
        a, _ = discrete({**named, "B": ssm.b[None], "P": ssm.p[None]})
        c = both(as_complex(ssm.c[None]))
        c = c - (c[:, None] @ torch.linalg.matrix_power(a, LENGTH))[:, 0]
        put(f"{kernel}.C", torch.view_as_real(c[:, : ssm.c.shape[1]]).float()[None])
        put(f"{kernel}.B", ssm.b[None])
        put(f"{kernel}.P", ssm.p[None])
        return name

    def stack(blocks, names):
        for block in blocks:
            name = next(names)
            norm(name, block.ssm_norm)
            inside = system(name, block.ssm)
            glu = model.config.glu
            linear(
                f"{inside}.output_linear.0" if glu else f"{inside}.output_linear", block.mix[0] if glu else block.mix
            )
            name = next(names)
            norm(name, block.norm)
            linear(f"{name}.layer.ff.0" if layout == "standalone" else f"{name}.layer.ff.0.0", block.expand)
            linear(f"{name}.layer.ff.2", block.contract)

    def numbered(part):
        count = 0
        while True:
            yield f"{part}.{count}"
            count += 1

    names = numbered("d_layers")
    for tier in model.tiers:
        stack(tier.down_blocks, names)
        linear(f"{next(names)}.linear", tier.down, normed=True)
    stack(model.centre, numbered("c_layers"))
    flat = numbered("u_layers")
    for i, tier in enumerate(reversed(model.tiers)):
        names = flat if unet else numbered(f"u_layers.{i}")
        linear(f"{next(names)}.linear", tier.up, normed=True)
        stack(tier.up_blocks, names)
    put("norm.weight", model.norm.weight)
    put("norm.bias", model.norm.bias)
    ends = (
        ("mu_embedder.weight", "head") if layout == "standalone" else ("encoder.0.weight", "decoder.0.output_transform")
    )
    tensors[ends[0]] = model.embedding.weight.detach()
    tensors |= {f"{ends[1]}.{name}": value.detach() for name, value in model.head.named_parameters()}
    return tensors


@pytest.mark.parametrize(("layout", "options"), LAYOUTS, ids=str)
@torch.no_grad()
def test_every_layout_comes_back(layout, options, tmp_path):
    model = perturbed(**options)
    torch.save({"state_dict": written(model, layout)}, tmp_path / "published.pt")
    bundle = read(tmp_path / "published.pt")
    codes = torch.randint(0, 256, (2, 70))
    torch.testing.assert_close(bundle.model(codes), model(codes), atol=1e-4, rtol=0)
    save_bundle(tmp_path / "ours", bundle)
    kept = load_bundle(tmp_path / "ours").model.state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in bundle.model.state_dict().items())


@pytest.mark.parametrize("layout", ["v2", "v4"])
@torch.no_grad()
def test_the_kernel_is_that_of_the_published_formula(layout):
    """K = F⁻¹ [C̃ (I − Ā ω)⁻¹ B̄] at the roots of unity (Gu, Goel and Ré 2021, §C.3), solved densely in complex128."""
    model = perturbed(scalar_norm=True)
    tensors = written(model, layout)
    ours = build(dict(tensors), PcmConfig()).centre[0].ssm
    kernel = {
        n.split("kernel.")[1]: t for n, t in canonical(tensors).items() if n.startswith("c_layers.0.layer.kernel")
    }
    a, b = discrete(kernel)
    roots = torch.exp(-2j * torch.pi * torch.arange(LENGTH).double() / LENGTH)[:, None, None, None]
    solved = torch.linalg.solve(torch.eye(a.shape[-1]) - roots * a, b.expand(LENGTH, -1, -1)[..., None])[..., 0]
    expected = torch.fft.ifft((both(as_complex(kernel["C"])) * solved).sum(-1), dim=0).real.T
    torch.testing.assert_close(impulse_response(ours.discretize(), LENGTH), expected, atol=1e-5, rtol=1e-5)


def test_what_is_no_checkpoint_is_told(tmp_path):
    with pytest.raises(AudiogenError, match="does not exist"):
        read(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no tensors")
    with pytest.raises(AudiogenError, match="cannot be read"):
        read(tmp_path / "text.pt")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(AudiogenError, match="no SaShiMi"):
        read(tmp_path / "other.pt")
    tensors = written(perturbed(scalar_norm=True), "v2")
    tensors["model.norm.bias"] = torch.zeros(5)
    torch.save(tensors, tmp_path / "damaged.pt")
    with pytest.raises(AudiogenError, match=r"'norm.bias' has shape \[5\]"):
        read(tmp_path / "damaged.pt")
