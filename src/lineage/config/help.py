"""The help text of `python train.py --help`. It is read from folders alone: Hydra's own takes 20 times as long."""

from __future__ import annotations

import re
from pathlib import Path

from lineage.results import paths
from lineage.tables import read

TEXT = """\
Train, evaluate and log one row of an ablation table.

Examples
  python train.py                                              a Mask R-CNN on the embedded dataset, minutes on a CPU
  python train.py finetune=/data/cells                         your own images: size, schedule, weights are chosen
  python train.py model=faster_rcnn dataset=coco dataset.root=/data/coco
  python train.py experiment=mask_rcnn/table2c/roi_align       a row of a paper's table, as the paper ran it
  python train.py experiment=mini/mask_rcnn/table2c/roi_align  the same row at a cost of minutes
  python train.py -m '+experiment/mini/mask_rcnn/table2c=glob(*)' seed=0,1,2    a whole table, three seeds
  python train.py -m model=mask_rcnn roi=pool,align schedule.steps=500          a comparison of your own

Choices (group=option, * is the default)
{choices}

Numbers (key=value; a key or option that does not exist fails at once, with the nearest that does)
  schedule.steps=90000  schedule.images_per_step=16  optimizer.lr=0.02  trainer.devices=8  seed=0
  data.images_per_device=2  data.workers=2  weights=PATH  resume=RUN_FOLDER  cell.note='why'

  --cfg job          print the composed config and stop     -m, --multirun   one job per combination of a,b,c
  --info defaults    print which files it is made of        --hydra-help     Hydra's own flags
Results: `lineage table --all`, `lineage show ENTRY`, `lineage compare A B`
"""

WIDTH = 16  # of the column of groups
HIDDEN = ("hydra", "replace", "scale")  # groups that are chosen by other configs


def usage() -> str:
    """Return the help text for the shipped configs and tables and those of the project."""
    conf, own = paths.shipping_root() / "conf", paths.own_configs()
    defaults = dict(re.findall(r"^  - (\w+): (\w+)", (conf / "train.yaml").read_text(encoding="utf-8"), re.M))
    groups = sorted(path.name for path in conf.iterdir() if path.is_dir() and path.name not in HIDDEN)
    folders = [[root / group for root in (conf, own) if root is not None] for group in groups]
    lines = [_line(group, roots, defaults.get(group, "")) for group, roots in zip(groups, folders, strict=True)]
    tables = read.list_tables(paths.experiments())
    example = f", e.g. {min(tables)}" if tables else ""
    rows = f"<paper>/<table>/<row> or mini/... or smoke/...: {len(tables)} table(s){example}"
    lines.append(f"  {'experiment':<{WIDTH}}{rows}")
    return TEXT.format(choices="\n".join(lines))


def _line(group: str, folders: list[Path], default: str) -> str:
    options = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    return f"  {group:<{WIDTH}}{' '.join(f'{name}*' if name == default else name for name in options)}"
