"""An exported .onnx file and its description for the fuzz, as `lineage latency` and the script beside read them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
from benchmarks.robustness.fuzz import Refused, Wrong
from benchmarks.robustness.mutations import damage_bytes, damage_document
from onnx import TensorProto, helper, numpy_helper

from lineage.models.export import standalone
from lineage.run.inference.latency import prepare_onnx

SIZE = (32, 48)  # height, width
SLOTS = 3


class Exports:
    """A model that always detects the same three boxes; the first byte of an input: 0 the model, 1 its description."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "m.onnx"
        outputs = {
            "boxes": np.tile(np.float32([2, 3, 12, 11]), (1, SLOTS, 1)), "scores": np.float32([[0.9, 0.8, 0.7]]),
            "labels": np.int64([[0, 1, 0]]), "valid": np.ones((1, SLOTS), bool),
        }  # fmt: skip
        self.path.write_bytes(build_model(outputs))
        record = {
            "inputs": [{"name": "pixels", "shape": [1, 3, *SIZE]}, {"name": "sizes", "shape": [1, 2]}],
            "outputs": [{"name": name, "shape": list(value.shape)} for name, value in outputs.items()],
            "category_ids": [3, 7], "classes": ["cat", "dog"], "fixed_size": True, "resize": None,
            "size_divisibility": 8, "smallest_size": 8, "weights": str(folder),
        }  # fmt: skip
        self.files = (self.path, self.path.with_name("m.onnx.json"))
        self.files[1].write_text(json.dumps(record))
        self.examples = [file.read_bytes() for file in self.files]

    def damage(self, chance: random.Random) -> bytes:
        if chance.random() < 0.4:
            return bytes([0]) + damage_bytes(self.examples[0], chance)
        return bytes([1]) + damage_document(self.examples[1], chance)

    def read(self, data: bytes) -> None:
        for file, example in zip(self.files, self.examples, strict=True):
            file.write_bytes(example)
        self.files[data[0]].write_bytes(data[1:])
        prepare_onnx(self.path, None, 1).run()
        try:
            description = standalone.read_description(self.path)
            run = standalone.load_model(self.path, description)
            records = standalone.detect(run, np.zeros((*SIZE, 3), np.uint8), description)
        except standalone.UnfitPictureError as error:
            raise Refused(str(error)) from error
        for record in records:
            x, y, width, height = record["bbox"]
            if not (0 <= x <= x + width <= SIZE[1] and 0 <= y <= y + height <= SIZE[0] and 0 <= record["score"] <= 1):
                raise Wrong(f"{record}")
            if record["category_id"] not in json.loads(self.files[1].read_bytes())["category_ids"]:
                raise Wrong(f"{record}")


def build_model(outputs: dict[str, np.ndarray]) -> bytes:
    """Return an .onnx file whose outputs are constants and whose inputs are those of an exported detector."""
    inputs = [
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 3, *SIZE]),
        helper.make_tensor_value_info("sizes", TensorProto.FLOAT, [1, 2]),
    ]
    constants = [numpy_helper.from_array(value, f"{name}_") for name, value in outputs.items()]
    nodes = [helper.make_node("Identity", [f"{name}_"], [name]) for name in outputs]
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in outputs.items()
    ]
    graph = helper.make_graph(nodes, "m", inputs, values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content
