"""TensorBoard's own reader finds the tables, the pictures and the address of a site."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lineage.report.site.parts import read_part
from lineage.report.site.upload.contents import Table, list_pictures
from lineage.report.site.upload.paint_image import paint_image
from lineage.report.site.upload.tensorboard_upload import upload_site, write_markdown

pytest.importorskip("tensorboard", reason="make setup installs tensorboard")


def test_tables_pictures_and_the_address_are_read_back_by_tensorboard(short_site: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    earlier = short_site.with_name("site.tensorboard") / "events.out.tfevents.1.host"
    earlier.parent.mkdir()
    earlier.write_bytes(b"of an earlier site")
    events = Path(upload_site(short_site))
    assert not earlier.exists()
    assert events.parent == short_site.parent
    reader = EventAccumulator(str(events), {"images": 0, "tensors": 0}).Reload()
    texts = {tag: [event.tensor_proto.string_val[0].decode() for event in reader.Tensors(tag)]
             for tag in reader.Tags()["tensors"]}  # fmt: skip
    # 1. The site, beside the events.
    (address,) = texts["site/text_summary"]
    assert f"`{short_site / 'index.html'}`" in address
    # 2. The ablation table and AP by class.
    (ablation,) = next(text for tag, text in texts.items() if "mask_rcnn/table2c" in tag and "mask/AP," in tag)
    head, rule, *rows = [line.strip("| ").split(" | ") for line in ablation.splitlines()]
    assert head[:2] == ["row", "ours"]
    assert set(rule) == {"---"}
    assert next(row for row in rows if row[0] == "RoIAlign ave")[1] == "1.1"  # mask AP: 3.6 - 2.5
    index = read_part(short_site, "index")
    assert f"classes/{index['runs'][0]['id']}/text_summary" in texts
    # 3. Pictures with boxes and masks.
    pictures = next(list_pictures(short_site, index))
    (image,) = reader.Images(f"pictures/{pictures.run}/{pictures.images[0].name}")
    pixels = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB"))
    assert np.array_equal(pixels, np.asarray(paint_image(pictures.images[0])))


def test_texts_of_strangers_are_one_cell_of_text() -> None:
    table = Table("", "t", ["a"], [["x | <b>y</b>\n`z`"], [None], [1 / 3]])
    rows = write_markdown(table).splitlines()[2:]
    assert rows == ["| x &#124; &lt;b>y&lt;/b> &#96;z&#96; |", "|  |", "| 0.333333 |"]
