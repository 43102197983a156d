"""Who may import whom: the arrows of docs/architecture.md, read from the sources with `ast`.

A layer that imports upwards turns every later change into a change of everything. Imports under `if TYPE_CHECKING` are
free: they name a type and load nothing.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCES = Path(__file__).parents[1] / "src"


class Layer(NamedTuple):
    ours: tuple[str, ...]  # what it may import of this project, itself included
    outside: tuple[str, ...] = ()  # what it may import beyond the standard library


TORCH = ("torch", "torchvision")
PIXELS = ("numpy", "PIL", *TORCH)
GROUND = ("lineage.structures", "lineage.ops")
DATA = (*GROUND, "lineage.data")
BELOW_CLI = tuple(
    f"lineage.{name}"
    for name in ("structures", "ops", "weights", "models", "data", "eval", "results", "tables", "config", "launch",
                 "train", "report", "run")
)  # fmt: skip

# The longest name that fits a module is its layer.
LAYERS = {
    "lineage.structures": Layer((), TORCH),
    "lineage.ops": Layer(GROUND, (*TORCH, "triton")),
    "lineage.weights": Layer(("lineage.weights",), ("numpy", "safetensors", *TORCH)),
    "lineage.models": Layer((*GROUND, "lineage.models", "lineage.weights"), TORCH),
    "lineage.models.export": Layer((*GROUND, "lineage.models"), ("onnx", "onnxruntime", "onnxscript", *PIXELS)),
    "lineage.models.roi_heads.svm": Layer((*GROUND, "lineage.models"), ("numpy", "sklearn", *TORCH)),
    "lineage.data": Layer(DATA, (*PIXELS, "cv2", "pycocotools", "yaml")),
    "lineage.data.annotations.validate": Layer(DATA, (*PIXELS, "pycocotools", "rich")),
    "lineage.data.download": Layer((*DATA, "lineage.weights.download")),
    "lineage.data.datamodule": Layer((*DATA, "lineage.config.schema"), ("pytorch_lightning", *TORCH)),
    "lineage.data.proposals": Layer((*DATA, "lineage.weights.safe_pickle"), ("numpy", "scipy", *TORCH)),
    "lineage.data.selective_search": Layer(DATA, ("cv2", "numpy")),
    "lineage.eval": Layer((*GROUND, "lineage.eval"), (*PIXELS, "cv2", "pycocotools", "hotcoco", "yaml")),
    "lineage.results": Layer(("lineage.results",), ("yaml",)),
    "lineage.tables": Layer(("lineage.tables", "lineage.results"), ("yaml",)),
    "lineage.config": Layer(("lineage.config", "lineage.tables", "lineage.results"), ("hydra", "omegaconf", "yaml")),
    "lineage.launch": Layer(
        ("lineage.launch", "lineage.config", "lineage.tables", "lineage.results"), ("hydra", "omegaconf", "yaml")
    ),
    "lineage.train": Layer(
        (*GROUND, "lineage.eval", "lineage.results", "lineage.train"), ("numpy", "pytorch_lightning", "rich", *TORCH)
    ),
    "lineage.report": Layer(
        (*GROUND, "lineage.data.samples", "lineage.eval", "lineage.results", "lineage.tables", "lineage.report"), PIXELS
    ),
    "lineage.report.image_sources": Layer(("lineage.report", "lineage.data.samples.image"), ("cv2", "numpy", "PIL")),
    "lineage.run": Layer(BELOW_CLI, ("hydra", "omegaconf", "pytorch_lightning", "rich", "yaml", *TORCH)),
    "lineage.cli": Layer((*BELOW_CLI, "lineage.cli"), ("hydra", "omegaconf", "rich", "safetensors", "yaml", *PIXELS)),
    "lineage.cli.export": Layer(BELOW_CLI, ("hydra", "omegaconf", "onnxruntime", *PIXELS)),
    "hydra_plugins.lineage": Layer(
        ("lineage.results", "lineage.tables", "lineage.config.schema", "lineage.launch.child_process"),
        ("hydra", "omegaconf", "yaml"),
    ),
}
GROUPS = ("data", "eval", "models", "tables", "weights")  # packages whose folders are rooms of their own


def test_every_import_keeps_to_its_layer() -> None:
    broken = [line for path in sorted(SOURCES.rglob("*.py")) for line in violations(path, path.read_text())]
    assert not broken, "\n" + "\n".join(broken)


def test_tables_load_neither_torch_nor_hydra() -> None:
    modules = [module_name(path) for path in (SOURCES / "lineage" / "tables").glob("*.py")]
    code = f"import sys, {', '.join(modules)}; print(*{{'torch', 'hydra', 'numpy', 'rich'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip(), f"`lineage table` must start at once, but lineage.tables loads {done.stdout}"


@pytest.mark.parametrize(
    ("module", "source", "name"),
    [
        ("ops/nms.py", "import pytorch_lightning as pl", "pytorch_lightning"),
        ("ops/nms.py", "from lineage.models import rpn", "lineage.models"),
        ("models/proposals/rpn.py", "from lineage import data", "lineage.data"),
        ("models/proposals/rpn.py", "def late():\n    from omegaconf import DictConfig", "omegaconf"),
        ("models/proposals/rpn.py", "from ...data.formats.coco import Coco", "lineage.data.formats.coco"),
        ("data/formats/coco.py", "from lineage.models.proposals.rpn import RPN", "lineage.models.proposals.rpn"),
        ("data/formats/coco.py", "import pytorch_lightning.utilities", "pytorch_lightning"),
        ("results/store.py", "import torch", "torch"),
        ("train/detection_module.py", "import wandb", "wandb"),
        ("run/assemble.py", "from lineage.cli.report import main", "lineage.cli.report"),
        ("structures.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import hydra", "hydra"),
    ],
)
def test_an_upward_import_is_reported(module: str, source: str, name: str) -> None:
    (line,) = violations(SOURCES / "lineage" / module, source)
    assert f"{module}:" in line
    assert f"imports {name}" in line
    assert "may import" in line


def test_a_new_package_must_choose_its_layer() -> None:
    (line,) = violations(SOURCES / "lineage" / "novel" / "idea.py", "import torch")
    assert "belongs to no layer" in line


def test_imports_for_annotations_are_free() -> None:
    source = "if TYPE_CHECKING:\n    from lineage.models.proposals.rpn import RPN\nimport lineage.structures"
    assert not violations(SOURCES / "lineage" / "data" / "coco.py", source)


def violations(path: Path, source: str) -> list[str]:
    """One line per import that its layer does not allow, with what would be right."""
    module = module_name(path)
    layer = max((name for name in LAYERS if inside(module, name)), key=len, default="")
    if not layer:
        if module == "lineage":
            return []
        return [f"{path}: {module} belongs to no layer; add its package to LAYERS here and to docs/architecture.md"]
    return [
        f"{path}:{line} imports {name}; {layer} may import {', '.join(LAYERS[layer].ours + LAYERS[layer].outside)}"
        for line, name in imports(ast.parse(source), package_of(path, module))
        if not allowed(module, layer, name)
    ]


def allowed(module: str, layer: str, name: str) -> bool:
    if inside(name, "lineage") or inside(name, "hydra_plugins"):
        return name == "lineage" or any(inside(name, ours) for ours in LAYERS[layer].ours)
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top in LAYERS[layer].outside


def imports(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import that runs, wherever it stands."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending.extend(node.orelse)
            continue
        pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, name) for name in imported_from(node, package))


def imported_from(node: ast.ImportFrom, package: str) -> list[str]:
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1] if node.level else []
    module = ".".join([*above, *([node.module] if node.module else [])])
    # `from lineage import ops` names a package, `from lineage.ops import nms` already has named it.
    return [f"{module}.{alias.name}" for alias in node.names] if module == "lineage" else [module]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")


def package_of(path: Path, module: str) -> str:
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
