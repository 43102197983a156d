"""What a model starts from: a file, a URL, a torchvision weight, a run folder or the entry of an earlier run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from lineage.config.build import ConfigError
from lineage.results import paths, store
from lineage.results.store import StoreError
from lineage.tables.links import LEFT
from lineage.tables.table import START
from lineage.train.checkpoint import list_checkpoints
from lineage.weights import pretrained
from lineage.weights.identify import Given, options, repainted
from lineage.weights.pretrained import WeightsError
from lineage.weights.sources.table import Pixels
from lineage.weights.state_dict import Fit, fit

WEIGHTS, CHECKPOINTS = LEFT[START], "checkpoints"  # in a run folder
SHOWN = 6  # names of a kind in a message

log = logging.getLogger(__name__)


def start_from(
    model: nn.Module,
    weights: str | Sequence[str],
    *,
    whole: bool,
    sha256: str | None = None,
    results: Path,
    settled: bool = False,
) -> None:
    """Load weights into a model; of several files, the later win where both fit.

    `whole`: nothing may be missing, for nothing will be learned. `settled`: the config suits their source. Raises
    ConfigError when they do not fit, with the overrides of the model that they are of, and WeightsError when they
    cannot be had.
    """
    for source in [weights] if isinstance(weights, str) else weights:
        given = pretrained.whole(located(source, results), sha256)
        found = fit(model, painted(model, given).state)
        if not found.fitting:
            raise ConfigError(mismatch(source, given, found))
        with torch.no_grad():
            model.load_state_dict(found.fitting, strict=False)
        if isinstance(weights, str):
            _report(source, given, found, whole)
            if given.maths and given.maths.settings and not settled:
                log.warning(f"weights of {given.source} were trained with {' '.join(given.maths.settings)}")


def located(weights: str, results: Path) -> str:
    """A run folder or an entry becomes the file of its weights; anything else is left to `pretrained.locate`."""
    path = Path(weights)
    if path.is_dir():
        return str(of_run(path))
    if (path.is_file() and path.suffix != ".json") or "://" in weights or "_Weights." in weights:
        return weights
    try:
        entry = store.read(store.find(results, weights))
    except StoreError as error:
        if path.suffix or "/" in weights:  # meant as a file
            raise WeightsError(f"weights {weights}: no such file, run folder, URL or torchvision weight") from error
        raise WeightsError(f"weights {weights}: no such file, and {error}") from error
    folder = paths.found(entry.folder or "")
    if entry.folder is None or not folder.is_dir():
        raise WeightsError(f"weights {weights}: its run folder {entry.folder} is not here; name a file of its weights")
    return str(of_run(folder))


def of_run(folder: Path) -> Path:
    """The weights a run ended with, or those of its last checkpoint."""
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    kept = list(list_checkpoints(folder / CHECKPOINTS).values())
    if not kept:
        raise WeightsError(f"{folder} holds neither {WEIGHTS} nor checkpoints: it is no run folder, or left nothing")
    return kept[-1]


def painted(model: nn.Module, given: Given) -> Given:
    """Weights of another code base, for the pixels that this model's backbone sees."""
    normalize = getattr(getattr(model, "backbone", None), "normalize", None)
    if given.maths is None or normalize is None or normalize.mean.is_meta:
        return given
    wanted = Pixels(tuple(normalize.mean.flatten().tolist()), tuple(normalize.std.flatten().tolist()))
    try:
        return given._replace(state=repainted(given.state, given.maths.pixels, wanted))
    except ValueError as error:
        raise ConfigError(f"{error}") from error


def mismatch(source: str, given: Given, found: Fit) -> str:
    """What does not fit, and which model it would fit."""
    lines = [f"weights {source}: these are weights of {given.source}, and they are of another model."]
    lines += [f"  {name}: {_size(theirs)} in the file, {_size(ours)} in the model" for name, theirs, ours in
              found.misshapen[:SHOWN]]  # fmt: skip
    for said, names in (
        ("not in the file", found.missing),
        ("not in the model", found.unused),
        (f"known to no table of {given.source}", given.unknown),
    ):
        if names:
            some = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
            lines.append(f"  {said} ({len(names)}): {some}")
    if fits := " ".join(options(given.state)):
        lines.append(f"They would fit {fits}")
    return "\n".join(lines)


def _report(source: str, given: Given, found: Fit, whole: bool) -> None:
    if whole and (found.missing or found.misshapen):
        raise ConfigError(mismatch(source, given, found) + "\nNothing is trained, so all of the model must be there.")
    if not found.missing:
        return
    some = ", ".join(found.missing[:SHOWN]) + (", ..." if len(found.missing) > SHOWN else "")
    told = f"weights={source}: not there or of another shape, so starting afresh ({len(found.missing)}): {some}"
    if len(found.missing) > len(found.fitting) and (fits := " ".join(options(given.state))):
        told += f"\nThat is most of the model. The file would fit {fits}"
    log.warning(told)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"
