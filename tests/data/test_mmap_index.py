"""The memory-mapped index: built once, shared, and made again whenever it cannot be trusted."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineage.data.annotations import content_hash, mmap_index
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats import coco as coco_format
from lineage.data.formats.coco import load as coco
from lineage.results.atomic import TEMPORARY
from tests.data import folder

COLUMNS = {
    "boxes": np.arange(40_000, dtype=np.float32).reshape(-1, 4),
    "crowd": np.array([True, False]),
    "none": np.zeros((0, 3)),
}


def opened(root: Path, **options: object) -> IndexedDataset:
    return coco(root=str(root), annotations="train.json", **options)  # type: ignore[arg-type]


def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every annotation file that is parsed from now on."""
    parsed: list[Path] = []
    parse = coco_format.parse

    def record(file: Path, *options: Any) -> coco_format.ParsedAnnotations:
        parsed.append(file)
        return parse(file, *options)

    monkeypatch.setattr(coco_format, "parse", record)
    return parsed


def made_once(cache: Path) -> Path:
    (one,) = cache.glob("*.index")
    return one


def test_columns_come_back_as_they_were_and_are_aligned(tmp_path: Path) -> None:
    mmap_index.save_index(tmp_path / "one.index", {"name": "ä"}, COLUMNS)
    found = mmap_index.load_index(tmp_path / "one.index")
    assert found is not None
    assert found.metadata == {"name": "ä"}
    for name, column in COLUMNS.items():
        assert found.columns[name].dtype == column.dtype
        assert np.array_equal(found.columns[name], column)
    assert found.columns["boxes"].ctypes.data % mmap_index.ALIGNED == 0
    assert not mmap_index.find_damage(found)


