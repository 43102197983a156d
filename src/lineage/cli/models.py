"""`lineage models`: every model of this project. `--write` measures new ones and writes docs/models.md."""

from __future__ import annotations

import argparse

from lineage.results import paths
from lineage.tables import model_facts
from lineage.tables.format import model_list


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage models", description=__doc__)
    parser.add_argument("--write", action="store_true", help="measure all again, and write docs/models.md")
    parser.add_argument("--markdown", action="store_true", help="print what docs/models.md holds")
    args = parser.parse_args(argv)
    if args.write:
        from lineage.run.measure_models import measure_models

        print(*measure_models(paths.project()), sep="\n")
        return 0
    experiments = paths.experiments()
    facts = model_facts.load(experiments)
    if args.markdown:
        print(model_list.markdown(facts), end="")
    else:
        print(model_list.text(facts, list(model_facts.find_unmeasured(experiments, paths.configs()))))
    return 0
