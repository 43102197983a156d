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
EVERYTHING = ("lineage",)

# The longest name that fits a module is its layer.
LAYERS = {
    "lineage": Layer(()),
    "lineage.structures": Layer((), TORCH),
    "lineage.ops": Layer(("lineage.structures", "lineage.ops"), (*TORCH, "triton")),
    "lineage.models": Layer(("lineage.structures", "lineage.ops", "lineage.models"), TORCH),
    "lineage.data": Layer(("lineage.structures", "lineage.ops", "lineage.data"), (*PIXELS, "pycocotools", "yaml")),
    "lineage.data.check": Layer(("lineage.structures", "lineage.ops", "lineage.data"), (*PIXELS, "pycocotools", "rich")),
    "lineage.data.module": Layer(
        ("lineage.structures", "lineage.ops", "lineage.data", "lineage.config"), ("pytorch_lightning", *TORCH)
    ),
    "lineage.eval": Layer(
        ("lineage.structures", "lineage.ops", "lineage.eval"), (*PIXELS, "pycocotools", "hotcoco", "yaml")
    ),
    "lineage.train": Layer(
        ("lineage.structures", "lineage.ops", "lineage.eval", "lineage.tables", "lineage.train"),
        ("numpy", "pytorch_lightning", "rich", *TORCH),
    ),
    "lineage.tables": Layer(("lineage.tables",), ("yaml",)),
    "lineage.report": Layer(
        ("lineage.structures", "lineage.ops", "lineage.eval", "lineage.tables", "lineage.report"), PIXELS
    ),
    "lineage.zoo": Layer(("lineage.structures", "lineage.models", "lineage.zoo"), TORCH),
    "lineage.config": Layer((), ("hydra", "omegaconf")),
    "lineage.compose": Layer(("lineage.config", "lineage.tables"), ("hydra", "omegaconf")),
    "lineage.usage": Layer(()),
    "lineage.doctor": Layer(("lineage.tables",), ("rich", *TORCH)),
    "lineage.build": Layer(EVERYTHING, ("hydra", "omegaconf", "pytorch_lightning", *PIXELS)),
    "lineage.resume": Layer(EVERYTHING, ("omegaconf",)),
    "lineage.outcome": Layer(EVERYTHING, ("rich", *TORCH)),
    "lineage.run": Layer(EVERYTHING, ("hydra", "omegaconf", "pytorch_lightning", "rich", "yaml", *TORCH)),
    "lineage.cli": Layer(EVERYTHING, ("hydra", "omegaconf", "rich", "yaml")),
    "hydra_plugins.lineage": Layer(("lineage.tables", "lineage.config"), ("hydra", "omegaconf", "yaml")),
}
MAY_IMPORT_RUN = ("lineage.run", "lineage.cli")


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
        ("models/rpn.py", "from lineage import data", "lineage.data"),
        ("models/rpn.py", "def late():\n    from omegaconf import DictConfig", "omegaconf"),
        ("models/rpn.py", "from ..data.coco import Coco", "lineage.data.coco"),
        ("data/coco.py", "from lineage.models.rpn import RPN", "lineage.models.rpn"),
        ("data/coco.py", "import pytorch_lightning.utilities", "pytorch_lightning"),
        ("tables/store.py", "import torch", "torch"),
        ("train/module.py", "import wandb", "wandb"),
        ("build.py", "from lineage.run import run", "lineage.run"),
        ("structures.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import hydra", "hydra"),
    ],
)
def test_an_upward_import_is_reported(module: str, source: str, name: str) -> None:
    (line,) = violations(SOURCES / "lineage" / module, source)
    assert f"{module}:" in line
    assert f"imports {name}" in line
    assert "may import" in line


def test_imports_for_annotations_are_free() -> None:
    source = "if TYPE_CHECKING:\n    from lineage.models.rpn import RPN\nimport lineage.structures"
    assert not violations(SOURCES / "lineage" / "data" / "coco.py", source)


def violations(path: Path, source: str) -> list[str]:
    """One line per import that its layer does not allow, with what would be right."""
    module = module_name(path)
    layer = max((name for name in LAYERS if inside(module, name)), key=len)
    if layer == "lineage" and module != "lineage":
        return [f"{path}: {module} belongs to no layer; add it to LAYERS here and to docs/architecture.md"]
    return [
        f"{path}:{line} imports {name}; {layer} may import {', '.join(LAYERS[layer].ours + LAYERS[layer].outside)}"
        for line, name in imports(ast.parse(source), package_of(path, module))
        if not allowed(module, layer, name)
    ]


def allowed(module: str, layer: str, name: str) -> bool:
    if inside(name, "lineage.run") and module not in MAY_IMPORT_RUN:
        return False
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
