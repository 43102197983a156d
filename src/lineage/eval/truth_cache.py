"""The ground truth as the engine reads it, stored beside the index of its dataset: later starts parse no annotations.

    <index>.<content>.<settings>.<code>.json    facts of the scorer, and the sha256 of each document
    <index>.<content>.<settings>.<code>.N.json  a document: what is scored of the annotation file (scored_document.py)

The engine reads a document five times faster than Python does. The name holds digests of what is read (the annotation
file, the images that are used), of the scorer's settings, and of the code that turns one into the other; a document
whose digest is not the recorded one is made again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import hotcoco

from lineage.eval.document import CocoDataset
from lineage.eval.engine import ENGINE, load_documents
from lineage.results.atomic import atomic_write

Record = dict[str, Any]

MANY = 10_000  # objects; fewer are parsed in less time than it takes to look for the files
COORDINATE = b"\n          "  # before each of a polygon, in the engine's files; no text of JSON holds a line break
SOURCES = ("eval", "data/annotations")  # packages whose code decides what is scored


class ScoredTruth(NamedTuple):
    documents: dict[str, Record]  # by task; tasks may share one
    facts: Record  # JSON: what the scorer knows of the ground truth beside them


class LoadedTruth(NamedTuple):
    engines: dict[str, hotcoco.COCO]  # by task
    facts: Record


def load_truth(dataset: CocoDataset, settings: Sequence[Any], prepare: Callable[[Record], ScoredTruth]) -> LoadedTruth:
    """Return what `prepare` makes of the dataset's ground truth, loaded; from the cache if it is there.

    settings: of the scorer; everything besides the ground truth that `prepare` depends on
    """
    path = _cache_path(dataset, settings)
    if path is not None and (stored := _read(path)) is not None:
        return stored
    document = dataset.ground_truth()
    truth = prepare(document)
    loaded = LoadedTruth(load_documents(truth.documents), truth.facts)
    if path is not None and len(document["annotations"]) >= MANY:
        with suppress(OSError):  # a full or read-only disk: parsed again next time
            _write(path, loaded)
    return loaded


def _cache_path(dataset: CocoDataset, settings: Sequence[Any]) -> Path | None:
    """Return the path of the facts; None for a dataset without an index."""
    index = getattr(dataset, "index_path", None)
    if index is None:
        return None
    keys = (dataset.content_key, repr(settings), hash_sources())  # type: ignore[attr-defined]
    digests = [hashlib.sha256(key.encode()).hexdigest()[:16] for key in keys]
    return Path(index).with_name(".".join([Path(index).stem, *digests, "json"]))


@functools.cache
def hash_sources() -> str:
    """Return a digest of the code that decides what is scored, and of the engine's version."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256(ENGINE.encode())
    for file in sorted(file for folder in SOURCES for file in (root / folder).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> LoadedTruth | None:
    """Return what is stored; None if a file is missing or not as it was written."""
    try:
        record = json.loads(path.read_bytes())
        files = {name: path.with_suffix(f".{name}.json") for name in record["digests"]}
        for name, file in files.items():
            with file.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != record["digests"][name]:
                    return None
        loaded = {name: hotcoco.COCO(str(file)) for name, file in files.items()}
        return LoadedTruth({task: loaded[name] for task, name in record["tasks"].items()}, record["facts"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None


def _write(path: Path, truth: LoadedTruth) -> None:
    """Write the documents, then the facts that make them valid; remove those of earlier contents and code."""
    index, _, settings, _, _ = path.name.split(".")
    for file in path.parent.glob(f"{index}.*.{settings}.*.json"):
        file.unlink(missing_ok=True)
    names: dict[int, str] = {}
    digests = {}
    for engine in truth.engines.values():
        if id(engine) not in names:
            name = names[id(engine)] = str(len(names))
            content = _dump(engine, path.parent)
            atomic_write(path.with_suffix(f".{name}.json"), content)
            digests[name] = hashlib.sha256(content).hexdigest()
    tasks = {task: names[id(engine)] for task, engine in truth.engines.items()}
    atomic_write(path, json.dumps({"digests": digests, "tasks": tasks, "facts": truth.facts}))


def _dump(engine: hotcoco.COCO, folder: Path) -> bytes:
    """Return the engine's document without the lines of coordinates; Python would take twice as long to write it."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        file = Path(temporary, "document.json")
        engine.save(str(file))
        content = file.read_bytes()
    return content.replace(COORDINATE, b"")
