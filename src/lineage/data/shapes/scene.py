"""One scene of the embedded dataset: a pure function of (seed, index, size, settings).

`make_layout` decides what is where: from the front to the back each piece keeps the pixels that are still free, and a
piece that keeps too few is not drawn, so everything visible except clutter is annotated. `draw_scene`
paints that layout from the back to the front. Annotations need the layout alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from lineage.data.shapes import materials, outlines, textures
from lineage.data.shapes.outlines import CLASSES, DRAWN, KEYPOINTS, Outline
from lineage.ops.random import fold_in
from lineage.structures import UNLABELLED

VERSION = 1  # raise it whenever the same parameters give different pixels or annotations
CLUTTER = -1
MIN_VISIBLE = 0.25  # of a piece's pixels; below that it is dropped
MIN_PIXELS = 12
TURN = {"figure": 0.7}  # people mostly stand; everything else lies as it fell
DETAILED = {"figure": 1.6, "gear": 1.4, "star": 1.25, "arrow": 1.25, "bar": 1.8}  # how much larger the smallest is


class SceneSettings(NamedTuple):
    objects: float = 6.0  # mean number per image before occlusion
    crowds: float = 0.15  # share of images with a crowd region
    clutter: float = 3.0  # mean number of things that are not annotated
    tail: float = 1.0  # class frequency falls as 1 / rank^tail
    scales: tuple[float, float] = (0.07, 0.7)  # extent of an object as a share of the image's shorter side
    kinds: int = len(CLASSES)  # how many of the classes are drawn, the frequent ones first
    only: tuple[int, ...] = ()  # these classes in their place, all equally often
    stuff: bool = False  # the background is made of materials to tell apart
    coloured: bool = False  # each class has a hue of its own; else colours say nothing


STANDARD = SceneSettings()


class Scene(NamedTuple):
    image: np.ndarray  # [h, w, 3] uint8
    masks: np.ndarray  # [n, h, w] bool, the visible parts; disjoint
    boxes: np.ndarray  # [n, 4] float32 XYXY, tight around the masks
    labels: np.ndarray  # [n] int64
    crowd: np.ndarray  # [n] bool
    keypoints: np.ndarray  # [n, K, 3] float32 (x, y, visibility): pixel centres, zero where not labelled
    semantic: np.ndarray | None  # [h, w] uint8: 0 is a thing, from 1 on materials, 255 is clutter; None without stuff


class Piece(NamedTuple):
    """A drawn thing in a window of the canvas."""

    cover: np.ndarray  # [h, w] uint8, how much of each pixel it paints
    mask: np.ndarray  # [h, w] bool, the pixels that are it
    window: tuple[slice, slice]  # rows and columns of the canvas
    whole: int  # pixels of the mask including those beyond the canvas
    label: int
    crowd: bool = False
    joints: np.ndarray | None = None  # [J, 2] canvas coordinates of its keypoints
    first_keypoint: int = 0  # of the K of the dataset: they have the J slots from this one on


class Layout(NamedTuple):
    painted: list[Piece]  # back to front
    pieces: list[Piece]  # the annotated ones, back to front
    masks: np.ndarray  # [n, h, w] bool
    keypoints: np.ndarray  # [n, K, 3]


def draw_scene(seed: int, index: int, size: tuple[int, int], settings: SceneSettings = STANDARD) -> Scene:
    layout = make_layout(seed, index, size, settings)
    rng = np.random.default_rng(fold_in("shapes", "paint", seed, index))
    areas = draw_materials(seed, index, size) if settings.stuff else None
    canvas = textures.background(rng, *size) if areas is None else materials.paint_areas(rng, areas)
    image = paint_pieces(rng, canvas, layout.painted, settings.coloured)
    semantic = None if areas is None else label_pixels(areas, layout.painted)
    return Scene(image, layout.masks, tight_boxes(layout.masks), *read_labels(layout), layout.keypoints, semantic)


def draw_materials(seed: int, index: int, size: tuple[int, int]) -> np.ndarray:
    return materials.draw_areas(np.random.default_rng(fold_in("shapes", "stuff", seed, index)), *size)


def label_pixels(areas: np.ndarray, painted: list[Piece]) -> np.ndarray:
    """Return the semantic class of each pixel, with the pieces in front of the materials."""
    semantic = areas.copy()
    for piece in painted:
        semantic[piece.window][piece.mask] = UNLABELLED if piece.label == CLUTTER else materials.THING
    return semantic


def read_labels(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    labels = np.array([piece.label for piece in layout.pieces], np.int64)
    return labels, np.array([piece.crowd for piece in layout.pieces], bool)


def make_layout(seed: int, index: int, size: tuple[int, int], settings: SceneSettings = STANDARD) -> Layout:
    rng = np.random.default_rng(fold_in("shapes", "layout", seed, index))
    behind = [make_crowd(rng, size, settings)] if rng.random() < settings.crowds else []
    return resolve_occlusion(behind + scatter_objects(rng, size, settings), size)


def scatter_objects(rng: Generator, size: tuple[int, int], settings: SceneSettings) -> list[Piece]:
    """Return objects and clutter, back to front: in random order, with larger ones more often behind smaller ones."""
    labels = (
        [draw_class(rng, settings) for _ in range(max(1, rng.poisson(settings.objects)))] if settings.objects else []
    )
    labels += [CLUTTER] * rng.poisson(settings.clutter)
    extents = [draw_extent(rng, label, size, settings) for label in labels]
    order = np.argsort(-np.array(extents) * np.exp(rng.uniform(-0.6, 0.6, len(extents))), kind="stable")
    return [place_object(rng, labels[i], extents[i], size) for i in order]


def draw_class(rng: Generator, settings: SceneSettings) -> int:
    if settings.only:
        return settings.only[int(rng.integers(len(settings.only)))]
    frequency = np.cumsum(np.arange(1.0, settings.kinds + 1) ** -settings.tail)
    return int(np.searchsorted(frequency, rng.random() * frequency[-1], side="right"))


def draw_extent(rng: Generator, label: int, size: tuple[int, int], settings: SceneSettings) -> float:
    """Draw the longer side of an object in pixels, log-uniform."""
    low, high = settings.scales
    smallest = low if label == CLUTTER else low * DETAILED.get(CLASSES[label], 1)
    return min(size) * float(np.exp(rng.uniform(np.log(min(smallest, high)), np.log(high))))


def place_object(rng: Generator, label: int, length: float, size: tuple[int, int]) -> Piece:
    centre = rng.random(2) * (size[1], size[0])
    if label == CLUTTER:
        outline = outlines.scribble(rng) if rng.random() < 0.6 else outlines.blob(rng, 0.7)
        return rasterize(fit_outline(outlines.deform(outline, rng), 0.6 * length, centre), size, CLUTTER)
    turn = TURN.get(CLASSES[label], np.pi)
    return rasterize(fit_outline(outlines.deform(DRAWN[label](rng), rng, turn), length, centre), size, label)


def fit_outline(outline: Outline, length: float, centre: np.ndarray) -> Outline:
    """Scale to `length` pixels on the longer side and move to `centre`."""
    points = np.concatenate(outline.parts)
    low, high = points.min(0), points.max(0)
    scale, middle = length / (high - low).max(), (low + high) / 2
    joints = None if outline.joints is None else (outline.joints - middle) * scale + centre
    return Outline([(part - middle) * scale + centre for part in outline.parts], joints)


def rasterize(outline: Outline, size: tuple[int, int], label: int) -> Piece:
    points = np.concatenate(outline.parts)
    left, top = np.floor(points.min(0)).astype(int).tolist()
    right, bottom = (np.ceil(points.max(0)).astype(int) + 1).tolist()
    cover = render_coverage(outline, (left, top, right, bottom))
    rows, columns = slice(max(top, 0), min(bottom, size[0])), slice(max(left, 0), min(right, size[1]))
    shown = cover[rows.start - top : max(rows.stop - top, 0), columns.start - left : max(columns.stop - left, 0)]
    return Piece(shown, shown >= 128, (rows, columns), int((cover >= 128).sum()), label, joints=outline.joints)


def render_coverage(outline: Outline, frame: tuple[int, int, int, int]) -> np.ndarray:
    """Return the coverage in 0..255 of a frame (x1, y1, x2, y2), from 4 x 4 samples per pixel, 2 x 2 if it is large."""
    left, top, right, bottom = frame
    fine = 4 if max(right - left, bottom - top) < 128 else 2
    canvas = Image.new("L", ((right - left) * fine, (bottom - top) * fine))
    pen = ImageDraw.Draw(canvas)
    for part in outline.parts:
        pen.polygon(((part - (left, top)) * fine - 0.5).ravel().tolist(), fill=255)
    return np.asarray(canvas.reduce(fine))


def make_crowd(rng: Generator, size: tuple[int, int], settings: SceneSettings) -> Piece:
    """Return many tiny objects of one class as one piece: its mask is their region, its coverage the objects."""
    label, side = draw_class(rng, settings), min(size)
    radius, length = side * rng.uniform(0.16, 0.3), side * rng.uniform(0.05, 0.075)
    centre = rng.uniform(0.2, 0.8, 2) * (size[1], size[0])
    region = rasterize(fit_outline(outlines.blob(rng, 0.1), 2 * radius, centre), size, label)
    steps = np.arange(-radius, radius, 1.35 * length)
    spots = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    spots = spots[np.hypot(*spots.T) < 0.85 * radius - length / 2]
    spots += centre + rng.uniform(-0.2, 0.2, spots.shape) * length
    members = [fit_outline(outlines.deform(DRAWN[label](rng), rng), length, spot) for spot in spots]
    rows, columns = region.window
    parts = [part for member in members for part in member.parts]
    cover = render_coverage(Outline(parts), (columns.start, rows.start, columns.stop, rows.stop))
    return region._replace(cover=cover, crowd=True, joints=None)


def resolve_occlusion(pieces: list[Piece], size: tuple[int, int], count: int = len(KEYPOINTS)) -> Layout:
    """Keep the uncovered part of each piece, given back to front, and drop pieces of which little is visible.

    count: keypoints of the dataset
    """
    taken = np.zeros(size, bool)
    painted, annotated, masks, keypoints = [], [], [], []
    for piece in reversed(pieces):
        shown: np.ndarray = piece.mask & ~taken[piece.window]
        if shown.sum() < max(MIN_PIXELS, MIN_VISIBLE * piece.whole):
            continue
        painted.append(piece)
        if piece.label != CLUTTER:
            annotated.append(piece)
            masks.append(np.zeros(size, bool))
            masks[-1][piece.window] = shown
            keypoints.append(locate_keypoints(piece, taken, count))
        taken[piece.window] |= piece.mask
    stacked = np.stack(masks[::-1]) if masks else np.zeros((0, *size), bool)
    points = np.stack(keypoints[::-1]) if keypoints else np.zeros((0, count, 3), np.float32)
    return Layout(painted[::-1], annotated[::-1], stacked, points)


def locate_keypoints(piece: Piece, taken: np.ndarray, count: int) -> np.ndarray:
    """Return [count, 3] keypoints at pixel centres: 2 visible, 1 behind another piece, 0 off the canvas or no own."""
    keypoints = np.zeros((count, 3), np.float32)
    if piece.joints is None:
        return keypoints
    pixel = np.floor(piece.joints).astype(int)
    inside = ((pixel >= 0) & (pixel < taken.shape[::-1])).all(1)
    slots = piece.first_keypoint + inside.nonzero()[0]
    keypoints[slots, :2] = pixel[inside] + 0.5
    keypoints[slots, 2] = 2 - taken[pixel[inside, 1], pixel[inside, 0]]
    return keypoints


def tight_boxes(masks: np.ndarray) -> np.ndarray:
    """Return [n, 4] float32: first column and row, last column and row + 1."""
    columns, rows = np.asarray(masks.any(1)), np.asarray(masks.any(2))
    right, bottom = (side.shape[1] - side[:, ::-1].argmax(1) for side in (columns, rows))
    return np.stack([columns.argmax(1), rows.argmax(1), right, bottom], 1).astype(np.float32)


def paint_pieces(rng: Generator, canvas: np.ndarray, pieces: list[Piece], coloured: bool = False) -> np.ndarray:
    """Paint the pieces over the canvas, back to front, add a little sensor noise and return [h, w, 3] uint8."""
    for piece in pieces:
        spot = canvas[piece.window]
        beneath = spot[piece.mask].mean(0)
        height, width = piece.mask.shape
        field = textures.surface(rng, height, width, rng.uniform(3, 5) + rng.uniform(0, 0.25) * max(height, width))
        first, second = textures.contrasting(rng, beneath)
        if coloured and piece.label != CLUTTER:
            first, second = textures.colours_of_class(rng, piece.label)
        if piece.label == CLUTTER:
            first, second = (0.5 * (colour + beneath) for colour in (first, second))
        spot += (piece.cover[..., None] / np.float32(255)) * (textures.mix(field, first, second) - spot)
    canvas += rng.integers(-5, 6, canvas.shape, np.int8)
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)
