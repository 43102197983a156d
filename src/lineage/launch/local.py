"""Cells as processes of this machine, so many at a time. What other runners on the same store do is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

from lineage.launch import plan, work
from lineage.launch.plan import DONE, TEST, TRAIN, Cell, Name, Plan
from lineage.launch.work import Job, Site
from lineage.tables import judge, store

POLL = 0.5  # seconds between looks at the own jobs
LOOK = 10.0  # seconds between looks at the work of others


def run(planned: Plan, site: Site, jobs: int, say: Callable[[str], None]) -> int:
    """Do what is open. Returns how many asked cells are not done in the end."""
    running: list[Job] = []
    failed: set[Name] = set()
    try:
        while True:
            _refresh(planned, site)
            ready = [cell for cell in planned.open if _ready(cell, planned, failed) and not _at_work(cell, running)]
            begun = [_begin(cell, planned, site, say) for cell in ready[: max(0, jobs - len(running))]]
            running += [job for job in begun if job]
            if not running and not ready:
                break
            if running or any(work.elsewhere(cell, site) for cell in ready):
                running = _wait(running, failed, say)
    except KeyboardInterrupt:
        work.stop(running)
        raise
    return sum(cell.asked and cell.action != DONE and cell.composed.error is None for cell in planned.cells.values())


def _begin(cell: Cell, planned: Plan, site: Site, say: Callable[[str], None]) -> Job | None:
    job = work.begin(cell, site, lambda cell: _still(cell, planned, site))
    if job is not None:
        verb = "test " if cell.action == TEST else "go on" if cell.note.startswith(("stopped", "failed")) else "train"
        say(f"{verb}  {cell.name}")
    return job


def _still(cell: Cell, planned: Plan, site: Site) -> bool:
    """Under the claim: somebody may have done it between our look at the store and now."""
    before = (cell.action, cell.start, cell.proposals)
    _refresh(planned, site)
    return (cell.action, cell.start, cell.proposals) == before


def _refresh(planned: Plan, site: Site) -> None:
    plan.settle(planned, judge.valid(store.contents(site.results).entries))


def _ready(cell: Cell, planned: Plan, failed: set[Name]) -> bool:
    if cell.name in failed or any(name in failed for name in cell.after):
        failed.add(cell.name)
        return False
    return not any(name for name in cell.after if planned.cells[name].action in (TRAIN, TEST))


def _at_work(cell: Cell, running: list[Job]) -> bool:
    return any(job.cell.claim == cell.claim or job.cell.name == cell.name for job in running)


def _wait(running: list[Job], failed: set[Name], say: Callable[[str], None]) -> list[Job]:
    """Until one of ours has ended, or it is time to look what others have done."""
    until = time.monotonic() + LOOK
    while time.monotonic() < until:
        ended = {id(job): code for job in running if (code := job.ended()) is not None}
        for job in running:
            if (code := ended.get(id(job))) is not None:
                if code:
                    failed.add(job.cell.name)
                say(f"done   {job.cell.name}" if code == 0 else work.explain(job, code))
        if ended:
            return [job for job in running if id(job) not in ended]
        time.sleep(POLL)
    return running
