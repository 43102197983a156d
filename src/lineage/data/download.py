"""`lineage data prepare NAME ROOT`: fetch a dataset, check what arrived, unpack it; or say what to fetch and where to.

A licence that needs a registration is the reader's to accept: then nothing is fetched. Where the owners publish no
checksum, the archive's own (CRC-32 of each file in a zip) is all that can be checked, and the printed line says so.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lineage.data.annotations.validate import DatasetError
from lineage.data.formats import cityscapes, deepfashion2
from lineage.weights.download import DownloadError, download

COCO = "http://images.cocodataset.org"
VOC = "https://thor.robots.ox.ac.uk/pascal/VOC"
LVIS = "https://dl.fbaipublicfiles.com/LVIS"


class Archive(NamedTuple):
    url: str
    digest: str | None  # "md5:..." as published, None where nobody publishes one
    size: str
    into: str = "."  # the folder in ROOT where it is unpacked
    makes: str = "."  # what is there afterwards; where it is, nothing is fetched


class Source(NamedTuple):
    licence: str
    archives: tuple[Archive, ...]
    steps: str = ""  # what a person has to do about what cannot be fetched


IMAGES = (
    Archive(f"{COCO}/zips/train2017.zip", "md5:cced6f7f71b7629ddf16f17bbcfab6b2", "18 GB", makes="train2017"),
    Archive(f"{COCO}/zips/val2017.zip", "md5:442b8da7639aecaf257c1dceb8ba8c80", "0.8 GB", makes="val2017"),
)
ANNOTATIONS = Archive(
    f"{COCO}/annotations/annotations_trainval2017.zip", "md5:f4bbac642086de4f52a3fdda2de5fa2c", "0.24 GB",
    makes="annotations/instances_val2017.json",
)  # fmt: skip
UNLABELLED = (
    Archive(f"{COCO}/zips/unlabeled2017.zip", None, "19 GB", makes="unlabeled2017"),
    Archive(f"{COCO}/annotations/image_info_unlabeled2017.zip", None, "4 MB",
            makes="annotations/image_info_unlabeled2017.json"),
)  # fmt: skip
PANOPTIC = Archive(
    f"{COCO}/annotations/panoptic_annotations_trainval2017.zip", None, "0.8 GB",
    makes="annotations/panoptic_val2017.json",
)  # fmt: skip
VOC07 = (
    Archive(f"{VOC}/voc2007/VOCtrainval_06-Nov-2007.tar", "md5:c52e279531787c972589f7e41ab4ae64", "0.44 GB",
            makes="VOCdevkit/VOC2007/ImageSets/Main/trainval.txt"),
    Archive(f"{VOC}/voc2007/VOCtest_06-Nov-2007.tar", "md5:b6e924de25625d8de591ea690078ad9f", "0.43 GB",
            makes="VOCdevkit/VOC2007/ImageSets/Main/test.txt"),
)  # fmt: skip
VOC12 = (
    Archive(f"{VOC}/voc2012/VOCtrainval_11-May-2012.tar", "md5:6cd6e144f989b92b3379bac3b3de84fd", "1.9 GB",
            makes="VOCdevkit/VOC2012/ImageSets/Main/trainval.txt"),
)  # fmt: skip
CC = "annotations CC BY 4.0; the images follow Flickr's terms of use"
FLICKR = "research use; the images follow Flickr's terms of use"
CITYSCAPES = f"""\
1. Register at https://www.cityscapes-dataset.com/register/ and accept the licence.
2. Download gtFine_trainvaltest.zip (241 MB) and leftImg8bit_trainvaltest.zip (11 GB) at
   https://www.cityscapes-dataset.com/downloads/
