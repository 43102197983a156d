"""The share of images that are held out for validation: of few images the smallest that leaves some on both sides.

A share is chosen by a hash of names, so that of 10 images a fifth is none for one folder in nine.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.open_dataset import hash_name
from lineage.results.count_noun import count_noun
from lineage.run.finetune.layout import FRACTION, Layout, describe_share
from lineage.run.repeated_warnings import print_warnings_once
from lineage.run.splits import build_train

SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.1)  # in the order in which they are tried


def fit_share(layout: Layout, overrides: Sequence[str]) -> Layout:
    """Return the layout with a share that leaves images with objects on both sides; raise ConfigError if none does.

    overrides: of the dataset, as typed; a typed dataset.val leaves the layout as it is
    """
    share = next((text for text in layout.overrides if text.startswith(FRACTION)), None)
    if share is None or any(text.partition("=")[0] in ("dataset.val", FRACTION.rstrip("=")) for text in overrides):
        return layout
    rest = [text for text in layout.overrides if text != share]
    config = compose_config([f"dataset={layout.name}", *rest, *overrides])
    os.environ["LINEAGE_CACHE"] = config.paths.cache
    print_warnings_once()  # the dataset is opened again for what is chosen by it, and by the run
    train = build_train(config)
    assert isinstance(train, IndexedDataset)
    first = float(share.removeprefix(FRACTION))
    fitting = choose_share(train.columns.file_names.rows(), first)
    if fitting == first:
        return layout
    if fitting is None:
        raise ConfigError(
            f"{train.paths.source}: {count_noun(len(train), 'image')} with objects, too few to hold some out for "
            "validation. Add images, or train on all and evaluate on none: dataset.val=null"
        )
    reason = f"{describe_share(fitting)}, since {first:.0%} of so few leaves one side without images"
    summary = layout.summary.replace(describe_share(first), reason)
    return replace(layout, overrides=(*rest, f"{FRACTION}{fitting:g}"), summary=summary)


def choose_share(names: Sequence[bytes], first: float) -> float | None:
    """Return the first share, else the next of SHARES, that leaves names on both sides; None if there is none."""
    hashes = [hash_name(name) for name in names]
    return next((share for share in (first, *SHARES) if min(hashes) < share <= max(hashes)), None)
