"""Detect objects with a trained model: `python predict.py IMAGES... --weights RUN`; `lineage predict` is the same."""

import sys

from lineage.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
