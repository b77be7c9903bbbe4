"""A report as one HTML file: figures, tables, players with spectrograms and phones, transcripts as they streamed.

Everything is inside the file, so it opens offline, can be mailed, and reads on a phone, by day and by night.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from torch import Tensor

from audiogen import audio, files
from audiogen.metrics.path_picture import path_svg
from audiogen.metrics.picture import TimedPhone, speech_svg
from audiogen.metrics.tables import Table, format_figure

_ASSETS = Path(__file__).parent
_LONGEST_PICTURE = 30.0


@dataclass
class Report:
    """A page that grows from top to bottom; `write` makes the file.

    Attributes:
        title: The page's heading.
        subtitle: One line under it: what was run, on what.
    """

    title: str
    subtitle: str = ""
    _parts: list[str] = field(default_factory=list, repr=False)

    def section(self, heading: str, text: str = "") -> None:
        """Begin a section, with a paragraph if there is something to say."""
        paragraph = f"<p>{escape(text)}</p>" if text else ""
        self._parts.append(f"<h2>{escape(heading)}</h2>{paragraph}")

    def figures(self, figures: Mapping[str, Any]) -> None:
        """The figures that matter most, large: label → value, a number or text with its unit."""
        tiles = (
            f"<div class=tile><b>{escape(format_figure(value))}</b><span>{escape(label)}</span></div>"
            for label, value in figures.items()
        )
        self._parts.append(f"<div class=tiles>{''.join(tiles)}</div>")

    def table(self, table: Table) -> None:
        """A table with its title above and its note below."""
        head = "".join(f"<th>{escape(heading)}</th>" for heading in table.headings())
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in table.cells(row)) + "</tr>" for row in table.rows
        )
        note = f"<p class=note>{escape(table.note)}</p>" if table.note else ""
        self._parts.append(
            f"<h3>{escape(table.title)}</h3><div class=scroll><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table></div>{note}"
        )

    def speech(
        self, label: str, wave: Tensor, sample_rate: int, text: str = "", phones: Sequence[TimedPhone] = ()
    ) -> None:
        """A player for `wave` [1, N] with its spectrogram, and the phones under it where they are known.

        The picture follows the sound while it plays; a click on it goes there. Long waves get no picture.
        """
        drawn = wave.shape[-1] <= _LONGEST_PICTURE * sample_rate
        picture = f"<div class='scroll picture'>{speech_svg(wave, sample_rate, phones)}<i></i></div>" if drawn else ""
        spoken = f"<p class=spoken>{escape(text)}</p>" if text else ""
        self._parts.append(
            f"<figure class=sound><figcaption>{escape(label)}</figcaption>{spoken}"
            f"{_player(wave, sample_rate)}{picture}</figure>"
        )

    def path(self, label: str, phones: Sequence[TimedPhone], attention: Tensor | None = None) -> None:
        """The way of a phone pointer; see `path_svg`. Long ones get no picture."""
        if phones and phones[-1][2] <= _LONGEST_PICTURE:
            picture = f"<div class='scroll picture'>{path_svg(phones, attention)}</div>"
            self._parts.append(f"<figure><figcaption>{escape(label)}</figcaption>{picture}</figure>")

    def transcript(
        self,
        label: str,
        partials: Sequence[tuple[float, str]],
        wave: Tensor,
        sample_rate: int,
        reference: str = "",
    ) -> None:
        """What was read while `wave` [1, N] streamed in: `partials` are (seconds heard so far, text), the last final.

        While the sound plays, the text appears as it did.
        """
        steps = "".join(
            f"<li data-time={heard:.3f}><time>{heard:.2f} s</time><span>{_grown(before, text)}</span></li>"
            for (heard, text), before in zip(partials, ["", *(text for _, text in partials)], strict=False)
        )
        final = partials[-1][1] if partials else ""
        said = f"<p class=note>said: {escape(reference)}</p>" if reference else ""
        self._parts.append(
            f"<figure class='sound heard'><figcaption>{escape(label)}</figcaption>{_player(wave, sample_rate)}"
            f"<p class=live>{escape(final)}</p>{said}"
            f"<details><summary>{len(partials)} partial results</summary><ol>{steps}</ol></details></figure>"
        )

    def html(self) -> str:
        """The page."""
        style = (_ASSETS / "report.css").read_text(encoding="utf-8")
        script = (_ASSETS / "report.js").read_text(encoding="utf-8")
        return (
            f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(self.title)}</title>"
            "<meta name=viewport content='width=device-width, initial-scale=1'>"
            f"<meta name=color-scheme content='light dark'><link rel=icon href='data:,'><style>{style}</style></head>"
            f"<body><main><header><h1>{escape(self.title)}</h1><p>{escape(self.subtitle)}</p></header>"
            f"{''.join(self._parts)}</main><script>{script}</script></body></html>\n"
        )

    def write(self, path: str | Path) -> None:
        """Write the page, whole or not at all."""
        files.write_text(path, self.html())


def _player(wave: Tensor, sample_rate: int) -> str:
    data = base64.b64encode(audio.to_bytes(wave, sample_rate, "FLAC", "PCM_16")).decode()
    return f"<audio controls preload=metadata src='data:audio/flac;base64,{data}'></audio>"


def _grown(before: str, text: str) -> str:
    """`text` with what differs from `before` marked."""
    same = 0
    while same < min(len(before), len(text)) and before[same] == text[same]:
        same += 1
    changed = f"<mark>{escape(text[same:])}</mark>" if same < len(text) else ""
    return escape(text[:same]) + changed
