"""Save what a finished run leaves in its folder, and print its end."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lineage.report.site.parts import FOLDER, PAGE
from lineage.results import paths, store
from lineage.results.atomic import atomic_write
from lineage.results.entry import Entry
from lineage.results.key_roles import within
from lineage.results.overrides import Override
from lineage.results.run_folder import RunFolder
from lineage.run.assemble import Parts
from lineage.run.inference.site_source import has_small_test, report_run, update_site
from lineage.run.resume import Attempt
from lineage.run.task import TASKS, find_task
from lineage.tables.numbers import count_decimals, find_unit, format_number
from lineage.train.entry_writer import EntryWriter
from lineage.train.save_tensors import save_tensors
from lineage.weights import state_dict

OF_THIS_RUN = ("seed", "paths", "hydra", "resume", "cell")  # overrides that its variations have otherwise
OTHERS = ("APr", "APc", "APf", "mAP07", "mAP", "PQ", "SQ", "RQ", "mIoU")  # of LVIS, VOC and panoptic evaluation
FRAMES = ("PSNR", "SSIM")  # of frames between frames
RECALLS = ("AR10", "AR100", "AR300", "AR1000", "R300")  # of proposals, which have no precision
LISTED = ("calibration", "explain")  # tasks with measures of their own, which stand in a line
COLUMNS = ("AP", "AP50", "AP75", "APs", "APm", "APl")  # the papers' table head; an evaluator may know more


def save_artifacts(folder: Path, parts: Parts, weights: dict[str, Tensor]) -> str:
    """Save weights to start other runs from and the detections as COCO result records; return the weights' sha256."""
    files, evaluator = RunFolder(folder), parts.module.evaluator
    save_tensors(weights, files.weights)
    atomic_write(files.results, json.dumps(evaluator.results()))
    atomic_write(files.per_class, json.dumps(evaluator.per_class(), indent=1))
    meta = asdict(parts.data.train.meta if parts.data.val is None else parts.data.val.meta)
    atomic_write(files.classes, json.dumps(meta, indent=1))  # `lineage predict` needs no dataset then
    return state_dict.sha256(weights)


def draw_predictions(folder: Path, parts: Parts) -> None:
    """Draw a few predictions into the run folder, if there are any."""
    if parts.data.val is None:
        return
    files = RunFolder(folder)
    files.pictures.mkdir(exist_ok=True)
    draw = TASKS[find_task(parts.data.val)].draw
    draw(parts.data.val, parts.module.evaluator, files.pictures / "predictions.png")


def show(attempt: Attempt, writer: EntryWriter, console: Console) -> None:
    """Print the metrics, where the results are, and commands worth typing now."""
    path = writer.write("finished")
    assert path is not None  # else an error has ended the run
    entry = store.read(path)
    site, report = _write_pages(attempt, entry)
    lines: dict[str, object] = {
        "entry": path,
        "picture": next(RunFolder(attempt.folder).pictures.glob("*.png"), "-"),
        "report": report,
        **({"profile": profile} if (profile := RunFolder(attempt.folder).profile).is_dir() else {}),
        **({"site": site} if site is not None else {}),
        **({"next": "\n         ".join(commands)} if (commands := suggest_commands(attempt, entry)) else {}),
    }
    if entry.evaluated_weights not in ("", f"at step {entry.steps}"):
        lines = {"weights": entry.evaluated_weights, **lines}
    if entry.metrics:
        console.print(table(entry.metrics))
        lines = describe_measures(entry.metrics) | describe_others(entry.metrics) | lines
    for name, text in lines.items():
        shown = paths.from_here(text) if isinstance(text, Path) else text
        console.print(f"{name:8} {shown}", highlight=False, soft_wrap=True)


def _write_pages(attempt: Attempt, entry: Entry) -> tuple[Path | None, Path]:
    """Add the run to the site of its folder of runs, and write its report; large tests are left to commands."""
    analysed = [entry.id] if has_small_test(attempt.folder) else []
    runs = Path(attempt.config.paths.runs)
    site = update_site(Path(attempt.config.paths.results), runs, analysed)
    earlier = runs / FOLDER / PAGE  # of `lineage run`, which writes it at its end
    return site, report_run(attempt.folder, site or (earlier if earlier.is_file() else None), analysed=analysed)


