"""One reader for training, evaluation, prediction and checks: every mode and depth of a file gives the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from lineage.cli.data.main import main as data
from lineage.data.formats.coco import load
from lineage.data.samples.image import Decoding, ImageError, create_decoding, inspect, read, read_size, read_upright
from lineage.report.image_sources import Picture, Unreadable, read_picture
from tests.data import folder

SIZE = (20, 30)  # height, width
MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"]
RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 65536, (*SIZE, 4)).astype(np.uint16)


def draw(mode: str, path: Path, **options: Any) -> None:
    """Random pixels, transparent ones among them."""
    pixels = Image.fromarray(RANDOM.integers(0, 256, (*SIZE, 4), np.uint8), "RGBA")
    image = pixels.convert("LA").convert("PA") if mode == "PA" else pixels.convert("RGB").convert(mode)
    (pixels if mode == "RGBA" else image).save(path, **options)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("mode", "suffix"), [
    *((mode, "tif") for mode in MODES if mode != "PA"), ("1", "png"), ("L", "png"), ("LA", "png"), ("P", "png"),
    ("RGB", "png"), ("RGBA", "png"), ("RGB", "jpg"), ("L", "jpg"), ("CMYK", "jpg"), ("RGBA", "webp"), ("P", "gif"),
    ("RGB", "bmp"),
])  # fmt: skip
def test_training_and_prediction_read_what_pillow_converts(
    tmp_path: Path, mode: str, suffix: str, orientation: int
) -> None:
    """Pillow's convert is what detectron2 and torchvision read: transparency is dropped."""
    path, exif = tmp_path / f"x.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    draw(mode, path, **({} if suffix in ("gif", "bmp") else {"exif": exif}))
    with path.open("rb") as content, Image.open(content) as file:  # mapped TIFFs lose their orientation
        expected = np.array(ImageOps.exif_transpose(file).convert("RGB"))
    assert expected.shape[:2] == (SIZE[::-1] if orientation == 6 and suffix not in ("gif", "bmp") else SIZE)
    predicted = read_picture(path, "x")
    assert isinstance(predicted, Picture)
    np.testing.assert_array_equal(predicted.pixels, expected)
    np.testing.assert_array_equal(read(path, expected.shape[:2]).permute(1, 2, 0).numpy(), expected)
    assert read_size(path) == expected.shape[:2]


@pytest.mark.parametrize("transparency", [7, bytes(range(256))], ids=["one colour", "table"])
def test_a_transparent_palette_has_the_colours_of_the_palette(tmp_path: Path, transparency: Any) -> None:
    image = Image.fromarray(RANDOM.integers(0, 256, SIZE, np.uint8), "P")
    image.putpalette(RANDOM.integers(0, 256, 768, np.uint8).tobytes())
    image.save(tmp_path / "x.png", transparency=transparency)
    palette = np.array(image.getpalette()).reshape(256, 3)
    np.testing.assert_array_equal(read_upright(tmp_path / "x.png"), palette[np.asarray(image)])


def write_deep(name: str, path: Path) -> np.ndarray:
    """Write values of more than 8 bits and return them, [h, w] or [h, w, 3] RGB."""
    if name == "float.tif":
        values = DEEP[..., 0].astype(np.float32) / 65535
        Image.fromarray(values).save(path)
    elif name == "int.tif":
        values = DEEP[..., 0].astype(np.int32)
        Image.fromarray(values).save(path)
    elif name.startswith("grey"):
        values = DEEP[..., 0]
        cv2.imwrite(str(path), values)
    else:
        bands = 4 if name.startswith("rgba") else 3
        values = DEEP[..., 2::-1]
        cv2.imwrite(str(path), DEEP[..., :bands])
    return values


NAMES = ["grey.png", "grey.tif", "rgb.png", "rgba.png", "rgb.tif", "float.tif", "int.tif"]


