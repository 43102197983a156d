"""Every command of docs/tutorial.md runs, in order, in a checkout of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder like a checkout, whose configs and code are this one's."""
    (tmp_path / "experiments").mkdir()
    for name in ("conf", "src", "train.py", "experiments/tiers.yaml", "experiments/speeds.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.slow
def test_every_command_runs(checkout: Path) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    commands = BLOCK.findall(text)
    assert len(commands) >= 7
    script = "\n".join(commands).replace("$PWD/.venv/bin", str(Path(sys.executable).parent))
    environment = os.environ | {"LINEAGE_CACHE": str(checkout / "cache"), "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(["bash", "-e"], input=script, cwd=checkout, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
    assert "roi" in done.stdout
    assert "0 errors" in done.stdout
    assert "My first ablation" in done.stdout
    assert re.search(r"(underpowered|same sign at mini|opposite sign at mini|not learned).*align > pool", done.stdout)
