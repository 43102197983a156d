"""Every row of experiments/detectron2 equals its config there, key by key, or says in data what deviates."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from lineage.launch.compose_rows import RowRequest, compose_rows
from lineage.tables.read import list_tables, load_table
from lineage.tables.table import Row
from lineage.weights.sources.detectron2_config import to_detectron2

PROJECT = Path(__file__).parents[2]
FACTS = yaml.safe_load(Path(__file__).with_name("detectron2_keys.yaml").read_text())
TABLES = [name for name in list_tables(PROJECT / "experiments") if name.startswith("detectron2/")]
Keys = dict[str, Any]
SCHEDULE = {"SOLVER.IMS_PER_BATCH": "images_per_step", "SOLVER.STEPS": "milestones", "SOLVER.MAX_ITER": "steps",
            "SOLVER.GAMMA": "gamma", "SOLVER.WARMUP_ITERS": "warmup_steps",
            "SOLVER.WARMUP_FACTOR": "warmup_factor"}  # fmt: skip
OPTIMIZER = {"SOLVER.BASE_LR": "lr", "SOLVER.MOMENTUM": "momentum", "SOLVER.WEIGHT_DECAY": "weight_decay",
             "SOLVER.WEIGHT_DECAY_NORM": "norm_decay", "SOLVER.WEIGHT_DECAY_BIAS": "bias_decay",
             "SOLVER.BIAS_LR_FACTOR": "bias_lr_factor"}  # fmt: skip


def theirs(name: str) -> Keys:
    """The keys of detectron2's config of a row."""
    row = FACTS["rows"][name]
    own = {key: value for key, value in row.items() if key not in ("config", "bases")}
    keys: Keys = dict(FACTS["defaults"])
    for base in (*(FACTS["bases"][base] for base in row["bases"]), own):
        keys |= base
    return keys


def ours(row: Row, config: Keys) -> Keys:
    """The keys that our config sets, in detectron2's names."""
    body, schedule, optimizer = config["backbone"], config["schedule"], config["optimizer"]
    keys = to_detectron2(config) | {
        "MODEL.WEIGHTS": row.start or body["weights"] or "",
        "MODEL.BACKBONE.FREEZE_AT": body["frozen_stages"],
        **{key: schedule[name] for key, name in SCHEDULE.items()},
        **{key: optimizer[name] for key, name in OPTIMIZER.items()},
        "SOLVER.AMP.ENABLED": config["trainer"]["precision"] != "32-true",
        "TEST.AUG.ENABLED": bool(config["tta"]),
        "TEST.PRECISE_BN.ENABLED": False,  # no such step exists here
        **of_data(config),
    }
    model = config["model"]
    keys |= of_rpn(model["proposals"]) if "anchors" in model.get("proposals", {}) else {}
    if row.proposals:
        keys |= of_given_proposals(config)
    if model.get("box"):
        keys |= of_regions(model, config["regression"])
    for name, head in (model.get("heads") or {}).items():
        keys |= {"semantic": of_stuff, "keypoint": of_keypoints, "mask": of_masks}[name](head, config)
    return keys | (of_retinanet(model["head"], config["regression"]) if "head" in model else {})


def of_data(config: Keys) -> Keys:
    transforms, sampling = config["augment"]["train"]["transforms"], config["sampling"]
    kinds = [transform["_target_"].rpartition(".")[2] for transform in transforms]
    crop = next((t for t in transforms if t["_target_"].endswith("RandomCrop")), None)
    assert crop is None or (crop["window"]["min_shares"], crop["single_category_max_area"]) == ([0.9, 0.9], None)
    repeats = sampling["_target_"].endswith("RepeatFactorSampler")
    return {
        **of_resize(next(t for t in transforms if "Resize" in t["_target_"] or "Shortest" in t["_target_"]
                         or "Jitter" in t["_target_"])),
        "INPUT.RANDOM_FLIP": "horizontal" if kinds[-1] == "RandomFlip" and transforms[-1]["p"] == 0.5 else "none",
        "INPUT.CROP.ENABLED": crop is not None,
        "DATALOADER.SAMPLER_TRAIN": f"RepeatFactorTrainingSampler {sampling['threshold']}" if repeats
        else "TrainingSampler",
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS": config["dataset"]["train"].get("filter_empty", False),
        "DATALOADER.ASPECT_RATIO_GROUPING": False,
        "crowds": "ignored" if any(iof <= 1 for iof in crowd_limits(config["model"])) else "background",
        "canvas": canvas(config["augment"]),
    }  # fmt: skip


