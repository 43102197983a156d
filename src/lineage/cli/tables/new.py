"""`lineage new NAME`: an ablation table of one's own, from a row and what varies, or from runs that varied it.

lineage new me/roi --from mask_rcnn/table2c/roi_align --vary roi=pool,align regression=l1,giou
lineage new me/roi --with model=mask_rcnn dataset=shapes --vary roi=pool,align --tier mini
lineage new me/roi --from-runs runs/20261126-101500-000000-sweep      or ids of entries, last, last~1, ...
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from lineage.cli.tables.check_new import lint_new, report, restore_on_error
from lineage.config.compose import compose_config
from lineage.config.default_dataset import read_default_datasets
from lineage.config.digests import to_plain
from lineage.launch.compose_rows import RowRequest, compose_rows
from lineage.launch.lint import compose_subject
from lineage.results import diff, paths, store
from lineage.results.atomic import atomic_write
from lineage.results.count_noun import count_noun
from lineage.results.entry import Entry, parse
from lineage.results.run_folder import RunFolder
from lineage.tables import read, tiers
from lineage.tables.lint.text_rules import explain_unmeasured
from lineage.tables.own.from_runs import HEADLINE, describe_seeds, tabulate_runs
from lineage.tables.own.variation import Setting, Variation, combine, read_setting, read_variation
from lineage.tables.own.write import OwnTable, choose_baseline, render_own_table
from lineage.tables.suggest import did_you_mean, nearest_key
from lineage.tables.table import Row, Table, TableError
from lineage.tables.tiers import PAPER

NAME = re.compile(r"[a-z0-9_]+/[a-z0-9_]+")
MOST_ROWS = 200
MAIN = HEADLINE | {"voc/mAP": "mAP"}
RECALL = {"box/AR1000": "AR1000"}  # the metric of a model that only proposes


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    if not NAME.fullmatch(args.name):
        raise TableError(
            f"{args.name!r}: a table is called <folder>/<name>, of a to z, 0 to 9 and _; for example me/roi"
        )
    if args.seeds is not None and args.seeds < 1:
        raise TableError(f"--seeds {args.seeds}: a row runs with 1 seed or more")
    path = _choose_folder() / f"{args.name}.yaml"
    if path.exists() and not args.overwrite:
        raise TableError(f"{path} exists: choose another name, or --overwrite it")
    tiers.check_tier(paths.experiments(), args.tier or PAPER)
    table = _write_from_runs(args) if args.from_runs else _write_from_row(args)
    with restore_on_error(path):
        if not table.metrics:  # the rows are composed to see what they measure, and their file is part of that
            atomic_write(path, render_own_table(replace(table, metrics=MAIN)))
            table = replace(table, metrics=_find_measured(args.name))
        atomic_write(path, render_own_table(table))
        findings = lint_new(args.name)
    print(f"wrote    {path}: {count_noun(len(table.rows), 'row')} of {' x '.join(table.factors)}")
    if seeds := describe_seeds(table.seeds_of_rows):
        print(f"seeds    {seeds}")
    return report(table, path, findings, args.vary)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineage new", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="<folder>/<name> of the table below experiments/, for example me/roi")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--from", dest="row", metavar="ROW", help="the row that the ablation starts from")
    origin.add_argument("--from-runs", nargs="+", metavar="RUN", help="entries or run folders; of a sweep, its folder")
    vary = "a config group and its options, or a key and its values"
    parser.add_argument("--vary", nargs="+", action="extend", default=[], metavar="NAME=A,B", help=vary)
    also = "what all rows choose or set beside that"
    parser.add_argument("--with", nargs="+", action="extend", default=[], dest="base", metavar="NAME=VALUE", help=also)
    parser.add_argument(
        "--metric",
        nargs="+",
        default=[],
        help="its columns (default: those of the row's table, else what all rows measure)",
    )
    parser.add_argument("--message", default="", help="one sentence: what you expect")
    parser.add_argument("--seeds", type=int, help="of each row, planned beforehand")
    own_tier = "the tier whose values these are; at others they are translated (default: paper, or that of the row)"
    parser.add_argument("--tier", help=own_tier)
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    return parser


def _choose_folder() -> Path:
    """Return the project's folder of tables; where there is no project, a new one here."""
    project = paths.project()
    return Path("experiments") if project == paths.PACKAGE else project / "experiments"


