"""Landmarks of each class and the heat map of each: DeepMark (arXiv:1910.01225), DeepMark++ (arXiv:2006.00710).

Persons have the same keypoints whatever their class. Of DeepFashion2's 294 landmarks each belongs to one of 13 classes:
class c has `counts[c]` of them from `offsets[c]` on. Landmarks of several classes that mean the same may share a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LandmarkLayout:
    """The landmarks of each class, padded to the most that a class has.

    slots: [C, L] the dataset's keypoint. channels: [C, L] its map. exists: [C, L] bool, false for padding.
    """

    slots: Tensor
    channels: Tensor
    exists: Tensor
    num_keypoints: int
    num_maps: int

    def mirror(self, flip_indices: Sequence[Sequence[int]]) -> list[int]:
        """Return the map that each map becomes in a mirrored image.

        flip_indices: [C or 1][K] the keypoint that each becomes, by class if they differ.
        """
        mirrored = list(range(self.num_maps))
        for label, (slots, channels, exists) in enumerate(
            zip(self.slots.tolist(), self.channels.tolist(), self.exists.tolist(), strict=True)
        ):
            flips = flip_indices[min(label, len(flip_indices) - 1)]
            by_slot = {slot: channel for slot, channel, there in zip(slots, channels, exists, strict=True) if there}
            for slot, channel in by_slot.items():
                mirrored[channel] = by_slot.get(flips[slot] if flips else slot, channel)
        if any(mirrored[mirrored[channel]] != channel for channel in range(self.num_maps)):
            raise ValueError("model.landmarks.groups: landmarks of one map become those of several in a mirrored image")
        return mirrored


def make_layout(
    num_classes: int,
    num_keypoints: int,
    counts: Sequence[int] | None,
    offsets: Sequence[int] | None,
    groups: Sequence[int] | None,
) -> LandmarkLayout:
    """Return the layout of a dataset's keypoints.

    counts   [C] keypoints of each class; None or empty: every class has all
    offsets  [C] the first keypoint of each class; None or empty: 0
    groups   [K] the map of each keypoint; None: a map for each
    """
    lengths = list(counts or [num_keypoints] * num_classes)
    starts = list(offsets or [0] * num_classes)
    if len(lengths) != num_classes or len(starts) != num_classes:
        raise ValueError(f"model.landmarks: {num_classes} classes, but {len(lengths)} counts and {len(starts)} offsets")
    if groups is not None and len(groups) != num_keypoints:
        raise ValueError(f"model.landmarks.groups: {len(groups)} groups for {num_keypoints} keypoints")
    maps = list(range(num_keypoints)) if groups is None else list(groups)
    slots = [[*range(start, start + length)] for start, length in zip(starts, lengths, strict=True)]
    channels = [[maps[slot] for slot in row] for row in slots]
    for label, row in enumerate(channels):
        if len(set(row)) < len(row):
            raise ValueError(f"model.landmarks.groups: two keypoints of class {label} share a map")
    longest = max(lengths)
    exists = torch.tensor([[position < length for position in range(longest)] for length in lengths])
    padded = [torch.tensor([row + [0] * (longest - len(row)) for row in rows]) for rows in (slots, channels)]
    return LandmarkLayout(padded[0], padded[1], exists, num_keypoints, max(maps) + 1)