def table(metrics: dict[str, float | None]) -> Table:
    """Draw a line per task; a dash is what the ground truth cannot measure."""
    tasks = [task for task in dict.fromkeys(name.partition("/")[0] for name in metrics) if task not in LISTED]
    usual = COLUMNS if any(name.endswith("/AP") for name in metrics) else (*COLUMNS, *RECALLS)
    columns = [column for column in (*usual, *OTHERS, *FRAMES) if any(f"{task}/{column}" in metrics for task in tasks)]
    titles = [column if find_unit(column) == "%" else f"{column}, {find_unit(column)}" for column in columns]
    drawn = Table("", *titles, title=None if {*columns} <= {*FRAMES} else "average precision")
    for task in tasks:
        cells = (format_number(metrics.get(f"{task}/{column}"), count_decimals(column)) for column in columns)
        drawn.add_row(task, *cells)
    return drawn


def describe_measures(metrics: dict[str, float | None]) -> dict[str, object]:
    """Return a line for each of the LISTED tasks: its measures by name."""
    lines: dict[str, object] = {}
    for task in LISTED:
        values = {name.partition("/")[2]: value for name, value in metrics.items() if name.startswith(f"{task}/")}
        if values:
            lines[task] = ", ".join(f"{name} {format_number(value, 3 if name == 'NLL' else 1)}"
                                    for name, value in values.items())  # fmt: skip
    return lines


def describe_others(metrics: dict[str, float | None]) -> dict[str, object]:
    """Return a line of the measures that have no column, such as those of an evaluator of one's own; {} for none."""
    columns = {*COLUMNS, *RECALLS, *OTHERS, *FRAMES}
    texts = []
    for name, value in metrics.items():
        task, _, measure = name.partition("/")
        if task not in LISTED and measure not in columns and not measure.startswith("AR"):
            texts.append(f"{name} {format_number(value, count_decimals(name))}")
    return {"measures": ", ".join(texts)} if texts else {}


def suggest_commands(attempt: Attempt, entry: Entry) -> list[str]:
    """Return commands worth typing after this run: variations of what was typed, and the same again.

    A job of a sweep is varied already; the sweep ends with the command that makes a table of it.
    """
    is_known = attempt.step == 0 or attempt.supersedes is not None  # after kill -9 no entry holds what was typed
    store = option_of_store(Path(attempt.config.paths.results))
    again = [shlex.join(["lineage", "rerun", entry.id.rpartition("-")[2], *store])] if is_known else []
    if entry.table:
        return [shlex.join(["lineage", "table", entry.table, *store]), *again]
    typed = [text for text in attempt.overrides if not within(Override.parse(text).key, OF_THIS_RUN)]
    is_swept = attempt.folder.name.isdigit()
    variations = [] if is_swept else [vary(typed, *variation) for variation in list_variations(attempt, entry)]
    return [*suggest_prediction(attempt), *variations, *again]


def suggest_prediction(attempt: Attempt) -> list[str]:
    """Return the command that detects in the folder of the test images, after a training on image files."""
    files = OmegaConf.select(attempt.config, "dataset.val") or OmegaConf.select(attempt.config, "dataset.train") or {}
    images = Path(files.get("root") or "", files.get("images") or "")
    if attempt.config.evaluate_only or not files.get("images") or not images.is_dir():
        return []
    return [shlex.join(["lineage", "predict", str(images), "--weights", str(paths.from_here(attempt.folder))])]


def list_variations(attempt: Attempt, entry: Entry) -> list[tuple[str, str]]:
    """Return the keys that are worth varying, with their values. Nothing of a test depends on the seed."""
    config = attempt.config
    if config.evaluate_only or entry.parameters == 0:
        has_views = any(OmegaConf.select(config, key) is not None for key in ("model.neck", "model.head"))
        return [("tta", "none,flip")] if has_views else []
    has_roi_layer = OmegaConf.select(config, "model.box.roi") is not None
    return [*([("roi", "pool,align")] if has_roi_layer else []), ("seed", "0,1,2")]


def vary(typed: Sequence[str], key: str, values: str) -> str:
    """Return the sweep over `values` of a key, with everything else as it was typed."""
    same = [text for text in typed if Override.parse(text).key != key]
    return shlex.join([*shlex.split(paths.train_command()), "-m", *same, f"{key}={values}"])


def option_of_store(results: Path) -> list[str]:
    """Return the option that names a store, which commands look for elsewhere by default."""
    return [] if results.resolve() == paths.results().resolve() else ["--results", str(results)]