@pytest.mark.parametrize("name", NAMES)
def test_deep_files_are_scaled_by_the_declared_range(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    values = write_deep(name, path)
    top = 1.0 if name == "float.tif" else 65535.0
    for black, white in ((0.0, top), (0.0, top / 16), (top / 4, top / 2), (top, 0.0)):
        expected = np.rint(255 * np.clip((values.astype(float) - black) / (white - black), 0, 1)).astype(np.uint8)
        expected = np.dstack([expected] * 3) if expected.ndim == 2 else expected
        decoding = Decoding((black, white))
        np.testing.assert_array_equal(read_upright(path, decoding), expected)
        np.testing.assert_array_equal(read(path, SIZE, decoding).permute(1, 2, 0).numpy(), expected)
        inspect(path, SIZE, decoding)


@pytest.mark.parametrize("name", NAMES)
def test_deep_files_without_a_range_are_refused_with_the_remedy(tmp_path: Path, name: str) -> None:
    write_deep(name, tmp_path / name)
    for refuse in (lambda path: read(path, SIZE), read_upright, lambda path: inspect(path, SIZE)):
        with pytest.raises(ImageError, match=r"more than 8 bits .*dataset\.pixel_range=\[0,65535\]") as refusal:
            refuse(tmp_path / name)
        assert name in str(refusal.value)
    assert isinstance(read_picture(tmp_path / name, name), Unreadable)


def test_a_dataset_of_12_bits_reads_as_its_copy_in_8_bits(tmp_path: Path) -> None:
    content = folder.content()
    for record in content["images"]:
        record["file_name"] = record["file_name"].replace(".png", ".tif")
    root = folder.write(tmp_path, content)
    values = RANDOM.integers(0, 4096, (*SIZE,)).astype(np.uint16)
    for record in content["images"]:
        cv2.imwrite(str(root / "images" / record["file_name"]), values)
    with pytest.raises(ValueError, match=r"image file cannot be used: 3[\s\S]*\[0,4095\] for 12"):
        load(root=str(root), annotations="train.json")
    dataset = load(root=str(root), annotations="train.json", pixel_range=[0, 4095])
    np.testing.assert_array_equal(dataset[1].image[0].numpy(), np.rint(values / 4095 * 255).astype(np.uint8))


@pytest.mark.parametrize("pixel_range", [[1], [0, 1, 2], [5, 5], 4095])
def test_a_range_that_is_none(pixel_range: Any) -> None:
    with pytest.raises(ImageError, match=r"is not \[black, white\]"):
        create_decoding(pixel_range, 179)


def test_a_number_that_is_none_is_black(tmp_path: Path) -> None:
    values = np.array([[np.nan, 0.0, 0.5, np.inf]], np.float32)
    Image.fromarray(values).save(tmp_path / "x.tif")
    assert read_upright(tmp_path / "x.tif", Decoding((0.0, 1.0)))[0, :, 0].tolist() == [0, 0, 128, 255]


def test_the_check_names_images_of_one_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder.write(tmp_path, folder.content())
    Image.new("RGB", SIZE[::-1], (3, 4, 5)).save(root / "images/2.png")
    check = ["check", "--images", str(root / "images"), "--annotations", str(root / "train.json")]
    assert data(check) == 1
    report = capsys.readouterr().out
    assert "all pixels of the image are equal: 1" in report
    assert "image 20 (2.png)" in report
    Image.fromarray(np.full(SIZE, 9, np.float32)).save(root / "images/2.png", "TIFF")
    assert data([*check, "--pixel-range", "0", "1"]) == 1
    assert "all pixels of the image are equal: 1" in capsys.readouterr().out


def test_the_limit_of_pixels_is_the_datasets(tmp_path: Path) -> None:
    """Pillow refuses more than 179 megapixels, and warns from half of that on: a limit of the process."""
    path = tmp_path / "large.png"
    Image.new("1", (20_000, 9_000)).save(path)
    with pytest.raises(ImageError, match=r"180 megapixels where 179 are allowed.*dataset\.max_megapixels=181"):
        inspect(path, (9_000, 20_000))
    inspect(path, (9_000, 20_000), Decoding(max_megapixels=181))
    assert read_size(path, Decoding(max_megapixels=181)) == (9_000, 20_000)
    with pytest.raises(ImageError, match="is not a number above 0"):
        create_decoding(None, 0)
