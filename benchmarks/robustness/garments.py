"""DeepFashion2's layout for the fuzz: one of two annotation files is damaged; what is accepted has json's objects."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
from benchmarks.robustness.datasets import read_samples, save_image
from benchmarks.robustness.fuzz import Wrong
from benchmarks.robustness.mutations import damage_document

from lineage.data.formats import deepfashion2

VEST = 5  # category_id of a vest, which has 15 landmarks
SQUARE = [4, 4, 16, 4, 16, 14, 4, 14]


class DeepFashion2:
    """Two images with a vest each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "train"
        item = {
            "category_id": VEST, "bounding_box": [4, 4, 16, 14], "segmentation": [SQUARE], "style": 1, "scale": 2,
            "occlusion": 1, "zoom_in": 1, "viewpoint": 2, "category_name": "vest",
            "landmarks": [value for n in range(15) for value in (4 + n % 12, 4 + n % 10, n % 3)],
        }  # fmt: skip
        self.example = json.dumps({"item1": item, "source": "shop", "pair_id": 1}).encode()
        (self.folder / "annos").mkdir(parents=True)
        for name in ("000001", "000002"):
            save_image(self.folder / f"image/{name}.jpg")
            (self.folder / f"annos/{name}.json").write_bytes(self.example)

    def damage(self, chance: random.Random) -> bytes:
        return damage_document(self.example, chance)

    def read(self, data: bytes) -> None:
        (self.folder / "annos/000001.json").write_bytes(data)
        dataset = deepfashion2.load(root=str(self.folder.parent), image_set="train")
        read_samples(dataset)
        document = json.loads(data)
        items = [item for name, item in document.items() if name.startswith("item")]
        rows = dataset.columns.rows(0)
        if len(rows) != len(items):
            raise Wrong(f"{len(rows)} objects of {len(items)}")
        for row, item in zip(rows, items, strict=True):
            corners = np.array([float(side) for side in item["bounding_box"]], np.float32)
            if not np.allclose(dataset.columns.boxes[row], corners, rtol=1e-6):
                raise Wrong(f"box {dataset.columns.boxes[row].tolist()} of {item['bounding_box']}")
            if dataset.columns.labels[row] != float(item["category_id"]) - 1:
                raise Wrong(f"label {dataset.columns.labels[row]} of {item['category_id']}")
        for keypoints in (dataset[0].keypoints,):
            if keypoints is not None and not np.isfinite(np.asarray(keypoints)).all():
                raise Wrong("landmarks that are no finite numbers")
