"""The regions a trained model proposes, left on disk for detectors that are given theirs: `proposals=file` reads them.

Faster R-CNN's alternating training (arXiv:1506.01497, section 3.2) and Fast R-CNN on a pyramid (arXiv:1612.03144, table
2) train on such a dump; so do tables that compare detectors at equal proposals.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import move_data_to_device
from torch import nn

from lineage.config.build import ConfigError
from lineage.data.proposals.file import ProposalFile, join_files, join_lists, read_proposals, write_proposals
from lineage.run.assemble import Parts
from lineage.structures import Batch

PARTS = ("backbone", "neck", "proposals")


def dump(trainer: pl.Trainer, parts: Parts, folder: Path) -> None:
    """folder/train.npz and folder/val.npz, of whole images as they are tested; every process does its share."""
    check(parts.model)
    folder.mkdir(parents=True, exist_ok=True)
    rank, world = trainer.global_rank, trainer.world_size
    device = trainer.strategy.root_device
    model, at_once = parts.model.to(device).eval(), parts.data.count_images_at_once(device)
    train, val = parts.data.plain_loader(rank, world, at_once), parts.data.val_loader(rank, world, at_once)
    for split, loader in (("train", train), ("val", val)):
        share = [folder / f"{split}.{part}.npz" for part in range(world)]
        write_proposals(share[rank], propose(model, loader, device))
        trainer.strategy.barrier()
        if rank == 0:
            dataset = getattr(parts.data, split)
            write_proposals(folder / f"{split}.npz", join_files(read_proposals(path, dataset) for path in share))
            for path in share:
                path.unlink()


def check(model: nn.Module) -> None:
    if not all(hasattr(model, part) for part in PARTS):
        raise ConfigError("dump_proposals=true: this model proposes no regions; model=rpn, rpn_c4 or rpn_vgg does")


@torch.no_grad()
def propose(model: nn.Module, batches: Iterable[Batch], device: torch.device) -> ProposalFile:
    """The regions of every image in the pixels of its file, with the scores that ranked them."""
    return join_files(_of_batch(model, move_data_to_device(batch, device)) for batch in batches)


def _of_batch(model: nn.Module, batch: Batch) -> ProposalFile:
    regions = model.proposals.propose(batch.images, model.neck(model.backbone(batch.images)))
    scale = (batch.original_sizes / batch.images.sizes).flip(1).repeat(1, 2)  # [B, 4] x, y, x, y
    regions = regions._replace(boxes=regions.boxes * scale[:, None])
    columns = [(boxes[keep], scores[keep]) for boxes, scores, keep in zip(*regions, strict=True)]
    return join_lists(batch.ids, [boxes.cpu() for boxes, _ in columns], [scores.cpu() for _, scores in columns])
