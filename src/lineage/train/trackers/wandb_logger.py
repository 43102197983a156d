"""Logger to W&B: online within seconds, else offline."""

from __future__ import annotations

import logging
import netrc
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from pytorch_lightning.loggers import Logger

from lineage.train.trackers.run_record import read_record

log = logging.getLogger(__name__)

ONLINE = 8.0  # seconds in which the server has to answer
FINISH = 10.0  # seconds for the last upload; the rest stays in the run folder, for `wandb sync`
STEP = "trainer/global_step"  # the axis, as Lightning calls it
SERVER = "https://api.wandb.ai"


class WandbLogger(Logger):
    """Logger to one run of W&B, which a later logger of the same `id` continues.

    `arguments` are those of wandb.init.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # telemetry waits 20 s for a server that hangs
        import wandb

        mode = choose_mode()
        self.arguments = {"resume": "allow", **arguments}
        try:
            self.run = self._begin(mode)
        except Exception as error:
            if mode != "online":
                raise
            reason = " ".join(str(error).split())[:200]
            log.warning("W&B is offline, for %s. `wandb sync` uploads the run later: %s", reason, arguments.get("dir"))
            wandb.teardown()  # else the id counts as in use
            self.run = self._begin("offline")
        self.run.define_metric(STEP)
        self.run.define_metric("*", step_metric=STEP, step_sync=True)

    def _begin(self, mode: str) -> Any:
        import wandb

        settings = wandb.Settings(silent=True, console="off", init_timeout=ONLINE, finish_timeout=FINISH)
        return wandb.init(mode=mode, settings=settings, **self.arguments)  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        return "wandb"

    @property
    def version(self) -> str:
        return str(self.run.id)

    @property
    def url(self) -> str | None:
        """Address of the run, or None if it is offline."""
        return None if self.run.offline or self.run.disabled else self.run.url

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.run.config.update(params, allow_val_change=True)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.run.log({**metrics, STEP: step})

    def log_run(self, folder: Path) -> None:
        """Add what the folder of a run that has ended holds, the entry as an artifact."""
        import wandb

        record = read_record(folder)
        summary = {**record.classes, **record.costs}
        self.run.summary.update({**summary, **{f"entry/{name}": value for name, value in record.facts.items()}})
        if record.pictures:
            self.run.log({picture.stem: wandb.Image(str(picture)) for picture in record.pictures})
        if record.path:
            artifact = wandb.Artifact(f"entry-{self.run.id}", type="entry")
            artifact.add_file(str(record.path))
            self.run.log_artifact(artifact)

    def close(self) -> None:
        self.run.finish()


def choose_mode() -> str:
    """Return the mode of WANDB_MODE, else "online" if this machine has a key, else "offline": W&B never prompts."""
    mode = os.environ.get("WANDB_MODE", "online")
    if mode in ("offline", "dryrun", "disabled"):
        return "offline" if mode == "dryrun" else mode
    return "online" if has_wandb_key() else "offline"


def has_wandb_key() -> bool:
    """Return whether W&B can log in: a key in the environment, or in ~/.netrc for its server."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL") or SERVER).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
