"""Construction of an index: a format's records become columns, once for each content of its files.

A format is a function that parses its own files into COCO's terms, {images, annotations, categories}, and reports their
defects. Its result is indexed (mmap_index.py); later openings read the index alone.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lineage.data.annotations import content_hash, mmap_index
from lineage.data.annotations.columns import build_columns
from lineage.data.annotations.cures import Cure
from lineage.data.annotations.defects import Defect, DefectKind, Record
from lineage.data.annotations.filters import drop_defects, filter_images
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.skeleton import CategoryKeypoints, count_keypoints, read_keypoints, read_skeleton
from lineage.data.samples.metadata import DatasetMeta

LAYOUT = 5  # of the columns; a new number rebuilds every index
THINGS = "things"  # the first semantic class: all of them together
SLOW_MEGABYTES = 10  # of annotations, which take more than a second or two to read


@dataclass(frozen=True, slots=True)
class ParsedAnnotations:
    """The records of a format's files."""

    content: Mapping[str, list[Record]]  # COCO's images, annotations and categories
    defects: Sequence[Defect]
    metadata: Mapping[str, Any] = field(default_factory=dict)  # of the dataset: `frequencies`, `stuff`, ...
    extra: tuple[str, ...] = ()  # fields of annotations that evaluators read, whole numbers
    file_columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # of the format, by positions in its file
    cures: Sequence[Cure] = ()
    folders: Sequence[Path] = ()  # whose listings decided a cure


def load_or_build_index(
    paths: DatasetPaths, key: tuple[Any, ...], build: Callable[[], mmap_index.IndexContent]
) -> mmap_index.Index:
    """Return the index of these files; `key` holds everything else that its content depends on."""
    root = paths.source if paths.source.is_dir() else paths.source.parent
    identity = repr((LAYOUT, content_hash.hash_files(paths.annotation_files, root), key))
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]
    return mmap_index.load_or_build(name, lambda: announce(paths, build), is_current)


def is_current(index: mmap_index.Index) -> bool:
    """Return whether no folder has changed whose files decided what the index holds."""
    times: dict[str, int] = index.metadata.get("folders", {})
    return times == content_hash.read_times(times)


def announce(paths: DatasetPaths, build: Callable[[], mmap_index.IndexContent]) -> mmap_index.IndexContent:
    """Build, with a one-time notice before a slow first parse."""
    megabytes = sum(file.stat().st_size for file in paths.annotation_files if file.is_file()) / 1e6
    if megabytes < SLOW_MEGABYTES:
        return build()
    start = time.monotonic()
    print(f"{paths.source}: reading and checking {megabytes:,.0f} MB, once ...", file=sys.stderr, flush=True)
    content = build()
    print(f"... took {time.monotonic() - start:.0f} s; later it opens in milliseconds", file=sys.stderr, flush=True)
    return content


def build_index(
    parsed: ParsedAnnotations, *, filter_empty: bool = False, min_keypoints: int = 0
) -> mmap_index.IndexContent:
    """Return the metadata and the columns of an index."""
    times = content_hash.read_times(parsed.folders)
    # 1. Labels follow the category ids in ascending order.
    categories = sorted(parsed.content["categories"], key=lambda category: category["id"])
    labels = {category["id"]: label for label, category in enumerate(categories)}
    classes = [str(category.get("name", category["id"])) for category in categories]
    # 2. Drop broken records, then images with nothing to learn from.
    records = drop_defects(parsed.content, parsed.defects)
    if filter_empty or min_keypoints:
        records = filter_images(records, min_keypoints)
    # 3. Keypoints of the categories; none if there are objects and none has any.
    annotations = [annotation for _, annotation in records.annotations]
    has_keypoints = not annotations or any(annotation.get("keypoints") for annotation in annotations)
    counts = count_keypoints(categories, annotations)
    keypoints = read_keypoints(categories, counts) if has_keypoints else CategoryKeypoints()
    # 4. Columns and metadata. The names of both are those of existing indexes.
    columns = build_columns(records, labels, keypoints=bool(keypoints.names), extra=parsed.extra)
    columns = columns._replace(file_columns=dict(parsed.file_columns))
    metadata = {
        "classes": classes,
        "category_ids": [category["id"] for category in categories],
        "keypoints": keypoints.names,
        "mirrored": parsed.metadata.get("mirrored", keypoints.flip_indices),
        "sigmas": keypoints.sigmas,
        "keypoint_counts": parsed.metadata.get("keypoint_counts", keypoints.counts) if keypoints.names else (),
        "class_flip_indices": keypoints.class_flip_indices,
        "skeleton": read_skeleton(categories) if keypoints.names else (),
        "fingerprint": hashlib.sha256(repr((columns.digest(), classes)).encode()).hexdigest(),
        "defects": parsed.defects,
        "annotations": len(parsed.content["annotations"]),
        "cures": parsed.cures,
        "folders": times,
        "more": parsed.metadata,
    }
    return metadata, columns.flatten()


def read_meta(index: mmap_index.Index) -> DatasetMeta:
    metadata, more = index.metadata, index.metadata["more"]
    return DatasetMeta(
        classes=tuple(metadata["classes"]),
        category_ids=tuple(metadata["category_ids"]),
        keypoints=tuple(metadata["keypoints"]),
        flip_indices=tuple(metadata["mirrored"]) if metadata["keypoints"] else (),
        skeleton=tuple((first, second) for first, second in metadata["skeleton"]),
        sigmas=tuple(metadata["sigmas"]),
        keypoint_counts=tuple(metadata["keypoint_counts"]),
        keypoint_offsets=tuple(more.get("keypoint_offsets", ())) if metadata["keypoints"] else (),
        class_flip_indices=tuple(tuple(row) for row in metadata["class_flip_indices"]),
        stuff=(THINGS, *(name for _, name in more["stuff"])) if "stuff" in more else (),
        stuff_ids=tuple(category_id for category_id, _ in more.get("stuff", ())),
        frequencies=tuple(more.get("frequencies", ())),
        image_counts=tuple(more.get("image_counts", ())),
    )


def read_cures(index: mmap_index.Index) -> list[Cure]:
    return [Cure(*cure) for cure in index.metadata.get("cures", ())]


def read_defects(index: mmap_index.Index) -> list[Defect]:
    """Return the defects of the records, as they were when the index was built."""
    return [Defect(DefectKind(*kind), *rest) for kind, *rest in index.metadata["defects"]]
