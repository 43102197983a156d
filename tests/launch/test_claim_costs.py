"""The cost of settling a claim: what is missing of its two rows, at the seeds that its verdict asks for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import copytree

from lineage.launch.cells import CellName
from lineage.launch.claim_costs import MOST_SEEDS, describe_cost, list_needed, price_claims
from lineage.launch.current_rows import make_finder
from lineage.results import store
from lineage.tables import read
from lineage.tables.format.load import TableLoader
from lineage.tables.paper.page import build_page
from lineage.tables.paper.status import ClaimStatus, find_status
from lineage.tables.samples import Setting
from lineage.tables.verdicts import UNDERPOWERED, Verdict
from tests.tables import made

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"


def claim(seeds: int | None = None, planned: int | None = None) -> ClaimStatus:
    from dataclasses import replace

    table = replace(made.table(), seeds=planned)
    verdict = Verdict(UNDERPOWERED, Setting("mini", (), "e"), seeds=(seeds, 1, None) if seeds else None)
    return find_status(table, table.effects[0], [verdict])


def test_the_seeds_that_a_claim_needs() -> None:
    assert len(list_needed(claim(), "mini")) == 6
    assert len(list_needed(claim(planned=5), "mini")) == 10
    assert len(list_needed(claim(seeds=7), "mini")) == 14
    assert len(list_needed(claim(seeds=7), "paper")) == 6
    assert len(list_needed(claim(seeds=500), "mini")) == 2 * MOST_SEEDS


def test_claims_of_shipped_tables_have_a_price(tmp_path: Path) -> None:
    results = tmp_path / "results"  # as if Table 2d had not run
    copytree(ROOT / "results/mask_rcnn/table2c", results / "mask_rcnn/table2c")
    page = build_page(TableLoader(EXPERIMENTS, results, make_finder(ROOT, EXPERIMENTS)), "mask_rcnn")
    chosen = [one for one in page.claims if one.table.name in ("mask_rcnn/table2c", "mask_rcnn/table2d")]
    entries = store.contents(results).entries
    load = partial(read.load_table, EXPERIMENTS)
    shared, costs = price_claims(ROOT, EXPERIMENTS, load, chosen, entries, "mini", "CPU")
    of_table = {
        name: [one for one in costs if one.claim.table.name == name]
        for name in ("mask_rcnn/table2c", "mask_rcnn/table2d")
    }
    assert {len(one.cells) for one in of_table["mask_rcnn/table2d"]} == {10}
    more = replace(of_table["mask_rcnn/table2d"][0], hours=0.5)
    more = replace(more, cells=more.cells | {CellName("mask_rcnn/table1", "r50_c4", "mini", seed) for seed in range(3)})
    assert describe_cost(more, "mini") == (
        "13 runs at tier mini (10 of its two rows, 3 of rows whose checkpoints, regions or labels these use: "
        "mask_rcnn/table1/r50_c4), 30 minutes"
    )
    assert all("runs at tier mini" in describe_cost(one, "mini") for one in of_table["mask_rcnn/table2d"])
    assert all(one.cells <= set(shared.costs) for one in costs)
    again = [one for one in of_table["mask_rcnn/table2c"] if not one.obstacle]
    assert all(one.hours is not None and 0 < one.hours < 5 for one in again)


def test_a_claim_whose_missing_runs_start_from_files_of_another_machine_says_so(tmp_path: Path) -> None:
    results = tmp_path / "results"  # of the committed entries no checkpoint is here
    copytree(ROOT / "results/faster_rcnn/table10_tpami/n300", results / "faster_rcnn/table10_tpami/n300")
    page = build_page(TableLoader(EXPERIMENTS, results, make_finder(ROOT, EXPERIMENTS)), "faster_rcnn")
    [chosen] = [
        one for one in page.claims if (one.table.name, one.effect.worse) == ("faster_rcnn/table10_tpami", "n500")
    ]
    entries = [replace(entry, folder="absent") for entry in store.contents(results).entries]
    load = partial(read.load_table, EXPERIMENTS)
    _, [cost] = price_claims(ROOT, EXPERIMENTS, load, [chosen], entries, "mini", "CPU")
    assert describe_cost(cost, "mini") == (
        "n500 starts from files of runs that are not on this machine: "
        "`lineage run faster_rcnn/table10_tpami n300 n500 --tier mini --plan` says which"
    )
