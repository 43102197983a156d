"""A table that somebody typed off a paper (JSON) becomes a draft of experiments/<paper>/<table>.yaml.

Everything that follows from the numbers is filled in: rows, published values, baseline, rows that only test another
one's checkpoint. The choices of a row do not follow from them: each row is `unsupported` until a person writes its
`with` and `set`.

The JSON is a list of tables: {"paper", "arxiv", "table", "message", "kind", "varies", "dataset", "baseline_row",
"columns": [title, ...], "rows": [{"label", "values": [number or null, ...]}, ...], "eval_only_rows": [label, ...],
"notes", "confidence"}.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage.tables.suggest import did_you_mean
from lineage.tables.table import TableError

REQUIRED = ("paper", "table", "message", "dataset", "columns", "rows")
KINDS = {
    "ablation": "one_factor",
    "cumulative ablation": "cumulative",
    "seed variance": "seed_variance",
    "headline": "headline",
    "cost": "cost",
    "zoo": "zoo",
}
DATASETS = (
    (r"cityscapes", "cityscapes"), (r"lvis v?0\.5", "lvis_v05"), (r"lvis", "lvis"), (r"voc ?(20)?12", "voc12"),
    (r"voc", "voc07"), (r"keypoint|person", "coco_person"), (r"panoptic", "coco_panoptic"), (r"coco", "coco"),
)  # fmt: skip
WORDS_OF_YAML = ("yes", "no", "on", "off", "null", "true", "false")
NOT_A_RESULT = r"^(#|eta|iterations|top-1|train boxes|(test )?proposals$|run\d|\+/-|sd|.* sd$|.*delta$|.*speedup)"
COSTS = (
    (r"s/iter|^train s$|minibatch", "cost/step_seconds", 1.0),
    (r"inference s/im|test rate|^test s$", "cost/image_ms", 1000.0),
    (r"^(total |time )?ms|ms / image|time ms", "cost/image_ms", 1.0),
    (r"mem gb", "cost/memory_gb", 1.0),
    (r"params m", "cost/parameters_m", 1.0),
    (r"hours|time \(h\)", "cost/hours", 1.0),
    (r"^fps", "cost/images_per_second", 1.0),
)


@dataclass(frozen=True, slots=True)
class PaperColumn:
    """A column of the paper that is one of our metrics."""

    metric: str
    title: str
    scale: float = 1.0  # the paper's unit in ours


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the tables of a JSON file; raise TableError if it is not a list of tables."""
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: not JSON: {error}") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise TableError(f"{path}: expected a list of tables")
    return records


def write_draft(name: str, text: str, folder: Path) -> str:
    """Write a draft and return a line about it; a file that exists is never overwritten."""
    path = folder / f"{name}.yaml"
    if path.exists():
        return f"kept     {path}: it exists"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return f"drafted  {path}"


def draft_table(record: dict[str, Any]) -> tuple[str, str]:
    """Return (name of the table, text of its file); raise TableError if a required key is missing."""
    for key in REQUIRED:
        if not record.get(key):
            raise TableError(f"{record.get('paper', 'a table')} {record.get('table', '')}: no {key!r} in the JSON")
    columns = _drop_repeated([match_column(str(title), record) for title in record["columns"]])
    names = _name_rows([str(row["label"]) for row in record["rows"]])
    left_out = [str(title) for title, column in zip(record["columns"], columns, strict=True) if column is None]
    lines = [*_head(record, columns, names), *(f"# no metric of ours: {title}" for title in left_out), "rows:"]
    for row, name in zip(record["rows"], names.values(), strict=True):
        lines += _row_lines(row, name, columns, record, names)
    return f"{slug(record['paper'])}/{slug(record['table'])}", "\n".join(lines) + "\n"


def _head(record: dict[str, Any], columns: list[PaperColumn | None], names: dict[str, str]) -> list[str]:
    """Return the lines above the rows."""
    fields = {
        "paper": record["paper"],
        "arxiv": record.get("arxiv"),
        "label": record["table"],
        "message": record["message"].rstrip(".") + ".",
        "kind": KINDS.get(str(record.get("kind")), "one_factor"),
        "baseline": names.get(str(record.get("baseline_row"))),
        "dataset": match_dataset(record["dataset"]),
    }
    lines = [f"{key}: {_quote(value)}" for key, value in fields.items() if value]
    lines += [f"# varies: {record['varies']}"] if record.get("varies") else []
    metrics = ", ".join(f"{column.metric}: {_quote(column.title)}" for column in columns if column)
    lines += [
        f"metrics: {{{metrics}}}" if metrics else "metrics: {}  # none of the columns is a metric of ours: say one"
    ]
    lines += [f"source: {_quote(_source(record))}", f"confidence: {_quote(record.get('confidence') or 'unstated')}"]
    return lines + ([f"note: {_quote(record['notes'])}"] if record.get("notes") else [])


