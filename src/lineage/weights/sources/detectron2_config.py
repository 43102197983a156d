"""A config in the keys of detectron2 (config/defaults.py there): what its network and its test are.

`lineage weights convert --to detectron2` prints them; tests compare every row of experiments/detectron2 with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Node = Mapping[str, Any]
Keys = dict[str, Any]
NORMS = {None: "", "frozen_bn": "FrozenBN", "bn": "BN", "sync_bn": "SyncBN", "gn32": "GN", "gn": "GN"}


def to_detectron2(config: Node) -> Keys:
    """Return the keys of network and test of a resolved config with detectron2's values: `MODEL.FPN.NORM` -> GN."""
    model, body = config["model"], config["backbone"]
    keys = _describe_pixels(body) | _describe_test(config["augment"]["test"])
    if "layers" in body:  # a ResNet
        keys |= _describe_resnet(body, model.get("dilation", 1))
    if model.get("neck"):
        keys["MODEL.FPN.NORM"] = NORMS[model["neck"]["norm"]]
    if "head" in model:
        return keys | _describe_retinanet(model["head"])
    if "anchors" in model["proposals"]:
        keys |= _describe_rpn(model["proposals"])
    if model.get("box"):
        keys |= _describe_box_head(model["box"], c4=not model.get("neck") and model["box"]["body"] is None)
    describe = {"mask": _describe_mask_head, "keypoint": _describe_keypoint_head, "semantic": _describe_semantic_head}
    for name, head in (model.get("heads") or {}).items():
        keys |= describe[name](head) if name in describe else {}
    return keys


def format_options(keys: Keys) -> str:
    """Format keys as detectron2's command line takes them: KEY VALUE, of which lists are quoted."""
    texts = {key: str(value).replace(" ", "") if isinstance(value, list) else str(value) for key, value in keys.items()}
    return " ".join(f"{key} {text or repr('')}" for key, text in texts.items())


def _describe_pixels(body: Node) -> Keys:
    blue_first = {name: [float(value) for value in reversed(body[name])] for name in ("mean", "std")}
    return {
        "MODEL.PIXEL_MEAN": blue_first["mean"],
        "MODEL.PIXEL_STD": blue_first["std"],
        "INPUT.FORMAT": "BGR",
    }


def _describe_test(resize: Node) -> Keys:
    if "sizes" not in resize:  # images keep their size
        return {}
    return {"INPUT.MIN_SIZE_TEST": resize["sizes"][0], "INPUT.MAX_SIZE_TEST": resize["max_size"]}


def _describe_resnet(body: Node, dilation: int) -> Keys:
    layers = 3 if body["block"] == "bottleneck" else 2
    return {
        "MODEL.RESNETS.DEPTH": layers * sum(body["layers"]) + 2,
        "MODEL.RESNETS.NUM_GROUPS": body["groups"],
        "MODEL.RESNETS.WIDTH_PER_GROUP": body["width_per_group"],
        "MODEL.RESNETS.STRIDE_IN_1X1": body["stride_in"] == "1x1",
        "MODEL.RESNETS.NORM": NORMS[body["norm"]],
        "MODEL.RESNETS.RES5_DILATION": dilation,
        "MODEL.RESNETS.DEFORM_ON_PER_STAGE": [stage in body["deform"] for stage in (2, 3, 4, 5)],
        "MODEL.RESNETS.DEFORM_MODULATED": body["deform_version"] == 2,
    }


def _describe_rpn(rpn: Node) -> Keys:
    return {
        "MODEL.ANCHOR_GENERATOR.SIZES": rpn["anchors"]["sizes"],
        "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [rpn["anchors"]["aspect_ratios"]],
        "MODEL.RPN.CONV_DIMS": [-1] * rpn["depth"],
        "MODEL.RPN.PRE_NMS_TOPK_TEST": rpn["pre_nms_top_n"]["test"],
        "MODEL.RPN.POST_NMS_TOPK_TEST": rpn["post_nms_top_n"]["test"],
        "MODEL.RPN.NMS_THRESH": rpn["nms_thresh"],
    }


