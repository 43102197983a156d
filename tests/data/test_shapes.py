import hashlib
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from pycocotools import mask as rle

from lineage.data.shapes import scene as drawing
from lineage.data.shapes.dataset import Shapes
from lineage.data.shapes.outlines import CLASSES, FLIP_INDICES, KEYPOINTS
from lineage.data.shapes.scene import SceneSettings, draw_scene

SIZE = (128, 128)
FIGURE = CLASSES.index("figure")


@pytest.fixture(scope="module")
def dataset():
    return Shapes(seed=7, length=120)


@pytest.fixture(scope="module")
def scenes(dataset):
    return [dataset.draw_scene(i) for i in range(len(dataset))]


@pytest.fixture(scope="module")
def truth(dataset):
    return dataset.ground_truth()


def test_another_process_draws_the_same_image(dataset):
    program = (
        "import hashlib; from lineage.data.shapes.dataset import Shapes; s = Shapes(seed=7, length=120).draw_scene(5);"
        "print(hashlib.sha256(b''.join(field.tobytes() for field in s[:6])).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert other == hashlib.sha256(b"".join(field.tobytes() for field in dataset.draw_scene(5)[:6])).hexdigest()


GOLDEN = {  # of 40 scenes, by the settings of the drawing
    "standard": {
        "objects": 223,
        "crowds": 7,
        "labels": 597,
        "boxes": 57210.0,
        "areas": 150304,
        "keypoints": 24651.0,
        "pixels": 32321.053716,
        "semantic": 0,
    },
    "stuff": {
        "objects": 223,
        "crowds": 7,
        "labels": 597,
        "boxes": 57210.0,
        "areas": 150304,
        "keypoints": 24651.0,
        "pixels": 30061.514921,
        "semantic": 4918101,
    },
}


def summarize(settings: SceneSettings) -> dict[str, float]:
    """Sums over 40 scenes, to which every number of the drawing adds."""
    scenes = [draw_scene(7, index, SIZE, settings) for index in range(40)]
    position = np.arange(128 * 128 * 3).reshape(128, 128, 3) % 251
    sums = {
        "objects": sum(len(scene.labels) for scene in scenes),
        "crowds": sum(int(scene.crowd.sum()) for scene in scenes),
        "labels": sum(int(scene.labels.sum()) for scene in scenes),
        "boxes": sum(float(scene.boxes.sum()) for scene in scenes),
        "areas": sum(int(scene.masks.sum()) for scene in scenes),
        "keypoints": sum(float(scene.keypoints.sum()) for scene in scenes),
        "pixels": sum(float((scene.image * position).sum()) for scene in scenes) / 1e6,
    }
    return sums | {"semantic": sum(int(s.semantic.sum()) for s in scenes if s.semantic is not None)}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_scenes_are_those_of_every_earlier_run(name: str) -> None:
    """Another sum here is another dataset: all numbers on shapes in the store and the docs would be of the old one.

    A rounding of another processor may move a pixel, so 1 in 50,000 may differ.
    """
    found = summarize(SceneSettings(stuff=name == "stuff"))
    assert found == pytest.approx(GOLDEN[name], rel=2e-5)


def test_order_of_access_and_length_do_not_matter():
    few, many = Shapes(seed=1, length=3), Shapes(seed=1, length=50)
    many[40]
    assert torch.equal(few[2].image, many[2].image)
    assert few.fingerprint != many.fingerprint


def test_splits_of_different_seeds_share_no_image():
    train, val = ({draw_scene(seed, i, SIZE).image.tobytes() for i in range(40)} for seed in (1, 2))
    assert len(train) == len(val) == 40
    assert not train & val


def test_masks_are_the_visible_parts_and_do_not_overlap(scenes):
    assert all(scene.masks.sum(0).max(initial=0) <= 1 for scene in scenes)


def test_what_is_in_front_hides_what_is_behind():
    plans = [drawing.make_layout(3, i, SIZE) for i in range(30)]
    hidden = 0
    for plan in plans:
        for piece, shown in zip(plan.pieces, plan.masks, strict=True):
            visible, whole = shown.sum(), piece.whole
            assert max(drawing.MIN_PIXELS, drawing.MIN_VISIBLE * whole) <= visible <= whole
            hidden += visible < piece.mask.sum()
    assert hidden > 20


def test_boxes_are_tight(scenes):
    for scene in scenes:
        assert scene.boxes.dtype == np.float32
        for mask, box in zip(scene.masks, scene.boxes, strict=True):
            y, x = np.nonzero(mask)
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_objects_stand_out_from_what_surrounds_them(scenes):
    """A median over all objects: a single one may lie on its own colour."""
    steps = []
    for scene in scenes[:30]:
        for mask in scene.masks[~scene.crowd]:
            around = np.pad(mask, 2)
            around = sum(np.roll(around, shift, axis) for axis in (0, 1) for shift in (-2, 2))[2:-2, 2:-2] > 0
            inside, outside = scene.image[mask].mean(0), scene.image[around & ~mask].mean(0)
            steps.append(np.abs(inside - outside).sum())
    assert np.median(steps) > 100


def test_crowds_are_regions_of_many(scenes):
    crowds = [mask for scene in scenes for mask in scene.masks[scene.crowd]]
    assert 5 <= len(crowds) <= 40
    assert np.median([mask.sum() for mask in crowds]) > 500


def test_keypoints(scenes):
    counts = Counter()
    for scene in scenes:
        for label, crowd, mask, points in zip(scene.labels, scene.crowd, scene.masks, scene.keypoints, strict=True):
            assert points.shape == (len(KEYPOINTS), 3)
            assert label == FIGURE or not points.any()
            assert not (crowd and points.any())
            assert not points[points[:, 2] == 0].any()
            x, y, visible = points[points[:, 2] > 0].T
            assert ((x > 0) & (x < 128) & (y > 0) & (y < 128)).all()
            on_mask = mask[y.astype(int), x.astype(int)]
            assert not on_mask[visible == 1].any()
            counts.update(visible.astype(int).tolist())
            counts["on"] += int(on_mask[visible == 2].sum())
    assert counts[1] > 20
    assert counts["on"] > 0.9 * counts[2] > 200


def test_flipping_twice_is_the_identity():
    assert [FLIP_INDICES[i] for i in FLIP_INDICES] == list(range(len(KEYPOINTS)))
    assert all(("left" in KEYPOINTS[i]) == ("right" in KEYPOINTS[j]) for i, j in enumerate(FLIP_INDICES))


def test_every_class_appears_with_a_long_tail(truth):
    count = Counter(CLASSES[one["category_id"] - 1] for one in truth["annotations"])
    assert set(count) == set(CLASSES)
    assert count["disc"] > 5 * count["gear"]
    steeper = Counter(drawing.draw_class(np.random.default_rng(i), SceneSettings(tail=2)) for i in range(300))
    assert steeper[0] > 150


def test_sizes_go_from_tiny_to_large(truth):
    """COCO's bins, 32 and 96 pixels, scaled from its images (about 560 x 560) to ours."""
    area = np.array([one["area"] for one in truth["annotations"]])
    small, large = (32 / 560 * 128) ** 2, (96 / 560 * 128) ** 2
    shares = [(area < small).mean(), ((area >= small) & (area < large)).mean(), (area >= large).mean()]
    assert min(shares) > 0.05


def test_sample_and_ground_truth_agree(dataset, truth):
    for index in (0, 11, 42):
        sample = dataset[index]
        of_image = [one for one in truth["annotations"] if one["image_id"] == sample.image_id]
        masks = dataset.draw_scene(index).masks
        assert [one["category_id"] - 1 for one in of_image] == sample.labels.tolist()
        assert [bool(one["iscrowd"]) for one in of_image] == sample.crowd.tolist()
        for annotation, mask, box in zip(of_image, masks, sample.boxes.tolist(), strict=True):
            assert np.array_equal(rle.decode(annotation["segmentation"]), mask)
            assert annotation["area"] == mask.sum()
            assert annotation["bbox"] == [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def test_images_of_several_sizes():
    dataset = Shapes(seed=0, length=12, size=[[96, 160], [160, 96], [64, 64]])
    assert {tuple(size) for size in dataset.sizes.tolist()} == {(96, 160), (160, 96), (64, 64)}
    for i in (0, 3, 7):
        sample = dataset[i]
        assert tuple(sample.image.shape[1:]) == sample.original_size == tuple(dataset.sizes[i].tolist())


def test_one_number_is_a_square():
    assert Shapes(seed=0, length=1, size=48)[0].original_size == (48, 48)


def test_images_without_objects_are_possible():
    sample = Shapes(seed=0, length=1, objects=0, crowds=0)[0]
    assert sample.boxes.shape == (0, 4)
    assert sample.keypoints.shape == (0, len(KEYPOINTS), 2)


@pytest.mark.parametrize("size", [16, [128], [[8, 128]], []])
def test_a_wrong_size_is_explained(size):
    with pytest.raises(ValueError, match=r"dataset\.size=\[128,128\]"):
        Shapes(seed=0, length=1, size=size)


def test_indices_end_with_the_dataset():
    with pytest.raises(IndexError):
        Shapes(seed=0, length=2)[2]


def test_only_draws_the_classes_it_names() -> None:
    shapes = Shapes(seed=3, length=12, only=["figure", "disc"])
    assert (shapes.meta.classes, shapes.meta.category_ids) == (("figure", "disc"), (5, 1))
    truth = shapes.ground_truth()
    assert [one["name"] for one in truth["categories"]] == ["figure", "disc"]
    assert {one["category_id"] for one in truth["annotations"]} == {1, 5}
    for index in range(12):
        sample = shapes[index]
        drawn = [one for one in truth["annotations"] if one["image_id"] == index + 1]
        categories = [shapes.meta.category_ids[label] for label in sample.labels.tolist()]
        assert categories == [one["category_id"] for one in drawn]
    assert {label for index in range(12) for label in shapes[index].labels.tolist()} == {0, 1}
    with pytest.raises(ValueError, match=r"only=\['dog'\]; the classes are disc, "):
        Shapes(seed=3, length=1, only=["dog"])


def test_stuff_labels_every_pixel_of_the_ground() -> None:
    shapes, plain = (Shapes(seed=3, length=6, stuff=stuff) for stuff in (True, False))
    assert plain[0].semantic is None
    assert shapes.fingerprint != plain.fingerprint
    for index in range(6):
        sample = shapes[index]
        semantic, masks = sample.semantic, shapes.draw_scene(index).masks
        assert semantic.dtype == torch.uint8
        assert set(semantic.unique().tolist()) <= {0, 1, 2, 3, 4, 255}
        assert len(set(semantic.unique().tolist()) & {1, 2, 3, 4}) in (1, 2, 3)  # an object may hide one
        assert (semantic[torch.from_numpy(masks.any(0))] == 0).all()
        assert torch.equal(sample.boxes, plain[index].boxes)


def test_panoptic_annotations_are_the_scene() -> None:
    shapes = Shapes(seed=3, length=4, stuff=True)
    truth = shapes.ground_truth()["panoptic"]
    isthing = {one["id"]: one["isthing"] for one in truth["categories"]}
    for index, note in enumerate(truth["annotations"]):
        ids, scene = note["ids"], shapes.draw_scene(index)
        assert ids.dtype == np.uint16
        things = [one for one in note["segments_info"] if isthing[one["category_id"]]]
        assert [shapes.meta.category_ids.index(one["category_id"]) for one in things] == scene.labels.tolist()
        assert [one["iscrowd"] for one in things] == scene.crowd.tolist()
        for segment, mask in zip(things, scene.masks, strict=True):
            assert ((ids == segment["id"]) == mask).all()
        for segment in note["segments_info"]:
            assert segment["area"] == (ids == segment["id"]).sum()
            rows, columns = np.nonzero(ids == segment["id"])
            sides = [columns.max() - columns.min() + 1, rows.max() - rows.min() + 1]
            assert segment["bbox"] == [columns.min(), rows.min(), *sides]
            if not isthing[segment["category_id"]]:
                label = 1 + shapes.meta.stuff_ids.index(segment["category_id"])
                assert ((ids == segment["id"]) == (scene.semantic == label)).all()
        assert set(np.unique(ids).tolist()) - {0} == {one["id"] for one in note["segments_info"]}
