"""Linear layers with weights of 8 bits, for inference on a CPU: a token then reads a quarter as much.

Weights are quantised once, symmetrically, with a scale for each output; activations as they come, with one scale for
all of a call (dynamic quantisation, Jacob et al. 2018, arXiv 1712.05877 §2). The result is float again.
"""

import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError

LARGEST = 127


class Int8Linear(nn.Module):
    """An `nn.Linear` in 8 bits. It cannot be trained or saved: save the model it was made from.

    Args:
        linear: The layer, on the CPU.

    Raises:
        AudiogenError: If this build of torch has no 8-bit kernels, or the layer is not on the CPU.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        if linear.weight.device.type != "cpu" or "fbgemm" not in torch.backends.quantized.supported_engines:
            raise AudiogenError("8-bit weights need a CPU for which torch has fbgemm; leave out int8")
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach()
        scales = weight.abs().amax(1).clamp(min=1e-8).double() / LARGEST
        zeros = torch.zeros(len(scales), dtype=torch.long)
        rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        bias = None if linear.bias is None else linear.bias.detach()
        self._packed = torch.ops.quantized.linear_prepack(rounded, bias)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] to [..., E]."""
        # Activations of 7 bits: two products of 8 by 8 bits would not fit the 16 that AVX2 adds them in.
        return torch.ops.quantized.linear_dynamic(x, self._packed, reduce_range=True)

    def unpacked(self) -> tuple[Tensor, Tensor, Tensor]:
        """The weights [E, D] in int8, the scale of each output [E], and the bias [E], 0 where there is none."""
        rounded, bias = torch.ops.quantized.linear_unpack(self._packed)
        scales = rounded.q_per_channel_scales().float()
        return rounded.int_repr(), scales, torch.zeros_like(scales) if bias is None else bias


def to_int8(module: nn.Module) -> None:
    """Replace every `nn.Linear` inside `module`, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child))
        else:
            to_int8(child)
