"""Published SaShiMi checkpoints: those of state-spaces/s4 at V2, V3 and V4, its standalone module, and simple-sashimi.

The layouts differ in names, in the norms, and in how a state space is written down. All store C̃ = C (I − Āᴸ) for the
length L they were trained at in place of C, which is solved for here. Names decide the layout and shapes the sizes.
"""

import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from audiogen.checkpoint import Bundle
from audiogen.codecs.pcm import PcmCodec, PcmConfig
from audiogen.errors import AudiogenError
from audiogen.importers.files import Tensors, load
from audiogen.importers.weight_norm import fold_weight_norm
from audiogen.models.sashimi import Sashimi, SashimiConfig

ENDS = (
    (r"^encoder\.0\.weight$|^mu_embedder\.weight$", "embedding.weight"),
    (r"^(?:decoder\.0\.output_transform|head)\.", "head."),
    (r"^(?:model|sashimi)\.", ""),
)
WITHIN = (
    (r"\.layer\.layer\.", ".layer."),
    (r"\.kernel\.kernel\.", ".kernel."),
    (r"\.norm\.norm\.s$", ".norm.gain"),
    (r"\.norm\.norm\.m$", ".norm.shift"),
    (r"\.output_linear\.0\.", ".output_linear."),
    (r"\.ff\.0\.0\.", ".ff.0."),
    (r"\.kernel\.(?:log_dt|inv_dt)$", ".kernel.log_dt"),
    (r"\.kernel\.(?:log_w_real|inv_w_real|A_real)$", ".kernel.log_decay"),
    (r"\.kernel\.w_imag$", ".kernel.frequency"),
    (r"\.kernel\.(?:L|l_kernel)$", ".kernel.length"),
)


def read(source: str | Path, sample_rate: int = 16_000, law: str = "mu") -> Bundle:
    """The bundle of a published checkpoint.

    Args:
        source: A `.pt`, `.ckpt` or `.safetensors` file; only tensors are unpickled.
        sample_rate: Of the sound it was trained on.
        law: How that was quantised: `mu` (SC09, YouTubeMix) or `linear` (Beethoven).

    Raises:
        AudiogenError: If the file cannot be read or is no SaShiMi that we can build.
    """
    pcm, tensors = PcmConfig(sample_rate, law=law), _open(Path(source))
    try:
        model = build(tensors, pcm)
    except (KeyError, IndexError, ValueError) as error:
        raise AudiogenError(f"{source} is no SaShiMi checkpoint: {error}") from None
    training = {"imported from": str(source)}
    described = {"assets": {"pcm": asdict(pcm)}, "training": training, "licence": "as published"}
    return Bundle("waveform", "sashimi", asdict(model.config), model=model, **described)


