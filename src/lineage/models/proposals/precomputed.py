"""Proposals made before, by selective search or another run's RPN: Fast R-CNN (arXiv:1504.08083), section 2.3."""

from __future__ import annotations

from torch import Tensor, nn

from lineage.structures import Images, Losses, Proposals, Targets


class ProposalsMissing(ValueError):
    """The data bring no proposals; the message says which option does."""


class PrecomputedProposals(nn.Module):
    """Hands on what the images carry, best first, and learns nothing."""

    def __init__(self, channels: int):
        super().__init__()

    def losses(self, images: Images, features: list[Tensor], targets: Targets) -> tuple[Proposals, Losses]:
        return self.propose(images, features), {}

    def propose(self, images: Images, features: list[Tensor]) -> Proposals:
        """[B, N] proposals as the dataset ranked them"""
        if images.proposals is None:
            raise ProposalsMissing(
                "this model takes proposals that were made before, and the images carry none: choose "
                "proposals=selective_search, or proposals=file proposals.folder=<run>/proposals of a run with "
                "model=rpn dump_proposals=true"
            )
        return images.proposals
