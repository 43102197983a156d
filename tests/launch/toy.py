"""A project whose training is a few naps: everything about it is real but the model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]

TRAIN = f"""
    import os, sys, time
    from pathlib import Path
    sys.path.insert(0, {str(ROOT)!r})
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from lineage.run.parents import resolve_parents
    from lineage.results import paths as places, store
    from tests.tables import made

    @hydra.main(version_base="1.3", config_path="conf", config_name="train")
    def main(config):
        folder, root = Path(HydraConfig.get().runtime.output_dir), Path(__file__).parent
        known = resolve_parents(config)
        (folder / "start.json").write_text("{{}}")
        (folder / "checkpoints").mkdir(exist_ok=True)
        steps = [] if config.evaluate_only else range(len(list((folder / "checkpoints").iterdir())), 4)
        for step in steps:
            time.sleep(float(os.environ.get("NAP", 0)))
            with (root / "trained.log").open("a") as log:
                log.write(f"{{config.cell.row}} {{config.seed}} {{step}}\\n")
            (folder / "checkpoints" / f"step-{{step:07d}}.ckpt").touch()
        if config.model.broken:
            raise ValueError("diverged at step 3")
        (folder / "weights.pt").touch()
        if config.dump_labels:
            (folder / "labels.json").touch()
        value = config.model.quality + 0.1 * config.seed
        entry = made.entry(
            config.cell.row, value, config.seed, table=config.cell.table, tier=config.tier,
            training_digest=known.training_digest, cell_digest=known.cell_digest, parents=known.ids,
            folder=places.portable(folder, root), command=sys.argv,
            config={{"schedule": {{"steps": 4, "images_per_step": 2}}}}, steps=len(steps), seconds=10.0,
            images_per_second=None if config.evaluate_only else 4.0, hardware={{"device": "CPU"}},
            choices={{"model": "toy", "backbone": "none"}},
        )
        store.write(entry, config.paths.results)

    main()
"""
CONF = """
    defaults:
      - tier: paper
      - _self_
      - experiment: null
    model: {quality: 30, roi: pool, broken: false, box: {nms: 0.5}}
    dataset: {classes: null, val: {length: 10}, evaluator: coco}
    schedule: {steps: 4, images_per_step: 2, milestones: []}
    proposals: {}
    cell: {table: null, row: null, note: "", start: null, proposals: null, labels: null}
    paths: {results: results, runs: runs}
    weights: null
    evaluate_only: false
    dump_labels: false
    resume: null
    seed: 0
    hydra: {output_subdir: null}
"""
TABLE = """
    paper: A Paper
    label: Table 1
    message: Align is better.
    kind: headline
    dataset: coco
    metrics: {mask/AP: AP}
    source: arXiv
    rows:
      pool: {}
      align: {set: {model.roi: align, model.quality: 33}}
      tested: {from: align, set: {model.box.nms_thresh: 0.3}}
      twin: {set: {model.roi: align, model.quality: 33, dataset.val.length: 20}}
      child: {start: align, set: {model.roi: align, model.quality: 35}}
      later: {unsupported: needs a head}
      other: {quoted: theirs}
    claims:
      - {better: align, worse: pool}
"""


def project(root: Path) -> Path:
    files = {
        "train.py": TRAIN,
        "conf/train.yaml": CONF,
        "conf/tier/paper.yaml": "# @package _global_\ntier: paper",
        "conf/tier/mini.yaml": "# @package _global_\ntier: mini",
        "experiments/paper/table1.yaml": TABLE,
        "experiments/tiers.yaml": "mini: {}",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(dedent(text))
    return root


def runner(
    root: Path, *arguments: str, nap: float = 0.0, path: str = "", table: str = "paper/table1"
) -> subprocess.Popen[str]:
    settings = {"NAP": str(nap), "LINEAGE_CACHE": str(root / "cache"), "PATH": f"{path}:{os.environ['PATH']}"}
    return subprocess.Popen(
        [sys.executable, "-m", "lineage.cli.main", "run", table, "--tier", "mini", *arguments],
        cwd=root,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(root: Path, *arguments: str, path: str = "", table: str = "paper/table1") -> tuple[int, str]:
    started = runner(root, *arguments, path=path, table=table)
    text = started.communicate(timeout=120)[0]
    return started.returncode, text


def trained(root: Path) -> list[str]:
    """`row seed step` of every step that was taken."""
    log = root / "trained.log"
    return log.read_text().splitlines() if log.is_file() else []
