"""The one entry point: train, evaluate and log one row of an ablation table. `python train.py --help` shows how."""

import sys
from pathlib import Path

if __name__ == "__main__" and {"-h", "--help"} & set(sys.argv[1:]):
    from lineage.config.help import usage

    print(usage(Path(__file__).parent))
    sys.exit()  # before the imports below, which take ten times as long as the answer

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

import lineage.config.schema  # noqa: F401  registers the schema that conf/train.yaml starts from
from lineage.config import validate
from lineage.config.compose import explained, for_people


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> None:
    with for_people():
        validate.check(config)
        from lineage.run.train import run  # imports torch: `--cfg job` and typos answer without it

        run(config, list(HydraConfig.get().overrides.task))


if __name__ == "__main__":
    explained(main)