def test_every_cut_and_every_flipped_bit_of_the_head_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "one.index"
    mmap_index.save_index(path, {"name": "x"}, COLUMNS)
    whole = path.read_bytes()
    head = whole.index(b"}}") + 2
    for length in (*range(0, head, 97), head, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert mmap_index.load_index(path) is None
    for place in range(0, head, 13):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert mmap_index.load_index(path) is None


def test_damage_inside_a_column_is_found_by_reading_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "one.index"
    mmap_index.save_index(path, {}, COLUMNS)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    found = mmap_index.load_index(path)
    assert found is not None
    assert mmap_index.find_damage(found) == ["boxes"]


def test_annotations_are_parsed_once(index_cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = reads(monkeypatch)
    first, second = opened(root), opened(root)
    assert len(parsed) == 1
    assert first.fingerprint == second.fingerprint
    assert first[2].boxes.equal(second[2].boxes)


def test_a_touched_file_is_recognised_and_a_changed_one_read_again(
    index_cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = reads(monkeypatch)
    opened(root)
    os.utime(root / "train.json")
    opened(root)
    assert len(parsed) == 1
    changed = folder.content(6)
    changed["annotations"][0]["bbox"][0] = 3
    (root / "train.json").write_text(json.dumps(changed))
    assert opened(root)[0].boxes[0, 0] == 3
    assert len(parsed) == 2


def test_a_file_of_the_same_size_and_time_but_another_inode_is_read_again(index_cache: Path, root: Path) -> None:
    opened(root)
    file = root / "train.json"
    about, text = file.stat(), file.read_text().replace('"bbox": [2, 2,', '"bbox": [3, 2,', 1)
    file.unlink()
    (root / "keeps the old inode").write_text("")
    file.write_text(text)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert file.stat().st_size == about.st_size
    assert opened(root)[0].boxes[0, 0] == 3


@pytest.mark.parametrize("spoiled", [b"", b"lineage index 1", b"lineage index 99 2 0\n{}", b"\0" * 4096])
def test_a_broken_index_is_made_again(
    index_cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch, spoiled: bytes
) -> None:
    expected = opened(root)[0].boxes
    made_once(index_cache).write_bytes(spoiled)
    parsed = reads(monkeypatch)
    assert opened(root)[0].boxes.equal(expected)
    assert len(parsed) == 1
    opened(root)
    assert len(parsed) == 1


def test_what_was_remembered_may_be_damaged(index_cache: Path, root: Path) -> None:
    opened(root)
    for memo in (*index_cache.glob("*.source"), *index_cache.glob("*.seen")):
        memo.write_bytes(b"\xff{")
    assert len(opened(root)) == 6


def _count(root: Path, cache: str, start: multiprocessing.synchronize.Barrier, made: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    os.environ["LINEAGE_CACHE"] = cache
    real = coco_format.parse

    def read(file: Path, advice: str, require_objects: bool = True) -> coco_format.ParsedAnnotations:
        made.put("read")
        time.sleep(0.2)
        return real(file, advice, require_objects)

    coco_format.parse = read  # type: ignore[assignment]
    start.wait()
    made.put(opened(root).fingerprint)


def test_processes_that_start_together_build_once_and_agree(index_cache: Path, root: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, made = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_count, args=(root, str(index_cache.parent), start, made)) for _ in range(4)]
    for one in workers:
        one.start()
    told = [made.get(timeout=60) for _ in range(5)]
    for one in workers:
        one.join()
    assert told.count("read") == 1
    assert len(set(told)) == 2


def test_what_a_killed_builder_left_is_swept_up(index_cache: Path, root: Path) -> None:
    opened(root)
    path = made_once(index_cache)
    path.unlink()
    left = index_cache / f"{TEMPORARY}abc-{path.name}"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    opened(root)
    assert not left.exists()


def test_nothing_is_written_beside_the_data(index_cache: Path, root: Path) -> None:
    before = sorted(root.rglob("*"))
    for one in (root, root / "images"):
        one.chmod(0o555)
    try:
        assert len(opened(root)) == 6
    finally:
        for one in (root, root / "images"):
            one.chmod(0o755)
    assert sorted(root.rglob("*")) == before


def test_a_cache_that_cannot_be_written_moves_to_the_temporary_folder(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert len(opened(root)) == 6
    assert "set LINEAGE_CACHE" in caplog.text
    assert list(tmp_path.glob("lineage-*/index/*.index"))


def test_a_dataset_travels_as_paths(index_cache: Path, root: Path) -> None:
    data = opened(root)
    sent = pickle.dumps(data)
    assert len(sent) < 1000
    back = pickle.loads(sent)
    assert back.sizes.equal(data.sizes)
    assert back[5].masks.dense().equal(data[5].masks.dense())
    made_once(index_cache).unlink()
    with pytest.raises(DatasetError, match="start again"):
        pickle.loads(sent)


def test_columns_are_mapped_not_copied(index_cache: Path, root: Path) -> None:
    data = opened(root)
    assert not data.columns.boxes.flags.owndata
    assert data.sizes.data_ptr() == data.columns.image_sizes.ctypes.data


def test_images_are_looked_at_again_when_their_folder_changes(index_cache: Path, root: Path) -> None:
    opened(root)
    assert list(index_cache.glob("*.seen"))
    (root / "images" / "4.png").unlink()
    with pytest.raises(DatasetError, match=r"image 40 \(4.png\)"):
        opened(root)
    dropped = opened(root, on_defect="drop")
    assert dropped.ids.tolist() == [10, 20, 30, 50, 60]
    assert pickle.loads(pickle.dumps(dropped)).ids.tolist() == [10, 20, 30, 50, 60]
    assert dropped[3].image_id == 50
    assert [one["image_id"] for one in dropped.ground_truth()["annotations"]] == [10, 20, 30, 50, 60]
    folder.save(root / "images" / "4.png")
    assert len(opened(root)) == 6


def test_a_young_file_is_not_trusted_by_its_time(index_cache: Path, root: Path) -> None:
    os.utime(root / "train.json")
    content_hash.hash_files([root / "train.json"], root)
    assert not list(index_cache.glob("*.source"))
    folder.age(root)
    os.utime(root / "train.json", (time.time() - 60,) * 2)  # its ctime is now: it changed a moment ago
    content_hash.hash_files([root / "train.json"], root)
    assert not list(index_cache.glob("*.source"))


def test_labels_are_read_from_the_columns(index_cache: Path, tmp_path: Path) -> None:
    told = folder.content(3)
    told["annotations"] += [folder.annotation(7, 10, category_id=9), folder.annotation(8, 10, category_id=9),
                            folder.annotation(9, 20, category_id=9, iscrowd=1)]  # fmt: skip
    data = opened(folder.write(tmp_path / "data", told))
    pairs = list(zip(*(column.tolist() for column in data.object_labels()), strict=True))
    assert sorted(pairs) == [(0, 0), (0, 1), (0, 1), (1, 0), (1, 1), (2, 0)], "crowds included"


def test_a_settled_file_is_hashed_once(index_cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_hash, "SETTLED", -60.0)
    first = content_hash.hash_files([root / "train.json"], root)
    monkeypatch.setattr(content_hash, "hash_contents", lambda files, root: "hashed again")
    assert content_hash.hash_files([root / "train.json"], root) == first
    os.utime(root / "train.json")
    assert content_hash.hash_files([root / "train.json"], root) == "hashed again"
