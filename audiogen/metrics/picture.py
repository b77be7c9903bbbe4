"""Pictures of speech: a mel spectrogram as PNG, and an SVG with the phones drawn under it. Needs only the core."""

import base64
import struct
import zlib
from collections.abc import Sequence
from html import escape

import numpy as np
import torch
from torch import Tensor

from audiogen.nn.spectral import log_mel, magnitude, spectrum

TimedPhone = tuple[str, float, float]
"""A symbol with its start and end in seconds."""

PIXELS_PER_SECOND = 200
BANDS = 128
PICTURE_HEIGHT = 192
LABELS_HEIGHT = 44
AXIS_HEIGHT = 20
DYNAMIC_RANGE = 7.5
"""Nepers below the loudest band that are drawn; quieter is background."""

# Black through violet and orange to pale yellow, evenly spaced in lightness.
_COLOURS = "04040d 1b1044 4a1079 7d2482 b2357b e34e65 f9795d feb078 fde5a7 fcfdd3".split()


def spectrogram_png(wave: Tensor, sample_rate: int) -> bytes:
    """The log-mel spectrogram of `wave` [1, N] as PNG: `PIXELS_PER_SECOND` across, low frequencies at the bottom."""
    hop_length = max(1, round(sample_rate / PIXELS_PER_SECOND))
    n_fft = 1 << (sample_rate // 32).bit_length()
    bands = log_mel(magnitude(spectrum(wave, n_fft, hop_length)), sample_rate, BANDS)[0]
    levels = ((bands - bands.max()) / DYNAMIC_RANGE + 1).clamp(0, 1)
    return png((levels.flip(0) * 255).round().to(torch.uint8).numpy(), palette())


def png(indices: np.ndarray, palette: np.ndarray) -> bytes:
    """An image of colour `indices` uint8 [height, width] into `palette` uint8 [256, 3] as PNG (W3C PNG §11)."""
    height, width = indices.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), indices], axis=1)  # each row begins with filter 0
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def speech_svg(wave: Tensor, sample_rate: int, phones: Sequence[TimedPhone] = ()) -> str:
    """A picture of `wave` [1, N] that stands alone: spectrogram, phones with their bounds, and a time axis.

    Colours of text and lines follow `currentColor`, so the picture suits a light and a dark page.
    """
    duration = wave.shape[-1] / sample_rate
    width = max(1.0, duration * PIXELS_PER_SECOND)
    labels_height = LABELS_HEIGHT if phones else 0
    height = PICTURE_HEIGHT + labels_height + AXIS_HEIGHT
    image = base64.b64encode(spectrogram_png(wave, sample_rate)).decode()
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}"',
            f' viewBox="0 0 {width:.1f} {height}" font-family="system-ui, sans-serif" role="img"',
            f' aria-label="Spectrogram of {duration:.1f} seconds of sound">',
            f'<image width="{width:.1f}" height="{PICTURE_HEIGHT}" preserveAspectRatio="none"',
            f' href="data:image/png;base64,{image}"/>',
            *_phones(phones),
            *axis(duration, PICTURE_HEIGHT + labels_height),
            "</svg>",
        ]
    )


def _phones(phones: Sequence[TimedPhone]) -> list[str]:
    """Bounds over the spectrogram and symbols under it, in two rows by turns so that short neighbours stay apart."""
    bounds = sorted({round(time * PIXELS_PER_SECOND, 1) for _, start, end in phones for time in (start, end)})
    path = "".join(f"M{x:g} 0v{PICTURE_HEIGHT}" for x in bounds)
    marks = [f'<path d="{path}" stroke="#fff" stroke-opacity=".45" fill="none"/>'] if bounds else []
    for index, (symbol, start, end) in enumerate(phones):
        x, y = (start + end) / 2 * PIXELS_PER_SECOND, PICTURE_HEIGHT + (17 if index % 2 == 0 else 36)
        marks.append(
            f'<text class="phone" data-start="{start:.3f}" data-end="{end:.3f}" x="{x:.1f}" y="{y}" font-size="14"'
            f' text-anchor="middle" fill="currentColor">{"·" if symbol == "sil" else escape(symbol)}</text>'
        )
    return marks


def axis(duration: float, top: int) -> list[str]:
    """Seconds from 0 to `duration`, written below the height `top` of a picture."""
    step = next(step for step in (0.5, 1, 2, 5, 10, 30, 60) if duration / step <= 60 or step == 60)
    marks = []
    for tick in np.arange(0, duration + 1e-6, step):
        x, anchor = tick * PIXELS_PER_SECOND, "start" if tick == 0 else "middle"
        marks.append(f'<path d="M{x:.1f} {top}v4" stroke="currentColor" stroke-opacity=".5"/>')
        marks.append(
            f'<text x="{x:.1f}" y="{top + 16}" font-size="11" text-anchor="{anchor}" fill="currentColor"'
            f' fill-opacity=".6">{tick:g} s</text>'
        )
    return marks


def palette() -> np.ndarray:
    """256 colours through `_COLOURS`, uint8 [256, 3]."""
    stops = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in _COLOURS], float)
    places = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(places, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)