def build(tensors: Tensors, pcm: PcmConfig) -> Sashimi:
    """The model whose tensors a checkpoint holds, in any of the layouts.

    Raises:
        AudiogenError: If one is missing or of the wrong shape.
        KeyError, IndexError: If names or sizes are missing that decide what the model is.
    """
    tensors = canonical(tensors)
    levels, dim = tensors["embedding.weight"].shape
    down = _tiers(reversed(_modules(tensors, "d_layers")))[::-1]
    up = _tiers(_modules(tensors, "u_layers"))[::-1]  # the outermost first, as on the way down
    centre, pools = _modules(tensors, "c_layers"), [pool["linear.weight"] for pool, _ in down]
    system, forward, expand = centre[0], centre[1], len(pools[0]) // dim
    width, (systems, pairs) = system["layer.D"].numel(), system["layer.kernel.log_decay"].shape
    config = SashimiConfig(
        PcmCodec(PcmConfig(pcm.sample_rate, levels, pcm.law)).spec,
        dim=dim,
        layers=len(centre) // 2,
        pools=[weight.shape[1] // (dim * expand**tier) for tier, weight in enumerate(pools)],
        expand=expand,
        feedforward=len(forward["layer.ff.0.weight"]) // width,
        state_size=2 * pairs,
        tied=systems == 1,
        glu=len(system["layer.output_linear.weight"]) == 2 * width,
        unet=bool(down[0][1]),
        scalar_norm="norm.gain" in system,
    )
    ours = {name: tensors[name] for name in ("embedding.weight", "head.weight", "head.bias")}
    ours |= {f"norm.{name}": tensors[f"norm.{name}"] for name in ("weight", "bias")} | _stack("centre", centre)
    for tier, ((down_pool, before), (up_pool, after)) in enumerate(zip(down, up, strict=True)):
        for name, pool in (("down", down_pool), ("up", up_pool)):
            ours |= {f"tiers.{tier}.{name}.{part}": pool[f"linear.{part}"] for part in ("weight", "bias")}
        ours |= _stack(f"tiers.{tier}.down_blocks", before[::-1]) | _stack(f"tiers.{tier}.up_blocks", after)
    model = Sashimi(config).eval()
    for name, expected in model.state_dict().items():
        if name not in ours or ours[name].shape != expected.shape:
            found = "is missing" if name not in ours else f"has shape {list(ours[name].shape)}"
            raise AudiogenError(f"what becomes {name!r} {found}; its other sizes ask for {list(expected.shape)}")
    model.load_state_dict(ours)
    return model


def canonical(tensors: Tensors) -> Tensors:
    """Tensors of any layout under one set of names, weight norm folded, with pointwise convolutions as matrices."""
    for pattern, ours in ENDS:
        tensors = {re.sub(pattern, ours, name): tensor for name, tensor in tensors.items()}
    for pattern, ours in WITHIN:
        tensors = {re.sub(pattern, ours, name): tensor for name, tensor in tensors.items()}
    tensors = fold_weight_norm(tensors, "the checkpoint")
    for name, tensor in list(tensors.items()):
        if name.endswith(".weight") and tensor.dim() == 3 and tensor.shape[-1] == 1:
            tensors[name] = tensor[..., 0]
        elif name.endswith(".kernel.A_imag"):
            tensors[name.replace("A_imag", "frequency")] = -tensors.pop(name)
        elif name.endswith(".kernel.omega"):  # V2 keeps the roots of unity instead of the length
            tensors.setdefault(name.replace("omega", "length"), torch.tensor(2 * (len(tensor) - 1)))
    return tensors


def discrete(kernel: Tensors) -> tuple[Tensor, Tensor]:
    """Ā and B̄ of every channel as full matrices [H, N, N] and vectors [H, N], complex128."""
    poles = torch.complex(-kernel["log_decay"].double().exp(), kernel["frequency"].double())
    poles, b, p = (both(x) for x in (poles, as_complex(kernel["B"]), as_complex(kernel["P"])))
    a = torch.diag_embed(poles) - p[:, :, None] * p.conj()[:, None]
    dt = kernel["log_dt"].double().exp().flatten()[:, None, None]
    one = torch.eye(a.shape[-1], dtype=a.dtype)
    backward, forward = one - dt / 2 * a, one + dt / 2 * a
    return torch.linalg.solve(backward, forward), torch.linalg.solve(backward, dt * b[..., None])[..., 0]


def both(x: Tensor) -> Tensor:
    """Both of each conjugate pair, [..., N], from one."""
    return torch.cat([x, x.conj()], dim=-1)


def as_complex(tensor: Tensor) -> Tensor:
    """A parameter [1, S, N / 2], complex or with a last dimension of two, as complex128 [S, N / 2]."""
    return (tensor if tensor.is_complex() else torch.view_as_complex(tensor.double().contiguous()))[0].to(
        torch.complex128
    )


def _open(path: Path) -> Tensors:
    """The tensors of a file, found where trainers put them."""
    if not path.is_file():
        raise AudiogenError(f"{path} does not exist")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise AudiogenError(f"{path} cannot be read as a file of tensors: {error}") from None
    content = load(path)
    for key in ("state_dict", "model_state_dict"):
        content = content.get(key, content)
    return {name: tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _modules(tensors: Tensors, part: str) -> list[Tensors]:
    """The modules of the lists, or lists of lists, called `part`, in order, each with its tensors by name."""
    found: dict[tuple[int, ...], Tensors] = {}
    for name, tensor in tensors.items():
        if match := re.match(rf"{part}\.((?:\d+\.)+)(.+)", name):
            place = tuple(map(int, match[1].rstrip(".").split(".")))
            found.setdefault(place, {})[match[2]] = tensor
    return [found[place] for place in sorted(found)]


def _tiers(modules: Iterable[Tensors]) -> list[tuple[Tensors, list[Tensors]]]:
    """Pools, each with the modules up to the next pool."""
    tiers: list[tuple[Tensors, list[Tensors]]] = []
    for module in modules:
        if "linear.weight" in module:
            tiers.append((module, []))
        else:
            tiers[-1][1].append(module)
    return tiers


def _stack(prefix: str, modules: list[Tensors]) -> Tensors:
    """State spaces and feed-forwards in turn, as our blocks."""
    ours: Tensors = {}
    for i, (system, forward) in enumerate(zip(modules[::2], modules[1::2], strict=True)):
        block, mix = f"{prefix}.{i}", "mix"
        if len(system["layer.output_linear.weight"]) == 2 * system["layer.D"].numel():
            mix = "mix.0"
        last = max(name for name in forward if re.fullmatch(r"layer\.ff\.\d+\.weight", name)).removesuffix("weight")
        for part in ("weight", "bias"):
            ours[f"{block}.{mix}.{part}"] = system[f"layer.output_linear.{part}"]
            ours[f"{block}.expand.{part}"] = forward[f"layer.ff.0.{part}"]
            ours[f"{block}.contract.{part}"] = forward[f"{last}{part}"]
        for module, norm in ((system, "ssm_norm"), (forward, "norm")):
            for name in ("gain", "shift") if "norm.gain" in module else ("weight", "bias"):
                tensor = module[f"norm.{name}"]
                ours[f"{block}.{norm}.{name}"] = tensor if name in ("weight", "bias") else tensor.reshape(())
        kernel = {name.removeprefix("layer.kernel."): tensor for name, tensor in system.items()}
        ours |= {f"{block}.ssm.{name}": tensor for name, tensor in _state_space(kernel, system["layer.D"]).items()}
    return ours


def _state_space(kernel: Tensors, d: Tensor) -> Tensors:
    """The parameters of our S4."""
    c, length = as_complex(kernel["C"]), int(kernel.get("length", torch.tensor(0)))
    if length:
        a, _ = discrete(kernel)
        power = torch.eye(a.shape[-1], dtype=a.dtype) - torch.linalg.matrix_power(a, length)
        c = torch.linalg.solve(power.mT, both(c))[:, : c.shape[-1]]
    real = {"c": c, "b": as_complex(kernel["B"]), "p": as_complex(kernel["P"])}
    parameters = {name: torch.view_as_real(value.resolve_conj()).float() for name, value in real.items()}
    parameters |= {name: kernel[name] for name in ("log_decay", "frequency")}
    return {**parameters, "log_dt": kernel["log_dt"].flatten(), "d": d.flatten()}
