"""Initialize a model from a file, a URL, a torchvision weight, a run folder or the entry of an earlier run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from lineage.config.build import ConfigError
from lineage.results import paths, store
from lineage.results.run_folder import RunFolder
from lineage.results.store import StoreError
from lineage.weights import pretrained
from lineage.weights.identify import LoadedWeights, adapt_input_normalization
from lineage.weights.infer_overrides import infer_overrides
from lineage.weights.pretrained import WeightsError
from lineage.weights.sources.table import PixelNormalization
from lineage.weights.state_dict import StateMatch, match_state

SHOWN = 6  # names of a kind in a message

log = logging.getLogger(__name__)


def load_initial_weights(
    model: nn.Module,
    weights: str | Sequence[str],
    *,
    require_all: bool,
    sha256: str | None = None,
    results: Path,
    follows_source: bool = False,
) -> None:
    """Load weights into a model; of several files, the later win where both fit.

    require_all: raise if a parameter of the model is missing or a tensor of the file unused: nothing will be trained.
    sha256: expected digest of the file.
    results: the store in which entries are looked up.
    follows_source: the config has the conventions of the source, as composed or typed: pixels are not adapted, and no
    setting is advised.
    Raises ConfigError, which names the model of the weights, if they do not fit; WeightsError if they cannot be loaded.
    """
    for source in [weights] if isinstance(weights, str) else weights:
        loaded = pretrained.load_full(locate_weights(source, results), sha256)
        match = match_state(model, loaded.state if follows_source else adapt_pixels(model, loaded).state)
        if not match.matching:
            raise ConfigError(format_mismatch(source, loaded, match))
        with torch.no_grad():
            model.load_state_dict(match.matching, strict=False)
        if isinstance(weights, str):
            _report(source, loaded, match, require_all)
            if not follows_source and loaded.conventions and loaded.conventions.settings:
                log.warning(f"weights of {loaded.source} were trained with {' '.join(loaded.conventions.settings)}")


def locate_weights(weights: str, results: Path) -> str:
    """Resolve a run folder or an entry to its file of weights; return anything else as it is, for pretrained.locate."""
    path = Path(weights)
    if path.is_dir():
        return str(find_run_weights(RunFolder(path)))
    if (path.is_file() and path.suffix != ".json") or "://" in weights or "_Weights." in weights:
        return weights
    try:
        entry = store.read(store.find(results, weights))
    except StoreError as error:
        if path.suffix or "/" in weights:  # meant as a file
            raise WeightsError(f"weights {weights}: no such file, run folder, URL or torchvision weight") from error
        raise WeightsError(f"weights {weights}: no such file, and {error}") from error
    folder = paths.resolve_portable(entry.folder or "")
    if entry.folder is None or not folder.is_dir():
        named = f" {entry.folder}" if entry.folder else ""
        raise WeightsError(f"weights {weights}: its run folder{named} is not here; name a file of its weights")
    return str(find_run_weights(RunFolder(folder)))


def find_run_weights(folder: RunFolder) -> Path:
    """Return the final weights of a run, or its last checkpoint."""
    if folder.weights.is_file():
        return folder.weights
    checkpoints = list(folder.list_checkpoints().values())
    if not checkpoints:
        names = f"neither {folder.weights.name} nor {folder.checkpoints.name}"
        raise WeightsError(f"{folder.path} holds {names}: it is no run folder, or left nothing")
    return checkpoints[-1]


def adapt_pixels(model: nn.Module, loaded: LoadedWeights) -> LoadedWeights:
    """Adapt weights of another code base to the pixel normalisation of the model's backbone."""
    normalize = getattr(getattr(model, "backbone", None), "normalize", None)
    if loaded.conventions is None or normalize is None or normalize.mean.is_meta:
        return loaded
    pixels = PixelNormalization.of(normalize.mean.flatten().tolist(), normalize.std.flatten().tolist())
    try:
        return replace(loaded, state=adapt_input_normalization(loaded.state, loaded.conventions.pixels, pixels))
    except ValueError as error:
        raise ConfigError(f"{error}") from error


def format_mismatch(source: str, loaded: LoadedWeights, match: StateMatch) -> str:
    """List the tensors that do not fit, and the model that the weights would fit."""
    lines = [f"weights {source}: these are weights of {loaded.source}, and they are of another model."]
    lines += [f"  {name}: {_format_shape(theirs)} in the file, {_format_shape(ours)} in the model"
              for name, theirs, ours in match.mismatched[:SHOWN]]  # fmt: skip
    for label, names in (
        ("not in the file", match.missing),
        ("not in the model", match.unexpected),
        (f"known to no table of {loaded.source}", loaded.unknown),
    ):
        if names:
            lines.append(f"  {label} ({len(names)}): {_abbreviate(names)}")
    if overrides := " ".join(infer_overrides(loaded.state)):
        lines.append(f"They would fit {overrides}")
    return "\n".join(lines)


def _report(source: str, loaded: LoadedWeights, match: StateMatch, require_all: bool) -> None:
    unused = [*match.unexpected, *loaded.unknown]
    if require_all and (match.missing or match.mismatched or unused):
        mismatch = format_mismatch(source, loaded, match)
        raise ConfigError(f"{mismatch}\nNothing is trained, so model and file must have the same tensors.")
    if unused:
        log.warning(f"weights={source}: not in the model, so left out ({len(unused)}): {_abbreviate(unused)}")
    if not match.missing:
        return
    names = f"({len(match.missing)}): {_abbreviate(match.missing)}"
    message = f"weights={source}: not there or of another shape, so starting afresh {names}"
    if len(match.missing) > len(match.matching) and (overrides := " ".join(infer_overrides(loaded.state))):
        message += f"\nThat is most of the model. The file would fit {overrides}"
    log.warning(message)


def _abbreviate(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _format_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"
