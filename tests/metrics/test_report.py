import html.parser
import struct
import zlib

import numpy as np
import torch

from audiogen.metrics import picture
from audiogen.metrics.report import Report
from audiogen.metrics.tables import Table, format_figure

RATE = 24_000


def tone(seconds: float = 1.0) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * 1000 * torch.arange(int(seconds * RATE)) / RATE)[None]


def read_png(data: bytes) -> tuple[np.ndarray, bytes]:
    """The indices and palette of one of our PNG files, its checksums checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, start = {}, 8
    while start < len(data):
        length, kind = struct.unpack(">I4s", data[start : start + 8])
        body = data[start + 8 : start + 8 + length]
        assert struct.unpack(">I", data[start + 8 + length : start + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind], start = body, start + 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    return rows[:, 1:], chunks[b"PLTE"]


def test_a_png_holds_its_pixels():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = np.arange(768, dtype=np.uint8).reshape(256, 3)
    read, colours = read_png(picture.png(pixels, palette))
    assert (read == pixels).all()
    assert colours == palette.tobytes()


def test_a_spectrogram_is_brightest_where_the_tone_is():
    pixels, _ = read_png(picture.spectrogram_png(tone(), RATE))
    assert pixels.shape[0] == picture.BANDS
    assert abs(pixels.shape[1] - picture.PIXELS_PER_SECOND) <= 1
    brightest = pixels[:, 100].argmax()
    assert 0.5 < brightest / picture.BANDS < 0.8  # 1 kHz lies a third up the mel scale to 12 kHz; row 0 is the top
    assert pixels[5, 100] < 20


class Checked(html.parser.HTMLParser):
    """Collects tags and outside addresses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]


def test_a_report_is_one_file_with_everything_inside(tmp_path):
    report = Report("A <demo>", "one & only")
    report.section("Speech", "What was said.")
    report.figures({"real-time factor": 0.123456, "first audio": "210 ms"})
    report.speech("voice", tone(), RATE, "Tom & co", [("sil", 0.0, 0.2), ("t<", 0.2, 0.5), ("ˈɑ", 0.5, 1.0)])
    report.transcript("heard", [(0.4, "tom and"), (1.0, "tom & co")], tone(), RATE, reference="Tom & co")
    report.table(Table("Scores", [{"name": "ours", "WER": 0.1234}], {"WER": "", "RTF": ""}, "measured"))
    report.write(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    checked = Checked(page)
    assert [checked.tags.count(tag) for tag in ("audio", "svg", "table", "li", "script")] == [2, 1, 1, 2, 1]
    assert all(address.startswith("data:") for address in checked.addresses)
    assert "A &lt;demo&gt;" in page and "t&lt;" in page and "0.123" in page
    assert "tom <mark>&amp; co</mark>" in page
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_long_wave_gets_a_player_without_a_picture():
    report = Report("long")
    report.speech("voice", tone(31), RATE)
    assert "<svg" not in report.html()


def test_a_table_gives_figures_and_markdown():
    table = Table("T", [{"name": "a", "WER": 0.5, "time": 3}, {"name": "b", "WER": None}], {"WER": "", "time": "s"})
    assert [(f["name"], f["value"], f["unit"]) for f in table.figures()] == [("a: WER", 0.5, ""), ("a: time", 3, "s")]
    interval = Table("T", [{"name": "a", "95 %": (0.1, 0.2)}], {"95 %": ""})
    assert [(f["name"], f["value"]) for f in interval.figures()] == [("a: 95 %, low", 0.1), ("a: 95 %, high", 0.2)]
    assert table.markdown().splitlines() == [
        "|  | WER | time (s) |", "| --- | --: | --: |", "| a | 0.500 | 3 |", "| b | – | – |",
    ]  # fmt: skip


def test_figures_are_written_short():
    written = [format_figure(value) for value in (0.12345, 12345.6, 3.0, 7, None, (0.1, 0.25), "x", 0.0)]
    assert written == ["0.123", "12,346", "3.00", "7", "–", "0.100 – 0.250", "x", "0.00"]
