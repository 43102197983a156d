"""Does this machine run lineage? One line per thing that can be wrong, with the fix beside each cross.

`lineage doctor [dataset.root=DIR ...]` looks and never changes anything. It exits 1 when something makes a run
impossible; a warning says what will be slow, missing or not comparable.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence

from lineage.results.paths import ROOT
from lineage.run.checks import machine, packages
from lineage.run.checks.packages import CheckResult

MARKS = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "bad": "[red]✗[/]"}
CHECKS: dict[str, Callable[[], CheckResult]] = {
    "python": packages.check_python,
    "torch": packages.check_torch,
    "gpu": machine.check_gpu,
    "cpu": machine.check_processor,
    "shared memory": machine.check_shared_memory,
    "disk": machine.check_disk,
    "hydra": packages.check_hydra,
    "lightning": packages.check_lightning,
    "packages": packages.check_packages,
    "git": machine.check_git,
    "can write": machine.check_writable,
    "w&b": machine.check_wandb,
    "slurm": machine.check_slurm,
}


def main(argv: Sequence[str]) -> int:
    """Print the results; return 1 if a run is impossible, 2 for an unknown argument."""
    unknown = [word for word in argv if not re.match(r"dataset\.[\w.]+=.", word)]
    if unknown and unknown[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if unknown:
        fix = "give dataset.root=DIR or dataset.<split>.annotations=FILE, or nothing"
        print(f"lineage doctor: unknown {unknown[0]!r}; {fix}", file=sys.stderr)
        return 2
    results = [(name, machine.run_check(check)) for name, check in CHECKS.items()]
    results += machine.check_datasets(dict(word.split("=", 1) for word in argv))
    print_results(results)
    return int(any(result.state == "bad" for _, result in results))


def print_results(results: list[tuple[str, CheckResult]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, result in results:
        table.add_row(MARKS[result.state], name, escape(result.text))
        if result.fix:
            table.add_row("", "", f"[dim]fix:[/] {escape(result.fix)}")
    bad = [name for name, result in results if result.state == "bad"]
    console = Console(soft_wrap=not sys.stdout.isatty(), emoji=False)
    console.print(table)
    ready = "make train" if (ROOT / "Makefile").is_file() else "lineage train"
    console.print(f"[red]Not ready: {', '.join(bad)}[/]" if bad else f"Ready: {ready}")
