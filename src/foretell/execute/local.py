"""The local executor: jobs packed onto this machine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foretell.errors import ExecuteError
from foretell.execute.job import Ended, Job
from foretell.execute.machine import Machine, read_bytes, this_machine
from foretell.execute.process import end_worker, how_it_ended, start_worker
from foretell.execute.run import Gone, run_jobs

PAUSE = 0.05  # seconds between looks at the workers: 0.5 % of a core for two of them, measured


@dataclass(frozen=True)
class Local:
    """Run jobs on this machine, as many at once as its cores, GPUs and memory hold.

    `cores`, `gpus` and `memory` (bytes) bound what is used; None is all that the machine gives.
    """

    cores: int | None = None
    gpus: int | None = None
    memory: int | None = field(default=None, metadata={"read": read_bytes})

    def run(
        self,
        jobs: Sequence[Job],
        folder: Path,
        *,
        on_end: Callable[[Ended], None] | None = None,
        retries: int = 2,
    ) -> list[Ended]:
        """Run jobs; give how each ended, in their order. Raises ExecuteError for jobs that cannot run here."""
        return run_jobs(_ThisMachine(self._bounded()), jobs, folder, on_end=on_end, retries=retries)

    def _bounded(self) -> Machine:
        machine = this_machine()
        asked = {"cores": (self.cores, 1, machine.cores), "gpus": (self.gpus, 0, len(machine.gpus))}
        for what, (number, least, there) in asked.items():
            if number is not None and not least <= number <= there:
                raise ExecuteError(f"{what} = {number}, but this machine has {there}; give {least} to {there}")
        return Machine(
            cores=machine.cores if self.cores is None else self.cores,
            gpus=machine.gpus if self.gpus is None else machine.gpus[: self.gpus],
            memory=machine.memory if self.memory is None else min(self.memory, machine.memory),
        )


@dataclass
class _Worker:
    job: Job
    place: Path
    process: subprocess.Popen[bytes]
    gpus: tuple[str, ...]


class _ThisMachine:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._workers: list[_Worker] = []

    def open(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            for what, asked, there in (
                ("cores", job.cores, self._machine.cores),
                ("GPUs", job.gpus, len(self._machine.gpus)),
                ("bytes of memory", job.memory or 0, self._machine.memory),
            ):
                if asked > there:
                    raise ExecuteError(
                        f"job {job.name} asks for {asked:,} {what} and {there:,} may be used here; "
                        "ask for less, or run it on a cluster"
                    )

    def start(self, job: Job, place: Path) -> bool:
        held = {gpu for worker in self._workers for gpu in worker.gpus}
        gpus = [gpu for gpu in self._machine.gpus if gpu not in held]
        cores = self._machine.cores - sum(worker.job.cores for worker in self._workers)
        memory = self._machine.memory - sum(worker.job.memory or 0 for worker in self._workers)
        if job.cores > cores or job.gpus > len(gpus) or (job.memory or 0) > memory:
            return False
        mine = tuple(gpus[: job.gpus])
        self._workers.append(_Worker(job, place, start_worker(place, job.cores, mine), mine))
        return True

    def gone(self) -> list[Gone]:
        ended = [worker for worker in self._workers if worker.process.poll() is not None]
        if not ended:
            time.sleep(PAUSE)
        found = []
        for worker in ended:
            self._workers.remove(worker)
            end_worker(worker.process)
            found.append(Gone(worker.job.name, how_it_ended(worker.process.returncode, worker.place)))
        return found

    def close(self) -> None:
        for worker in self._workers:
            end_worker(worker.process)
        self._workers.clear()
