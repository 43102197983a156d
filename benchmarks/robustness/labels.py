"""Files of labelling tools for the fuzz: converted by `lineage data convert`, and the result opens as a dataset."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import yaml
from benchmarks.robustness.datasets import SQUARE, read_samples, save_image
from benchmarks.robustness.fuzz import Refused
from benchmarks.robustness.mutations import damage_bytes, damage_document, damage_text

from lineage.cli.data.main import main
from lineage.data.formats import coco

POINTS = list(zip(SQUARE[::2], SQUARE[1::2], strict=True))
VIA = {
    f"{n}.png1": {"filename": f"{n}.png", "size": 1, "regions": [
        {"shape_attributes": {"name": "polygon", "all_points_x": SQUARE[::2], "all_points_y": SQUARE[1::2]},
         "region_attributes": {"class": "cat"}},
        {"shape_attributes": {"name": "rect", "x": 4, "y": 5, "width": 9, "height": 8},
         "region_attributes": {"class": "dog"}},
    ]}
    for n in (1, 2)
}  # fmt: skip
LABELME = {
    "imagePath": "1.png", "imageHeight": 24, "imageWidth": 32, "imageData": None, "shapes": [
        {"label": "cat", "points": POINTS, "shape_type": "polygon", "group_id": None},
        {"label": "dog", "points": [[2, 3], [20, 18]], "shape_type": "rectangle", "group_id": 1},
        {"label": "nose", "points": [[5, 5]], "shape_type": "point", "group_id": 1},
        {"label": "cat", "points": [[9, 9], [12, 12]], "shape_type": "circle", "group_id": None},
    ],
}  # fmt: skip
CSV = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
    '1.png,1,"{}",1,0,"{""name"":""rect"",""x"":4,""y"":5,""width"":9,""height"":8}","{""class"":""cat""}"\n'
)
YOLO = "0 0.5 0.5 0.25 0.3\n1 0.1 0.1 0.5 0.1 0.5 0.5 0.2 0.6\n"
NAMES = {"names": {0: "cat", 1: "dog"}, "nc": 2, "train": "images", "val": "images"}


class Labels:
    """Two images with the files of one tool, one of which is damaged; the first byte of an input is its number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        texts = {"via.json": json.dumps(VIA), "1.json": json.dumps(LABELME), "via.csv": CSV, "1.txt": YOLO}
        self.files = [*texts.items(), ("data.yaml", yaml.safe_dump(NAMES))]

    def damage(self, chance: random.Random) -> bytes:
        number = chance.randrange(len(self.files))
        name, text = self.files[number]
        if name.endswith(".json"):
            data = damage_document(text.encode(), chance)
        elif name.endswith(".yaml"):
            data = damage_document(text.encode(), chance, yaml.safe_load, yaml.safe_dump)
        elif chance.random() < 0.5:
            data = damage_text(text, chance).encode(errors="replace")
        else:
            data = damage_bytes(text.encode(), chance)
        return bytes([number]) + data

    def read(self, data: bytes) -> None:
        folder, out = self.folder / "labelled", self.folder / "out"
        for path in (folder, out):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        for number in (1, 2):
            save_image(folder / f"{number}.png")
        name, _ = self.files[data[0]]
        if name == "data.yaml":
            (folder / "1.txt").write_text(YOLO)
        (folder / name).write_bytes(data[1:])
        if main(["convert", str(folder), "--out", str(out)]):
            raise Refused("convert printed why")
        for file in out.glob("*.json"):
            read_samples(coco.load(root=str(out), annotations=file.name))
