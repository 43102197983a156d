"""The sheet of an image names what its maps explain, and no word runs into another."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import ImageDraw

from lineage.explain.explained_image import ExplainedDetection, ExplainedImage, FileMap
from lineage.explain.methods import METHODS
from lineage.explain.sheet import draw_sheet


def explained(height: int, width: int, layer: str) -> ExplainedImage:
    maps = {name: FileMap(np.ones((height, width), np.float32), layer, 0.1) for name in METHODS}
    detection = ExplainedDetection(1, "disc", 0.9, (1, 1, 8, 8), None, (255, 0, 0), maps)
    pixels = np.zeros((height, width, 3), np.uint8)
    return ExplainedImage("a", pixels, [detection], "class", "the proposal is a constant", "D-RISE: 5 masks")


def test_words_of_a_narrow_image_do_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[float, float, float, str]] = []
    write = ImageDraw.ImageDraw.text

    def record(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, fill: Any, font: Any) -> None:
        written.append((xy[0], xy[1], xy[0] + font.getlength(text), text))
        write(self, xy, text, fill=fill, font=font)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    layer = "pixels x feature map 1 of stride 16"
    sheet = draw_sheet(explained(400, 20, layer))
    texts = [text for *_, text in written]
    assert {*METHODS} < {*texts}
    assert texts.count(layer) == len(METHODS)
    assert any("target: class" in text and "D-RISE: 5 masks" in text for text in texts)
    for y in {top for _, top, _, _ in written}:
        row = sorted((left, right) for left, top, right, _ in written if top == y)
        assert all(right < left for (_, right), (left, _) in pairwise(row))
        assert row[-1][1] <= sheet.width