def canvas(augment: Keys) -> str:
    """The canvas of a training batch; crops of one size fill theirs."""
    buckets, multiple = augment["collate"]["buckets"], augment["collate"]["size_divisibility"]
    if buckets and buckets != [t.get("target_size") for t in augment["train"]["transforms"] if "target_size" in t]:
        return f"one of {len(buckets)}"
    return f"multiple of {multiple}"


def crowd_limits(node: Any) -> list[float]:
    if not isinstance(node, dict):
        return []
    own = [node["crowd_ignore_iof"]] if "crowd_ignore_iof" in node else []
    return own + [limit for child in node.values() for limit in crowd_limits(child)]


def of_resize(resize: Keys) -> Keys:
    kind = resize["_target_"].rpartition(".")[2]
    sizes, sampling, longest = {
        "ResizeShortestEdge": lambda: (resize["sizes"], "choice", resize["max_size"]),
        "RandomShortestEdge": lambda: ([resize["min_length"], resize["max_length"]], "range", resize["max_size"]),
        "LargeScaleJitter": lambda: (resize["scale_range"], "scale", resize["target_size"][0]),
    }[kind]()
    names = ("INPUT.MIN_SIZE_TRAIN", "INPUT.MIN_SIZE_TRAIN_SAMPLING", "INPUT.MAX_SIZE_TRAIN")
    return dict(zip(names, (sizes, sampling, longest), strict=True))


def of_matcher(matcher: Keys) -> list[float]:
    low, high = matcher["bg_iou_thresh"][1], matcher["fg_iou_thresh"]
    assert matcher["bg_iou_thresh"][0] == 0
    return [high] if low == high else [low, high]


def of_rpn(rpn: Keys) -> Keys:
    assert (rpn["box_loss_normalizer"], rpn["anchor_boundary_thresh"], rpn["ranking"]) == ("samples", None, "score")
    return {
        "MODEL.RPN.IOU_THRESHOLDS": of_matcher(rpn["matcher"]),
        "MODEL.RPN.BATCH_SIZE_PER_IMAGE": rpn["batch_size_per_image"],
        "MODEL.RPN.POSITIVE_FRACTION": rpn["positive_fraction"],
        "MODEL.RPN.BBOX_REG_WEIGHTS": rpn["bbox_reg_weights"],
        "MODEL.RPN.SMOOTH_L1_BETA": rpn["smooth_l1_beta"],
        "MODEL.RPN.BBOX_REG_LOSS_WEIGHT": rpn["box_loss_weight"],
        "MODEL.RPN.PRE_NMS_TOPK_TRAIN": rpn["pre_nms_top_n"]["train"],
        "MODEL.RPN.POST_NMS_TOPK_TRAIN": rpn["post_nms_top_n"]["train"],
    }


def of_given_proposals(config: Keys) -> Keys:
    """All that the row rpn_fpn dumps, unless a batch takes fewer."""
    dumped = rows_of("detectron2/rpn_fast_rcnn")["rpn_fast_rcnn/rpn_fpn"][1]["model"]["proposals"]["post_nms_top_n"]
    count = config["augment"]["collate"].get("max_proposals") or dumped["test"]
    return {f"DATASETS.PRECOMPUTED_PROPOSAL_TOPK_{split}": count for split in ("TRAIN", "TEST")}


