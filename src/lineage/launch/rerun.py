"""Repeat the run of an entry: the same code, config and seed; are the metrics equal, bit by bit?

The run is repeated by its own command. Only the places of its results change: a repetition of a seed is not another
sample, so it stays out of the store.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lineage.config.entry_overrides import WEIGHTS, names_last, resolve_entry
from lineage.config.evaluation_interval import INTERVAL
from lineage.results import diff, git_state, paths, store
from lineage.results.entry import Entry
from lineage.results.git_state import Commit
from lineage.results.key_roles import VOLATILE, Role, keys_with, role_of
from lineage.results.overrides import Override

OWN = (Role.OUTPUT, Role.DISPLAY, Role.PROCESS)  # the repetition has its own, but evaluates when the run did


class RerunError(ValueError):
    """An entry that cannot be repeated here; the message names the reason and the remedy."""


def check_is_training(entry: Entry) -> None:
    """Raise RerunError for an entry that no training wrote: a measurement of latency, or a run of another tool."""
    if entry.measures_latency:
        again = shlex.join(["lineage", *entry.command[1:]])
        raise RerunError(f"{entry.id} measured latency, so no training can be repeated. Measure again: {again}")
    if not entry.command:
        raise RerunError(f"{entry.id} was imported and does not say how its run was started, so it cannot be repeated")


def explain_code_difference(entry: Entry, now: Commit) -> str | None:
    """Return how the code here differs from the entry's and how to get it, or None if they are equal."""
    if entry.commit is None:
        return "was made from a copy without git, so its code cannot be found again."
    is_same = git_state.same_code(paths.project(), entry.commit, now.commit or "HEAD")
    if entry.commit != now.commit and not is_same:
        fetch = "git fetch --all && " if is_same is None else ""
        patch = f" && lineage show {entry.id} --diff | git apply" if entry.diff else ""
        put_away = f"{git_state.stash_command(paths.project())} && " if now.dirty else ""
        there = f"{put_away}{fetch}git switch --detach {entry.commit}{patch}"
        return f"was made from commit {entry.commit}, here is {now.commit}.\nGo there: {there}"
    if git_state.only_code(entry.diff) == now.diff:
        return None
    put_away = git_state.stash_command(paths.project())
    if entry.diff is None:
        return f"was made from committed code, but here are changes.\nPut them away: {put_away}"
    restore = f"lineage show {entry.id} --diff | git apply"
    steps = f"{put_away}; {restore}" if now.dirty else restore
    return f"was made with changes to {entry.commit} that are not here.\nRestore them: {steps}"


def original_overrides(entry: Entry, results: Path) -> list[str]:
    """Return the overrides of a run; of a continued run, those of the run that it continues."""
    typed = [Override.parse(text) for text in entry.command[1:] if _is_override(text)]
    if not any(override.key == "resume" for override in typed):
        computing = [override for override in typed if override.key == INTERVAL or role_of(override.key) not in OWN]
        return [_resolve(str(override), entry, results) for override in computing]
    if entry.supersedes is None:
        raise RerunError(f"{entry.id} continued a run that left no entry, so its command is not known")
    return original_overrides(store.read(store.find(results, entry.supersedes)), results)


def repeat_run(old: Entry, overrides: list[str], results: Path) -> Entry:
    """Run again, with a store of its own in a folder under runs/, where its parents are copied to."""
    root = paths.project()
    (root / "runs").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"rerun-{old.id[-6:]}-", dir=root / "runs"))
    for parent in old.parents:
        store.write(store.read(store.find(results, parent)), folder / "results")
    places = [f'paths.results="{folder / "results"}"', f'paths.runs="{folder}"', "logger=none"]
    command = [sys.executable, str(paths.train_script()), *overrides, *places]
    print(shlex.join(command), flush=True)
    code = subprocess.run(command, check=False).returncode
    entries = [entry for entry in store.contents(folder / "results").entries if entry.id not in old.parents]
    if len(entries) != 1:
        raise RerunError(f"the repetition ended with exit code {code} and wrote {len(entries)} entries, see {folder}")
    return entries[0]


def compare_runs(old: Entry, new: Entry) -> tuple[bool, str]:
    """Return whether a repetition is equal, and a text: the differences, and what could explain them."""
    if old.config_digest != new.config_digest:
        changed = diff.configs(old.config, new.config, ignore=keys_with(old.config, *VOLATILE))
        return False, _format(f"NOT THE SAME PROTOCOL as {old.id}", changed)
    differences = diff.results(old, new)
    if old.status == new.status and not differences:
        return _describe_equal(old)
    provenance = _format("what else is different", diff.provenance(old, new) or ["nothing"])
    return False, f"{_format(f'DIFFERENT from {old.id}: {old.status} -> {new.status}', differences)}\n{provenance}"


def _describe_equal(old: Entry) -> tuple[bool, str]:
    """Return whether a run without differences had anything to compare, and a text that says what that was."""
    of = f"({old.id}, seed {old.seed})"
    if old.metrics:
        return True, f"EQUAL: {len(old.metrics)} metrics, bit by bit {of}"
    if old.trained_weights_sha256:
        return True, f"EQUAL: the trained weights, bit by bit; there are no metrics, as nothing was evaluated {of}"
    return False, f"NOT COMPARED: {old.id} is {old.status} and has neither metrics nor trained weights"


def _format(title: str, lines: Sequence[object]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _resolve(text: str, entry: Entry, results: Path) -> str:
    """Return an override of a run with the run folders that it names by entries of the store."""
    if Override.parse(text).key == WEIGHTS and names_last(text):  # entries of today have the folder
        raise RerunError(f"{entry.id} began with {text}, which names another run by now, so it cannot be repeated")
    return resolve_entry(text, results)


def _is_override(text: str) -> bool:
    """Return whether a word is an override; flags of Hydra, such as --config-dir, would run what an entry names."""
    return text.startswith("~") or ("=" in text and not text.startswith("-"))
