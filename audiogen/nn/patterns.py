"""Codebook patterns: at which step of a sequence each code of K parallel streams is said.

A codec gives K codes a frame, and a model that says one after the other may say them in many orders (MusicGen, arXiv
2306.05284 §2.2). A pattern is a table: `steps[k, t]` is the step of the code of codebook k in frame t. Step 0 says
nothing, so that the first code too is predicted from something; a cell that holds no code holds a fill code.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from audiogen.errors import AudiogenError, unknown_name

PATTERNS = ("delay", "parallel", "unroll", "coarse_first")


@dataclass
class PatternConfig:
    """Which pattern, for clips of any length.

    Attributes:
        name: `parallel` says all codes of a frame at once; `delay` each codebook some frames after the one before it;
            `unroll` in turns within each frame; `coarse_first` the first codebook of the whole clip, then the others.
        delays: Frames by which each codebook comes later; by default 0, 1, 2, … for `delay` and none otherwise.
        turns: For `unroll`, the turn in which each codebook is said; by default 0, 1, 2, …
    """

    name: str = "delay"
    delays: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.name not in PATTERNS:
            raise unknown_name("pattern", self.name, PATTERNS)
        if self.delays and min(self.delays) != 0:
            raise AudiogenError(f"delays are {self.delays}; the least must be 0")
        if self.turns and (self.name != "unroll" or sorted(set(self.turns)) != list(range(max(self.turns) + 1))):
            raise AudiogenError(f"turns are {self.turns}; only `unroll` has some, and they count from 0 without a gap")
        if self.name == "parallel" and any(self.delays):
            raise AudiogenError(f"delays are {self.delays}; `parallel` has none, `delay` would be right")
        if self.name == "coarse_first" and any(self.delays[:1]):
            raise AudiogenError(f"delays are {self.delays}; that of the first codebook must be 0 in `coarse_first`")

    def build(self, codebooks: int, frames: int) -> "Pattern":
        """The pattern of clips of `frames` frames.

        Raises:
            AudiogenError: If delays or turns are given for another number of codebooks.
        """
        order = list(range(codebooks))
        delays = self.delays or (order if self.name == "delay" else [0] * codebooks)
        turns = (self.turns or order) if self.name == "unroll" else [0] * codebooks
        for name, values in (("delays", delays), ("turns", turns)):
            if len(values) != codebooks:
                raise AudiogenError(f"{len(values)} {name} are given, {values}; {codebooks} codebooks need {codebooks}")
        rounds = max(turns) + 1
        time = torch.arange(frames) + torch.tensor(delays)[:, None]
        steps = 1 + rounds * time + torch.tensor(turns)[:, None]
        if self.name == "coarse_first":
            steps[1:] += frames
        return Pattern(steps, rounds * max(delays))


@dataclass(frozen=True, eq=False)
class Pattern:
    """The pattern of clips of one length.

    Attributes:
        steps: The step of every code, int64 [K, T]: from 1 on, and within a codebook in the order of time.
        tail: Steps at the end that training leaves out: there, early codebooks have run out, which is so at the end of
            a clip but not in the middle of what it was cut from.
    """

    steps: Tensor
    tail: int = 0

    def __post_init__(self) -> None:
        if self.steps.dim() != 2 or self.steps.numel() == 0:
            raise AudiogenError(f"a pattern of shape {list(self.steps.shape)}; at least one codebook and frame needed")
        if int(self.steps.min()) < 1:
            raise AudiogenError(f"a code has step {int(self.steps.min())}; the first is 1")
        if not bool((self.steps.diff(dim=1) > 0).all()):
            raise AudiogenError("a codebook's steps do not grow; each frame comes after the one before it")

    @property
    def num_steps(self) -> int:
        """Steps of a sequence, S, the empty one at the start included."""
        return int(self.steps.max()) + 1

    @property
    def trained_steps(self) -> int:
        """Steps without the tail."""
        return self.num_steps - self.tail

    def holds(self) -> Tensor:
        """Which cells hold a code, bool [K, S]."""
        empty = torch.zeros(len(self.steps), self.num_steps, dtype=torch.bool)
        return empty.scatter(1, self.steps, True)

    def spread(self, codes: Tensor, fill: int) -> Tensor:
        """Codes [B, K, T] as a sequence [B, K, S], with `fill` where there is none."""
        sequence = codes.new_full((*codes.shape[:2], self.num_steps), fill)
        return sequence.scatter(2, self._index(codes), codes)

    def collect(self, sequence: Tensor, shift: int = 0) -> Tensor:
        """What a sequence [B, K, S, …] holds `shift` steps before each code: [B, K, T, …].

        With shift 0 it is the inverse of `spread`; with shift 1 it finds the prediction of each code among outputs
        that foretell the next step.
        """
        index = (self._index(sequence) - shift).view(*sequence.shape[:2], -1, *[1] * (sequence.dim() - 3))
        return sequence.gather(2, index.expand(-1, -1, -1, *sequence.shape[3:]))

    def whole_frames(self) -> list[int]:
        """For each step, how many frames from the first on are whole once it has been said."""
        ends = self.steps.amax(0).cummax(0).values
        return torch.searchsorted(ends, torch.arange(self.num_steps), right=True).tolist()

    def first_step(self, frame: int) -> int:
        """The first step that says a code of `frame`: with what comes before, all earlier frames have been begun."""
        return int(self.steps[:, frame].min())

    def _index(self, like: Tensor) -> Tensor:
        return self.steps.to(like.device).expand(len(like), -1, -1)
