"""SampleRNN (Mehri et al. 2017): recurrent tiers at falling rates over frames of samples, a small net for each sample.

A baseline beside SaShiMi. Each tier reads the frame of samples before its own, adds what the slower tier sends, and
sends a vector for each of the frames, or samples, below. There is no weight norm as in the original, and gradients flow
through whole clips, as those here are short.
"""

from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.models.waveform import WaveformConfig, WaveformModel, order_codes
from audiogen.nn.state import State
from audiogen.registry import register


@dataclass
class SampleRNNConfig(WaveformConfig):
    """Sizes of the network; by default those SaShiMi was compared with (Goel et al. 2022, appendix C.2).

    Attributes:
        dim: Width of every tier.
        ratios: Samples to a frame of the fastest tier, then frames of each tier to one of the next.
    """

    dim: int = 1024
    ratios: list[int] = field(default_factory=lambda: [8, 2, 2])

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ratios or min(self.ratios) < 1:
            raise AudiogenError(f"ratios is {self.ratios}; every tier needs a number of at least 1, as in 8, 2, 2")

    @property
    def windows(self) -> list[int]:
        """Samples that a frame of each tier has, and reads, the fastest first."""
        return list(accumulate(self.ratios, mul))


@dataclass
class TierState(State):
    """A tier in a stream: its hidden state [B, D] less the one it starts with, and what it has sent ahead [B, n, D]."""

    hidden: Tensor
    ahead: Tensor


@dataclass
class SampleRNNState(State):
    """A stream: its tiers, the fastest first, the codes before [B, W − 1] counted from silence, the label's vector."""

    tiers: list[TierState]
    past: Tensor
    label: Tensor


@register("waveform", "samplernn", SampleRNNConfig)
class SampleRNN(WaveformModel):
    """The network; see the module's first lines."""

    config: SampleRNNConfig

    def __init__(self, config: SampleRNNConfig) -> None:
        super().__init__(config, config.dim)
        levels, dim, window = config.codec.codebook_size, config.dim, config.ratios[0]
        self.tiers = nn.ModuleList(
            FrameTier(dim, window, ratio) for window, ratio in zip(config.windows, config.ratios, strict=True)
        )
        self.embedding = nn.Embedding(levels, levels)
        self.window = nn.Conv1d(levels, dim, window, bias=False)
        self.mix = nn.Linear(dim, dim)
        self.head = nn.Linear(dim, levels)
        order_codes(self.embedding.weight)
        order_codes(self.head.weight)

    def init_state(self, batch_size: int = 1, labels: Tensor | None = None) -> SampleRNNState:
        """Streams that have seen nothing; see `WaveformModel`."""
        nothing = self.mix.weight.new_zeros(batch_size, 0, self.config.dim)
        tiers = [TierState(torch.zeros_like(tier.start).repeat(batch_size, 1), nothing) for tier in self.tiers]
        past = torch.zeros(batch_size, self.config.windows[-1] - 1, dtype=torch.long, device=nothing.device)
        return SampleRNNState(tiers, past, self._label(labels, batch_size))

    def step(self, codes: Tensor, state: SampleRNNState) -> tuple[Tensor, SampleRNNState]:
        """Logits [B, n, V] of what follows each of the next codes [B, n] of streams, n ≥ 0.

        A frame of a tier begins where the vectors that its last one sent are used up.
        """
        if codes.shape[1] == 0:
            return self.head.weight.new_zeros(*codes.shape, len(self.head.weight)), state
        heard = torch.cat([state.past, codes - self.config.start], dim=1)
        begins = [torch.arange(codes.shape[1], device=codes.device)]
        for tier, before in zip(self.tiers, state.tiers, strict=True):
            begins.append(begins[-1][before.ahead.shape[1] :: tier.ratio])
        sent, tiers = torch.zeros_like(state.label)[:, None], []
        for i in reversed(range(len(self.tiers))):
            windows = self._windows(heard, self.tiers[i].window)[:, begins[i + 1]]
            sent, after = self.tiers[i](windows, sent + state.label[:, None], state.tiers[i], len(begins[i]))
            tiers.insert(0, after)
        logits = self._samples(heard[:, heard.shape[1] - codes.shape[1] - self.config.ratios[0] + 1 :], sent)
        return logits, SampleRNNState(tiers, heard[:, codes.shape[1] :], state.label)

    def _windows(self, heard: Tensor, window: int) -> Tensor:
        """The samples [B, n, window] before each of the n that are asked for, within ±2."""
        inside = heard[:, self.config.windows[-1] - window :]
        return 2 * inside.unfold(1, window, 1).to(self.mix.weight.dtype) / self.config.start

    def _samples(self, heard: Tensor, sent: Tensor) -> Tensor:
        """Logits [B, n, V] from the codes before each sample and what the fastest tier sends."""
        near = self.window(self.embedding(heard + self.config.start).transpose(1, 2)).transpose(1, 2)
        return self.head(F.relu(self.mix(F.relu(near + sent))))


class FrameTier(nn.Module):
    """A recurrent net over frames of `window` samples that sends `ratio` vectors a frame."""

    def __init__(self, dim: int, window: int, ratio: int) -> None:
        super().__init__()
        self.window, self.ratio = window, ratio
        self.read = nn.Linear(window, dim)
        self.rnn = nn.GRU(dim, dim, batch_first=True)
        self.send = nn.Linear(dim, ratio * dim)
        self.start = nn.Parameter(torch.zeros(dim))

    def forward(self, windows: Tensor, above: Tensor, before: TierState, count: int) -> tuple[Tensor, TierState]:
        """Windows [B, f, window] and vectors from above [B, f or 1, D] to the next `count` vectors [B, count, D]."""
        sent, hidden = before.ahead, before.hidden
        if windows.shape[1]:
            y, last = self.rnn(self.read(windows) + above, (self.start + hidden)[None].contiguous())
            sent = torch.cat([sent, self.send(y).unflatten(2, (self.ratio, -1)).flatten(1, 2)], dim=1)
            hidden = last[0] - self.start
        return sent[:, :count], TierState(hidden, sent[:, count:])
