"""Detect objects with a trained model: `python predict.py IMAGES... --weights RUN`; `lineage predict` is the same."""

import sys

try:
    from lineage.cli.main import main
except ModuleNotFoundError as error:
    if error.name != "lineage":
        raise
    sys.exit("lineage is not installed for this python: `make setup` once, `source .venv/bin/activate` in each shell")

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
