"""`lineage models`: every model of this project. `--write` adds new ones, measures all, writes docs/models.md."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

from lineage.results import paths
from lineage.tables import model_list

PAGE = Path("docs", "models.md")
PREFACE = """
# Models

Written by `lineage models --write` from experiments/models.yaml; do not edit it here.

Train one with `python train.py CHOICES dataset=coco dataset.root=DIR`, or on the embedded dataset with
`python train.py model=NAME`. Published numbers are box AP, then mask or keypoint AP; in brackets the longer schedule
(2x of Detectron, 3x of detectron2). Sources: Detectron's MODEL_ZOO.md and projects/GN, detectron2's MODEL_ZOO.md and
projects/PointRend, mmdetection 3.3's metafiles (1x), the metadata of torchvision 0.29's weights, and the papers.
What others count differs by a rule each: torchvision has 91 classes and codes and masks of background, mmdetection
leaves out frozen layers and counts batch norms, DETR's table (arXiv:2005.12872) counts as here. Ours equal all of them
under their rules. Parity says which test holds the model to another code base, or to its paper's equations.

Every option of conf/model exports to ONNX and to torch.export: `lineage export` keeps a file only if ONNX Runtime, or
torch, finds in it what the model does. Tried at tier mini with random weights; tests/export/test_commands.py repeats it
for each option in ONNX and one of each family in torch.export.
"""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage models", description=__doc__)
    parser.add_argument("--write", action="store_true", help="measure again, and write docs/models.md")
    parser.add_argument("--markdown", action="store_true", help="print what docs/models.md holds")
    args = parser.parse_args(argv)
    experiments = paths.experiments()
    if args.write:
        write(experiments, paths.project() / PAGE)
        return 0
    known = model_list.load(experiments)
    print(
        model_list.markdown(known, PREFACE) if args.markdown else model_list.text(known), end="\n" * (not args.markdown)
    )
    return 0


ARXIV = re.compile(r"arXiv:\d{4}\.\d{4,5}")
ROW = """
- name: {name}
  with: model={name}
  paper: {paper}
  parameters: 0
  parity: "-"
"""


def unlisted(experiments: Path, conf: Path) -> list[str]:
    """Options of conf/model that no row of the table has."""
    listed = {word for model in model_list.load(experiments) for word in model.choices.split()}
    return sorted(path.stem for path in conf.glob("*.yaml") if f"model={path.stem}" not in listed)


def add(experiments: Path, conf: Path) -> None:
    """A row for each model that has none; the paper is the first its config names."""
    for name in unlisted(experiments, conf):
        found = ARXIV.search((conf / f"{name}.yaml").read_text(encoding="utf-8"))
        if found is None:
            raise model_list.TableError(f"{conf / name}.yaml names no paper (arXiv:...) in its first lines")
        with (experiments / model_list.FILE).open("a", encoding="utf-8") as file:
            file.write(ROW.format(name=name, paper=found[0])[1:])


def write(experiments: Path, page: Path) -> None:
    add(experiments, experiments.parent / "conf" / "model")
    path = experiments / model_list.FILE
    sizes = iter([parameters(model.choices.split()) for model in model_list.load(experiments)])
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(?m)^  parameters: \d+$", lambda _: f"  parameters: {next(sizes)}", text))
    page.write_text(model_list.markdown(model_list.load(experiments), PREFACE), encoding="utf-8")
    print(page)


def parameters(choices: Iterable[str]) -> int:
    """Built on the meta device: shapes without memory. 80 classes unless the choices say otherwise."""
    import torch

    from lineage.config.build import build
    from lineage.run.restore import composed

    config = composed(["tier=paper", "dataset.classes=80", "backbone.weights=later", *choices])
    with torch.device("meta"):
        return sum(one.numel() for one in build(config.model).parameters())
