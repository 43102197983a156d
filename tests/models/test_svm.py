"""Mined SVMs against one that saw everything; ridge against the normal equations and against a planted map."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from sklearn.svm import LinearSVC

from lineage.models.roi_heads import ridge, svm
from lineage.models.roi_heads.svm import ClassTrainer, RegionFeatures, SVMMining, SVMs

MINING = SVMMining(
    cost=1e-3,
    pos_loss_weight=2.0,
    bias_mult=10.0,
    target_norm=20.0,
    neg_iou_thresh=0.3,
    hard_thresh=-1.0001,
    evict_thresh=-1.2,
    retrain_limit=200,
)
FEATURES, CLASSES = 16, 2


def images(count: int = 12, regions: int = 60) -> list[RegionFeatures]:
    """Regions around one centre per class and around zero; the first two of each image are objects."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, FEATURES, generator=generator)
    seen = []
    for _ in range(count):
        objects = torch.full((regions,), CLASSES)
        objects[:2] = torch.tensor([0, 1])
        features = torch.randn(regions, FEATURES, generator=generator)
        features[:2] += 2 * centres
        overlaps = torch.rand(regions, CLASSES, generator=generator) * 0.5
        overlaps[0], overlaps[1] = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
        seen.append(RegionFeatures(features, overlaps, objects))
    return seen


def test_mining_finds_what_an_svm_of_everything_finds() -> None:
    seen = images()
    svms = SVMs(FEATURES, CLASSES)
    svms.fit(lambda: iter(seen), MINING)
    features = torch.cat([one.features for one in seen]) * svms.scale
    assert features.norm(dim=1).mean() == pytest.approx(MINING.target_norm, rel=1e-5)
    for label in range(CLASSES):
        positive = torch.cat([one.objects for one in seen]) == label
        used = positive | (torch.cat([one.overlaps for one in seen])[:, label] < MINING.neg_iou_thresh)
        whole = LinearSVC(
            loss="hinge", C=1e-3, class_weight={1: 2.0, 0: 1.0}, intercept_scaling=10.0, max_iter=20_000, random_state=3
        ).fit(features[used].numpy(), positive[used].int().numpy())
        wanted = torch.from_numpy(whole.decision_function(features.numpy())).float()
        scores = svms(features / svms.scale)[:, label]
        assert torch.corrcoef(torch.stack((scores, wanted)))[0, 1] > 0.99
        assert ((scores > 0) == (wanted > 0)).float().mean() > 0.99


def test_a_class_without_objects_stays_silent() -> None:
    seen = [one._replace(objects=torch.where(one.objects == 1, CLASSES, one.objects)) for one in images(3)]
    svms = SVMs(FEATURES, CLASSES)
    svms.fit(lambda: iter(seen), MINING)
    assert (svms(seen[0].features)[:, 1] == -1).all()
    assert (svms(seen[0].features)[:1, 0] > -1).all()


def test_an_svm_is_refitted_only_after_enough_new_negatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """retrain_limit new hard negatives, then at the end whatever is new; without negatives there is no SVM to fit."""
    sizes: list[tuple[int, int]] = []
    solve = svm._solve
    monkeypatch.setattr(svm, "_solve", lambda p, n, mining: sizes.append((len(p), len(n))) or solve(p, n, mining))
    svms = SVMs(FEATURES, CLASSES)
    trainer = ClassTrainer(svms, 0, torch.randn(5, FEATURES).numpy(), MINING)
    trainer.refit()
    assert sizes == []

    def add(count: int) -> None:
        background = RegionFeatures(
            torch.randn(count, FEATURES), torch.zeros(count, CLASSES), torch.full((count,), CLASSES)
        )
        trainer.add_negatives(background, torch.zeros(count))  # 0 > hard_thresh: all are hard

    torch.manual_seed(0)
    add(MINING.retrain_limit - 1)
    assert sizes == []
    add(1)
    assert sizes == [(5, MINING.retrain_limit)]
    trainer.refit()  # nothing new
    assert len(sizes) == 1
    add(1)
    trainer.refit()
    assert len(sizes) == 2


def test_an_object_of_the_class_is_never_its_negative() -> None:
    """Even where its annotated overlap is lost, as for a box that was clipped away."""

    def passes() -> Iterator[RegionFeatures]:
        return iter([one._replace(overlaps=torch.zeros_like(one.overlaps)) for one in images(4)])

    svms = SVMs(FEATURES, CLASSES)
    svms.fit(passes, MINING)
    first = next(passes())
    assert svms(first.features)[0, 0] > 0
    assert svms(first.features)[1, 1] > 0


@pytest.mark.parametrize("count", [8, 100])  # fewer and more rows than features: dual and primal
def test_ridge_solves_the_penalised_normal_equations(count: int) -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(count, FEATURES, generator=generator), torch.randn(count, 4, generator=generator)
    weight, bias = ridge.solve(x, y, 10.0)
    mean = y.mean(0)
    white, back = ridge.whitening_matrices((y - mean).double())
    ones = torch.cat((x, torch.ones(count, 1)), 1).double()
    solved = torch.cat((weight, (bias - mean)[None])).double() @ white
    residual = ones.T @ (ones @ solved - (y - mean).double() @ white) + 10.0 * solved
    assert residual.abs().max() < 1e-4
    torch.testing.assert_close(white @ back, torch.eye(4, dtype=torch.float64))


def test_ridge_learns_a_planted_map() -> None:
    generator = torch.Generator().manual_seed(2)
    x, planted = torch.randn(500, FEATURES, generator=generator), torch.randn(FEATURES, 4, generator=generator)
    layer = ridge.Ridge(FEATURES, 3, penalty=1e-3)
    layer.fit(1, x, x @ planted + 0.5)
    codes = layer(x[:5])
    torch.testing.assert_close(codes[:, 1], x[:5] @ planted + 0.5, atol=1e-3, rtol=1e-3)
    assert not codes[:, 0].any()
