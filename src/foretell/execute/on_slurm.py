"""The Slurm executor: jobs in the queue of a Slurm cluster, through submitit."""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretell.errors import ExecuteError
from foretell.execute.job import Ended, Job
from foretell.execute.process import RAISED, run_worker
from foretell.execute.record import read_json, write_json
from foretell.execute.run import Gone, run_jobs
from foretell.execute.slurm_queue import DAY, OVER, Queued, cancel, check_fits, read_minutes, read_queue

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

SETTLE = 10.0  # seconds a file may take to be seen across a network file system; NFS looks again within 3 to 60
SILENCE = 600.0  # seconds that Slurm's controller may stay silent, as when it restarts
OF_THE_JOB = {  # what a job, or an option of ours, says already
    "cpus_per_task": "cores of the job", "cpus_per_gpu": "cores of the job", "gpus": "gpus of the job",
    "gpus_per_node": "gpus of the job", "gpus_per_task": "gpus of the job", "gres": "gpus of the job",
    "mem": "memory of the job", "mem_per_cpu": "memory of the job", "mem_per_gpu": "memory of the job",
    "job_name": "name of the job", "dependency": "after of the job", "nodes": "always 1", "ntasks": "always 1",
    "ntasks_per_node": "always 1", "array": "never", "requeue": "always", "partition": "partition", "time": "time",
    "account": "account",
}  # fmt: skip
OF_SUBMITIT = {"setup", "teardown", "signal_delay_s"}  # what is no option of sbatch


@dataclass(frozen=True)
class OnSlurm:
    """Run jobs through Slurm's queue, on nodes that share the folder's disk.

    `time` is the limit of one job in minutes; one that reaches it, or is preempted, is queued again and goes on, at
    most `requeues` times for its time. None is the partition's own limit, at most a day. `wait` is how many seconds
    may pass with none of the jobs running before the run is given up, None for ever; `pause` how many between looks
    at the queue. `parameters` is whatever else sbatch takes, its dashes as underscores.
    """

    partition: str | None = None
    time: int | None = field(default=None, metadata={"read": read_minutes})
    account: str | None = None
    wait: float | None = 86400.0
    pause: float = 5.0
    requeues: int = 100
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self,
        jobs: Sequence[Job],
        folder: Path,
        *,
        on_end: Callable[[Ended], None] | None = None,
        retries: int = 2,
    ) -> list[Ended]:
        """Run jobs; give how each ended, in their order. Raises ExecuteError for jobs that cannot run there.

        Jobs that an earlier run left in the queue, as when the connection to the cluster broke, are taken over.
        """
        return run_jobs(_Queue(self), jobs, folder, on_end=on_end, retries=retries, settle=SETTLE)


@dataclass(frozen=True)
class _Submitted:
    job: Job
    place: Path
    number: str


