"""`lineage rerun ENTRY`: the same code, the same config, the same seed; are the metrics the same, bit by bit?

The run is repeated by the command it was started with. Only where its results go is changed: a repetition of a seed is
not another sample, so it stays out of the store.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from lineage.results import diff, git_state, paths, store
from lineage.results.entry import Entry
from lineage.results.git_state import Commit
from lineage.results.key_roles import VOLATILE, Role, keys_with, role_of
from lineage.results.overrides import Override

OWN = (Role.OUTPUT, Role.DISPLAY, Role.PROCESS)  # the repetition has its own


class RerunError(ValueError):
    """This entry cannot be repeated here; the message says what to do."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage rerun", description="Repeat an entry's run and compare the metrics.")
    parser.add_argument("entry", help="its file, its id, or a beginning or the end of the id")
    parser.add_argument("--allow-dirty", action="store_true", help="run even if the code here is not the entry's")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    asked = parser.parse_args(argv)
    old = store.read(store.find(asked.results, asked.entry))
    differs = code_differs(old, git_state.current(paths.project()))
    if differs and not asked.allow_dirty:
        raise RerunError(f"{old.id}: {differs}\nTo run with the code that is here, add --allow-dirty.")
    new = repeat(old, overrides_of(old, asked.results), asked.results)
    return report(old, new)


def code_differs(entry: Entry, now: Commit) -> str | None:
    """Why the code here is not the entry's, and how to get it; None if it is."""
    if entry.commit is None:
        return "was made from a copy without git, so its code cannot be found again."
    known = git_state.same_code(paths.project(), entry.commit, now.commit or "HEAD")
    if entry.commit != now.commit and not known:
        fetch = "git fetch --all && " if known is None else ""
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


def overrides_of(entry: Entry, results: Path) -> list[str]:
    """What the run was asked for. A continued run was asked for by the run that it continues."""
    typed = [Override.parse(text) for text in entry.command[1:] if _is_override(text)]
    if not any(override.key == "resume" for override in typed):
        return [str(override) for override in typed if role_of(override.key) not in OWN]
    if entry.supersedes is None:
        raise RerunError(f"{entry.id} continued a run that left no entry, so its command is not known")
    return overrides_of(store.read(store.find(results, entry.supersedes)), results)


def repeat(old: Entry, overrides: list[str], results: Path) -> Entry:
    """Run it again, into a folder of its own under runs/. What it starts from is looked up there too."""
    root = paths.project()
    (root / "runs").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"rerun-{old.id[-6:]}-", dir=root / "runs"))
    for parent in old.parents:
        store.write(store.read(store.find(results, parent)), folder / "results")
    aside = [f'paths.results="{folder / "results"}"', f'paths.runs="{folder}"', "logger=none"]
    command = [sys.executable, str(paths.train_script()), *overrides, *aside]
    print(shlex.join(command), flush=True)
    code = subprocess.run(command, check=False).returncode
    entries = [entry for entry in store.contents(folder / "results").entries if entry.id not in old.parents]
    if len(entries) != 1:
        raise RerunError(f"the repetition ended with exit code {code} and wrote {len(entries)} entries, see {folder}")
    return entries[0]


def report(old: Entry, new: Entry) -> int:
    """0 if the repetition is equal, else 1 with what is different and what could explain it."""
    if old.config_digest != new.config_digest:
        changed = diff.configs(old.config, new.config, ignore=keys_with(old.config, *VOLATILE))
        print(f"NOT THE SAME PROTOCOL as {old.id}", *(f"  {one}" for one in changed), sep="\n")
        return 1
    found = diff.metrics(old, new)
    if old.status == new.status and not found:
        print(f"EQUAL: {len(old.metrics)} metrics, bit by bit ({old.id}, seed {old.seed})")
        return 0
    print(f"DIFFERENT from {old.id}: {old.status} -> {new.status}", *(f"  {one}" for one in found), sep="\n")
    others = diff.provenance(old, new)
    print("what else is different", *([f"  {one}" for one in others] or ["  nothing"]), sep="\n")
    return 1


def _is_override(text: str) -> bool:
    """Return whether a word is an override; flags of Hydra, such as --config-dir, would run what an entry names."""
    return text.startswith("~") or ("=" in text and not text.startswith("-"))