def _describe_pooler(name: str, head: Node) -> Keys:
    """Return the keys of a RoIAlign; detectron2 has other layers in its code only."""
    roi = head["roi"]
    return {
        f"MODEL.{name}.POOLER_RESOLUTION": head["pool"]["size"],
        f"MODEL.{name}.POOLER_SAMPLING_RATIO": roi.get("sampling_ratio", 0),
        f"MODEL.{name}.POOLER_TYPE": "ROIAlignV2" if roi.get("aligned") else "ROIAlign",
    }


def _describe_box_head(box: Node, *, c4: bool) -> Keys:
    weights = box["bbox_reg_weights"]
    keys = {
        **_describe_pooler("ROI_BOX_HEAD", box),
        "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": box["class_agnostic"],
        "MODEL.ROI_HEADS.SCORE_THRESH_TEST": box["score_thresh"],
        "MODEL.ROI_HEADS.NMS_THRESH_TEST": box["nms_thresh"],
        "TEST.DETECTIONS_PER_IMAGE": box["detections_per_img"],
    }
    if box["num_classes"] is not None:
        keys["MODEL.ROI_HEADS.NUM_CLASSES"] = box["num_classes"]
    if "ious" in box:
        stages = box["num_stages"]
        keys["MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS"] = [[float(w) for w in stage] for stage in weights[:stages]]
        keys["MODEL.ROI_BOX_CASCADE_HEAD.IOUS"] = box["ious"][:stages]
    else:
        keys["MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS"] = [float(weight) for weight in weights]
    if c4:
        return keys
    body = box["body"]
    return keys | {
        "MODEL.ROI_BOX_HEAD.NUM_CONV": body.get("depth", 0),
        "MODEL.ROI_BOX_HEAD.NUM_FC": 1 if "depth" in body else 2,
        "MODEL.ROI_BOX_HEAD.NORM": NORMS[body.get("norm")],
    }


def _describe_mask_head(head: Node) -> Keys:
    keys = {**_describe_pooler("ROI_MASK_HEAD", head), "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": head["class_agnostic"]}
    body = head.get("body")
    if body is None:  # C4's last stage
        return keys
    return keys | {
        "MODEL.ROI_MASK_HEAD.NUM_CONV": body["depth"],
        "MODEL.ROI_MASK_HEAD.NORM": NORMS[body["norm"]],
    }


def _describe_keypoint_head(head: Node) -> Keys:
    return {
        **_describe_pooler("ROI_KEYPOINT_HEAD", head),
        "MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS": [head["body"]["width"]] * head["body"]["depth"],
        "MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS": head["num_keypoints"],
    }


def _describe_semantic_head(head: Node) -> Keys:
    return {
        "MODEL.SEM_SEG_HEAD.NUM_CLASSES": head["num_classes"],
        "MODEL.SEM_SEG_HEAD.CONVS_DIM": head["width"],
        "MODEL.SEM_SEG_HEAD.NORM": NORMS[head["norm"]],
    }


def _describe_retinanet(head: Node) -> Keys:
    anchors = head["anchors"]
    scales = [2 ** (step / anchors["scales_per_octave"]) for step in range(anchors["scales_per_octave"])]
    sizes = [[anchors["octave_base_scale"] * stride * scale for scale in scales] for stride in anchors["strides"]]
    keys = {
        "MODEL.ANCHOR_GENERATOR.SIZES": sizes,
        "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [anchors["aspect_ratios"]],
        "MODEL.RETINANET.NUM_CONVS": head["subnet"]["depth"],
        "MODEL.RETINANET.NORM": NORMS[head["subnet"]["norm"]],
        "MODEL.RETINANET.SCORE_THRESH_TEST": head["score_thresh"],
        "MODEL.RETINANET.TOPK_CANDIDATES_TEST": head["topk_candidates"],
        "MODEL.RETINANET.NMS_THRESH_TEST": head["nms_thresh"],
        "MODEL.RETINANET.BBOX_REG_WEIGHTS": head["bbox_reg_weights"],
        "TEST.DETECTIONS_PER_IMAGE": head["detections_per_img"],
    }
    return keys | ({} if head["num_classes"] is None else {"MODEL.RETINANET.NUM_CLASSES": head["num_classes"]})
