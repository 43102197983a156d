"""Only the named parameters learn."""

from __future__ import annotations

import pytest
from torch import nn

from lineage.train.freeze import NothingTrained, train_only
from lineage.train.optimizer import split_parameters


def model() -> nn.Module:
    return nn.ModuleDict({"body": nn.Linear(2, 2), "box": nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 1)})})


def test_only_what_matches_is_given_to_the_optimizer() -> None:
    net = model()
    assert train_only(net, ["box.b.*"]) == ["box.b.weight", "box.b.bias"]
    weights, norms, biases = split_parameters(net)
    assert (len(weights), len(norms), len(biases)) == (1, 0, 1)
    assert weights[0] is net["box"]["b"].weight


def test_what_the_backbone_froze_stays_frozen() -> None:
    net = model()
    net["box"]["a"].requires_grad_(False)
    assert train_only(net, ["box.*"]) == ["box.b.weight", "box.b.bias"]


def test_a_name_that_matches_nothing_is_refused() -> None:
    with pytest.raises(NothingTrained, match=r"'boxes.\*' matches no trainable parameter; there are body.bias"):
        train_only(model(), ["box.*", "boxes.*"])
