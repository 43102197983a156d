"""A table that somebody typed off a paper (JSON) becomes a draft of experiments/<paper>/<table>.yaml.

What can be known from the numbers is filled in: rows, published values, baseline, which rows only test another one's
checkpoint. What a row chooses cannot: each row says so as `unsupported` until a person writes its `with` and `set`.

The JSON is a list of tables: {"paper", "arxiv", "table", "message", "kind", "varies", "dataset", "baseline_row",
"columns": [title, ...], "rows": [{"label", "values": [number or null, ...]}, ...], "eval_only_rows": [label, ...],
"notes", "confidence"}.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

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


class Column(NamedTuple):
    metric: str
    title: str
    scale: float = 1.0


COSTS = (
    (r"s/iter|^train s$|minibatch", "cost/step_seconds", 1.0),
    (r"inference s/im|test rate|^test s$", "cost/image_ms", 1000.0),
    (r"^(total |time )?ms|ms / image|time ms", "cost/image_ms", 1.0),
    (r"mem gb", "cost/memory_gb", 1.0),
    (r"params m", "cost/parameters_m", 1.0),
    (r"hours|time \(h\)", "cost/hours", 1.0),
    (r"^fps", "cost/images_per_second", 1.0),
)


def draft(record: dict[str, Any]) -> tuple[str, str]:
    """(name of the table, its file's text). Raises TableError where the record says too little."""
    for key in REQUIRED:
        if not record.get(key):
            raise TableError(f"{record.get('paper', 'a table')} {record.get('table', '')}: no {key!r} in the JSON")
    columns = first_of_each([column(str(title), record) for title in record["columns"]])
    names = row_names([str(row["label"]) for row in record["rows"]])
    left_out = [str(title) for title, found in zip(record["columns"], columns, strict=True) if found is None]
    lines = [*head(record, columns, names), *(f"# no metric of ours: {title}" for title in left_out), "rows:"]
    for row, name in zip(record["rows"], names.values(), strict=True):
        lines += row_lines(row, name, columns, record, names)
    return f"{slug(record['paper'])}/{slug(record['table'])}", "\n".join(lines) + "\n"


def head(record: dict[str, Any], columns: list[Column | None], names: dict[str, str]) -> list[str]:
    kind = KINDS.get(str(record.get("kind")), "one_factor")
    metrics = {found.metric: found.title for found in columns if found}
    said = {
        "paper": record["paper"],
        "arxiv": record.get("arxiv"),
        "label": record["table"],
        "message": record["message"].rstrip(".") + ".",
        "kind": kind,
        "baseline": names.get(str(record.get("baseline_row"))),
        "dataset": dataset(record["dataset"]),
    }
    lines = [f"{key}: {quoted(value)}" for key, value in said.items() if value]
    lines += [f"# varies: {record['varies']}"] if record.get("varies") else []
    listed = ", ".join(f"{metric}: {quoted(title)}" for metric, title in metrics.items())
    lines += [f"metrics: {{{listed}}}" if listed else "metrics: {}  # none of the columns is a metric of ours: say one"]
    lines += [f"source: {quoted(source(record))}", f"confidence: {quoted(record.get('confidence') or 'unstated')}"]
    return lines + ([f"note: {quoted(record['notes'])}"] if record.get("notes") else [])


def row_lines(
    row: dict[str, Any], name: str, columns: list[Column | None], record: dict[str, Any], names: dict[str, str]
) -> list[str]:
    lines = [f"  {name}:", f"    label: {quoted(row['label'])}"]
    baseline = names.get(str(record.get("baseline_row")))
    if row["label"] in (record.get("eval_only_rows") or []) and baseline not in (None, name):
        lines.append(f"    from: {baseline}  # it only tests a checkpoint: is it this row's?")
    lines.append("    unsupported: a draft, its choices are not written yet")
    pairs = [(found, value) for found, value in zip(columns, row["values"], strict=False) if found]
    known = {found.metric: value * found.scale for found, value in pairs if isinstance(value, int | float)}
    if known:
        lines.append("    published: {" + ", ".join(f"{key}: {value:g}" for key, value in known.items()) + "}")
    return lines


def column(title: str, record: dict[str, Any]) -> Column | None:
    """Our metric of a paper's column, or None where it is no result or no metric we have."""
    text = title.lower()
    if re.search(NOT_A_RESULT, text):
        return None
    for pattern, metric, scale in COSTS:
        if re.search(pattern, text):
            return Column(metric, title, scale)
    if re.search(r"\bmap\b", text) or text == "map":
        year = "voc12" if "12" in title or dataset(record["dataset"]) == "voc12" else "voc07"
        return Column("voc/mAP07" if year == "voc07" else "voc/mAP", title)
    if text in ("pq", "sq", "rq"):
        return Column(f"panoptic/{title}", title)
    found = re.search(r"\b(AP|AR)(?:@\.)?(?:bbox|bb|kp|mask)?@?(1k|\d+)?_?([smlrcf])?\b", title, re.IGNORECASE)
    return Column(f"{task(title, record)}/{measure(found)}", title) if found else None


def first_of_each(columns: list[Column | None]) -> list[Column | None]:
    """A paper may have one metric twice, on two splits: a table of ours has it once."""
    metrics = [found.metric if found else "" for found in columns]
    return [None if found and found.metric in metrics[:i] else found for i, found in enumerate(columns)]


def measure(found: re.Match[str]) -> str:
    """AP@.5 -> AP50, AR1k_s -> ARs1000, APs -> APs"""
    kind, number, size = found[1].upper(), found[2] or "", (found[3] or "").lower()
    number = {"1k": "1000", "5": "50"}.get(number.lower(), number)
    return f"{kind}{size}{number}"


def task(title: str, record: dict[str, Any]) -> str:
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


def dataset(text: str) -> str:
    found = next((name for pattern, name in DATASETS if re.search(pattern, text.lower())), None)
    if found is None:
        raise TableError(f"dataset {text!r} is none of ours. {did_you_mean(text, [name for _, name in DATASETS])}")
    return found


def source(record: dict[str, Any]) -> str:
    return f"{'arXiv:' + record['arxiv'] if record.get('arxiv') else record['paper']}, {record['table']}"


def row_names(labels: list[str]) -> dict[str, str]:
    """label -> a key for the file, each once."""
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


def quoted(value: Any) -> str:
    """As YAML writes one string on one line, also inside {}."""
    text = str(value)
    plain = re.fullmatch(r"[A-Za-z][\w ./()@+-]*[\w.)@+-]", text) and text.lower() not in WORDS_OF_YAML
    return text if plain else json.dumps(text, ensure_ascii=False)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage draft", description="Tables typed off papers become draft files.")
    parser.add_argument("json", type=Path, help="a list of tables; `python -m pydoc lineage.tables.draft` has the keys")
    parser.add_argument(
        "--out", type=Path, default=Path("experiments"), help="the folder of tables (default: %(default)s)"
    )
    parser.add_argument("--only", default="", help="tables whose paper and label contain this text")
    given = parser.parse_args(arguments)
    for record in read(given.json):
        if given.only.lower() in f"{record.get('paper')} {record.get('table')}".lower():
            print(write(*draft(record), given.out))
    return 0


def read(path: Path) -> list[dict[str, Any]]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise TableError(f"{path}: not JSON: {error}") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise TableError(f"{path}: expected a list of tables")
    return records


def write(name: str, text: str, folder: Path) -> str:
    """Never over a file that a person may have worked on."""
    path = folder / f"{name}.yaml"
    if path.exists():
        return f"kept     {path}: it exists"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return f"drafted  {path}"
