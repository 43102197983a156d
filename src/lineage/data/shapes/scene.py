"""One scene of the embedded dataset: a pure function of (seed, index, size, recipe).

`layout` decides what is where: pieces are taken from the front to the back, each keeps what the ones before it left
free, and a piece that keeps too little is never drawn, so nothing visible goes unannotated but the clutter. `draw`
paints that layout from the back to the front. Only `layout` is needed for annotations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from lineage.data.shapes import materials as stuff
from lineage.data.shapes import outlines, textures
from lineage.data.shapes.outlines import CLASSES, DRAWN, KEYPOINTS, Outline
from lineage.ops.random import fold_in
from lineage.structures import UNLABELLED

VERSION = 1  # raise it whenever the same parameters give different pixels or annotations
CLUTTER = -1
LEAST_SHOWN = 0.25  # of a piece's pixels; below that it is dropped
LEAST_PIXELS = 12
TURN = {"figure": 0.7}  # people mostly stand; everything else lies as it fell
DETAILED = {"figure": 1.6, "gear": 1.4, "star": 1.25, "arrow": 1.25, "bar": 1.8}  # how much larger the smallest is


class Recipe(NamedTuple):
    objects: float = 6.0  # mean number per image before occlusion
    crowds: float = 0.15  # share of images with a crowd region
    clutter: float = 3.0  # mean number of things that are not annotated
    tail: float = 1.0  # class frequency falls as 1 / rank^tail
    scales: tuple[float, float] = (0.07, 0.7)  # extent of an object as a share of the image's shorter side
    kinds: int = len(CLASSES)  # how many of the classes are drawn, the frequent ones first
    only: tuple[int, ...] = ()  # these classes in their place, all equally often
    stuff: bool = False  # the background is made of materials to tell apart


STANDARD = Recipe()


class Scene(NamedTuple):
    image: np.ndarray  # [h, w, 3] uint8
    masks: np.ndarray  # [n, h, w] bool, the visible parts; disjoint
    boxes: np.ndarray  # [n, 4] float32 XYXY, tight around the masks
    labels: np.ndarray  # [n] int64
    crowd: np.ndarray  # [n] bool
    keypoints: np.ndarray  # [n, K, 3] float32 (x, y, visibility): pixel centres, zero where not labelled
    semantic: np.ndarray | None  # [h, w] uint8: 0 is a thing, from 1 on materials, 255 is clutter; None without stuff


class Piece(NamedTuple):
    """Something to paint, in a window of the canvas."""

    cover: np.ndarray  # [h, w] uint8, how much of each pixel it paints
    mask: np.ndarray  # [h, w] bool, the pixels that are it
    window: tuple[slice, slice]  # rows and columns of the canvas
    whole: int  # pixels of the mask including those beyond the canvas
    label: int
    crowd: bool = False
    joints: np.ndarray | None = None  # [K, 2] canvas coordinates


class Layout(NamedTuple):
    painted: list[Piece]  # back to front
    pieces: list[Piece]  # the annotated ones, back to front
    masks: np.ndarray  # [n, h, w] bool
    keypoints: np.ndarray  # [n, K, 3]


def draw(seed: int, index: int, size: tuple[int, int], recipe: Recipe = STANDARD) -> Scene:
    plan = layout(seed, index, size, recipe)
    rng = np.random.default_rng(fold_in("shapes", "paint", seed, index))
    areas = grounds(seed, index, size) if recipe.stuff else None
    canvas = textures.background(rng, *size) if areas is None else stuff.ground(rng, areas)
    image = paint(rng, canvas, plan.painted)
    semantic = None if areas is None else over(areas, plan.painted)
    return Scene(image, plan.masks, tight(plan.masks), *labelled(plan), plan.keypoints, semantic)


def grounds(seed: int, index: int, size: tuple[int, int]) -> np.ndarray:
    return stuff.areas(np.random.default_rng(fold_in("shapes", "stuff", seed, index)), *size)


def over(areas: np.ndarray, painted: list[Piece]) -> np.ndarray:
    """The semantic class of each pixel once the pieces lie on the ground."""
    semantic = areas.copy()
    for piece in painted:
        semantic[piece.window][piece.mask] = UNLABELLED if piece.label == CLUTTER else stuff.THING
    return semantic


def labelled(plan: Layout) -> tuple[np.ndarray, np.ndarray]:
    labels = np.array([piece.label for piece in plan.pieces], np.int64)
    return labels, np.array([piece.crowd for piece in plan.pieces], bool)


def layout(seed: int, index: int, size: tuple[int, int], recipe: Recipe = STANDARD) -> Layout:
    rng = np.random.default_rng(fold_in("shapes", "layout", seed, index))
    behind = [crowd(rng, size, recipe)] if rng.random() < recipe.crowds else []
    return visible(behind + scattered(rng, size, recipe), size)


def scattered(rng: Generator, size: tuple[int, int], recipe: Recipe) -> list[Piece]:
    """Objects and clutter in random order, the larger rather behind the smaller."""
    wanted = [pick(rng, recipe) for _ in range(max(1, rng.poisson(recipe.objects)))] if recipe.objects else []
    wanted += [CLUTTER] * rng.poisson(recipe.clutter)
    extents = [extent(rng, label, size, recipe) for label in wanted]
    order = np.argsort(-np.array(extents) * np.exp(rng.uniform(-0.6, 0.6, len(extents))), kind="stable")
    return [place(rng, wanted[i], extents[i], size) for i in order]


def pick(rng: Generator, recipe: Recipe) -> int:
    if recipe.only:
        return recipe.only[int(rng.integers(len(recipe.only)))]
    frequency = np.cumsum(np.arange(1.0, recipe.kinds + 1) ** -recipe.tail)
    return int(np.searchsorted(frequency, rng.random() * frequency[-1], side="right"))


def extent(rng: Generator, label: int, size: tuple[int, int], recipe: Recipe) -> float:
    """The longer side of an object in pixels, log-uniform: as many small as large ones."""
    low, high = recipe.scales
    least = low if label == CLUTTER else low * DETAILED.get(CLASSES[label], 1)
    return min(size) * float(np.exp(rng.uniform(np.log(min(least, high)), np.log(high))))


def place(rng: Generator, label: int, length: float, size: tuple[int, int]) -> Piece:
    centre = rng.random(2) * (size[1], size[0])
    if label == CLUTTER:
        outline = outlines.scribble(rng) if rng.random() < 0.6 else outlines.blob(rng, 0.7)
        return raster(fit(outlines.deform(outline, rng), 0.6 * length, centre), size, CLUTTER)
    turn = TURN.get(CLASSES[label], np.pi)
    return raster(fit(outlines.deform(DRAWN[label](rng), rng, turn), length, centre), size, label)


def fit(outline: Outline, length: float, centre: np.ndarray) -> Outline:
    """Scale to `length` pixels on the longer side and move to `centre`."""
    points = np.concatenate(outline.parts)
    low, high = points.min(0), points.max(0)
    scale, middle = length / (high - low).max(), (low + high) / 2
    joints = None if outline.joints is None else (outline.joints - middle) * scale + centre
    return Outline([(part - middle) * scale + centre for part in outline.parts], joints)


def raster(outline: Outline, size: tuple[int, int], label: int) -> Piece:
    points = np.concatenate(outline.parts)
    left, top = np.floor(points.min(0)).astype(int).tolist()
    right, bottom = (np.ceil(points.max(0)).astype(int) + 1).tolist()
    cover = fill(outline, (left, top, right, bottom))
    rows, columns = slice(max(top, 0), min(bottom, size[0])), slice(max(left, 0), min(right, size[1]))
    shown = cover[rows.start - top : max(rows.stop - top, 0), columns.start - left : max(columns.stop - left, 0)]
    return Piece(shown, shown >= 128, (rows, columns), int((cover >= 128).sum()), label, joints=outline.joints)


def fill(outline: Outline, frame: tuple[int, int, int, int]) -> np.ndarray:
    """Coverage in 0..255 inside frame (x1, y1, x2, y2), from 4 x 4 samples per pixel, 2 x 2 for large frames."""
    left, top, right, bottom = frame
    fine = 4 if max(right - left, bottom - top) < 128 else 2
    canvas = Image.new("L", ((right - left) * fine, (bottom - top) * fine))
    pen = ImageDraw.Draw(canvas)
    for part in outline.parts:
        pen.polygon(((part - (left, top)) * fine - 0.5).ravel().tolist(), fill=255)
    return np.asarray(canvas.reduce(fine))


def crowd(rng: Generator, size: tuple[int, int], recipe: Recipe) -> Piece:
    """Many tiny objects of one class inside an annotated region; the region is the mask, the objects are the paint."""
    label, side = pick(rng, recipe), min(size)
    radius, length = side * rng.uniform(0.16, 0.3), side * rng.uniform(0.05, 0.075)
    centre = rng.uniform(0.2, 0.8, 2) * (size[1], size[0])
    region = raster(fit(outlines.blob(rng, 0.1), 2 * radius, centre), size, label)
    steps = np.arange(-radius, radius, 1.35 * length)
    spots = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    spots = spots[np.hypot(*spots.T) < 0.85 * radius - length / 2]
    spots += centre + rng.uniform(-0.2, 0.2, spots.shape) * length
    members = [fit(outlines.deform(DRAWN[label](rng), rng), length, spot) for spot in spots]
    rows, columns = region.window
    parts = [part for member in members for part in member.parts]
    cover = fill(Outline(parts), (columns.start, rows.start, columns.stop, rows.stop))
    return region._replace(cover=cover, crowd=True, joints=None)


def visible(pieces: list[Piece], size: tuple[int, int]) -> Layout:
    """Take pieces (back to front) from the front, keep what is free, drop what would hardly show."""
    taken = np.zeros(size, bool)
    painted, kept, masks, keypoints = [], [], [], []
    for piece in reversed(pieces):
        shown: np.ndarray = piece.mask & ~taken[piece.window]
        if shown.sum() < max(LEAST_PIXELS, LEAST_SHOWN * piece.whole):
            continue
        painted.append(piece)
        if piece.label != CLUTTER:
            kept.append(piece)
            masks.append(np.zeros(size, bool))
            masks[-1][piece.window] = shown
            keypoints.append(seen(piece, taken))
        taken[piece.window] |= piece.mask
    stacked = np.stack(masks[::-1]) if masks else np.zeros((0, *size), bool)
    points = np.stack(keypoints[::-1]) if keypoints else np.zeros((0, len(KEYPOINTS), 3), np.float32)
    return Layout(painted[::-1], kept[::-1], stacked, points)


def seen(piece: Piece, taken: np.ndarray) -> np.ndarray:
    """[K, 3] keypoints at pixel centres: 2 visible, 1 behind another piece, 0 beyond the canvas or no figure."""
    found = np.zeros((len(KEYPOINTS), 3), np.float32)
    if piece.joints is None:
        return found
    pixel = np.floor(piece.joints).astype(int)
    inside = ((pixel >= 0) & (pixel < taken.shape[::-1])).all(1)
    found[inside, :2] = pixel[inside] + 0.5
    found[inside, 2] = 2 - taken[pixel[inside, 1], pixel[inside, 0]]
    return found


def tight(masks: np.ndarray) -> np.ndarray:
    """[n, 4] float32: first column and row, last column and row + 1."""
    columns, rows = np.asarray(masks.any(1)), np.asarray(masks.any(2))
    right, bottom = (side.shape[1] - side[:, ::-1].argmax(1) for side in (columns, rows))
    return np.stack([columns.argmax(1), rows.argmax(1), right, bottom], 1).astype(np.float32)


def paint(rng: Generator, canvas: np.ndarray, pieces: list[Piece]) -> np.ndarray:
    """[h, w, 3] uint8: pieces over the canvas, back to front, and a little sensor noise over all."""
    for piece in pieces:
        spot = canvas[piece.window]
        beneath = spot[piece.mask].mean(0)
        height, width = piece.mask.shape
        field = textures.surface(rng, height, width, rng.uniform(3, 5) + rng.uniform(0, 0.25) * max(height, width))
        first, second = textures.contrasting(rng, beneath)
        if piece.label == CLUTTER:
            first, second = (0.5 * (colour + beneath) for colour in (first, second))
        spot += (piece.cover[..., None] / np.float32(255)) * (textures.mix(field, first, second) - spot)
    canvas += rng.integers(-5, 6, canvas.shape, np.int8)
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)
