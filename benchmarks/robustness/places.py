"""Places that are full, read-only or tiny: a run ends with one clear line, or trains to its end and says so.

Each place is a tmpfs in a mount namespace of the run alone (`unshare`, of util-linux), so that no rights are needed
where the kernel allows users namespaces of their own.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.robustness.forks import ENVIRONMENT
from benchmarks.robustness.report import ROOT, write_section
from benchmarks.robustness.trainings import TINY, train_command

LIMIT = 600  # seconds; a run of these settings takes some ten, on a loaded machine many times as many
SIZES = {"full": "size=1m", "tiny": "size=8m", "read-only": "size=1m"}
FOLDERS = ("runs", "results", "cache", "tmp")


@dataclass(frozen=True, slots=True)
class Place:
    """One folder of a run in one state."""

    folder: str  # of FOLDERS
    state: str  # of SIZES

    def mount(self, path: Path) -> str:
        """Return the shell commands that bring the folder into its state."""
        where = shlex.quote(str(path))
        lines = [f"mount -t tmpfs -o {SIZES[self.state]} tmpfs {where}"]
        if self.state == "full":
            lines.append(f"head -c 2m /dev/zero > {where}/ballast 2>/dev/null; true")
        if self.state == "read-only":
            lines.append(f"mount -o remount,ro {where}")
        return "; ".join(lines)


@dataclass(frozen=True, slots=True)
class Outcome:
    place: Place
    code: int  # 0: the run trained to its end
    line: str  # the last line that it printed
    has_traceback: bool
    has_entry: bool  # in the run folder or among the results
    seconds: float

    @property
    def is_good(self) -> bool:
        """True if the run finished with its entry, or refused in words."""
        ended = self.has_entry if self.code == 0 else bool(self.line)
        return ended and not self.has_traceback and self.seconds < LIMIT


def try_place(place: Place, folder: Path) -> Outcome:
    """Train for some steps with one folder in a bad state. Raises RuntimeError if no tmpfs can be mounted."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    environment = ENVIRONMENT | {"LINEAGE_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
    training = shlex.join(train_command(folder, *TINY))
    runs, results = (shlex.quote(str(folder / name)) for name in ("runs", "results"))
    script = f"{place.mount(folder / place.folder)} || exit 77; {training}; code=$?"
    entries = f"find {runs} {results} -name entry.json -o -path '*/scratch/*.json'"
    script += f"; {entries} | grep -q . && echo ENTRY; exit $code"
    began = time.monotonic()
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script], cwd=ROOT, env=environment, timeout=LIMIT * 2,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    if done.returncode == 77:
        raise RuntimeError(f"no tmpfs could be mounted: {done.stdout.strip()}")
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    has_entry = "ENTRY" in lines
    line = next((line for line in reversed(lines) if line != "ENTRY"), "")
    return Outcome(place, done.returncode, line.replace(str(folder), "..."), "Traceback (most" in done.stdout,
                   has_entry, time.monotonic() - began)  # fmt: skip


def main(jobs: int = 1) -> bool:
    """Try every folder in every state, write the section of the report, and return whether all ended well."""

    def attempt(place: Place) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            outcome = try_place(place, Path(folder))
        print(outcome, flush=True)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        outcomes = [*pool.map(attempt, [Place(folder, state) for folder in FOLDERS for state in SIZES])]
    table = ["| folder | state | exit code | last line | well |", "| --- | --- | ---: | --- | --- |"]
    for outcome in outcomes:
        line = outcome.line.replace("|", "\\|")[:160]
        verdict = "yes" if outcome.is_good else "**no**"
        table.append(f"| {outcome.place.folder} | {outcome.place.state} | {outcome.code} | {line} | {verdict} |")
    head = (
        "A tmpfs of 1 MB (full, read-only) or 8 MB (tiny) in place of one folder; 12 steps of Mask R-CNN at 64 pixels."
    )
    write_section("Places", [head, "", *table], "python -m benchmarks.robustness places")
    return all(outcome.is_good for outcome in outcomes)
