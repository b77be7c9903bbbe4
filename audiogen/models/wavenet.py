"""WaveNet (van den Oord et al. 2016): dilated causal convolutions over the samples, gated, with skips to the output.

A baseline beside SaShiMi: every weight is read for every sample, and nothing is heard that lies further back than the
dilations reach. A stream keeps of each layer as many inputs as its dilation spans.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.models.waveform import WaveformConfig, WaveformModel, order_codes
from audiogen.nn.conv import CausalConv1d, ConvState
from audiogen.nn.state import State
from audiogen.registry import register


@dataclass
class WaveNetConfig(WaveformConfig):
    """Sizes of the network; by default those SaShiMi was compared with (Goel et al. 2022, appendix C.2).

    Attributes:
        dim: Channels of the residual stream, and of each gate.
        skip: Channels of the sum over the layers.
        end: Channels between that and the logits.
        cycles: How often the dilations begin anew.
        layers: Layers a cycle, of dilation 1, 2, 4, …
    """

    dim: int = 64
    skip: int = 1024
    end: int = 512
    cycles: int = 4
    layers: int = 10

    @property
    def receptive_field(self) -> int:
        """Samples that a prediction is made from."""
        return self.cycles * (2**self.layers - 1) + 1


@dataclass
class WaveNetState(State):
    """The past of every layer, and the label's vector [B, dim]."""

    layers: list[ConvState]
    label: Tensor


@register("waveform", "wavenet", WaveNetConfig)
class WaveNet(WaveformModel):
    """The network; see the module's first lines."""

    config: WaveNetConfig

    def __init__(self, config: WaveNetConfig) -> None:
        super().__init__(config, config.dim)
        levels = config.codec.codebook_size
        self.embedding = nn.Embedding(levels, config.dim)
        self.layers = nn.ModuleList(
            GatedLayer(config, 2**layer) for _ in range(config.cycles) for layer in range(config.layers)
        )
        self.end = nn.Linear(config.skip, config.end)
        self.head = nn.Linear(config.end, levels)
        order_codes(self.embedding.weight)
        order_codes(self.head.weight)

    def init_state(self, batch_size: int = 1, labels: Tensor | None = None) -> WaveNetState:
        """Streams that have seen nothing; see `WaveformModel`."""
        pasts = [layer.dilated.init_state(batch_size) for layer in self.layers]
        return WaveNetState(pasts, self._label(labels, batch_size))

    def step(self, codes: Tensor, state: WaveNetState) -> tuple[Tensor, WaveNetState]:
        """Logits [B, n, V] of what follows each of the next codes [B, n] of streams, n ≥ 0."""
        if codes.shape[1] == 0:
            return self.head.weight.new_zeros(*codes.shape, len(self.head.weight)), state
        x, skips, pasts = self.embedding(codes).transpose(1, 2), 0.0, []
        for layer, past in zip(self.layers, state.layers, strict=True):
            x, skip, past = layer(x, state.label, past)
            skips = skips + skip
            pasts.append(past)
        logits = self.head(F.relu(self.end(F.relu(skips).transpose(1, 2))))
        return logits, WaveNetState(pasts, state.label)


class GatedLayer(nn.Module):
    """tanh(f ∗ x + V h) · σ(g ∗ x + U h) for a label's vector h (§2.3 and §2.5), then ways on and out."""

    def __init__(self, config: WaveNetConfig, dilation: int) -> None:
        super().__init__()
        self.dilated = CausalConv1d(config.dim, 2 * config.dim, 2, dilation=dilation, bias=False)
        self.label = nn.Linear(config.dim, 2 * config.dim, bias=False) if config.classes else None
        self.on = nn.Conv1d(config.dim, config.dim, 1, bias=False)
        self.out = nn.Conv1d(config.dim, config.skip, 1, bias=False)

    def forward(self, x: Tensor, label: Tensor, past: ConvState) -> tuple[Tensor, Tensor, ConvState]:
        """x [B, D, T] and labels' vectors [B, D] to the next layer's x, the skip [B, S, T] and the past."""
        y, past = self.dilated(x, past)
        if self.label is not None:
            y = y + self.label(label)[..., None]
        signal, gate = y.chunk(2, dim=1)
        y = torch.tanh(signal) * torch.sigmoid(gate)
        return x + self.on(y), self.out(y), past
