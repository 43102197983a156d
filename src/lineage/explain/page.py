"""The page of explanations: one HTML file without any request, with toggles for methods, detections and opacity."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from importlib import resources

from PIL import Image

from lineage.explain.explained_image import ExplainedDetection, ExplainedImage, FileMap, fill_box
from lineage.explain.pointing import measure_energy
from lineage.explain.sheet import make_overlay

SIDE = 640  # pixels of the longer side of a picture in the page
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def render_page(images: Sequence[ExplainedImage], source: str) -> str:
    """Return the HTML of all images; names of files and classes are text."""
    folder = resources.files("lineage.explain")
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    methods = list(dict.fromkeys(name for image in images for item in image.detections for name in item.maps))
    boxes = "".join(_toggle("method", name) for name in methods)
    body = "".join(_render_image(image, number) for number, image in enumerate(images))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>explanations · {escape(source)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<header>"
        f"<h1>Explanations</h1><p>{escape(source)}</p></header>\n"
        f'<nav><fieldset><legend>methods</legend>{boxes}</fieldset><label>heat <input type="range" id="heat" min="0" '
        'max="100" value="85"></label><label><input type="checkbox" id="boxes" checked> boxes</label></nav>\n'
        f"<main>{body}</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _toggle(kind: str, value: str, text: str = "") -> str:
    name = escape(value, quote=True)
    return (
        f'<label><input type="checkbox" checked data-kind="{kind}" data-value="{name}"> {escape(text or value)}</label>'
    )


def _render_image(image: ExplainedImage, number: int) -> str:
    detections = "".join(_toggle("detection", f"{number}-{item.number}", item.text) for item in image.detections)
    note = "" if image.detections else "<p>No detection reaches the score.</p>"
    facts = " · ".join(filter(None, (f"target: {image.target}", image.proposal_policy, image.d_rise)))
    rows = "".join(_render_detection(image, item, number) for item in image.detections)
    picture = _encode(_shrink(Image.fromarray(image.pixels)), "JPEG")
    return (
        f"<section><h2>{escape(image.name)}</h2><p>{escape(facts)}</p>{note}<fieldset>{detections}</fieldset>"
        f"<style>.image{number}{{background-image:url({picture})}}</style>"
        f"<table>{rows or _render_bare(image, number)}</table></section>"
    )


def _render_bare(image: ExplainedImage, number: int) -> str:
    return f"<tr><td>{_frame(image, number, '', '')}</td></tr>"


def _render_detection(image: ExplainedImage, detection: ExplainedDetection, number: int) -> str:
    box = _draw_box(image, detection)
    cells = [f"<td>{_frame(image, number, box, '')}<b>{escape(detection.text)}</b></td>"]
    for name, heatmap in detection.maps.items():
        overlay = f'<img class="heat" alt="" src="{_encode(_shrink(make_overlay(heatmap.values)), "PNG")}">'
        cells.append(
            f'<td data-method="{escape(name, quote=True)}">{_frame(image, number, box, overlay)}'
            f"<b>{escape(name).replace('_', '_<wbr>')}</b><small>{escape(_caption(detection, heatmap))}</small></td>"
        )
    return f'<tr data-detection="{number}-{detection.number}">{"".join(cells)}</tr>'


def _caption(detection: ExplainedDetection, heatmap: FileMap) -> str:
    share = measure_energy(heatmap.values, fill_box(detection.box, heatmap.values.shape[:2]))
    facts = [f"{share:.0%} in the box", heatmap.layer, f"{heatmap.seconds:.2f} s"]
    facts += [f"{name.replace('_', '-')} {value:.2f}" for name, value in heatmap.effects.items()]
    return " · ".join(facts)


def _frame(image: ExplainedImage, number: int, box: str, overlay: str) -> str:
    height, width = image.pixels.shape[:2]
    return f'<div class="frame image{number}" style="aspect-ratio:{width}/{height}">{overlay}{box}</div>'


def _draw_box(image: ExplainedImage, detection: ExplainedDetection) -> str:
    height, width = image.pixels.shape[:2]
    x1, y1, x2, y2 = detection.box
    place = f"left:{x1 / width:.4%};top:{y1 / height:.4%};width:{(x2 - x1) / width:.4%};height:{(y2 - y1) / height:.4%}"
    return f'<i class="box" style="{place};border-color:rgb{detection.colour}"></i>'


def _shrink(picture: Image.Image) -> Image.Image:
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    return picture


def _encode(picture: Image.Image, kind: str) -> str:
    stream = io.BytesIO()
    picture.save(stream, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
