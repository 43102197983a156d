"""Files of `lineage calibrate` for the fuzz: softmax rows, and the calibration that `predict` and `evaluate` read."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
from benchmarks.robustness.fuzz import Wrong
from benchmarks.robustness.mutations import damage_bytes, damage_document

from lineage.calibration.calibration_file import Calibration, read_calibration, write_calibration
from lineage.calibration.score_map import METHODS, ScoredDetections, fit_grouped
from lineage.cli.calibrate_rows import calibrate_rows, read_rows

NUM_ROWS, NUM_CLASSES = 40, 4


class Rows:
    """rows.npz: an accepted one has the arrays that were written, or others that are probabilities."""

    def __init__(self, folder: Path) -> None:
        self.path, self.out = folder / "rows.npz", folder / "out"
        chance = np.random.default_rng(0)
        self.labels = chance.integers(0, NUM_CLASSES, NUM_ROWS)
        self.probabilities = chance.dirichlet(np.ones(NUM_CLASSES), NUM_ROWS)

    def damage(self, chance: random.Random) -> bytes:
        kind = chance.random()
        arrays = {"probabilities": self.probabilities, "labels": self.labels}
        if kind < 0.4:
            return damage_bytes(pack(arrays, np.savez), chance)
        if kind < 0.5:
            return pack_header(chance.choice(((10**9, 10**6), (10**15,), (-1, 4), (NUM_ROWS, 10**9))), "<f8")
        if kind < 0.6:
            return pack_header((NUM_ROWS,), chance.choice(("|O", "<M8[s]", "|V16", "<U4", "|b1", "<c16", "<f2")))
        name = chance.choice(list(arrays))
        spoilt = arrays[name].astype(np.float64)
        spoilt.flat[chance.randrange(spoilt.size)] = chance.choice((np.nan, np.inf, -1, 2, 1e308, 0.5, 10**9))
        changed = chance.choice((spoilt, arrays[name][:-1], arrays[name][:, None], arrays[name][:0], arrays[name].T,
                                 np.array(3.0), arrays[name].astype(str), spoilt.astype(np.complex128)))  # fmt: skip
        return pack(arrays | {name: changed}, np.savez_compressed)

    def read(self, data: bytes) -> None:
        self.path.write_bytes(data)
        probabilities, labels = read_rows(self.path)
        if not np.isfinite(probabilities).all() or np.abs(probabilities.sum(1) - 1).max() > 1e-3:
            raise Wrong(f"rows that are no probabilities: {probabilities[:2]}")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            if not np.array_equal(file["labels"], labels) or not np.array_equal(file["probabilities"], probabilities):
                raise Wrong("other numbers than numpy reads")
        calibrate_rows(self.path, self.out, 5, 0)
        json.loads((self.out / "calibration_rows.json").read_text(), parse_constant=refuse_constant)


def refuse_constant(name: str) -> None:
    raise Wrong(f"{name} in a file that is written")


def pack(arrays: dict[str, np.ndarray], save: object) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)  # type: ignore[operator]
    return file.getvalue()


def pack_header(shape: tuple[int, ...], descr: str) -> bytes:
    """Return an .npz whose arrays are headers alone, of any shape and type."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("probabilities", "labels"):
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


class Calibrations:
    """calibration.json of each method; an accepted one gives every score of 0 to 1 a score of 0 to 1."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "calibration.json"
        chance = np.random.default_rng(0)
        scores = chance.random(200)
        self.detections = ScoredDetections(scores, chance.integers(1, 3, 200), chance.random(200) * 1000)
        targets = (chance.random(200) < scores**2).astype(np.float64)
        self.examples = []
        for name, method in METHODS.items():
            by = [(), ("class",), ("size",), ("class", "size")][len(self.examples) % 4]
            fit = fit_grouped(method.fit if not method.has_bins else lambda s, t, f=method.fit: f(s, t, 5),
                              self.detections, targets, by)  # fmt: skip
            calibration = Calibration(name, "precision", "box", fit, {1: "cat", 2: "dog"}, frozenset({"a" * 16}), "x")
            write_calibration(self.path, calibration, {})
            self.examples.append(self.path.read_bytes())

    def damage(self, chance: random.Random) -> bytes:
        return damage_document(chance.choice(self.examples), chance)

    def read(self, data: bytes) -> None:
        self.path.write_bytes(data)
        calibration = read_calibration(self.path)
        calibration.refuse_fit_images([{"id": 1, "file_name": "1.jpg", "height": 4, "width": 4}])
        if calibration.target not in ("precision", "iou") or calibration.task not in ("box", "mask", "keypoint"):
            raise Wrong(f"of {calibration.target!r:.40} and {calibration.task!r:.40}")
        scores = calibration.map(self.detections)
        if scores.shape != (200,) or not ((scores >= 0) & (scores <= 1)).all():
            raise Wrong(f"scores {scores[:5]}")
