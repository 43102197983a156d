"""A keypoint model has the keypoints of its dataset, from training to a result file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.data.export import coco
from lineage.data.samples.dataset import Dataset
from lineage.data.shapes.dataset import Shapes
from lineage.data.transforms.context import Context, bind_context
from lineage.ops.random import fold_in
from lineage.run.assemble import Parts, assemble
from lineage.run.resolve import fill_keypoints, resolve
from lineage.run.restore import restore
from lineage.structures import Batch
from lineage.train.detection_module import combine_losses

SHOULDERS = (5, 6)  # of COCO's 17, which figures have
FACE = (0, 1, 2, 5, 6)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Figures and discs in COCO's layout."""
    root = tmp_path_factory.mktemp("figures")
    dataset = Shapes(seed=1, length=2, size=64, only=["figure", "disc"], scales=[0.4, 0.9], objects=3.0)
    coco.write(dataset, root, "train", "png")
    return root


def write(root: Path, figure: tuple[int, ...], disc: list[str]) -> Path:
    """Write an annotation file whose figures have some of their keypoints, and whose discs have two ends."""
    content = json.loads((root / "annotations/instances_train2017.json").read_text())
    names = Shapes(seed=1, length=1).meta.keypoints
    keypoints = {"figure": [names[i] for i in figure], "disc": disc}
    for category in content["categories"]:
        category["keypoints"] = keypoints[category["name"]]
        category.pop("skeleton", None)
    figure_id = next(category["id"] for category in content["categories"] if category["name"] == "figure")
    for annotation in content["annotations"]:
        points, (x, y, width, height) = annotation["keypoints"], annotation["bbox"]
        ends = [x + 1, y + height / 2, 2, x + width - 1, y + height / 2, 2] if disc else []
        is_figure = annotation["category_id"] == figure_id
        annotation["keypoints"] = [v for i in figure for v in points[3 * i : 3 * i + 3]] if is_figure else ends
    path = root / f"{len(figure)}_{len(disc)}.json"
    path.write_text(json.dumps(content))
    return path


def overrides(root: Path, path: Path, *more: str) -> list[str]:
    files = [f"dataset.{split}.{key}={value}" for split in ("train", "val")
             for key, value in (("annotations", path), ("images", "train2017"))]  # fmt: skip
    return ["model=keypoint_rcnn", "tier=smoke", "dataset=coco", f"dataset.root={root}", "data.workers=0",
            "data.images_per_device=2", "schedule.images_per_step=2", *files, *more]  # fmt: skip


def make_batch(parts: Parts, split: str) -> Batch:
    dataset: Dataset = getattr(parts.data, split)
    transform = bind_context(getattr(parts.data.augment, split.replace("val", "test")), Context(dataset, 0, 0))
    samples = [transform(dataset[index]) for index in range(len(dataset))]
    return parts.data.augment.collate(samples, [fold_in(index) for index in range(len(samples))])


@pytest.mark.parametrize(
    ("figure", "disc"), [(SHOULDERS, []), (FACE, []), (FACE, ["end_left", "end_right"])], ids=["2", "5", "5 and 2"]
)
def test_keypoints_of_the_dataset_train_and_are_scored(
    figure: tuple[int, ...], disc: list[str], drawn: Path, tmp_path: Path
) -> None:
    count = len(figure)
    # 1. A training step.
    resolved = resolve(compose_config(overrides(drawn, write(drawn, figure, disc), "tta=flip")))
    assert resolved.recorded.dataset.keypoints == count
    parts = assemble(resolved)
    batch = make_batch(parts, "train")
    assert batch.targets.keypoints is not None
    assert batch.targets.keypoints.shape[2] == count
    losses = parts.model.losses(batch.images, batch.targets)
    assert losses["roi_keypoint"].normalizer > 0
    combine_losses(losses)[0].backward()
    # 2. Evaluation of the plain and of the mirrored view.
    parts.model.eval()
    tested = make_batch(parts, "val")
    with torch.no_grad():
        parts.module.evaluator.update(parts.module.detect(tested.images), tested)
    metrics = parts.module.evaluator.compute()
    assert 0 <= metrics["keypoint/AP"] <= 100
    assert {len(record["keypoints"]) for record in parts.module.evaluator.results()} == {3 * count}
    # 3. The model again, from its weights alone.
    torch.save(parts.model.state_dict(), tmp_path / "weights.pt")
    options = [text for text in overrides(drawn, tmp_path) if text.startswith(("tier", "model", "data."))]
    restored = restore(str(tmp_path / "weights.pt"), [*options, "backbone=smoke"], tmp_path)
    assert restored.model.heads["keypoint"].deconvolution.out_channels == count


def test_keypoints_of_persons_leave_the_config_as_it_was() -> None:
    """Digests of runs do not move."""
    config = OmegaConf.create({"dataset": {}})
    fill_keypoints(config, Shapes(seed=1, length=1))
    assert config.dataset == {}


def test_a_number_that_contradicts_the_dataset_is_refused(drawn: Path) -> None:
    path = write(drawn, SHOULDERS, [])
    with pytest.raises(ConfigError, match=r"dataset.keypoints=17, but the dataset has 2: left_shoulder"):
        resolve(compose_config(overrides(drawn, path, "+dataset.keypoints=17")))
    with pytest.raises(ConfigError, match=r"model.heads.keypoint.num_keypoints=17, but the dataset has 2 keypoints"):
        assemble(resolve(compose_config(overrides(drawn, path, "model.heads.keypoint.num_keypoints=17"))))


def test_train_and_val_name_the_same_keypoints(drawn: Path) -> None:
    both = overrides(drawn, write(drawn, SHOULDERS, []))
    other = [text for text in both if not text.startswith("dataset.val.annotations")]
    other.append(f"dataset.val.annotations={write(drawn, FACE, [])}")
    with pytest.raises(ConfigError, match=r"different keypoints:\n  left_shoulder, right_shoulder\n  nose, left_eye"):
        assemble(resolve(compose_config(other)))
