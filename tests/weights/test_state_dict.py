"""Weights are taken over where they fit, and named by their content."""

import torch
from torch import Tensor, nn

from lineage.weights.state_dict import match_state, sha256


def model(classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, classes))


def load_matching(model: nn.Module, state: dict[str, Tensor]) -> list[str]:
    """Load the tensors that match; return the names in `model` that were not loaded."""
    match = match_state(model, state)
    model.load_state_dict(match.matching, strict=False)
    return match.missing


def test_layers_of_another_size_start_afresh() -> None:
    ours, theirs = model(4), model(5)
    assert load_matching(ours, theirs.state_dict()) == ["2.bias", "2.weight"]
    assert torch.equal(ours[0].weight, theirs[0].weight)


def test_a_checkpoint_of_the_trainer_fits_too() -> None:
    ours, theirs = model(4), model(4)
    assert load_matching(ours, {f"model.{name}": value for name, value in theirs.state_dict().items()}) == []
    assert sha256(ours.state_dict()) == sha256(theirs.state_dict())


def test_one_changed_number_changes_the_digest() -> None:
    ours = model(4)
    before = sha256(ours.state_dict())
    ours[1].num_batches_tracked += 1
    after = sha256(ours.state_dict())
    ours[0].weight.data[0, 0] += 1
    assert len({before, after, sha256(ours.state_dict())}) == 3
