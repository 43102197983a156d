"""Who may import whom: the arrows of docs/architecture.md, read from the sources with `ast`.

A layer that imports upwards turns every later change into a change of everything. Imports under `if TYPE_CHECKING` are
free: they name a type and load nothing.
"""

from __future__ import annotations

import ast
import contextlib
import re
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
COLLECTION = "lineage.results.garbage_collection"
GROUND = ("lineage.structures", "lineage.ops")
ATOMIC = "lineage.results.atomic"
DATA = (*GROUND, "lineage.data", ATOMIC, COLLECTION)
BELOW_CLI = tuple(
    f"lineage.{name}"
    for name in ("structures", "ops", "weights", "models", "data", "eval", "calibration", "results", "tables", "config",
                 "launch", "train", "report", "explain", "run")
)  # fmt: skip

# The longest name that fits a module is its layer.
LAYERS = {
    "lineage.structures": Layer((), TORCH),
    "lineage.ops": Layer(GROUND, (*TORCH, "triton")),
    "lineage.weights": Layer(
        ("lineage.weights", ATOMIC, "lineage.results.file_digest"), ("numpy", "safetensors", *TORCH)
    ),
    "lineage.models": Layer((*GROUND, "lineage.models", "lineage.weights"), TORCH),
    "lineage.models.export": Layer((*GROUND, "lineage.models"), ("onnx", "onnxruntime", "onnxscript", *PIXELS)),
    "lineage.models.roi_heads.svm": Layer((*GROUND, "lineage.models"), ("numpy", "sklearn", *TORCH)),
    "lineage.data": Layer(DATA, (*PIXELS, "cv2", "pycocotools", "msgspec", "yaml")),
    "lineage.data.download": Layer(
        (*DATA, "lineage.results.overrides", "lineage.results.paths", "lineage.weights.download")
    ),
    "lineage.data.datamodule": Layer((*DATA, "lineage.config.schema"), ("pytorch_lightning", *TORCH)),
    "lineage.data.proposals.file": Layer(
        (*DATA, "lineage.weights.arrays", "lineage.weights.safe_pickle"), ("numpy", "scipy", *TORCH)
    ),
    "lineage.data.proposals.selective_search": Layer(DATA, ("cv2", "numpy")),
    "lineage.eval": Layer(
        (*GROUND, "lineage.eval", ATOMIC, COLLECTION), (*PIXELS, "cv2", "pycocotools", "hotcoco", "yaml")
    ),
    "lineage.calibration": Layer(("lineage.calibration", "lineage.eval", ATOMIC), ("numpy",)),
    "lineage.calibration.evaluator": Layer(("lineage.calibration", "lineage.eval", "lineage.structures"), ("numpy",)),
    "lineage.results": Layer(("lineage.results",), ("yaml",)),
    "lineage.tables": Layer(("lineage.tables", "lineage.results"), ("yaml",)),
    "lineage.config": Layer(("lineage.config", "lineage.tables", "lineage.results"), ("hydra", "omegaconf", "yaml")),
    "lineage.launch": Layer(
        ("lineage.launch", "lineage.config", "lineage.tables", "lineage.results"), ("hydra", "omegaconf", "yaml")
    ),
    "lineage.train": Layer(
        (*GROUND, "lineage.eval", "lineage.results", "lineage.train"), ("numpy", "pytorch_lightning", "rich", *TORCH)
    ),
    "lineage.train.trackers": Layer(("lineage.train.trackers", "lineage.results.run_folder"), ("pytorch_lightning",)),
    "lineage.train.trackers.wandb_logger": Layer(("lineage.train.trackers",), ("pytorch_lightning", "wandb")),
    "lineage.train.trackers.local_stores": Layer((), ("trackio",)),
    "lineage.train.trackers.tensorboard_logger": Layer(
        ("lineage.train.trackers",), ("PIL", "numpy", "pytorch_lightning", "torch")
    ),
    "lineage.report": Layer(
        (*GROUND, "lineage.data.samples", "lineage.eval", "lineage.results", "lineage.tables", "lineage.report"), PIXELS
    ),
    "lineage.report.site": Layer(
        ("lineage.data.samples", "lineage.eval", "lineage.results", "lineage.tables", "lineage.report"),
        ("cv2", "yaml", *PIXELS),
    ),
    "lineage.report.site.upload": Layer(("lineage.report.site", "lineage.report.draw"), ("PIL",)),
    "lineage.report.site.upload.wandb_upload": Layer(("lineage.report.site",), ("wandb",)),
    "lineage.report.site.upload.mlflow_upload": Layer(("lineage.report.site",), ("mlflow",)),
    "lineage.report.site.upload.tensorboard_upload": Layer(("lineage.report.site",), ("numpy", "torch")),
    "lineage.report.image_sources": Layer(
        ("lineage.report", "lineage.data.samples.image", "lineage.data.samples.video"), ("numpy", "PIL")
    ),
    "lineage.explain": Layer(
        (*GROUND, "lineage.models", "lineage.eval", "lineage.report.draw", "lineage.explain"), PIXELS
    ),
    "lineage.run": Layer(BELOW_CLI, ("hydra", "omegaconf", "pytorch_lightning", "rich", "yaml", *TORCH)),
    "lineage.run.finetune": Layer(BELOW_CLI, ("numpy", "omegaconf", *TORCH)),
    "lineage.cli": Layer((*BELOW_CLI, "lineage.cli"), ("hydra", "omegaconf", "rich", "safetensors", "yaml", *PIXELS)),
    "hydra_plugins.lineage": Layer(
        ("lineage.results", "lineage.tables", "lineage.config.schema", "lineage.launch.parallel"),
        ("hydra", "omegaconf", "yaml"),
    ),
}
GROUPS = ("data", "eval", "models", "tables", "weights")  # packages whose folders are layers of their own


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