def _write_from_row(args: argparse.Namespace) -> OwnTable:
    """Return the table of a row, or of the main config, with all combinations of what varies."""
    if not args.vary:
        raise TableError("what varies? --vary roi=pool,align names a config group and its options, or a key and values")
    configs = paths.configs()
    variations = [read_variation(text, configs) for text in args.vary]
    if (count := _count_rows(variations)) > MOST_ROWS:
        raise TableError(f"--vary asks for {count} rows, at most {MOST_ROWS}: vary less, or in several tables")
    own = [read_setting(text, configs) for text in args.base]
    source, row = _find_row(args.row, args.tier) if args.row else (None, None)
    varied = [variation.name for variation in variations]
    base = [setting for setting in (*_list_settings(row), *own) if setting.name not in varied]
    rows = combine(variations)
    if row is None:
        _check_keys([*base, *(variation.levels[0] for variation in variations)])
    present = _read_levels(args.row, row, variations) if row else []
    return OwnTable(
        name=args.name,
        message=args.message
        or f"What {' and '.join(varied)} {'changes' if len(varied) == 1 else 'change'}"
        f"{f' for {args.row}' if args.row else ''}.",
        metrics=_choose_metrics(args.metric, source),
        dataset=source.dataset
        if source and not any(setting.name == "dataset" for setting in own)
        else _choose_dataset(base),
        base=list({setting.name: setting for setting in base}.values()),
        rows=rows,
        factors=varied,
        uses=row.uses if row else {},
        baseline=choose_baseline(rows, present),
        tier=row.tier if row else args.tier or PAPER,
        seeds=args.seeds,
        origin=f"written by `lineage new` from {args.row}" if args.row else "written by `lineage new`",
    )


def _choose_dataset(base: list[Setting]) -> str:
    """Return the dataset that all rows choose, else the one that their model trains on by default."""
    chosen = {setting.name: str(setting.value) for setting in base}
    return chosen.get("dataset") or read_default_datasets().get(chosen.get("model", ""), "shapes")


def _count_rows(variations: list[Variation]) -> int:
    count = 1
    for variation in variations:
        count *= len(variation.levels)
    return count


def _find_row(name: str, tier: str | None) -> tuple[Table, Row]:
    """Return a row by its full name, with its table. Raises TableError if it cannot run, or is of another tier."""
    table_name, _, row_name = name.removeprefix("experiment=").rpartition("/")
    if "/" not in table_name:
        raise TableError(f"--from {name}: expected <paper>/<table>/<row>, for example mask_rcnn/table2c/roi_align")
    table = read.load_table(paths.experiments(), table_name)
    if row_name not in table.rows:
        raise TableError(f"table {table_name} has no row {row_name!r}. {did_you_mean(row_name, table.rows)}")
    row = table.rows[row_name]
    if not row.runs:
        raise TableError(f"--from {name}: that row cannot run: {row.unsupported or row.quoted}")
    if tier not in (None, row.tier):
        advice = "leave --tier out, or name your own in place of --from: --with model=mask_rcnn dataset=shapes"
        raise TableError(f"--tier {tier}: the values of {name} are those of tier {row.tier}; {advice}")
    return table, row


def _list_settings(row: Row | None) -> list[Setting]:
    """Return what a row chooses and sets; of a row that tests a checkpoint, what it says itself."""
    if row is None:
        return []
    names = row.own if row.evaluates else (*row.choices, *row.assignments)
    options = [Setting(name, option, is_group=True) for name, option in row.choices.items() if name in names]
    return [*options, *(Setting(key, value, is_group=False) for key, value in row.assignments.items() if key in names)]


