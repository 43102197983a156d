"""Settings of detectron2's tests that its tensors do not show: those of its configs, by model and number of classes."""

from __future__ import annotations

from collections.abc import Sequence

LVIS = (1203, 1230)  # classes of LVIS v1 and v0.5: rare ones need a low score and many detections
LVIS_SETTINGS = ("model.box.score_thresh=0.0001", "model.box.detections_per_img=300")
BY_MODEL = {
    "rpn": ("model.proposals.post_nms_top_n.test=2000",),  # the proposals of Fast R-CNN
    "rpn_c4": ("model.proposals.pre_nms_top_n.test=12000", "model.proposals.post_nms_top_n.test=2000"),
    "mask_rcnn_c4": ("model.proposals.post_nms_top_n.test=1000",),
}


def list_test_settings(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides under which detectron2 tests a model, which `overrides` names (infer_overrides)."""
    chosen = dict(text.split("=", 1) for text in overrides)
    lvis = int(chosen.get("dataset.classes", 0)) in LVIS
    return BY_MODEL.get(chosen.get("model", ""), ()) + (LVIS_SETTINGS if lvis else ())
