"""Published weights by short addresses: `detectron2://` and `catalog://` of detectron2's configs, torchvision's names.

Such an address also states the conventions of the weights, before and without a download.
"""

from __future__ import annotations

from lineage.weights.sources.detectron2 import STRIDE_IN_1X1, STRIDE_IN_3X3
from lineage.weights.sources.table import IMAGENET, UNSCALED, SourceConventions

HOST = "https://dl.fbaipublicfiles.com"
ZOO, CATALOG = "detectron2://", "catalog://ImageNetPretrained/"
PUBLISHED = {  # in the folder of Detectron
    "MSRA/R-50": "MSRA/R-50.pkl",
    "MSRA/R-101": "MSRA/R-101.pkl",
    "FAIR/R-50-GN": "47261647/R-50-GN.pkl",
    "FAIR/R-101-GN": "47592356/R-101-GN.pkl",
    "FAIR/X-101-32x8d": "20171220/X-101-32x8d.pkl",
    "FAIR/X-101-64x4d": "FBResNeXt/X-101-64x4d.pkl",
    "FAIR/X-152-32x8d-IN5k": "25093814/X-152-32x8d-IN5k.pkl",
}
MSRA = SourceConventions(UNSCALED, (STRIDE_IN_1X1,))
FAIR = SourceConventions(UNSCALED, (STRIDE_IN_3X3,))
SCALED = SourceConventions(IMAGENET, (STRIDE_IN_3X3,))  # torchvision, and the ResNeXts of detectron2's zoo
# deviates: MSRA and FAIR subtracted the mean of Caffe, up to 0.9 grey levels away; detectron2 uses ImageNet's with them
BY_PREFIX = {
    f"{ZOO}ImageNetPretrained/MSRA/": MSRA,
    f"{ZOO}ImageNetPretrained/FAIR/": SCALED,
    f"{CATALOG}MSRA/": MSRA,
    f"{CATALOG}FAIR/": FAIR,
}


def resolve_url(weights: str) -> str:
    """Return the URL of a short address; anything else as it is. Raises KeyError for a name that is not published."""
    if weights.startswith(ZOO):
        return f"{HOST}/detectron2/{weights.removeprefix(ZOO)}"
    if weights.startswith("catalog://"):
        return f"{HOST}/detectron/ImageNetPretrained/{PUBLISHED[weights.removeprefix(CATALOG)]}"
    return weights


def find_conventions(weights: str) -> SourceConventions | None:
    """Return the conventions that an address states; None: those of the file count."""
    if "_Weights." in weights:
        return SCALED
    return next((conventions for prefix, conventions in BY_PREFIX.items() if weights.startswith(prefix)), None)
