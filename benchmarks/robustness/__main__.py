"""`python -m benchmarks.robustness [fuzz] [places] [kills] [soak]`: these scripts, or all; exit code 1 if one fails."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

SCRIPTS = ("fuzz", "places", "kills", "soak")


def main() -> int:
    """Run the scripts and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument("scripts", nargs="*", choices=[*SCRIPTS, []], default=[], metavar="|".join(SCRIPTS))
    jobs = "trainings, or kinds of input, that are tried at the same time (%(default)s)"
    parser.add_argument("--jobs", type=int, default=1, help=jobs)
    args = parser.parse_args()
    options = {name: {"jobs": args.jobs} for name in ("kills", "fuzz", "places")}
    scripts = args.scripts or SCRIPTS
    passed = [import_module(f"benchmarks.robustness.{name}").main(**options.get(name, {})) for name in scripts]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