def _read_levels(name: str, row: Row, variations: list[Variation]) -> list[Setting]:
    """Return the level that each factor has in the row itself.

    Raises TableError for a key that the row's config does not have: setting it would change nothing.
    """
    (composed,) = compose_rows(paths.project(), [RowRequest(name.rpartition("/")[0], row, row.tier)])
    if composed.error is not None:
        raise TableError(f"--from {name}: that row does not compose: {composed.error}")
    levels = []
    for variation in variations:
        is_group = variation.levels[0].is_group
        value = composed.choices.get(variation.name) if is_group else diff.at(composed.config, variation.name)
        if value == diff.ABSENT:
            raise TableError(
                f"--vary {variation.name}: {name} has no such key.{_suggest(variation.name, composed.config)}"
            )
        levels.append(Setting(variation.name, value, is_group))
    return levels


def _check_keys(settings: list[Setting]) -> None:
    """Raise TableError for a key that the config of all chosen options does not have: no run would start."""
    chosen = {setting.name: str(setting.value) for setting in settings if setting.is_group}
    chosen["dataset"] = _choose_dataset(settings)
    config = to_plain(compose_config([f"{name}={option}" for name, option in chosen.items()]))
    for setting in settings:
        if not setting.is_group and diff.at(config, setting.name) == diff.ABSENT:
            raise TableError(f"{setting.name}: the config has no such key.{_suggest(setting.name, config)}")


def _suggest(key: str, config: dict[str, Any]) -> str:
    close = nearest_key(key, _list_keys(config, ""))
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _list_keys(node: object, prefix: str) -> list[str]:
    if not isinstance(node, dict):
        return [prefix]
    below = [key for name, value in node.items() for key in _list_keys(value, f"{prefix}.{name}".lstrip("."))]
    return [*([prefix] if prefix else []), *below]


def _choose_metrics(names: list[str], source: Table | None) -> dict[str, object]:
    """Return the columns: those asked for, else those of the table that the row is from; {} if it is from none."""
    titles = dict(source.metrics) if source else {}
    lower = source.lower if source else frozenset[str]()
    chosen = names or list(titles)
    return {
        name: {"title": titles[name], "better": "lower"} if name in lower else titles.get(name, name) for name in chosen
    }


def _find_measured(name: str) -> dict[str, str]:
    """Return the main metrics that the evaluator and the heads of all rows can produce, with their titles."""
    subject = compose_subject(paths.project(), read.load_table(paths.experiments(), name))
    for metrics in (MAIN, RECALL):
        measured = {
            metric: title for metric, title in metrics.items()
            if not any(any(explain_unmeasured(config, metric)) for config in subject.configs.values())
        }  # fmt: skip
        if measured and subject.configs:
            return measured
    return {"box/AP": HEADLINE["box/AP"]}


def _write_from_runs(args: argparse.Namespace) -> OwnTable:
    if args.vary or args.base:
        raise TableError("--from-runs finds out what varies: leave --vary and --with out")
    entries = sorted({entry.id: entry for name in args.from_runs for entry in _read_runs(args.results, name)}.items())
    finished = [entry for _, entry in entries if entry.status == "finished"]
    if not finished:
        raise TableError(f"none of the {len(entries)} runs has finished")
    first = finished[0]
    row = read.load_table(paths.experiments(), first.table).rows.get(first.row or "") if first.table else None
    table = tabulate_runs(args.name, finished, paths.configs(), row, tiers.load_tiers(paths.experiments()))
    return table


def _read_runs(results: Path, name: str) -> list[Entry]:
    """Return the entries of a sweep's folder, of a run folder, or of one name."""
    if Path(name).is_dir():
        files = [RunFolder(folder).entry for folder in (Path(name), *sorted(Path(name).iterdir())) if folder.is_dir()]
        entries = [parse(path.read_text(encoding="utf-8")) for path in files if path.is_file()]
        if not entries:
            raise TableError(f"{name}: neither a run folder with an entry nor a folder of such folders")
        return entries
    return [store.read(store.find(results, name))]
