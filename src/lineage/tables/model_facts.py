"""Facts about one option of conf/model: its paper, its idea, its size, what others published for it, what it learns.

They stand in experiments/models/<option>.yaml, one file per option:

    paper: arXiv:1612.03144
    family: {year: 2017, name: "Faster R-CNN, FPN", from: faster_rcnn_c4, idea: "a feature pyramid: small objects on \
             fine maps"}             # its place in the family tree of the site; `from` is the model that it grew from
    variants:                        # the sizes that others published
    - name: Faster R-CNN, R50-FPN
      with: backbone=resnet50        # choices beside model=<option>
      paper: arXiv:...               # if not the paper above
      benchmark: VOC 2007 test, mAP  # if not COCO val2017
      parameters: 41699936           # measured by `lineage models --write`, and again by tests/tables/test_models.py
      counted: {torchvision: 41755286}             # by others; the test has the rule of each
      published: {paper: "33.9", torchvision: "37.0"}  # box AP, then mask or keypoint AP after a slash
      parity: "which test holds it to another code base, or to its paper's equations"
    learning:                        # a minute on the embedded dataset: tests/train/test_learning.py
      with: refit_images=100         # choices beside those of the test
      box/AP50: {untrained: 0.1, reached: 25.3, floor: 12.7}  # the floor is half way between the two

An option without this file is new: it trains, and is listed as not measured; all tests pass without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lineage.results import paths
from lineage.tables.yaml_node import Node, read_node

FOLDER = "models"  # in experiments/; the other folders there hold tables
CODEBASES = ("paper", "Detectron", "detectron2", "mmdetection", "torchvision")
COCO = "COCO val2017"
UNKNOWN = "-"
ARXIV = re.compile(r"arXiv:\d{4}\.\d{4,5}")
NEW_FILE = """\
paper: {paper}
variants:
- name: {option}
  parameters: 0
  parity: "-"
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of a model, as somebody published it."""

    name: str
    choices: str  # overrides of train.py
    paper: str
    parameters: int
    parity: str
    benchmark: str = COCO
    published: dict[str, str] = field(default_factory=dict)  # code base -> box AP / mask or keypoint AP
    counted: dict[str, float] = field(default_factory=dict)  # source -> parameters, by the source's rule


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric of a short training on the embedded dataset, in percent."""

    untrained: float  # with random weights
    reached: float  # from seed 0
    floor: float


@dataclass(frozen=True, slots=True)
class Learning:
    """The short training that tests/train/test_learning.py repeats."""

    choices: str  # overrides of train.py beside the test's own
    measures: dict[str, Measure]


@dataclass(frozen=True, slots=True)
class Family:
    """The place of a model in the family tree."""

    year: int
    name: str
    idea: str  # that it added
    parent: str  # option of conf/model that it grew from; "" if it begins a family


@dataclass(frozen=True, slots=True)
class ModelFacts:
    option: str  # of conf/model
    paper: str
    variants: list[Variant]
    learning: Learning | None
    family: Family | None


def find_files(experiments: Path) -> dict[str, Path]:
    """Return the file of each option that has one; the shipped folder lies below the project's own."""
    roots = [shipped, experiments] if (shipped := paths.lower_experiments(experiments)) else [experiments]
    return {path.stem: path for root in roots for path in sorted((root / FOLDER).glob("*.yaml"))}


def load(experiments: Path) -> list[ModelFacts]:
    """Return the facts of all measured options, in the order of their papers; raise TableError for a wrong file."""
    return sorted(map(read_facts, find_files(experiments).values()), key=lambda facts: (facts.paper, facts.option))


def find_unmeasured(experiments: Path, configs: Iterable[Path]) -> dict[str, Path]:
    """Return option -> config file of the models of these conf folders that have no facts."""
    options = {path.stem: path for conf in configs for path in (conf / "model").glob("*.yaml")}
    return {option: options[option] for option in sorted(options.keys() - find_files(experiments).keys())}


def create(experiments: Path, config: Path) -> Path:
    """Write the first facts of a model; its paper is the first that its config file names."""
    paper = ARXIV.search(config.read_text(encoding="utf-8"))
    path = experiments / FOLDER / config.name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = NEW_FILE.format(option=config.stem, paper=paper[0] if paper else f'"{UNKNOWN}"')
    path.write_text(text, encoding="utf-8")
    return path


def write_parameters(path: Path, counts: Iterable[int]) -> None:
    """Replace the `parameters` of each variant, in the order of the file."""
    remaining, text = iter(counts), path.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^  parameters: \d+$", lambda _: f"  parameters: {next(remaining)}", text)
    path.write_text(text, encoding="utf-8")


def read_facts(path: Path) -> ModelFacts:
    node = read_node(path).check_keys(("paper", "family", "variants", "learning"), ("paper", "variants"))
    option, paper = path.stem, node.text("paper")
    variants = [_read_variant(variant, option, paper) for variant in node.mappings("variants")]
    learning = _read_learning(node.mapping("learning")) if "learning" in node.record else None
    family = _read_family(node.mapping("family")) if "family" in node.record else None
    return ModelFacts(option, paper, variants, learning, family)


def _read_family(node: Node) -> Family:
    node.check_keys(("year", "name", "idea", "from"), ("year", "name", "idea"))
    return Family(node.count("year"), node.text("name"), node.text("idea"), node.text("from"))


def _read_variant(node: Node, option: str, paper: str) -> Variant:
    allowed = ("name", "with", "paper", "benchmark", "parameters", "counted", "published", "parity")
    node.check_keys(allowed, ("name", "parity"))
    node.mapping("published").check_keys(CODEBASES)
    counted = node.mapping("counted")
    return Variant(
        name=node.text("name"),
        choices=f"model={option} {node.text('with')}".rstrip(),
        paper=node.text("paper", paper),
        parameters=node.count("parameters"),
        parity=node.text("parity"),
        benchmark=node.text("benchmark", COCO),
        published=node.text_map("published"),
        counted={source: counted.number(source) for source in counted.record},
    )


def _read_learning(node: Node) -> Learning:
    metrics = [metric for metric in node.record if metric != "with"]
    fields = ("untrained", "reached", "floor")
    measures = {metric: node.mapping(metric).check_keys(fields, fields) for metric in metrics}
    return Learning(
        node.text("with"),
        {metric: Measure(*(values.number(name) for name in fields)) for metric, values in measures.items()},
    )