3. Unpack both in {{root}}.
{cityscapes.HELP}"""
VOC12_TEST = """\
The images of VOC 2012 test need a registration at http://host.robots.ox.ac.uk:8080, whose server keeps their
annotations: upload the boxes there, or choose a dataset that can be scored here: voc12, voc07, voc0712."""


def of_lvis(version: str) -> tuple[Archive, ...]:
    files = {f"lvis_{version}_train.json": "0.3 GB", f"lvis_{version}_val.json": "0.06 GB"}
    return tuple(
        Archive(f"{LVIS}/{name}.zip", None, size, "annotations", f"annotations/{name}") for name, size in files.items()
    )


SOURCES = {
    "coco": Source(CC, (ANNOTATIONS, *IMAGES)),
    "coco_person": Source(CC, (ANNOTATIONS, *IMAGES)),
    "coco_person_unlabelled": Source(CC, (ANNOTATIONS, *IMAGES, *UNLABELLED)),
    "coco_person_distilled": Source(CC, (ANNOTATIONS, *IMAGES, *UNLABELLED)),
    "coco_panoptic": Source(CC, (PANOPTIC, *IMAGES)),
    "lvis": Source(CC, (*of_lvis("v1"), *IMAGES)),
    "lvis_v05": Source(CC, (*of_lvis("v0.5"), *IMAGES)),
    "voc07": Source(FLICKR, VOC07),
    "voc12": Source(FLICKR, VOC12),
    "voc0712": Source(FLICKR, (*VOC07, *VOC12)),
    "voc0712_plus": Source(FLICKR, (*VOC07, *VOC12), VOC12_TEST),
    "voc12_test": Source(FLICKR, VOC12, VOC12_TEST),
    "penn_fudan": Source(
        "none stated; copyright stays with its authors",
        (Archive("https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip", None, "53 MB", makes="PennFudanPed"),),
    ),
    "cityscapes": Source("non-commercial, by registration", (), CITYSCAPES),
    "cityscapes_coco": Source("non-commercial, by registration", (), "\n".join((
        CITYSCAPES,
        "4. Convert gtFine as Detectron's tools/convert_cityscapes_to_coco.py does; the files it writes belong in",
        "   {root}/annotations. dataset=cityscapes reads gtFine as it is, and needs no conversion.",
    ))),
    "deepfashion2": Source("non-commercial, by a form that answers with a password", (), "\n".join((
        "1. Follow the README of https://github.com/switchablenorms/DeepFashion2: its form answers with a password.",
        "2. Download train.zip and validation.zip from the folder it names.",
        "3. Unpack both in {root} with that password.", deepfashion2.HELP,
    ))),
}  # fmt: skip


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage data prepare", description=__doc__)
    parser.add_argument("name", metavar="NAME", help=f"as in dataset=NAME: {', '.join(sorted(SOURCES))}")
    parser.add_argument("root", metavar="ROOT", type=Path, help="the folder for it, as in dataset.root=ROOT")
    parser.add_argument("--keep", action="store_true", help="keep the archives after unpacking")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be fetched")
    asked = parser.parse_args(argv)
    if asked.name not in SOURCES:
        parser.error(f"{asked.name} is not to be fetched; these are: {', '.join(sorted(SOURCES))}")
    return prepare(asked.name, asked.root, SOURCES[asked.name], keep=asked.keep, dry=asked.dry_run)


def prepare(name: str, root: Path, source: Source, *, keep: bool = False, dry: bool = False) -> int:
    """Fetch and unpack what is missing. Raises DatasetError for archives that are not what they should be."""
    if not source.archives:
        print(f"{name} cannot be fetched by a program ({source.licence}).\n{source.steps.replace('{root}', str(root))}")
        return 1
    missing = [one for one in source.archives if not (root / one.makes).exists()]
    print(f"{name}: {source.licence}")
    for one in source.archives:
        there = "is there" if one not in missing else f"{one.size}, {one.digest or 'no published checksum'}"
        print(f"  {one.url}\n      -> {root / one.makes}: {there}")
    if source.steps:
        print(source.steps)
    if dry:
        return 0
    for one in missing:
        fetched = fetch(one, root)
        unpack(fetched, root / one.into)
        if not (root / one.makes).exists():
            raise DatasetError(f"{fetched}: has no {one.makes} in it; is {one.url} still the right file?")
        if not keep:
            fetched.unlink()
    nested(root)
    print(f"check:  lineage data check {name} --root {root}")
    print(f"train:  python train.py dataset={name} dataset.root={root}")
    return 0


def fetch(one: Archive, root: Path) -> Path:
    def report(got: int, total: int | None) -> None:
        if sys.stderr.isatty():
            share = f" of {total / 1e6:,.0f}" if total else ""
            print(f"\r{Path(one.url).name}: {got / 1e6:,.0f}{share} MB", end="", file=sys.stderr)

    try:
        return download(one.url, root / Path(one.url).name, one.digest, report)
    except DownloadError as error:
        raise DatasetError(f"{error}\nThen call this command again: it goes on from there.") from error


def unpack(archive: Path, folder: Path) -> None:
    """Zip or tar; nothing outside the folder is ever written."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                escaping = [one for one in file.namelist() if not inside(folder, one)]
                if escaping:
                    raise DatasetError(f"{archive}: holds {escaping[0]}, which lies outside {folder}; not unpacked.")
                file.extractall(folder)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise DatasetError(f"{archive}: cannot be unpacked ({error}). Delete it and call this again.") from error
    except OSError as error:
        free = shutil.disk_usage(folder).free / 1e9
        raise DatasetError(f"{archive}: cannot be unpacked in {folder} ({error}); {free:.1f} GB are free.") from error


def inside(folder: Path, name: str) -> bool:
    return (folder / name).resolve().is_relative_to(folder.resolve())


def nested(root: Path, names: Sequence[str] = ("panoptic_train2017", "panoptic_val2017")) -> None:
    """COCO's panoptic archive holds archives."""
    for name in names:
        archive = root / "annotations" / f"{name}.zip"
        if archive.is_file():
            unpack(archive, archive.parent)
            archive.unlink()
