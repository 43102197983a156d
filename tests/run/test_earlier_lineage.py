"""An entry, a run folder and a checkpoint of an earlier lineage (commit 1cc8b8c) are shown, resumed and used.

tests/earlier holds a Mask R-CNN of 28,016 parameters: `finished` as its run left it, `stopped` as the same run stood
after two of four steps, `store` the entry. Every name that has changed since is in renames.yaml, or a test here fails.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from lineage.cli import main as cli
from lineage.config import digests
from lineage.config.compose import compose_config
from lineage.launch.rerun import original_overrides
from lineage.results import cache, store
from lineage.results.entry import Entry
from lineage.results.renames import former_names, upgrade
from lineage.run.restore import restore
from tests.train.tiny import ROOT, environment

EARLIER = Path(__file__).parents[1] / "earlier"


def entry() -> Entry:
    (path,) = store.files(EARLIER / "store")
    return store.read(path)


def written() -> dict[str, object]:
    (path,) = store.files(EARLIER / "store")
    record: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return record


def test_its_entry_is_read_in_the_names_of_today(capsys: pytest.CaptureFixture[str]) -> None:
    assert not former_names(entry().config)
    assert entry().choices["logger"] == "csv"
    assert "cell.note='of an earlier lineage'" in entry().command
    assert cli.main(["show", entry().id, "--results", str(EARLIER / "store")]) == 0
    assert "of an earlier lineage" in capsys.readouterr().out


def test_the_index_says_what_its_file_says(tmp_path: Path) -> None:
    shutil.copytree(EARLIER / "store", tmp_path / "store")
    for _ in range(2):
        (indexed,) = cache.contents(tmp_path / "store").entries
        assert (indexed.deviations, indexed.choices) == (entry().deviations, entry().choices)


def test_its_digests_are_those_of_its_config_today() -> None:
    assert digests.config_digest(entry().config) == written()["protocol"]
    stored = upgrade(OmegaConf.to_container(OmegaConf.load(EARLIER / "finished" / "config.yaml")))
    trained, tested = (make(OmegaConf.create(stored)) for make in (digests.training_digest, digests.test_digest))
    assert (trained, digests.cell_digest(tested, trained)) == (written()["training"], written()["recipe"])


def test_its_command_composes_the_same_training_today(tmp_path: Path) -> None:
    overrides = original_overrides(entry(), tmp_path)
    again = compose_config([text for text in overrides if not text.startswith(("paths.", "hydra."))])
    assert digests.training_digest(again) == written()["training"]


def test_its_weights_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    restored = restore(str(EARLIER / "finished"), [], tmp_path)
    assert restored.meta.classes[0] == "disc"
    assert sum(p.numel() for p in restored.model.parameters()) == entry().parameters
    Image.new("RGB", (64, 64), "white").save(tmp_path / "white.png")
    weights = ["--weights", str(EARLIER / "finished"), "--out", str(tmp_path / "out")]
    assert cli.main(["predict", str(tmp_path / "white.png"), *weights]) == 0


def test_its_checkpoint_goes_on_to_the_weights_of_the_run_that_never_stopped(tmp_path: Path) -> None:
    shutil.copytree(EARLIER / "stopped", tmp_path / "stopped")
    command = [sys.executable, str(ROOT / "train.py"), "resume=stopped", "hydra.run.dir=stopped"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    whole, resumed = (
        torch.load(folder / "weights.pt", weights_only=True) for folder in (EARLIER / "finished", tmp_path / "stopped")
    )
    assert whole.keys() == resumed.keys()
    assert all(torch.allclose(whole[name], resumed[name], atol=1e-4) for name in whole)
    record = json.loads((tmp_path / "stopped" / "entry.json").read_text())
    assert (record["training_digest"], record["cell_digest"]) == (written()["training"], written()["recipe"])
    assert record["config_digest"] == written()["protocol"]
    assert record["deviations"] == entry().deviations


def test_prediction_loads_no_trainer(tmp_path: Path) -> None:
    code = f"""if True:
        import sys
        from pathlib import Path
        import lineage.cli.export, lineage.cli.predict
        from lineage.run.restore import restore
        restore({str(EARLIER / "finished")!r}, [], Path({str(tmp_path)!r}))
        print(*(name for name in sys.modules if name.startswith(("pytorch_lightning", "lineage.train"))))
    """
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.strip()
