"""Each kind of file is told by its content; a pickle that is more than data is refused before it runs."""

from __future__ import annotations

import pickle
import random
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lineage.weights import caffemodel
from lineage.weights.arrays import FileError
from lineage.weights.readers import read_tensors
from lineage.weights.safe_pickle import UnsafePickle, load_pickle

ARRAYS = {"a_w": np.arange(6, dtype=np.float32).reshape(2, 3), "a_b": np.array([1.5, -2], np.float32)}
WEIGHTS = {name: torch.from_numpy(value) for name, value in ARRAYS.items()}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_pickles_of_the_zoos(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model_final.pkl"
    for content in ({"blobs": ARRAYS, "cfg": "text"}, {"model": OrderedDict(ARRAYS), "__author__": "d2"}, ARRAYS):
        path.write_bytes(pickle.dumps(content, protocol))
        assert_same(read_tensors(path))


def assert_same(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], value) for name, value in WEIGHTS.items())


def test_a_numpy_scalar_beside_the_arrays(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": ARRAYS, "iteration": np.float64(3.0), "flags": {1, 2}}, 2))
    assert load_pickle(path)["iteration"] == 3


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_of_both_kinds(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model": WEIGHTS, "epoch": 3}, path, _use_new_zipfile_serialization=zipped)
    assert_same(read_tensors(path))


def test_safetensors_and_npz(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    assert_same(read_tensors(tmp_path / "model.safetensors"))
    np.savez(tmp_path / "model.npz", **ARRAYS)
    assert_same(read_tensors(tmp_path / "model.npz"))


class Evil:
    """What a malicious model file does on loading."""

    def __init__(self, call: Any, *arguments: Any):
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_something_is_refused_and_does_not_run(tmp_path: Path, protocol: int) -> None:
    path, touched = tmp_path / "evil.pkl", tmp_path / "touched"
    for evil in (Evil(open, str(touched), "w"), Evil(eval, f"open({str(touched)!r}, 'w')"), Evil(getattr, "", "join")):
        path.write_bytes(pickle.dumps({"model": ARRAYS | {"b": evil}}, protocol))
        with pytest.raises(UnsafePickle, match=r"evil.pkl: not read, because it calls .*nothing of it was\s*run"):
            read_tensors(path)
    assert not touched.exists()


def test_an_array_of_objects_runs_nothing(tmp_path: Path) -> None:
    path, touched = tmp_path / "evil.pkl", tmp_path / "touched"
    content = np.array([Evil(open, str(touched), "w")], dtype=object)
    path.write_bytes(pickle.dumps({"model": {"a": content}}))
    with pytest.raises(UnsafePickle):
        read_tensors(path)
    np.savez(tmp_path / "evil.npz", a=content)
    with pytest.raises(FileError, match="Object arrays"):
        read_tensors(tmp_path / "evil.npz")
    assert not touched.exists()


CUT_HEADER = b"\x10\0\0\0\0\0\0\0{cut"


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x80\x04cut", CUT_HEADER, b"PK\x03\x04"])
def test_something_else_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises((FileError, UnsafePickle), match=r"model\.bin"):
        read_tensors(path)


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values: np.ndarray, old: bool, packed: bool = True) -> bytes:
    """As caffe.proto has it, written by hand."""
    if old:
        sizes = (1,) * (4 - values.ndim) + values.shape
        shape = b"".join(varint(number << 3) + varint(size) for number, size in enumerate(sizes, 1))
    else:
        shape = field(7, field(1, b"".join(varint(size) for size in values.shape)))
    flat = values.astype("<f4")
    if packed:
        return shape + field(5, flat.tobytes())
    return shape + b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in flat.ravel())


@pytest.mark.parametrize(("old", "packed"), [(True, True), (False, True), (True, False)])
def test_caffemodels_of_both_versions(tmp_path: Path, old: bool, packed: bool) -> None:
    convolution = np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(np.float32)
    connected = np.random.default_rng(1).normal(size=(300, 2)).astype(np.float32)
    bias = np.arange(4, dtype=np.float32)
    name, blobs, layers = (4, 6, 2) if old else (1, 7, 100)
    kind = varint(5 << 3) + varint(4) if old else field(2, b"Convolution")
    content = field(1, b"CaffeNet")
    for layer, arrays in (("data", []), ("conv1", [convolution, bias]), ("fc6", [connected])):
        inside = b"".join(field(blobs, blob(array, old, packed)) for array in arrays)
        content += field(layers, field(name, layer.encode()) + kind + inside)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    found = read_tensors(path)
    assert list(found) == ["conv1.weight", "conv1.bias", "fc6.weight"]
    assert np.array_equal(found["conv1.weight"], convolution)
    assert np.array_equal(found["conv1.bias"], bias)
    assert np.array_equal(found["fc6.weight"], connected)
    for cut in (len(content) - 1, len(content) // 2, 3):
        path.write_bytes(content[:cut])
        with pytest.raises(FileError, match=r"net.caffemodel: not a file of weights, or cut off"):
            read_tensors(path)


def test_a_blob_that_lies_about_its_size() -> None:
    lying = field(7, field(1, varint(9))) + field(5, np.zeros(4, "<f4").tobytes())
    with pytest.raises(caffemodel.CaffeError, match="a blob of 4 numbers has the shape"):
        caffemodel.read_blobs(field(100, field(1, b"conv1") + field(7, lying)))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_that_runs_something_is_refused_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    path, touched = tmp_path / "evil.pth", tmp_path / "touched"
    for evil, asked in ((Evil(open, str(touched), "w"), "open"), (torch.nn.Linear(2, 2), "torch.nn.modules")):
        torch.save({"model": evil}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(UnsafePickle, match=rf"evil.pth: not read, because it calls [\w.]*{asked}") as told:
            read_tensors(path)
        assert "weights_only" not in str(told.value)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("content", "says"), [(b"<!DOCTYPE html>", "is a web page"), (b"\n<html>", "is a web page"), (b"", "is empty")]
)
@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".safetensors", ".caffemodel"])
def test_what_arrives_in_place_of_weights(tmp_path: Path, content: bytes, says: str, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(FileError, match=says):
        read_tensors(path)


def hold_itself() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["layer"] = content
    return content


def nest_itself() -> dict[str, Any]:
    content: dict[str, Any] = {"a": ARRAYS}
    content["model"] = content
    return content


def share(levels: int) -> dict[str, Any]:
    """Two references to the same dict at each level: 2 ** levels values in a file of a kilobyte."""
    content: dict[str, Any] = dict(ARRAYS)
    for _ in range(levels):
        content = {"x": content, "y": content}
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (hold_itself(), "a dict in it holds itself"),
        (nest_itself(), "a dict in it holds itself"),
        (share(60), "it holds more than 100,000 values"),
    ],
    ids=["cyclic", "cyclic below a known key", "shared"],
)
def test_containers_that_would_loop_for_ever_are_refused(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(content, 2))
    with pytest.raises(FileError, match=f"{path.name}: {message}"):
        read_tensors(path)


