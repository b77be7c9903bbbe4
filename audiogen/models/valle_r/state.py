"""Where a batch of utterances stands while it is spoken."""

from dataclasses import dataclass

from torch import Tensor

from audiogen.nn.state import State
from audiogen.nn.transformer import TransformerState


@dataclass
class CoarseState(State):
    """Where the first codebook stands: the cache, the text with its end symbol, and the pointer's place in it.

    Attributes:
        cache: Keys and values of text and frames so far.
        text: Embedded phones [B, L + 1, D].
        phones: Their symbols [B, L + 1]; the end symbol follows the last.
        end: The place after the last phone to be said [B].
        limits: Most merged frames a phone may take [B, L + 1].
        forced: Whether a phone takes exactly its limit [B, L + 1].
        draws: Uniform numbers for the code and for the pointer's move of every merged frame [B, T, 2].
        pointer: The phone [B] that is fed next.
        dwell: Merged frames spent on it [B].
        code: The code spoken last [B].
        frame: Merged frames fed so far, prompt included [B].
        remaining: Merged frames that may still be spoken [B].
        durations: Merged frames spent on each phone of the text [B, L + 1].
        done: Which rows have ended [B].
    """

    cache: TransformerState
    text: Tensor
    phones: Tensor
    end: Tensor
    limits: Tensor
    forced: Tensor
    draws: Tensor
    pointer: Tensor
    dwell: Tensor
    code: Tensor
    frame: Tensor
    remaining: Tensor
    durations: Tensor
    done: Tensor


@dataclass
class FineState(State):
    """Where the other codebooks stand.

    Attributes:
        cache: Keys and values of what the transformer has read.
        text: Embedded phones [B, L + 1, D].
        prefix: Tokens before the first spoken frame [B], which all frames see.
        voice: What the prompt sounds like on the whole [B, D].
        prompt: Frames of the prompt [B].
        frame: Frames spoken so far [B].
    """

    cache: TransformerState
    text: Tensor
    prefix: Tensor
    voice: Tensor
    prompt: Tensor
    frame: Tensor


@dataclass
class SpeechState(State):
    """The state of a batch of utterances while they are spoken; `first` [B] is the first phone after the prompt."""

    coarse: CoarseState
    fine: FineState
    first: Tensor

    @property
    def ended(self) -> Tensor:
        """Which rows have ended [B]."""
        return self.coarse.done

    @property
    def done(self) -> bool:
        """Whether every row has ended."""
        return bool(self.ended.all())


@dataclass(frozen=True)
class Outline:
    """Merged frames before `Fine` has heard of them.

    Attributes:
        codes: Their first codebook [B, T].
        places: Their phones' places in the text [B, T].
        counts: How many of them each row spoke [B].
    """

    codes: Tensor
    places: Tensor
    counts: Tensor
