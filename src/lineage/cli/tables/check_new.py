"""Hold a new table to the linter: its file stays only if its rows can run, and the command that comes next fits it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from lineage.cli.tables.lint import find_wrong_rows, format_findings
from lineage.launch.lint import lint_table, lint_tier
from lineage.results import paths
from lineage.results.count_noun import count_noun
from lineage.tables import read, tiers
from lineage.tables.lint.rules import ERROR, NOTE, WARNING, Finding
from lineage.tables.own.variation import Setting
from lineage.tables.own.write import OwnTable
from lineage.tables.table import Row, Table, TableError
from lineage.tables.tiers import PAPER

MINI = "mini"
REFUSED = ("T14", "T15", "T18")  # only other arguments mend these; what the others ask for is written into the file
FIXES = {
    "T2": "list what changes along under `covaries:`, each with its reason",
    "T4": "add the missing rows, or list them under `gaps:`",
    "T5": "vary what changes the training, or say under `mixed:` why rows are tested differently",
    "T10": "make the message one sentence: --message 'What the RoI layer changes.'",
}


@contextmanager
def restore_on_error(path: Path) -> Iterator[None]:
    """Leave a file, or its absence, as it was if the body raises."""
    former = path.read_bytes() if path.is_file() else None
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    except BaseException:
        if former is not None:
            path.write_bytes(former)
        else:
            path.unlink(missing_ok=True)
            for folder in missing:
                with suppress(OSError):
                    folder.rmdir()
        raise


def lint_new(name: str) -> list[Finding]:
    """Return the findings of a new table beside notes, also at tier mini. Raises TableError if a row cannot run."""
    project, experiments = paths.project(), paths.experiments()
    table = read.load_table(experiments, name)
    findings = [*find_wrong_rows(project, table, PAPER), *lint_table(project, table)]
    refused = list(dict.fromkeys(finding.message for finding in findings if finding.rule in REFUSED))
    if refused:
        more = f" (and {len(refused) - 1} more like this)" if len(refused) > 1 else ""
        raise TableError(f"{name} is not written: {refused[0]}{more}")
    findings += lint_tier(project, table, partial(read.load_table, experiments), _choose_tier(table))
    return [finding for finding in findings if finding.severity != NOTE]


def report(own: OwnTable, path: Path, findings: Sequence[Finding], vary: Sequence[str]) -> int:
    """Print the findings and what comes next: a run, or what has to be mended before; return 1 after an error."""
    table = read.load_table(paths.experiments(), own.name)
    if findings:
        print(format_findings(own.name, list(findings), colour=False))
    errors = [finding for finding in findings if finding.severity == ERROR]
    warnings = sum(finding.severity == WARNING for finding in findings)
    tier = _choose_tier(table)
    print(f"lint     {count_noun(len(errors), 'error')}, {count_noun(warnings, 'warning')}; at tier {tier} as well")
    alike = [finding for finding in findings if finding.rule in ("T16", "T17")]
    if errors:
        fix = FIXES.get(errors[0].rule, f"`lineage lint --rule {errors[0].rule}` says what it asks for")
        print(f"fix      {path}: {fix}; then: lineage lint {own.name}")
    elif not alike:
        print(f"next     lineage run {own.name}{'' if table.tier != PAPER else f' --tier {tier}'} --plan")
    elif table.tier != PAPER:
        print(f"fix      vary what differs at tier {tier}; `lineage lint --rule T16` says why")
    else:
        print(f"next     lineage run {own.name} --plan")
        print(f"         its rows do not show at tier {tier} what they vary{_advise_mini(own, vary)}")
    return 1 if errors else 0


def _choose_tier(table: Table) -> str:
    return MINI if table.tier == PAPER else table.tier


def _advise_mini(own: OwnTable, vary: Sequence[str]) -> str:
    """Return the command that writes the same ablation with values of tier mini, if one command can."""
    if own.uses or not vary:
        return ""
    choices = {setting.name: str(setting.value) for setting in own.base if setting.is_group}
    keys = {setting.name: setting.value for setting in own.base if not setting.is_group}
    row = Row("base", "base", {"dataset": own.dataset} | choices, keys, {})
    choices, keys = tiers.translate_row(row, MINI, tiers.load_project_tiers(paths.project()).get(MINI, {}))
    base = [Setting(name, value, is_group=False) for name, value in (choices | keys).items() if name != "tier"]
    words = ["--with", *map(str, base), "--vary", *vary, "--tier", MINI, "--overwrite"]
    return f"; with values of that tier:\n         lineage new {own.name} {' '.join(map(shlex.quote, words))}"
