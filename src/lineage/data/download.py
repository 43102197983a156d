"""Downloads of datasets: fetch, check and unpack the archives, or print what to fetch by hand and where to put it.

If a licence needs a registration, nothing is fetched: the reader has to accept it. If the owners publish no checksum,
only the archive's own (CRC-32 of each file in a zip) can be checked; the printed line shows it.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lineage.data.annotations.validate import DatasetError
from lineage.data.formats import cityscapes, deepfashion2
from lineage.results.overrides import quote
from lineage.results.paths import train_command
from lineage.weights.download import DownloadError, download

COCO = "http://images.cocodataset.org"
VOC = "https://thor.robots.ox.ac.uk/pascal/VOC"
LVIS = "https://dl.fbaipublicfiles.com/LVIS"


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip or tar file to fetch."""

    url: str
    digest: str | None  # "md5:..." as published, None if no checksum is published
    size: str
    into: str = "."  # the folder in ROOT where it is unpacked
    makes: str = "."  # a path in ROOT that unpacking creates; if it exists, nothing is fetched


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """The archives of a dataset, and the steps that a person has to do."""

    licence: str
    archives: tuple[Archive, ...]
    steps: str = ""


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


def lvis_archives(version: str) -> tuple[Archive, ...]:
    files = {f"lvis_{version}_train.json": "0.3 GB", f"lvis_{version}_val.json": "0.06 GB"}
    return tuple(
        Archive(f"{LVIS}/{name}.zip", None, size, "annotations", f"annotations/{name}") for name, size in files.items()
    )


SOURCES = {
    "coco": DatasetSource(CC, (ANNOTATIONS, *IMAGES)),
    "coco_person": DatasetSource(CC, (ANNOTATIONS, *IMAGES)),
    "coco_person_unlabelled": DatasetSource(CC, (ANNOTATIONS, *IMAGES, *UNLABELLED)),
    "coco_person_distilled": DatasetSource(CC, (ANNOTATIONS, *IMAGES, *UNLABELLED)),
    "coco_panoptic": DatasetSource(CC, (PANOPTIC, *IMAGES)),
    "lvis": DatasetSource(CC, (*lvis_archives("v1"), *IMAGES)),
    "lvis_v05": DatasetSource(CC, (*lvis_archives("v0.5"), *IMAGES)),
    "voc07": DatasetSource(FLICKR, VOC07),
    "voc12": DatasetSource(FLICKR, VOC12),
    "voc0712": DatasetSource(FLICKR, (*VOC07, *VOC12)),
    "voc0712_plus": DatasetSource(FLICKR, (*VOC07, *VOC12), VOC12_TEST),
    "voc12_test": DatasetSource(FLICKR, VOC12, VOC12_TEST),
    "penn_fudan": DatasetSource(
        "none stated; copyright stays with its authors",
        (Archive("https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip", None, "53 MB", makes="PennFudanPed"),),
    ),
    "cityscapes": DatasetSource("non-commercial, by registration", (), CITYSCAPES),
    "cityscapes_coco": DatasetSource("non-commercial, by registration", (), "\n".join((
        CITYSCAPES,
        "4. Convert gtFine as Detectron's tools/convert_cityscapes_to_coco.py does; the files it writes belong in",
        "   {root}/annotations. dataset=cityscapes reads gtFine as it is, and needs no conversion.",
    ))),
    "deepfashion2": DatasetSource("non-commercial, by a form that answers with a password", (), "\n".join((
        "1. Follow the README of https://github.com/switchablenorms/DeepFashion2: its form answers with a password.",
        "2. Download train.zip and validation.zip from the folder it names.",
        "3. Unpack both in {root} with that password.", deepfashion2.HELP,
    ))),
}  # fmt: skip


def prepare(name: str, root: Path, source: DatasetSource, *, keep: bool = False, dry_run: bool = False) -> int:
    """Fetch and unpack the missing archives; return an exit code. Raise DatasetError for wrong or damaged archives.

    keep: do not delete the archives after unpacking
    dry_run: only print what would be fetched
    """
    if not source.archives:
        print(f"{name} cannot be fetched by a program ({source.licence}).\n{source.steps.replace('{root}', str(root))}")
        return 1
    missing = [archive for archive in source.archives if not (root / archive.makes).exists()]
    print(f"{name}: {source.licence}")
    for archive in source.archives:
        state = f"{archive.size}, {archive.digest or 'no published checksum'}" if archive in missing else "is there"
        print(f"  {archive.url}\n      -> {root / archive.makes}: {state}")
    if source.steps:
        print(source.steps)
    if dry_run:
        return 0
    for archive in missing:
        file = fetch(archive, root)
        unpack(file, root / archive.into)
        if not (root / archive.makes).exists():
            raise DatasetError(f"{file}: has no {archive.makes} in it; is {archive.url} still the right file?")
        if not keep:
            file.unlink()
    unpack_inner(root)
    print(f"check:  lineage data check {name} --root {shlex.quote(str(root))}")
    print(f"train:  {train_command()} dataset={name} {shlex.quote(f'dataset.root={quote(root)}')}")
    return 0


def fetch(archive: Archive, root: Path) -> Path:
    name = Path(archive.url).name

    def report(done: int, total: int | None) -> None:
        if sys.stderr.isatty():
            share = f" of {total / 1e6:,.0f}" if total else ""
            print(f"\r{name}: {done / 1e6:,.0f}{share} MB", end="", file=sys.stderr)

    try:
        return download(archive.url, root / name, archive.digest, report)
    except DownloadError as error:
        raise DatasetError(f"{error}\nThen call this command again: it resumes the download.") from error


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar file; never write outside the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                escaping = [name for name in file.namelist() if not is_inside(folder, name)]
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


def is_inside(folder: Path, name: str) -> bool:
    return (folder / name).resolve().is_relative_to(folder.resolve())


def unpack_inner(root: Path, names: Sequence[str] = ("panoptic_train2017", "panoptic_val2017")) -> None:
    """Unpack the archives inside of COCO's panoptic archive."""
    for name in names:
        archive = root / "annotations" / f"{name}.zip"
        if archive.is_file():
            unpack(archive, archive.parent)
            archive.unlink()
