"""Cells as processes of this machine, so many at a time. What other runners on the same store do is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

from lineage.launch import job as work
from lineage.launch import plan
from lineage.launch.job import Job, Site
from lineage.launch.plan import DONE, TEST, Cell, Name, Plan
from lineage.results import store
from lineage.tables.samples import drop_superseded

POLL = 0.5  # seconds between looks at the own jobs
LOOK = 10.0  # seconds between looks at the work of others


def run(planned: Plan, site: Site, jobs: int, say: Callable[[str], None]) -> int:
    """Do what is open. Returns how many asked cells are not done in the end."""
    running: list[Job] = []
    ended: list[Job] = []
    failed: set[Name] = set()
    try:
        while True:
            _refresh(planned, site)
            failed |= _without_entry(ended, planned, say)
            for cell in planned.open:
                if len(running) < jobs and _ready(cell, planned, failed) and not _at_work(cell, running):
                    running += _begun(cell, planned, site, say)
            ready = [cell for cell in planned.open if _ready(cell, planned, failed) and not _at_work(cell, running)]
            if not running and not ready:
                break
            ended = []
            if running or any(work.elsewhere(cell, site) for cell in ready):
                ended = _wait(running, failed, say)
                running = [job for job in running if job not in ended]
    except BaseException:
        work.stop(running)
        raise
    return sum(cell.wanted and cell.action != DONE for cell in planned.cells.values())


def _begun(cell: Cell, planned: Plan, site: Site, say: Callable[[str], None]) -> list[Job]:
    """The one job, or none where somebody else is at it."""
    job = work.begin(cell, site, lambda cell: _still(cell, planned, site))
    if job is None:
        return []
    say(f"{'test ' if cell.action == TEST else 'go on' if job.continues else 'train'}  {cell.name}")
    return [job]


def _still(cell: Cell, planned: Plan, site: Site) -> bool:
    """Under the claim: somebody may have done it between our look at the store and now."""
    before = (cell.action, cell.claim, cell.given)
    _refresh(planned, site)
    return (cell.action, cell.claim, cell.given) == before


def _refresh(planned: Plan, site: Site) -> None:
    plan.settle(planned, drop_superseded(store.contents(site.results).entries))


def _ready(cell: Cell, planned: Plan, failed: set[Name]) -> bool:
    if cell.name in failed or any(name in failed for name in cell.after):
        failed.add(cell.name)
        return False
    return cell.open and not any(planned.cells[name].open for name in cell.after)


def _at_work(cell: Cell, running: list[Job]) -> bool:
    return any(job.cell.claim == cell.claim or job.cell.name == cell.name for job in running)


def _without_entry(ended: list[Job], planned: Plan, say: Callable[[str], None]) -> set[Name]:
    """Runs that ended well and did not fill their cells: to start them again would never end."""
    open_ = {cell.name for cell in planned.open}
    lost = [job for job in ended if job.process.returncode == 0 and job.cell.name in open_]
    for job in lost:
        say(f"{job.cell.name} ended well, but left no entry of this cell in the results; see {job.log}")
    return {job.cell.name for job in lost}


def _wait(running: list[Job], failed: set[Name], say: Callable[[str], None]) -> list[Job]:
    """Until some of ours have ended, which are returned, or it is time to look what others have done."""
    until = time.monotonic() + LOOK
    while time.monotonic() < until:
        ended = [job for job in running if job.ended() is not None]
        for job in ended:
            code = job.process.returncode
            if code:
                failed.add(job.cell.name)
            say(work.explain(job, code) if code else f"done   {job.cell.name}")
        if ended:
            return ended
        time.sleep(POLL)
    return []
