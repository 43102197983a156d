"""CenterNet (arXiv:1904.07850): one stage without anchors; an object is the point in the middle of its box.

A body, maps of stride 4 from its upsampling, heads on each. Nothing is suppressed: a peak of the heat map is an object.
With landmarks it is CenterNet's human pose, and DeepMark (arXiv:1910.01225) on clothes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from lineage.models.centers.center_head import CenterHead, CenterMaps
from lineage.models.centers.landmark_head import LandmarkHead, LandmarkMaps
from lineage.models.centers.mirrored_maps import average_centers, average_landmarks, mirror_images
from lineage.models.upsampling.unchanged import Unchanged
from lineage.structures import Detections, Images, Losses, Targets


class Predictions(NamedTuple):
    """The maps of a batch, with probabilities."""

    centers: CenterMaps
    landmarks: LandmarkMaps | None


class CenterNet(nn.Module):
    """Body, upsampling, heads. Parts whose width depends on their input are unbuilt.

    neck: widths of the body's maps -> module; null or empty for a body whose maps have the heads' stride.
    head, landmarks: (width of a map, number of maps) -> module.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: Callable[[Sequence[int]], nn.Module] | None,
        head: Callable[[int, int], CenterHead],
        landmarks: Callable[[int, int], LandmarkHead] | None = None,
    ):
        super().__init__()
        self.backbone = backbone
        self.neck = (neck or Unchanged)(backbone.channels)
        self.head = head(self.neck.channels, self.neck.stacks)
        self.landmarks = landmarks(self.neck.channels, self.neck.stacks) if landmarks else None

    def losses(self, images: Images, targets: Targets) -> Losses:
        """Return the losses of a training step, each a sum and its normalizer."""
        features = self.features(images)
        centers = self.head.encode(features, targets)
        losses = self.head.losses(features, centers, targets)
        return losses | (self.landmarks.losses(features, centers, targets) if self.landmarks else {})

    def detect(self, images: Images) -> Detections:
        """Return the objects of each image, in canvas pixels, best first."""
        return self.decode(self.predict(images), images)

    def detect_mirrored(self, images: Images, flip_indices: Sequence[Sequence[int]]) -> Detections:
        """Return the objects by the mean of the maps of each image and of its mirror image.

        flip_indices: [C or 1][K] the keypoint that each becomes in a mirrored image.
        """
        mirror_image, columns = mirror_images(images, self.head.stride)
        plain, mirrored = self.predict(images), self.predict(mirror_image)
        landmarks = None
        if self.landmarks and plain.landmarks and mirrored.landmarks:
            channels = self.landmarks.layout.mirror(flip_indices)
            landmarks = average_landmarks(plain.landmarks, mirrored.landmarks, columns, channels)
        centers = average_centers(plain.centers, mirrored.centers, columns)
        return self.decode(Predictions(centers, landmarks), images)

    def features(self, images: Images) -> list[Tensor]:
        """Return the map of each stack [B, channels, H / 4, W / 4]."""
        maps: list[Tensor] = self.neck(self.backbone(images))
        return maps

    def predict(self, images: Images) -> Predictions:
        """Return the maps of the last stack."""
        features = self.features(images)
        landmarks = self.landmarks.predict(features) if self.landmarks else None
        return Predictions(self.head.predict(features), landmarks)

    def decode(self, predictions: Predictions, images: Images) -> Detections:
        """Return the objects that maps show."""
        detections = self.head.decode(predictions.centers, images)
        if self.landmarks and predictions.landmarks:
            detections = self.landmarks.locate(predictions.landmarks, detections)
        return detections