def test_every_package_says_what_lives_there_and_what_to_read_first() -> None:
    for path in sorted((SOURCES / "lineage").rglob("__init__.py")):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert text, f"{path}: a docstring says what lives here and what to read first"
        missing = [name for name in re.findall(r"[\w/]+\.py", text) if not found_near(path.parent, name)]
        assert not missing, f"{path}: there is no {', '.join(missing)}"


def found_near(folder: Path, name: str) -> bool:
    return (folder / name).is_file() or (SOURCES / "lineage" / name).is_file()


def test_the_project_has_few_packages_with_few_files() -> None:
    """A newcomer sees all of a folder at once."""
    package = SOURCES / "lineage"
    names = [path.name for path in package.iterdir() if not path.name.startswith("__")]
    assert len(names) <= 16, f"{len(names)} names in src/lineage, at most 16: {', '.join(sorted(names))}"
    for folder in {path.parent for path in package.rglob("*.py")}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 22, f"{folder} has {len(files)} files, at most 22: make a folder of some of them"


def test_no_arrow_between_packages_runs_back_up() -> None:
    """Neither the packages nor the folders in them import each other in a circle."""
    edges = import_graph()
    for place_of in (top_package, folder_of):
        graph: dict[str, set[str]] = {}
        for module, imported in edges.items():
            graph.setdefault(place_of(module), set()).update(map(place_of, imported))
        with contextlib.suppress(StopIteration):
            cycle = next(filter(None, (path_back(graph, start) for start in sorted(graph))))
            raise AssertionError(f"packages import each other in a circle: {' -> '.join(cycle)}")


def import_graph() -> dict[str, set[str]]:
    """Module -> modules of ours that it imports, late imports included."""
    paths = {module_name(path): path for path in (SOURCES / "lineage").rglob("*.py")}
    graph = {}
    for module, path in paths.items():
        names = {name for name in named_imports(ast.parse(path.read_text()), package_of(path, module))}
        ours = {name for name in names if inside(name, "lineage")}
        graph[module] = {name if name in paths else name.rpartition(".")[0] for name in ours}
    return graph


def named_imports(tree: ast.Module, package: str) -> Iterator[str]:
    """As `imports`, but `from a import b` names a.b as well."""
    yield from (name for _, name in imports(tree, package))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and not under_type_checking(tree, node):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def under_type_checking(tree: ast.Module, node: ast.AST) -> bool:
    tests = [one for one in ast.walk(tree) if isinstance(one, ast.If) and "TYPE_CHECKING" in ast.unparse(one.test)]
    return any(node in ast.walk(statement) for test in tests for statement in test.body)


def top_package(module: str) -> str:
    return ".".join(module.split(".")[:2])


def folder_of(module: str) -> str:
    """The folder of a module in a package of GROUPS; a file beside these folders stands for itself."""
    parts = module.split(".")
    return ".".join(parts[:3]) if len(parts) > 2 and parts[1] in GROUPS else ".".join(parts[:2])


def path_back(graph: dict[str, set[str]], start: str) -> list[str] | None:
    """A path from `start` to itself through other packages, or None."""
    pending, before = [start], {start: ""}
    while pending:
        package = pending.pop()
        for other in graph.get(package, set()) - {package}:
            if other == start:
                path = [start, package]
                while before[package]:
                    package = before[package]
                    path.append(package)
                return path[::-1]
            if other not in before:
                before[other] = package
                pending.append(other)
    return None


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
