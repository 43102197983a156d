"""`lineage weights FILE`: what a file of weights holds. `lineage weights convert`: for another code base, or ours.

Both read whatever `weights=` reads: a run, an entry, a file, a URL, a torchvision weight.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lineage.results import paths
from lineage.run.initialize import locate_weights
from lineage.weights.export import SUFFIXES, TARGETS, save_weights
from lineage.weights.identify import OURS, LoadedWeights
from lineage.weights.infer_overrides import infer_overrides
from lineage.weights.pretrained import load_full

VERBS = ("list", "convert")  # the first is the default


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv if {*argv[:1]} <= {*VERBS, "-h", "--help"} else ["list", *argv])
    path = locate_weights(args.weights, args.results)
    loaded = load_full(path, args.sha256)
    if args.verb == "list":
        print_facts(path, loaded, args.names)
    else:
        convert(Path(path), loaded, args.to, args.out)
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lineage weights", description=__doc__)
    commands = top.add_subparsers(dest="verb", required=True, metavar="|".join(VERBS))
    list_command = commands.add_parser("list", help="source, model, and every tensor with --names")
    list_command.add_argument("--names", action="store_true", help="name and shape of every tensor")
    convert_command = commands.add_parser("convert", help="write the weights under other names, in another layout")
    convert_command.add_argument("--to", required=True, choices=[*TARGETS, OURS])
    for command in (list_command, convert_command):
        command.add_argument("weights", help="run folder, entry, file, URL or torchvision weight")
        command.add_argument("--sha256", help="refuse a file with another digest")
        command.add_argument("--results", type=Path, default=paths.results(), help="the store (%(default)s)")
    convert_command.add_argument("out", type=Path, help=f"a new file: {', '.join(SUFFIXES)}")
    return top


def print_facts(path: str, loaded: LoadedWeights, names: bool) -> None:
    numbers = sum(value.numel() for value in loaded.state.values())
    facts = {
        "file": path,
        "source": loaded.source,
        "tensors": f"{len(loaded.state)} of {numbers:,} numbers",
        "model": " ".join(infer_overrides(loaded.state)) or "-",
    }
    if loaded.conventions:
        pixels = loaded.conventions.pixels
        facts["pixels"] = f"backbone.mean={list(pixels.mean)} backbone.std={list(pixels.std)}"
        facts["computes"] = " ".join(loaded.conventions.settings) or "as here"
        if loaded.conventions.alternative:
            facts["or"] = f"{loaded.conventions.alternative} if trained from scratch (9x): tensors do not show it"
    if loaded.unknown:
        facts["unknown"] = ", ".join(loaded.unknown)
    for label, text in facts.items():
        print(f"{label:9}{text}")
    for name, value in loaded.state.items() if names else ():
        print(f"  {name:60} {' x '.join(map(str, value.shape)) or 'number'}")


def convert(path: Path, loaded: LoadedWeights, target: str, out: Path) -> None:
    from lineage.run.convert_weights import convert_weights  # composes configs, which `list` does not need

    converted = convert_weights(path, loaded, target)
    save_weights(converted.state, out)
    print(f"{out}: {len(converted.state)} tensors for {target}, from {loaded.source}")
    if converted.settings:
        print(f"set there: {converted.settings}")
    if converted.difference:
        print(converted.difference)
    if loaded.unknown:
        print(f"left out, because they are in no table: {', '.join(loaded.unknown)}")
