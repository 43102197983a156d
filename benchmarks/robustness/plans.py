"""Lists of claims and of cells for the fuzz, as `lineage run --claims` and `--cells` read them."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path

import yaml
from benchmarks.robustness.fuzz import Refused, Wrong
from benchmarks.robustness.mutations import damage_document
from benchmarks.robustness.report import ROOT

from lineage.cli.main import main
from lineage.launch.selection import list_claim_cells
from lineage.launch.slurm_task import read_cell_names

EXPERIMENTS = ROOT / "experiments"
PLANNED = 20  # one of as many inputs is planned as a whole, which composes every row


class Claims:
    """The list of first claims; an accepted one has the cells that PyYAML's reading of it has."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "claims.yaml"
        document = yaml.safe_load((EXPERIMENTS / "first_claims.yaml").read_bytes())
        self.example = yaml.safe_dump(document | {"claims": document["claims"][:6]}, sort_keys=False).encode()

    def damage(self, chance: random.Random) -> bytes:
        return damage_document(self.example, chance, yaml.safe_load, lambda tree: yaml.safe_dump(tree, sort_keys=False))

    def read(self, data: bytes) -> None:
        self.path.write_bytes(data)
        names = list_claim_cells(self.path, EXPERIMENTS, None, None)
        document = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        rows = {(claim["table"], claim[side]) for claim in document["claims"] for side in ("better", "worse")}
        if {(name.table, name.row) for name in names} != {(str(table), str(row)) for table, row in rows}:
            raise Wrong(f"rows {sorted({(name.table, name.row) for name in names})}, not {sorted(rows)}")
        if any(not 0 <= name.seed < 1000 for name in names):
            raise Wrong(f"seeds up to {max(name.seed for name in names)}")
        plan(data, ["--claims", str(self.path)], self.path.parent)


class Cells:
    """A list of cells, as `lineage next --out` writes it; an accepted one has the cells that json reads."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "cells.json"
        rows = ("roi_align", "roi_pool", "roi_warp")
        self.example = json.dumps(
            [["mask_rcnn/table2c", row, "mini", seed] for row in rows for seed in (0, 1)]
        ).encode()

    def damage(self, chance: random.Random) -> bytes:
        return damage_document(self.example, chance)

    def read(self, data: bytes) -> None:
        self.path.write_bytes(data)
        names = read_cell_names(self.path)
        if [list(name) for name in names] != json.loads(data):
            raise Wrong(f"{names}, not {json.loads(data)!r:.200}")
        plan(data, ["--cells", str(self.path)], self.path.parent)


def plan(data: bytes, options: list[str], folder: Path) -> None:
    """Print the plan of some inputs. Raises Refused if it is none."""
    if zlib.crc32(data) % PLANNED == 0:
        code = main(["run", *options, "--plan", "--results", str(folder / "results"), "--runs", str(folder / "runs")])
        if code not in (0, 1):
            raise Refused(f"exit code {code}")
