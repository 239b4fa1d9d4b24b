"""A run: jobs brought to their ends at one site, the same way at every site."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from foretell.errors import ExecuteError
from foretell.execute.job import Ended, Job, State, check_together
from foretell.execute.process import worker_command
from foretell.execute.record import Outcome, held, make_folder, read_outcome, write_order


@dataclass(frozen=True)
class Gone:
    """Tell that the worker of a job is no longer there.

    `again` is False where nobody wants another; `empty` is True where it is known to have left no result or error.
    """

    name: str
    how: str
    again: bool = True
    empty: bool = False


class Site(Protocol):
    """A place where workers live: this machine, or a cluster."""

    def open(self, jobs: Sequence[Job]) -> None:
        """Reach the place; raise ExecuteError where it does not answer or could never run one of the jobs."""

    def start(self, job: Job, place: Path) -> bool:
        """Start a worker on the order in a job's folder; give False where there is no room yet."""

    def gone(self) -> list[Gone]:
        """Tell whose workers are no longer there; wait a moment where none is."""

    def close(self) -> None:
        """Kill the workers that are left, and let go of the place."""


def run_jobs(
    site: Site,
    jobs: Sequence[Job],
    folder: Path,
    *,
    on_end: Callable[[Ended], None] | None = None,
    retries: int = 2,
    settle: float = 0.0,
) -> list[Ended]:
    """Run jobs at a site; give how each ended, in their order.

    A job whose result is in the folder is not run again. A worker that is gone without a result or an error is
    started again, up to `retries` times; `settle` is how many seconds its files may take to be seen here. A job after
    one that did not end well is not started; the others go on. Raises ExecuteError, before anything starts, for jobs
    that cannot run; whatever ends the call early ends the workers as well, and finished work stays.
    """
    check_together(jobs)
    if retries < 0:
        raise ExecuteError(f"retries = {retries}; it is a whole number, 0 or more")
    folder = make_folder(folder)
    with held(folder / ".run") as mine:
        if not mine:
            raise ExecuteError(f"another run is at work in {folder}; wait for it, or choose another folder")
        kept = {job.name: outcome.result for job in jobs if (outcome := _result(folder / job.name, job)) is not None}
        left = [job for job in jobs if job.name not in kept]
        ended: dict[str, Ended] = {}

        def end(one: Ended) -> None:
            ended[one.name] = one
            if on_end is not None:
                on_end(one)

        if left:
            check_calls(left)
        try:
            if left:
                site.open(left)
            for name, result in kept.items():
                end(Ended(name, "done", result))
            _bring_to_ends(site, left, folder, ended, end, retries, settle)
        finally:
            if left:
                site.close()
    return [ended[job.name] for job in jobs]


def _bring_to_ends(
    site: Site,
    left: list[Job],
    folder: Path,
    ended: dict[str, Ended],
    end: Callable[[Ended], None],
    retries: int,
    settle: float,
) -> None:
    waiting = {job.name: job for job in left}
    running: dict[str, Job] = {}
    tries = dict.fromkeys(waiting, 0)
    began: dict[str, float] = {}
    for job in left:
        _order(folder / job.name, job)
    while waiting or running:
        for job in list(waiting.values()):
            bad = next((ended[name] for name in job.after if name in ended and ended[name].state != "done"), None)
            if bad is not None:
                del waiting[job.name]
                was = {"failed": "failed", "killed": "was killed"}.get(bad.state, "was not started")
                end(Ended(job.name, "not started", error=f"it comes after {bad.name}, which {was}"))
            elif all(name in ended for name in job.after) and site.start(job, folder / job.name):
                running[job.name] = waiting.pop(job.name)
                tries[job.name] += 1
                began.setdefault(job.name, time.monotonic())
        if not running:  # a job that was not started may decide others
            continue
        for gone in site.gone():
            job = running.pop(gone.name)
            outcome = _settled(folder / job.name, job, 0.0 if gone.empty else settle)
            seconds = time.monotonic() - began[job.name]
            if outcome is None and gone.again and tries[job.name] <= retries:
                waiting[job.name] = job
            elif outcome is None:
                end(Ended(job.name, "killed", None, gone.how, tries[job.name], seconds))
            else:
                state: State = "done" if outcome.error is None else "failed"
                end(Ended(job.name, state, outcome.result, outcome.error, tries[job.name], seconds))


def check_calls(jobs: Sequence[Job]) -> None:
    """Raise ExecuteError where a fresh interpreter cannot import a job's function, or it takes other arguments."""
    calls = {(job.call, tuple(sorted(job.arguments))): job for job in jobs}
    done = subprocess.run(
        worker_command("check"), input=json.dumps(list(calls)), capture_output=True, text=True, check=False
    )
    try:
        found = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ExecuteError(f"no worker can start: importing what the jobs call ended with: {last}") from None
    if found:
        raise ExecuteError("; ".join(found))


def _order(place: Path, job: Job) -> None:
    try:
        write_order(place, job)
    except OSError as error:
        raise ExecuteError(f"the folder {place} cannot be written: {error.strerror or error}") from None


def _result(place: Path, job: Job) -> Outcome | None:
    outcome = read_outcome(place, job.digest)
    return outcome if outcome is not None and outcome.error is None else None


def _settled(place: Path, job: Job, settle: float) -> Outcome | None:
    given_up = time.monotonic() + settle
    while (outcome := read_outcome(place, job.digest)) is None and time.monotonic() < given_up:
        time.sleep(0.2)
    return outcome