def _row_lines(
    row: dict[str, Any], name: str, columns: list[PaperColumn | None], record: dict[str, Any], names: dict[str, str]
) -> list[str]:
    lines = [f"  {name}:", f"    label: {_quote(row['label'])}"]
    baseline = names.get(str(record.get("baseline_row")))
    if row["label"] in (record.get("eval_only_rows") or []) and baseline not in (None, name):
        lines.append(f"    from: {baseline}  # it only tests a checkpoint: is it this row's?")
    lines.append("    unsupported: a draft, its choices are not written yet")
    pairs = [(column, value) for column, value in zip(columns, row["values"], strict=False) if column]
    published = {column.metric: value * column.scale for column, value in pairs if isinstance(value, int | float)}
    if published:
        lines.append("    published: {" + ", ".join(f"{key}: {value:g}" for key, value in published.items()) + "}")
    return lines


def match_column(title: str, record: dict[str, Any]) -> PaperColumn | None:
    """Return our metric of a paper's column, or None if the column is not a result or not a metric of ours."""
    text = title.lower()
    if re.search(NOT_A_RESULT, text):
        return None
    for pattern, metric, scale in COSTS:
        if re.search(pattern, text):
            return PaperColumn(metric, title, scale)
    if re.search(r"\bmap\b", text):
        year = "voc12" if "12" in title or match_dataset(record["dataset"]) == "voc12" else "voc07"
        return PaperColumn("voc/mAP07" if year == "voc07" else "voc/mAP", title)
    if text in ("pq", "sq", "rq"):
        return PaperColumn(f"panoptic/{title}", title)
    match = re.search(r"\b(AP|AR)(?:@\.)?(?:bbox|bb|kp|mask)?@?(1k|\d+)?_?([smlrcf])?\b", title, re.IGNORECASE)
    return PaperColumn(f"{_task(title, record)}/{_measure(match)}", title) if match else None


def _drop_repeated(columns: list[PaperColumn | None]) -> list[PaperColumn | None]:
    """Replace repeated metrics by None: a paper may have one metric on two splits, a table of ours has it once."""
    metrics = [column.metric if column else "" for column in columns]
    return [None if column and column.metric in metrics[:i] else column for i, column in enumerate(columns)]


def _measure(match: re.Match[str]) -> str:
    """AP@.5 -> AP50, AR1k_s -> ARs1000, APs -> APs"""
    kind, number, size = match[1].upper(), match[2] or "", (match[3] or "").lower()
    number = {"1k": "1000", "5": "50"}.get(number.lower(), number)
    return f"{kind}{size}{number}"


def _task(title: str, record: dict[str, Any]) -> str:
    text = title.lower()
    if "kp" in text:
        return "keypoint"
    if "mask" in text:
        return "mask"
    if "box" in text or "bb" in text:
        return "box"
    columns = " ".join(map(str, record["columns"])).lower()
    masks = record["paper"].startswith(("Mask R-CNN", "Equalization")) or "bb" in columns
    return "mask" if masks else "box"


def match_dataset(text: str) -> str:
    name = next((name for pattern, name in DATASETS if re.search(pattern, text.lower())), None)
    if name is None:
        raise TableError(f"dataset {text!r} is none of ours. {did_you_mean(text, [name for _, name in DATASETS])}")
    return name


def _source(record: dict[str, Any]) -> str:
    return f"{'arXiv:' + record['arxiv'] if record.get('arxiv') else record['paper']}, {record['table']}"


def _name_rows(labels: list[str]) -> dict[str, str]:
    """Return label -> a key for the file, each once."""
    names: dict[str, str] = {}
    for label in labels:
        name = slug(label) or "row"
        while name in names.values():
            name += "_again"
        names[label] = name
    return names


def slug(text: str) -> str:
    text = text.lower().replace("r-cnn", "rcnn").replace("+", " plus ")
    text = re.sub(r"table (\w+)", r"table\1", text)
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def _quote(value: Any) -> str:
    """Return a YAML string on one line that is valid also inside {}."""
    text = str(value)
    plain = re.fullmatch(r"[A-Za-z][\w ./()@+-]*[\w.)@+-]", text) and text.lower() not in WORDS_OF_YAML
    return text if plain else json.dumps(text, ensure_ascii=False)
