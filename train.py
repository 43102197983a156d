"""The one entry point: train, evaluate and log one row of an ablation table. `python train.py --help` shows how."""

import sys

try:
    from lineage.cli.train import main
except ModuleNotFoundError as error:
    if error.name != "lineage":
        raise
    sys.exit("lineage is not installed for this python: `make setup` once, `source .venv/bin/activate` in each shell")

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
