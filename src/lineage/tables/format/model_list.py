"""All models in one table: docs/models.md, and the shorter list that `lineage models` prints."""

from __future__ import annotations

from collections.abc import Sequence

from lineage.tables.model_facts import CODEBASES, ModelFacts, Variant

COLUMNS = (
    "model", "choices", "paper", "parameters", "counted by others", "benchmark",
    *(f"AP {name}" for name in CODEBASES), "parity",
)  # fmt: skip
NEW = "new"  # stands in place of the size of a model that is not measured
PREFACE = """
# Models

Written by `lineage models --write` from experiments/models; do not edit it here.

Train one with `python train.py CHOICES dataset=coco dataset.root=DIR`, or on the embedded dataset with
`python train.py model=NAME`. Published numbers are box AP, then mask or keypoint AP; in brackets the longer schedule
(2x of Detectron, 3x of detectron2). Sources: Detectron's MODEL_ZOO.md and projects/GN, detectron2's MODEL_ZOO.md and
projects/PointRend, mmdetection 3.3's metafiles (1x), the metadata of torchvision 0.29's weights, and the papers.
What others count differs by a rule each: torchvision has 91 classes and codes and masks of background, mmdetection
leaves out frozen layers and counts batch norms, DETR's table (arXiv:2005.12872) counts as here. Ours equal all of them
under their rules. Parity says which test holds the model to another code base, or to its paper's equations.

Every option of conf/model exports to ONNX and to torch.export: `lineage export` keeps a file only if ONNX Runtime, or
torch, finds in it what the model does. Tried at tier mini with random weights; tests/export/test_export.py repeats it
for each option in ONNX and one of each family in torch.export.
"""


def markdown(facts: Sequence[ModelFacts]) -> str:
    """Return the page docs/models.md."""
    lines = [PREFACE.strip(), "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line(cells(variant)) for model in facts for variant in model.variants]
    return "\n".join(lines) + "\n"


def cells(variant: Variant) -> list[str]:
    """Return the cells of a variant, in the order of COLUMNS."""
    counted = ", ".join(f"{source} {count / 1e6:.4g} M" for source, count in variant.counted.items())
    published = [variant.published.get(name, "") for name in CODEBASES]
    return [variant.name, f"`{variant.choices}`", _link(variant.paper), _size(variant), counted, variant.benchmark,
            *published, variant.parity]  # fmt: skip


def text(facts: Sequence[ModelFacts], unmeasured: Sequence[str]) -> str:
    """Return one line per model for a terminal: name, size and choices."""
    rows = [(variant.name, f"{_size(variant):>9}", variant.choices) for model in facts for variant in model.variants]
    rows += [(option, f"{NEW:>9}", f"model={option}") for option in unmeasured]
    width = max((len(name) for name, _, _ in rows), default=0)
    lines = [f"{name:{width}}  {size}  {choices}" for name, size, choices in rows]
    if unmeasured:
        lines.append(f"{NEW}: not measured yet; `lineage models --write` measures it")
    return "\n".join(lines)


def _size(variant: Variant) -> str:
    return f"{variant.parameters / 1e6:.2f} M"


def _link(paper: str) -> str:
    """Return a link for an arXiv id, any other text as it is."""
    number = paper.removeprefix("arXiv:")
    return f"[{paper}](https://arxiv.org/abs/{number})" if number != paper else paper


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
