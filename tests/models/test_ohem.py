"""Hard examples: the dearest, without repetitions, one by one as in a batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.ops import nms

from lineage.models.losses.ohem import OHEM
from lineage.tables.read import load_table
from tests.models.compose import build
from tests.models.scenes import batch

MINING = (
    "{_target_: lineage.models.losses.ohem.OHEM, batch_size_per_image: 16, nms_thresh: 0.7, neg_pos_ratio: RATIO, "
    "topk_candidates: 1000}"
)


def regions(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(2, 60, 2, generator=generator) * 40
    boxes = torch.cat((low, low + 10 + torch.rand(2, 60, 2, generator=generator) * 20), -1)
    cost = torch.rand(2, 60, generator=generator)
    return cost, boxes, torch.rand(2, 60, generator=generator) < 0.2, torch.rand(2, 60, generator=generator) < 0.9


def test_the_dearest_survivors_of_nms_are_chosen() -> None:
    cost, boxes, foreground, usable = regions()
    chosen = OHEM(batch_size_per_image=8, nms_thresh=0.5, neg_pos_ratio=None, topk_candidates=60)(
        cost, boxes, foreground, usable
    )
    for image in range(2):
        slots = usable[image].nonzero()[:, 0]
        kept = slots[nms(boxes[image, slots], cost[image, slots], 0.5)][:8]
        assert set(chosen[image].nonzero()[:, 0].tolist()) == set(kept.tolist())


def test_a_ratio_bounds_background_by_foreground() -> None:
    cost, boxes, foreground, usable = regions()
    foreground[1] = False
    chosen = OHEM(batch_size_per_image=16, nms_thresh=0.9, neg_pos_ratio=3.0, topk_candidates=60)(
        cost, boxes, foreground, usable
    )
    objects = (chosen & foreground).sum(1)
    assert objects.tolist() == [min(4, int((usable & foreground)[0].sum())), 0]
    assert (chosen & ~foreground).sum(1).tolist() == [3 * objects[0], 3]


def test_nothing_usable_gives_nothing() -> None:
    cost, boxes, foreground, usable = regions()
    assert not OHEM(batch_size_per_image=8, nms_thresh=0.5, neg_pos_ratio=None, topk_candidates=60)(
        cost, boxes, foreground, usable & False
    ).any()


@pytest.mark.parametrize("ratio", ["null", "3.0"])
@pytest.mark.parametrize("place", ["model=faster_rcnn model.box.mining", "model=retinanet model.head.mining"])
def test_models_learn_from_at_most_so_many(place: str, ratio: str) -> None:
    torch.manual_seed(0)
    model, node = place.split()
    network = build(model, f"{node}={MINING.replace('RATIO', ratio)}", "model.head.loss_normalizer=batch"
                    if "retinanet" in model else "model.sampler.batch_size_per_image=200")  # fmt: skip
    for counts in ([3, 0], [0, 0]):
        losses = network.losses(*batch([(128, 128)] * 2, counts, 4, canvas=(128, 128)))
        costs = [loss for name, loss in losses.items() if not name.startswith("rpn")]
        assert all(0 < loss.normalizer <= 32 for loss in costs)
        network.zero_grad()
        torch.stack([loss.sum / loss.normalizer.clamp(min=1) for loss in losses.values()]).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_mining_all_that_is_sampled_is_refused() -> None:
    """Mining 64 of 64 sampled regions is no mining: the row of a table would equal its baseline."""
    mining = f"model.box.mining={MINING.replace('RATIO', 'null')}"
    with pytest.raises(Exception, match=r"ranks only the 16 of model\.sampler\.batch_size_per_image: nothing is mined"):
        build("model=faster_rcnn", mining, "model.sampler.batch_size_per_image=16")


def test_a_row_of_the_paper_ranks_every_region() -> None:
    """abhi2610/ohem, experiments/cfgs/fast_rcnn_ohem.yml: 64 an image, background from IoU 0; all are ranked."""
    rows = load_table(Path(__file__).parents[2] / "experiments", "ohem/readme").rows
    for row in ("voc07_ohem", "voc0712_ohem"):
        keys = rows[row].assignments
        assert keys["model.box.mining"]["batch_size_per_image"] == 64
        assert keys["model.box.mining"]["topk_candidates"] >= keys["model.sampler.batch_size_per_image"] > 2000
        assert keys["model.sampler.positive_fraction"] == 1
        assert keys["model.sampler.matcher.bg_iou_thresh"] == [0, 0.5]