def of_regions(model: Keys, regression: Keys) -> Keys:
    sampler = model["sampler"]
    return {
        "MODEL.ROI_HEADS.IOU_THRESHOLDS": of_matcher(sampler["matcher"]),
        "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": sampler["batch_size_per_image"],
        "MODEL.ROI_HEADS.POSITIVE_FRACTION": sampler["positive_fraction"],
        "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT": sampler["proposal_append_gt"],
        "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": loss_type(regression),
        "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": regression["beta"],
        "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": model["box"]["train_on_pred_boxes"],
    }


def loss_type(regression: Keys) -> str:
    return {"SmoothL1": "smooth_l1"}[regression["_target_"].rpartition(".")[2]]


def of_stuff(head: Keys, config: Keys) -> Keys:
    return {"MODEL.SEM_SEG_HEAD.LOSS_WEIGHT": head["loss_weight"]}


def of_keypoints(head: Keys, config: Keys) -> Keys:
    return {
        "MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE": config["dataset"]["train"]["min_keypoints"],
        "MODEL.ROI_KEYPOINT_HEAD.NORMALIZE_LOSS_BY_VISIBLE_KEYPOINTS": head["loss_normalizer"] == "visible",
        "MODEL.ROI_KEYPOINT_HEAD.LOSS_WEIGHT": head["loss_weight"],
    }


def of_masks(head: Keys, config: Keys) -> Keys:
    return {"mask targets": f"bitmaps, {head['target_sampling_ratio']}^2 samples a bin"}


def of_retinanet(head: Keys, regression: Keys) -> Keys:
    return {
        "MODEL.RETINANET.IOU_THRESHOLDS": of_matcher(head["matcher"]),
        "MODEL.RETINANET.PRIOR_PROB": head["prior_prob"],
        "MODEL.RETINANET.FOCAL_LOSS_GAMMA": head["classification"]["gamma"],
        "MODEL.RETINANET.FOCAL_LOSS_ALPHA": head["classification"]["alpha"],
        "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": loss_type(regression),
        "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": regression["beta"],
        "loss normalizer": head["loss_normalizer"],
        "clipping": "before NMS",
    }


def flatten(value: Any) -> Any:
    """Numbers of nested lists in one flat list, which pytest compares with a tolerance."""
    if not isinstance(value, list):
        return value
    return [number for item in value for number in (flatten(item) if isinstance(item, list) else [item])]


def is_equal(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        flat = flatten(a), flatten(b)
        return len(flat[0]) == len(flat[1]) and all(is_equal(x, y) for x, y in zip(*flat, strict=True))
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == pytest.approx(b, rel=1e-3, abs=1e-12)
    return bool(a == b)


@cache
def rows_of(table: str) -> dict[str, tuple[Row, Keys]]:
    rows = [row for row in load_table(PROJECT / "experiments", table).rows.values() if row.runs]
    composed = compose_rows(PROJECT, [RowRequest(table, row, "paper") for row in rows])
    assert [one.error for one in composed] == [None] * len(rows)
    return {f"{table.removeprefix('detectron2/')}/{row.name}": (row, one.config)
            for row, one in zip(rows, composed, strict=True)}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_rows_equal_detectron2_or_say_what_deviates(table: str) -> None:
    for name, (row, config) in rows_of(table).items():
        expected, actual = theirs(name), ours(row, config)
        different = {key: (actual[key], expected[key]) for key in actual if not is_equal(actual[key], expected[key])}
        assert different.keys() == row.deviates.keys(), (name, different)


def test_every_row_has_its_facts_and_every_fact_is_used() -> None:
    names = {name for table in TABLES for name in rows_of(table)}
    assert names == FACTS["rows"].keys()
    for table in TABLES:
        for name, (row, config) in rows_of(table).items():
            own = FACTS["rows"][name].keys() - {"config", "bases"}
            assert own <= ours(row, config).keys() | {"MODEL.RESNETS.DEPTH"}, name
