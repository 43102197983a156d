"""Published weights that a fine-tuning can start from: those in the cache, and those that a server offers now."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import torchvision

from lineage.weights.cache import cache_folder
from lineage.weights.sources.torchvision import DETECTION

SECONDS = 3.0  # to wait for a server
DETECTORS = {  # trained on COCO: model option -> torchvision's weights of its whole model
    "mask_rcnn": "MaskRCNN_ResNet50_FPN_Weights.COCO_V1",
    "faster_rcnn": "FasterRCNN_ResNet50_FPN_Weights.COCO_V1",
    "keypoint_rcnn": "KeypointRCNN_ResNet50_FPN_Weights.COCO_V1",
    "faster_rcnn_mobilenet_320": "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1",
}
BODIES = {  # trained on ImageNet: backbone option -> torchvision's weights
    "resnet50": "ResNet50_Weights.IMAGENET1K_V1",
    "mobilenet_v3_large": "MobileNet_V3_Large_Weights.IMAGENET1K_V1",
}

Availability = Callable[[str], str | None]  # torchvision's name -> where the weights are, or None


def find_weights(name: str) -> str | None:
    """Return where the weights of torchvision's name are, "in the cache" or their server; None if out of reach."""
    url = str(torchvision.models.get_weight(name).url)
    if (cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:10] / Path(url).name).is_file():
        return "in the cache"
    host = url.split("/")[2]
    return f"from {host}" if answers(url) else None


def answers(url: str) -> bool:
    """Return whether a server has the file, within seconds."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=SECONDS) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def find_conventions() -> tuple[str, ...]:
    """Return the overrides under which torchvision's detectors were trained."""
    return DETECTION.conventions.settings if DETECTION.conventions else ()
