"""`lineage weights FILE`: what a file of weights holds. `lineage weights convert`: for another code base, or ours.

Both read whatever `weights=` reads: a run, an entry, a file, a URL, a torchvision weight.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import Tensor

from lineage.results import paths
from lineage.results.atomic import atomic_path
from lineage.results.run_folder import RunFolder
from lineage.run.initialize import locate_weights
from lineage.weights import pretrained
from lineage.weights.identify import LoadedWeights, adapt_input_normalization, is_resnext
from lineage.weights.infer_overrides import infer_overrides
from lineage.weights.pretrained import WeightsError
from lineage.weights.sources import detectron2, detectron2_variants, torchvision
from lineage.weights.sources.table import IMAGENET, NameTable, PixelNormalization, to_theirs

VERBS = ("list", "convert")  # the first goes without saying
OURS = "lineage"
OUR_STRIDE = "backbone.stride_in=3x3"  # what tables say that differ in it between networks
TARGETS = {
    "torchvision": (torchvision.DETECTION,),
    "detectron2": (detectron2.PYRAMIDAL, detectron2.SINGLE, detectron2.DENSE, *detectron2_variants.TABLES),
}
SUFFIXES = (".pth", ".pt", ".pkl", ".safetensors")


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv if {*argv[:1]} <= {*VERBS, "-h", "--help"} else ["list", *argv])
    path = locate_weights(args.weights, args.results)
    given = pretrained.load_full(path, args.sha256)
    if args.do == "list":
        show(path, given, args.names)
        return 0
    state, needs = for_target(Path(path), given, args.to)
    save(state, args.out)
    print(f"{args.out}: {len(state)} tensors for {args.to}, from {given.source}")
    if needs.strip():
        print(f"set there: {needs.strip()}")
    if args.to != OURS and (warning := counted_otherwise(Path(path), given, args.to)):
        print(warning)
    if given.unknown:
        print(f"left out, for nobody here knows them: {', '.join(given.unknown)}")
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lineage weights", description=__doc__)
    commands = top.add_subparsers(dest="do", required=True, metavar="|".join(VERBS))
    show = commands.add_parser("list", help="source, model, and every tensor with --names")
    show.add_argument("--names", action="store_true", help="name and shape of every tensor")
    convert = commands.add_parser("convert", help="write the weights under other names, in another layout")
    convert.add_argument("--to", required=True, choices=[*TARGETS, OURS])
    for command in (show, convert):
        command.add_argument("weights", help="run folder, entry, file, URL or torchvision weight")
        command.add_argument("--sha256", help="refuse a file with another digest")
        command.add_argument("--results", type=Path, default=paths.results(), help="the store (%(default)s)")
    convert.add_argument("out", type=Path, help=f"a new file: {', '.join(SUFFIXES)}")
    return top


def show(path: str, given: LoadedWeights, names: bool) -> None:
    numbers = sum(value.numel() for value in given.state.values())
    said = {
        "file": path,
        "source": given.source,
        "tensors": f"{len(given.state)} of {numbers:,} numbers",
        "model": " ".join(infer_overrides(given.state)) or "-",
    }
    if given.conventions:
        mean, std = given.conventions.pixels.mean, given.conventions.pixels.std
        said["pixels"] = f"backbone.mean={list(mean)} backbone.std={list(std)}"
        said["computes"] = " ".join(given.conventions.settings) or "as here"
    if given.unknown:
        said["unknown"] = ", ".join(given.unknown)
    for name, text in said.items():
        print(f"{name:9}{text}")
    for name, value in given.state.items() if names else ():
        print(f"  {name:60} {' x '.join(map(str, value.shape)) or 'number'}")


def converted(state: dict[str, Tensor], target: str) -> dict[str, Tensor]:
    """Ours -> theirs; WeightsError when they have no such model, with the tensors they have no place for."""
    table = fitting(state, target)
    found, unknown = to_theirs(table, state)
    counters = [name for name in unknown if name.endswith("num_batches_tracked")]
    if left := [name for name in unknown if name not in counters]:
        some = ", ".join(left[:6]) + (", ..." if len(left) > 6 else "")
        raise WeightsError(f"{target} has no place for {len(left)} of {len(state)} tensors: {some}")
    return found


def fitting(state: dict[str, Tensor], target: str) -> NameTable:
    return max(TARGETS[target], key=lambda table: sum(table.their_name(name) is not None for name in state))


def save(state: dict[str, Tensor], path: Path) -> None:
    """Write the weights in the format of the suffix."""
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"{path}: the suffix says the kind of file: {', '.join(SUFFIXES)}")
    whole = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    with atomic_path(path) as temporary:
        if path.suffix == ".safetensors":
            save_file(whole, temporary)
        elif path.suffix == ".pkl":  # detectron2's own kind: arrays, matched by their exact names
            content = {"model": {name: value.numpy() for name, value in whole.items()}, "__author__": OURS}
            temporary.write_bytes(pickle.dumps(content, protocol=4))
        else:
            torch.save(whole, temporary)


def seen_pixels(path: Path, given: LoadedWeights) -> PixelNormalization | None:
    """What the weights were trained on: known of another code base, and of a run by its config."""
    from lineage.run.restore import load_run_config  # composes configs, which `list` does not need

    if given.conventions:
        return given.conventions.pixels
    folder = RunFolder.containing(path)
    backbone = load_run_config(folder, []).backbone if folder else None
    return PixelNormalization.of(backbone.mean, backbone.std) if backbone and "mean" in backbone else None


def trained_with(path: Path, given: LoadedWeights) -> set[str]:
    """What no tensor tells, as overrides: of another code base by its table, of a run by its config."""
    from lineage.run.restore import load_run_config

    if given.conventions:
        return {*given.conventions.settings}
    known = {text for tables in TARGETS.values() for table in tables for text in table.conventions.settings}
    config = load_run_config(folder, []) if (folder := RunFolder.containing(path)) else OmegaConf.create()
    pairs = {text: text.split("=") for text in known}
    return {text for text, (key, value) in pairs.items() if str(OmegaConf.select(config, key)).lower() == value}


def counted_otherwise(path: Path, given: LoadedWeights, target: str) -> str:
    """A warning, where models of `target` count otherwise with the same weights; else nothing."""
    table = fitting(given.state, target)
    theirs = table.grouped if is_resnext(given.state) else table.conventions
    here, there = (settings - {OUR_STRIDE} for settings in (trained_with(path, given), {*theirs.settings}))
    said = [" ".join(sorted(settings)) or "none of this" for settings in (here - there, there - here)]
    return f"trained with {said[0]}; {target} has {said[1]}: what is found differs a little" if here != there else ""


def for_target(path: Path, given: LoadedWeights, target: str) -> tuple[dict[str, Tensor], str]:
    """The weights under the names of `target`, and what has to be set there."""
    pixels = seen_pixels(path, given)
    if target == OURS:
        told = f"backbone.mean={list(pixels.mean)} backbone.std={list(pixels.std)}" if pixels else ""
        return given.state, " ".join([told, *(given.conventions.settings if given.conventions else ())])
    if target == "detectron2":
        mean, std = (list(reversed(values)) for values in ((pixels.mean, pixels.std) if pixels else ((), ())))
        return converted(given.state, target), f"MODEL.PIXEL_MEAN {mean} MODEL.PIXEL_STD {std} INPUT.FORMAT BGR"
    try:
        state = adapt_input_normalization(given.state, pixels, IMAGENET) if pixels else given.state
    except ValueError as error:
        raise WeightsError(f"torchvision's detectors subtract the mean of ImageNet, and {error}") from error
    return converted(state, target), ""
