"""The picture of a path: a bar for each phone where it was said, and the attention as an image."""

from xml.etree import ElementTree

import torch

from audiogen.metrics.path_picture import path_svg
from audiogen.metrics.picture import PIXELS_PER_SECOND
from audiogen.metrics.report import Report

PHONES = [("sil", 0.0, 0.1), ("<", 0.1, 0.35), ("ˈæ", 0.35, 0.5)]
SVG = "{http://www.w3.org/2000/svg}"


def test_each_phone_has_its_bar():
    bars = ElementTree.fromstring(path_svg(PHONES)).findall(f"{SVG}rect")
    for bar, (_, start, end) in zip(bars, PHONES, strict=True):
        assert float(bar.get("x")) == start * PIXELS_PER_SECOND
        assert float(bar.get("width")) == round((end - start) * PIXELS_PER_SECOND, 1)
    heights = [float(bar.get("y")) for bar in bars]
    assert heights == sorted(set(heights))


def test_attention_is_an_image_below():
    picture = ElementTree.fromstring(path_svg(PHONES, torch.rand(13, 4)))
    (image,) = picture.findall(f"{SVG}image")
    assert image.get("href").startswith("data:image/png")
    assert float(image.get("y")) > max(float(bar.get("y")) for bar in picture.findall(f"{SVG}rect"))


def test_a_report_shows_paths_that_are_not_too_long():
    report = Report("Paths")
    report.path("short", PHONES)
    report.path("long", [("a", 0.0, 100.0)])
    assert report.html().count("<figure>") == 1 and "short" in report.html()
