"""A picture of the way a phone pointer went, and of where in the voice prompt the model looked meanwhile."""

import base64
from collections.abc import Sequence
from html import escape

import torch
from torch import Tensor

from audiogen.metrics.picture import PIXELS_PER_SECOND, TimedPhone, axis, palette, png

PHONE_HEIGHT = 14
MARGIN = 40
PROMPT_HEIGHT = 96
GAP = 24


def path_svg(phones: Sequence[TimedPhone], attention: Tensor | None = None) -> str:
    """The pointer's steps, time across and phones downward; under them the attention to the prompt, if given.

    Args:
        phones: In the order they were said, with times in seconds.
        attention: Shares [T, P] that the frames of the speech gave to the frames of the prompt, which goes upward.
    """
    duration = max((end for _, _, end in phones), default=0.0)
    width, steps = MARGIN + max(1.0, duration * PIXELS_PER_SECOND), PHONE_HEIGHT * len(phones)
    below = 0 if attention is None else GAP + PROMPT_HEIGHT
    height = steps + below + 24
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}"',
            f' viewBox="{-MARGIN} 0 {width:.1f} {height}" font-family="system-ui, sans-serif" role="img"',
            f' aria-label="The path through {len(phones)} phones in {duration:.1f} seconds">',
            *_steps(phones),
            *([] if attention is None else _attention(attention, width - MARGIN, steps + GAP)),
            *axis(duration, steps + below),
            "</svg>",
        ]
    )


def _steps(phones: Sequence[TimedPhone]) -> list[str]:
    """A bar for each phone in a row of its own, its symbol at the left."""
    marks = []
    for row, (symbol, start, end) in enumerate(phones):
        x, wide, y = start * PIXELS_PER_SECOND, (end - start) * PIXELS_PER_SECOND, row * PHONE_HEIGHT
        silent = symbol == "sil"
        marks.append(
            f'<text x="-6" y="{y + 11}" font-size="11" text-anchor="end" fill="currentColor">'
            f"{'·' if silent else escape(symbol)}</text>"
            f'<rect x="{x:.1f}" y="{y + 2}" width="{wide:.1f}" height="{PHONE_HEIGHT - 3}" rx="2" fill="currentColor"'
            f' fill-opacity="{".15" if silent else ".6"}"/>'
        )
    return marks


def _attention(attention: Tensor, width: float, top: float) -> list[str]:
    """The shares as an image, brighter where the model looked more."""
    shares = attention.T.flip(0)
    levels = (shares / shares.max().clamp(min=1e-9)).sqrt()
    image = png((levels * 255).round().to(torch.uint8).numpy(), palette())
    return [
        f'<text x="-6" y="{top + 11}" font-size="11" text-anchor="end" fill="currentColor">prompt</text>'
        f'<image x="0" y="{top}" width="{width:.1f}" height="{PROMPT_HEIGHT}" preserveAspectRatio="none"'
        f' style="image-rendering:pixelated" href="data:image/png;base64,{base64.b64encode(image).decode()}"/>'
    ]
