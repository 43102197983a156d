"""The check of an exported file is passed by what rounds otherwise, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lineage.models.export.program import ExportableDetector, ExportError
from lineage.models.export.verify import (
    MAX_IMAGES,
    REQUIRED_IMAGES,
    Perturbation,
    Verification,
    align_slots,
    verify,
)
from lineage.run.inference.export import draw_inputs
from lineage.run.restore import restore
from tests.trained import run_folder

NAMES = ["boxes", "scores", "labels", "valid"]
Answer = tuple[Tensor, Tensor, Tensor, Tensor]


def test_a_file_that_computes_something_else_is_not_kept(tmp_path: Path) -> None:
    eager = ExportableDetector(restore(str(run_folder(tmp_path / "run", "faster_rcnn")), [], tmp_path).model)
    draw = partial(draw_inputs, (128, 128), 1, 0)
    assert verify(eager, eager, draw, NAMES) == Verification(dict.fromkeys(NAMES, 0.0), 0)

    def wrong(pixels: Tensor, sizes: Tensor) -> list[Tensor]:
        boxes, scores, *rest = eager(pixels, sizes)
        return [boxes, scores * 1.001, *rest]

    with pytest.raises(ExportError, match="computes something else than the model: scores by"):
        verify(eager, wrong, draw, NAMES)


class Best(nn.Module):
    """Takes the better of two boxes, by scores that differ by `lead`."""

    def __init__(self, lead: Callable[[int], float]):
        super().__init__()
        self.lead = lead

    def forward(self, pixels: Tensor) -> Answer:
        first = 0.5 + self.lead(int(pixels.flatten()[0]))
        boxes = torch.tensor([[[0.0, 0, 5, 5], [9, 9, 20, 20]]])
        score, slot = torch.tensor([[first, 0.5]]).topk(1)
        return boxes[:, slot[0]], score, torch.zeros_like(slot), torch.ones_like(slot, dtype=torch.bool)


class Other(Best):
    """The same in another runtime, where the second wins a draw."""

    def forward(self, pixels: Tensor) -> Answer:
        boxes, *rest = super().forward(pixels)
        lead = self.lead(int(pixels.flatten()[0]))
        return (torch.tensor([[[9.0, 9, 20, 20]]]) if abs(lead) < 1e-7 else boxes), *rest


def numbered(seed: int) -> tuple[Tensor, ...]:
    return (torch.full((1, 3, 32, 32), seed, dtype=torch.uint8),)


def test_images_on_which_rounding_decides_are_left_out() -> None:
    odd = lambda seed: 0.25 * (seed % 2)  # noqa: E731  a lead, or none
    found = verify(Best(odd), Other(odd), numbered, NAMES)
    assert found.max_difference["boxes"] == 0
    assert found.uncertain_images == REQUIRED_IMAGES  # every second one, until enough are equal


def test_a_wrong_answer_is_no_doubt() -> None:
    with pytest.raises(ExportError, match="something else than the model: boxes"):
        verify(Best(lambda seed: 0.25), Other(lambda seed: 0.0), numbered, NAMES)
    with pytest.raises(ExportError, match="something else than the model: boxes"):  # it is sure of the fifth image
        verify(Best(lambda seed: 0.25 * (seed > 3)), Other(lambda seed: 0.0), numbered, NAMES)


def test_a_model_that_is_never_sure_cannot_be_compared() -> None:
    with pytest.raises(ExportError, match=f"on {MAX_IMAGES} of {MAX_IMAGES} images rounding decides .*--tolerance"):
        verify(Best(lambda seed: 0.0), Other(lambda seed: 0.0), numbered, NAMES)


def test_numbers_move_in_their_last_digits_only() -> None:
    layer, x = nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8)
    with Perturbation(0):
        moved, ranked = layer(x), torch.tensor([3.0, -torch.inf, 1.0]).topk(3)
    assert not torch.equal(moved, layer(x))
    torch.testing.assert_close(moved, layer(x), rtol=1e-5, atol=0)
    assert ranked.indices.tolist() == [0, 2, 1]
    assert torch.tensor([3, 1, 2]).sort().values.tolist() == [1, 2, 3]


def test_equal_scores_may_come_in_either_order() -> None:
    boxes = torch.tensor([[[0.0, 0, 5, 5], [9, 9, 20, 20], [1, 1, 4, 4], [0, 0, 0, 0]]])
    scores, labels = torch.tensor([[0.9, 0.5, 0.5, 0.0]]), torch.tensor([[1, 2, 2, 0]])
    wanted = {"boxes": boxes, "scores": scores, "labels": labels, "semantic": torch.rand(1, 3, 4, 4)}
    swapped = wanted | {"boxes": boxes[:, [0, 2, 1, 3]]}
    assert torch.equal(align_slots(wanted, swapped)["boxes"], boxes)
    other = wanted | {"boxes": boxes[:, [1, 0, 2, 3]]}  # their scores differ: this is another answer
    assert torch.equal(align_slots(wanted, other)["boxes"], other["boxes"])
