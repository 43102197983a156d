"""Explain the detections of a restored model on pictures: `lineage explain`."""

from __future__ import annotations

from lineage.data.transforms.context import Context, bind_context
from lineage.explain.detectors import adapt_detector
from lineage.explain.explain_image import Request, explain_image
from lineage.explain.explained_image import ExplainedImage
from lineage.report.image_sources import Picture
from lineage.run.inference.predict import UnannotatedImages, add_proposals
from lineage.run.restore import Restored
from lineage.structures import Batch


def explain_picture(restored: Restored, picture: Picture, request: Request) -> ExplainedImage:
    """Detect, and compute the maps of the chosen detections. Raises NoSuchDetection."""
    detector = adapt_detector(restored.model)
    return explain_image(detector, load_batch(restored, picture), picture, restored.meta, request)


def load_batch(restored: Restored, picture: Picture) -> Batch:
    """Return a picture as the batch on which the model detects."""
    images = UnannotatedImages([picture], 1, restored.meta)
    transform = bind_context(restored.canvas.augment.test, Context(images, step=0, seed=0))
    return restored.canvas.collate([transform(add_proposals(restored, images)[0])])
