"""What a model fits after training instead of descending to it: R-CNN's SVMs and its ridge regression."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lineage.assemble import Parts
from lineage.structures import Regions, Targets


def refit(parts: Parts, device: torch.device) -> bool:
    """Fit the box head, if it has something to fit, on the regions of the training images; whether it had.

    Under torch.distributed every process fits on all images: they get the same, and nothing has to be sent.
    """
    box = getattr(parts.model, "box", None)
    if not hasattr(box, "fit"):
        return False
    model, loader = parts.model.to(device).eval(), parts.data.plain_loader()

    def rounds() -> Iterator[tuple[list[Tensor], Regions, Targets]]:
        for batch in loader:
            images, targets, *_ = parts.module.transfer_batch_to_device(batch, device, 0)
            with torch.no_grad():
                features = model.neck(model.backbone(images))
                yield features, model.proposals.propose(images, features), targets

    box.fit(rounds)
    return True
