"""Cells as processes of this machine, a number of them at a time. Waits for cells that other runners are at work on."""

from __future__ import annotations

import time
from collections.abc import Callable

from lineage.launch.cells import Cell, CellName
from lineage.launch.job import Job, RunnerSettings, explain_failure, find_holder, start_job, stop_jobs
from lineage.launch.plan import TEST, Plan, lease_name

POLL = 0.5  # seconds between looks at the own jobs
LOOK = 10.0  # seconds between looks at the work of others
SILENCE = 30.0  # seconds between progress lines of a job; an evaluation is printed when it begins


def run_cells(plan: Plan, settings: RunnerSettings, jobs: int, log: Callable[[str], None]) -> Plan:
    """Run the open cells; return the plan as it is in the end."""
    running: list[Job] = []
    ended: list[Job] = []
    failed: set[CellName] = set()
    progress = Progress(log)
    try:
        while True:
            # 1. What the store holds now; jobs without an entry would be started for ever.
            plan = plan.read_store(settings.results)
            failed |= _find_without_entry(ended, plan, log)
            # 2. Start what is ready.
            for cell in plan.open:
                if len(running) < jobs and _is_ready(cell, plan, failed, running):
                    running += _start(cell, plan, settings, log)
            # 3. Wait for own jobs, or for those of others.
            ready = [cell for cell in plan.open if _is_ready(cell, plan, failed, running)]
            if not running and not ready:
                return plan
            ended = []
            if running or any(find_holder(cell, plan.action(cell), settings) for cell in ready):
                ended = _wait(running, failed, log, progress)
                running = [job for job in running if job not in ended]
    except BaseException:
        stop_jobs(running)
        raise


def _start(cell: Cell, plan: Plan, settings: RunnerSettings, log: Callable[[str], None]) -> list[Job]:
    """Return the job, or none if another runner is at work on the cell or has done it since we read the store."""
    decision = plan.decisions[cell.name]

    def is_still_open() -> bool:
        now = plan.read_store(settings.results).decisions[cell.name]
        return (now.action, now.parents) == (decision.action, decision.parents)

    job = start_job(cell, decision, settings, is_still_open)
    if job is None:
        return []
    log(f"{'test ' if job.action == TEST else 'go on' if job.is_resumed else 'train'}  {cell.name}")
    return [job]


def _is_ready(cell: Cell, plan: Plan, failed: set[CellName], running: list[Job]) -> bool:
    """Return whether nothing has to be done before a cell. A cell that waits for a failed one counts as failed."""
    after = plan.decisions[cell.name].after
    if cell.name in failed or any(name in failed for name in after):
        failed.add(cell.name)
        return False
    name = lease_name(cell, plan.action(cell))
    is_running = any(job.lease_name == name or job.cell.name == cell.name for job in running)
    return not is_running and not any(plan.is_open(parent) for parent in after)


def _find_without_entry(ended: list[Job], plan: Plan, log: Callable[[str], None]) -> set[CellName]:
    """Return the cells whose jobs ended well and left no entry of them."""
    lost = [job for job in ended if job.process.returncode == 0 and plan.is_open(job.cell.name)]
    for job in lost:
        log(f"{job.cell.name} ended well, but left no entry of this cell in the results; see {job.log}")
    return {job.cell.name for job in lost}


class Progress:
    """Printer of the last progress lines of running jobs."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.log = log
        self.printed: dict[CellName, tuple[float, str]] = {}  # when, and the line

    def update(self, running: list[Job]) -> None:
        """Print the lines that are new: evaluations at once, steps after SILENCE seconds."""
        now = time.monotonic()
        for job in running:
            last, text = self.printed.setdefault(job.cell.name, (now, ""))
            line = job.read_progress()
            if line != text and (now - last > SILENCE or line.startswith("evaluating")):
                self.printed[job.cell.name] = now, line
                self.log(f"       {job.cell.name}: {line}")


def _wait(running: list[Job], failed: set[CellName], log: Callable[[str], None], progress: Progress) -> list[Job]:
    """Wait until jobs have ended, and return them, or until it is time to look at the work of others."""
    until = time.monotonic() + LOOK
    while time.monotonic() < until:
        ended = [job for job in running if job.poll() is not None]
        for job in ended:
            code = job.process.returncode
            if code:
                failed.add(job.cell.name)
            log(explain_failure(job, code) if code else f"done   {job.cell.name}")
        if ended:
            return ended
        progress.update(running)
        time.sleep(POLL)
    return []
