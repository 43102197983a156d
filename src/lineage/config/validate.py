"""Numbers and words that no run can have: what the types of config.py cannot say, said before torch is imported."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from lineage.config.build import ConfigError

LEAST = {
    "schedule.steps": 0,  # evaluates only, with weights=PATH
    "schedule.images_per_step": 1,
    "schedule.warmup_steps": 0,
    "schedule.evaluate_every": 0,
    "optimizer.lr": 0,
    "data.images_per_device": 1,
    "data.workers": 0,
    "checkpoint_every": 1,
    "seed": 0,
}
CHOICES = {"data.corrupt": ("raise", "skip")}
LARGEST_SEED = 2**32 - 1  # numpy's


def check(config: DictConfig) -> None:
    for key, least in LEAST.items():
        value = OmegaConf.select(config, key)
        if value is not None and not value >= least:  # NaN too
            raise ConfigError(f"{key}={value}: {key} is {least} or more")
    for key, choices in CHOICES.items():
        value = OmegaConf.select(config, key)
        if value not in choices:
            raise ConfigError(f"{key}={value}: {key} is {' or '.join(choices)}")
    if config.seed > LARGEST_SEED:
        raise ConfigError(f"seed={config.seed}: seed is at most {LARGEST_SEED}")
    if sorted(config.schedule.milestones) != config.schedule.milestones:
        raise ConfigError(f"schedule.milestones={config.schedule.milestones}: they ascend")
