"""Diagnostics in closed form, on inputs that one can count by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.models.losses.diagnostics import count_samples, measure_classification, measure_masks, measure_recall
from lineage.structures import Diagnostic, Proposals, Targets


def values(diagnostics: tuple[Diagnostic, ...]) -> dict[str, tuple[float, float]]:
    assert not any(diagnostic.sum.requires_grad for diagnostic in diagnostics)
    return {diagnostic.name: (float(diagnostic.sum), float(diagnostic.normalizer)) for diagnostic in diagnostics}


def rows(*values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.bool)


def test_positives_and_negatives_are_counted_per_image() -> None:
    counted = values(count_samples(rows([1, 0, 0], [1, 1, 0]), rows([1, 1, 1], [1, 1, 0])))
    assert counted == {"num_positive": (3, 2), "num_negative": (2, 2)}


def test_an_object_is_recalled_by_a_valid_proposal_with_half_its_area() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10], [0, 0, 0, 0]]])
    nothing = torch.zeros(1, 5, dtype=torch.int64)
    targets = Targets(boxes, nothing, rows([1, 1, 1, 1, 0]), rows([0, 0, 0, 1, 0]), None, None)
    regions = torch.tensor([[[0.0, 0, 10, 5], [20, 0, 30, 4], [40, 0, 50, 10], [60, 0, 70, 10]]])
    proposals = Proposals(regions, torch.zeros(1, 4), rows([1, 1, 0, 1]))
    # the first at 0.5; the second at 0.4; the third by a slot that is not valid; the fourth is a crowd
    assert values(measure_recall(proposals, targets)) == {"recall": (1, 3)}


def test_accuracies_of_classes() -> None:
    labels = torch.tensor([[0, 1, 1, 2, 2, 0]])  # two classes; 2 is background
    predicted = torch.tensor([[0, 0, 2, 2, 1, 1]])
    probabilities = torch.nn.functional.one_hot(predicted, 3).float().requires_grad_()
    measured = values(measure_classification(probabilities, labels, rows([1, 1, 1, 1, 1, 0])))
    assert measured == {
        "accuracy": (2, 5),
        "fg_accuracy": (1, 3),
        "false_negative": (1, 3),
        "num_positive": (3, 1),
        "num_negative": (2, 1),
    }


def test_accuracies_of_masks_count_the_pixels_of_foreground() -> None:
    goal = torch.tensor([[[[1.0, 1.0], [0.0, 0.4]], [[1.0, 1.0], [1.0, 1.0]]]])
    logits = torch.tensor([[[[2.0, -1.0], [1.0, -1.0]], [[-1.0, -1.0], [-1.0, -1.0]]]], requires_grad=True)
    measured = values(measure_masks(logits, goal, rows([1, 0])))
    assert measured == {"accuracy": (2, 4), "false_positive": (1, 2), "false_negative": (1, 2)}
