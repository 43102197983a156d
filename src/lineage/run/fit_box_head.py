"""Fit after training what is not learned by descent: R-CNN's SVMs and its ridge regression."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lineage.run.assemble import Parts
from lineage.structures import Proposals, Targets


def refit(parts: Parts, images: int | None, device: torch.device) -> bool:
    """Fit the box head, if it has something to fit, on regions of the first training images; whether it had.

    Under torch.distributed every process fits on all images: they get the same, and nothing has to be sent.
    """
    box = getattr(parts.model, "box", None)
    if box is None or not hasattr(box, "fit"):
        return False
    # one at a time: mining refits after a batch, and data.images_per_device changes no weights
    model, loader = parts.model.to(device).eval(), parts.data.plain_loader(images_per_batch=1, limit=images)

    def rounds() -> Iterator[tuple[list[Tensor], Proposals, Targets]]:
        for batch in loader:
            images, targets, *_ = parts.module.transfer_batch_to_device(batch, device, 0)
            with torch.no_grad():
                features = model.neck(model.backbone(images))
                yield features, model.proposals.propose(images, features), targets

    box.fit(rounds)
    return True
