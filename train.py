"""The one entry point: train, evaluate and log one row of an ablation table. `python train.py --help` shows how."""

import sys

from lineage.cli.train import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