class Task:
    """Run a worker inside a Slurm job; queued again by submitit when its time is up or others go first."""

    def __call__(self, place: str, cores: int, gpus: int) -> None:
        """Run the worker to its end, and note how it ended."""
        code, how = run_worker(place, cores, gpus)
        write_json(_note(Path(place), os.environ["SLURM_JOB_ID"]), {"code": code, "how": how})

    def checkpoint(self, place: str, cores: int, gpus: int) -> DelayedSubmission:
        """Give what to do when queued again: the same, for the function resumes by itself."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(self, place, cores, gpus)


class _Queue:
    def __init__(self, options: OnSlurm) -> None:
        self._options = options
        self._submitted: dict[str, _Submitted] = {}
        self._time = 0
        self._heard = self._ran = 0.0  # when Slurm last answered; when one of our jobs was last seen to run

    def open(self, jobs: Sequence[Job]) -> None:
        _check_installed()
        wrong = sorted(self._options.parameters.keys() & OF_THE_JOB.keys())
        if wrong:
            said = ", ".join(f"slurm_{name} (see: {OF_THE_JOB[name]})" for name in wrong)
            raise ExecuteError(f"{said}: this is said elsewhere; leave it out")
        limit = check_fits(jobs, self._options.partition)
        self._time = self._options.time or (DAY if limit is None else min(limit, DAY))
        if limit is not None and self._time > limit:
            raise ExecuteError(
                f"time = {self._time} minutes, but the partition allows {limit}; give at most that: jobs go on "
                "where their time ended"
            )
        self._heard = self._ran = time.monotonic()

    def start(self, job: Job, place: Path) -> bool:
        note = read_json(place / "slurm.json") or {}
        there = read_queue().get(str(note["number"])) if note.get("digest") == job.digest else None
        if there is not None and there.name == _title(job) and there.state not in OVER:
            self._submitted[job.name] = _Submitted(
                job, place, str(note["number"])
            )  # an earlier run left it in the queue
            return True
        number = self._submit(job, place)
        self._submitted[job.name] = _Submitted(job, place, number)
        write_json(place / "slurm.json", {"digest": job.digest, "number": number})
        return True

    def gone(self) -> list[Gone]:
        now = time.monotonic()
        try:
            queue = read_queue()
            self._heard = now
        except ExecuteError as error:
            if now - self._heard > SILENCE:
                raise ExecuteError(f"{error}; no answer for {SILENCE:.0f} s, so look for the jobs yourself") from None
            time.sleep(self._options.pause)
            return []
        mine = {name: queue.get(one.number) for name, one in self._submitted.items()}
        found = [
            _gone(self._submitted[name], there) for name, there in mine.items() if not there or there.state in OVER
        ]
        for one in found:
            del self._submitted[one.name]
        if found or any(there is not None and there.runs for there in mine.values()):
            self._ran = now
        elif self._options.wait is not None and now - self._ran > self._options.wait:
            states = "; ".join(f"{name}: {there.state} ({there.reason})" for name, there in mine.items() if there)
            raise ExecuteError(
                f"none of the jobs has been running for {self._options.wait:g} s and they are cancelled: {states}; "
                "choose another partition, or give a longer wait"
            )
        if not found:
            time.sleep(self._options.pause)
        return found

    def close(self) -> None:
        cancel([one.number for one in self._submitted.values()])
        self._submitted.clear()

    def _submit(self, job: Job, place: Path) -> str:
        import submitit

        further = {name: _flag(value) for name, value in self._options.parameters.items()}
        words = further.pop("srun_args", [])
        own = {name: further.pop(name) for name in OF_SUBMITIT & further.keys()}
        for name in ("setup", "teardown"):
            if isinstance(own.get(name), str):
                own[name] = [own[name]]
        if "signal_delay_s" in own:
            own["signal_delay_s"] = int(own["signal_delay_s"])
        if job.memory is not None:
            further["mem"] = f"{math.ceil(job.memory / 2**20)}M"
        if job.gpus:
            further["gpus_per_node"] = job.gpus
        for name in ("partition", "account"):
            if getattr(self._options, name) is not None:
                further[name] = getattr(self._options, name)
        try:
            executor = submitit.SlurmExecutor(folder=place / "slurm", max_num_timeout=self._options.requeues)
            executor.update_parameters(
                job_name=_title(job),
                time=self._time,
                nodes=1,
                ntasks_per_node=1,
                cpus_per_task=job.cores,
                # srun does not inherit the cores since Slurm 22.05
                srun_args=[f"--cpus-per-task={job.cores}", *(shlex.split(words) if isinstance(words, str) else words)],
                additional_parameters={"requeue": True, **further},
                **own,
            )
            return str(executor.submit(Task(), str(place), job.cores, job.gpus).job_id)
        except (submitit.core.utils.FailedJobError, ValueError, RuntimeError, OSError) as error:
            said = [line.strip() for line in str(error).splitlines() if line.strip()]
            told = [line for line in said if "error:" in line] or said or [type(error).__name__]
            raise ExecuteError(f"Slurm does not take job {job.name}: {told[0][:300]}") from None


def _flag(value: Any) -> Any:
    return True if isinstance(value, str) and value.lower() == "true" else value


def _title(job: Job) -> str:
    return f"foretell.{job.name}"


def _note(place: Path, number: str) -> Path:
    return place / "slurm" / f"{number}_ended.json"


def _gone(one: _Submitted, there: Queued | None) -> Gone:
    if there is not None and there.state == "CANCELLED":
        return Gone(one.job.name, "it was cancelled in Slurm's queue", again=False, empty=True)
    note = read_json(_note(one.place, one.number))
    if note is not None:
        return Gone(one.job.name, str(note["how"]), empty=note["code"] not in (0, RAISED))
    return Gone(one.job.name, f"its Slurm job ended as {there.state if there else 'UNKNOWN'} without a result")


def _check_installed() -> None:
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise ExecuteError("submitit is not installed; install foretell[cluster], or run on local or ray") from None