def test_dicts_that_share_a_few_tensors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(share(2), 2))
    assert len(read_tensors(path)) == 4 * len(ARRAYS)


@pytest.mark.parametrize("name", ["model.pth", "model.npz"])
def test_flipped_bytes_of_tensors_are_noticed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    values = torch.linspace(1, 2, 1000)
    torch.save({"a": values}, path) if name.endswith("pth") else np.savez(path, a=values.numpy())
    content = path.read_bytes()
    start = content.index(values.numpy().tobytes())
    for position in range(start, start + 4000, 97):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        with pytest.raises(FileError, match=r"is damaged: Bad CRC-32"):
            read_tensors(path)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_of_the_old_format_are_refused_or_read_as_by_torch(tmp_path: Path, seed: int) -> None:
    """torch raises AssertionError, IndexError, TypeError, struct.error: whatever it meets."""
    path, chance = tmp_path / "model.pth", random.Random(seed)
    torch.save({"a": torch.zeros(3, 4), "b": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    for _ in range(3):
        del content[(start := chance.randrange(len(content))) : start + chance.choice((1, 2, 8))]
    path.write_bytes(content)
    try:
        tensors = read_tensors(path)
    except (FileError, UnsafePickle):
        return
    expected = torch.load(path, weights_only=True)
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
