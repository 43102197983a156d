"""Precomputed proposals, of selective search or another run's RPN: Fast R-CNN (arXiv:1504.08083), section 2.3."""

from __future__ import annotations

from torch import Tensor, nn

from lineage.structures import Images, Losses, Proposals, Targets


class ProposalsMissing(ValueError):
    """The images carry no proposals; the message names the options that add them."""


class PrecomputedProposals(nn.Module):
    """Proposal generator without parameters: returns the proposals that the images carry, best first."""

    def __init__(self, channels: int):
        super().__init__()

    def losses(self, images: Images, features: list[Tensor], targets: Targets) -> tuple[Proposals, Losses]:
        return self.propose(images, features), {}

    def propose(self, images: Images, features: list[Tensor]) -> Proposals:
        """Return the proposals [B, N] in the order of the dataset."""
        if images.proposals is None:
            raise ProposalsMissing(
                "this model needs precomputed proposals, and the images carry none: choose "
                "proposals=selective_search, or proposals=file proposals.folder=<run>/proposals of a run with "
                "model=rpn dump_proposals=true"
            )
        return images.proposals
