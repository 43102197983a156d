"""Nothing that a file of tensors or arrays says is run: of the calls that could, none in the sources does."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from lineage.data.proposals.selective_search import _read_cached
from lineage.run.average_checkpoints import read_model
from lineage.train.evaluated_weights import restore_best
from lineage.train.memory.sharding import ShardedStrategy
from lineage.weights.arrays import FileError, read_arrays

SOURCE = Path(__file__).parents[2] / "src"


def list_calls() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield place, function and keywords of every call in the sources."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                keywords = {str(keyword.arg): ast.unparse(keyword.value) for keyword in node.keywords}
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", ast.unparse(node.func), keywords


def test_no_call_of_the_sources_lets_a_file_run_code() -> None:
    loads, arrays, others = [], [], []
    for place, function, keywords in list_calls():
        if function == "torch.load" or function.endswith("Strategy.load_checkpoint") or "ckpt_path" in keywords:
            loads.append((place, keywords.get("weights_only")))
        elif function in ("np.load", "numpy.load"):
            arrays.append((place, keywords.get("allow_pickle", "False")))
        elif function.partition(".")[0] in ("pickle", "dill", "joblib", "marshal") and "load" in function:
            others.append(place)
    assert len(loads) >= 5, "the calls were found"
    assert len(arrays) >= 3
    assert [place for place, value in loads if value != "True"] == []
    assert [place for place, value in arrays if value != "False"] == []
    assert others == []


class Evil:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def restore(path: Path) -> None:
    best = ModelCheckpoint(monitor="box/AP")
    best.best_model_path = str(path)
    restore_best(SimpleNamespace(callbacks=[best]), None)  # type: ignore[arg-type]


def load_sharded(path: Path) -> None:
    ShardedStrategy().load_checkpoint(path, weights_only=False)  # as Lightning would, if a user's call said so


@pytest.mark.parametrize("load", [restore, load_sharded, read_model])
def test_a_checkpoint_that_runs_something_is_refused(tmp_path: Path, load: Callable[[Path], object]) -> None:
    path, touched = tmp_path / "step-0000004.ckpt", tmp_path / "touched"
    torch.save({"state_dict": {}, "callbacks": Evil(touched)}, path)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        load(path)
    assert not touched.exists()


def test_arrays_that_run_something_are_refused(tmp_path: Path) -> None:
    path, touched = tmp_path / "a.npy", tmp_path / "touched"
    np.save(path, np.array([Evil(touched)], dtype=object), allow_pickle=True)
    assert _read_cached(path) is None
    np.savez(tmp_path / "a.npz", a=np.array([Evil(touched)], dtype=object))
    with pytest.raises(FileError, match="Object arrays"):
        read_arrays(tmp_path / "a.npz")
    assert not touched.exists()
