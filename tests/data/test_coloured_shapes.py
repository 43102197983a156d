"""Scenes in which each class has a hue of its own."""

from __future__ import annotations

from colorsys import rgb_to_hsv

import numpy as np

from lineage.data.shapes import dataset as dataset_module
from lineage.data.shapes import textures
from lineage.data.shapes.scene import SceneSettings, draw_scene

SIZE = (128, 128)


def test_coloured_classes_have_a_hue_of_their_own_on_the_same_layout() -> None:
    """The hues of three classes are told apart by the mean colour of an object alone; shapes and places stay."""
    plain, coloured = SceneSettings(kinds=3), SceneSettings(kinds=3, coloured=True)
    hues: dict[int, list[float]] = {}
    for i in range(20):
        scene = draw_scene(5, i, SIZE, coloured)
        assert np.array_equal(scene.masks, draw_scene(5, i, SIZE, plain).masks)
        for mask, label, crowd in zip(scene.masks, scene.labels, scene.crowd, strict=True):
            if not crowd:
                hues.setdefault(int(label), []).append(rgb_to_hsv(*(scene.image[mask].mean(0) / 255))[0])
    expected = {label: label * textures.GOLDEN % 1 for label in range(3)}
    for label, values in hues.items():
        assert max(abs((value - expected[label] + 0.5) % 1 - 0.5) for value in values) < 0.1


def test_a_younger_setting_changes_no_fingerprint_at_its_default() -> None:
    """Fingerprints are in entries: those of datasets without `coloured` are what they were before it."""
    key = dataset_module.key_settings
    assert key(SceneSettings()) == (6.0, 0.15, 3.0, 1.0, (0.07, 0.7), 12)
    assert key(SceneSettings(stuff=True)) == (6.0, 0.15, 3.0, 1.0, (0.07, 0.7), 12, (), True)
    assert key(SceneSettings(coloured=True))[-3:] == ((), False, True)
