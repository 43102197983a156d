"""The site in TensorBoard: tables as Markdown, pictures, and the address of the pages, which it cannot hold itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lineage.report.site.parts import INDEX, PAGE, read_part
from lineage.report.site.upload.contents import Table, list_pictures, list_tables
from lineage.report.site.upload.paint_image import paint_image

EVENTS = ".tensorboard"  # what the name of the site's folder gets to name that of the events, beside it
EARLIER = "events.out.tfevents.*"  # files of an earlier upload, which would be shown, too


def upload_site(folder: Path) -> str:
    """Write the site of a folder as events beside it; return the folder of the events."""
    from torch.utils.tensorboard import SummaryWriter

    index, events = read_part(folder, INDEX), folder.with_name(f"{folder.name}{EVENTS}")
    for file in events.glob(EARLIER):
        file.unlink()
    with SummaryWriter(str(events)) as writer:
        writer.add_text("site", f"`{(folder / PAGE).absolute()}`, of the store `{index['store']}`, {index['written']}")
        for table in list_tables(folder, index):
            writer.add_text(table.name, write_markdown(table))
        for pictures in list_pictures(folder, index):
            for image in pictures.images:
                pixels = np.asarray(paint_image(image))
                writer.add_image(f"pictures/{pictures.run}/{image.name}", pixels, dataformats="HWC")
    return str(events)


def write_markdown(table: Table) -> str:
    """Return a table in Markdown; texts of strangers stay text."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(map(_write_cell, line))} |" for line in lines)


def _write_cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
    for letter, code in (("&", "&amp;"), ("<", "&lt;"), ("|", "&#124;"), ("`", "&#96;")):
        text = text.replace(letter, code)
    return text
