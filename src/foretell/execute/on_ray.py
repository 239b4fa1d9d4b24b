"""The Ray executor: jobs as tasks of a Ray cluster."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.errors import ExecuteError
from foretell.execute.job import Ended, Job
from foretell.execute.process import RAISED, run_worker
from foretell.execute.run import Gone, run_jobs

SETTLE = 10.0  # seconds a file may take to be seen across a network file system; NFS looks again within 3 to 60


@dataclass(frozen=True)
class OnRay:
    """Run jobs on a Ray cluster, whose nodes share the folder's disk.

    `address` is `HOST:PORT` of the cluster; None is the one that runs on this machine, else one made for the occasion.
    `wait` is how many seconds the cluster may take to answer, and to have a node that is large enough for each job.
    """

    address: str | None = None
    wait: float = 60.0

    def run(
        self,
        jobs: Sequence[Job],
        folder: Path,
        *,
        on_end: Callable[[Ended], None] | None = None,
        retries: int = 2,
    ) -> list[Ended]:
        """Run jobs; give how each ended, in their order. Raises ExecuteError for jobs that cannot run there."""
        site = _Cluster(self.address, self.wait)
        return run_jobs(site, jobs, folder, on_end=on_end, retries=retries, settle=SETTLE)


class _Cluster:
    def __init__(self, address: str | None, wait: float) -> None:
        self._address = address
        self._wait = wait
        self._ray: Any = None
        self._ours = False
        self._tasks: dict[Any, Job] = {}  # by Ray's reference
        self._fitted = 0.0  # when every task was last seen to fit a living node

    def open(self, jobs: Sequence[Job]) -> None:
        self._ray = _import_ray()
        if not self._ray.is_initialized():
            self._connect()
            self._ours = True
        self._fitted = time.monotonic()
        while (misfit := self._misfit(jobs)) is not None:
            if time.monotonic() - self._fitted > self._wait:
                raise ExecuteError(misfit)
            time.sleep(0.5)

    def start(self, job: Job, place: Path) -> bool:
        needs: dict[str, Any] = {"num_cpus": job.cores, "num_gpus": job.gpus, "max_retries": 0, "name": job.name}
        if job.memory is not None:
            needs["memory"] = job.memory
        task = self._ray.remote(**needs)(run_worker)
        self._tasks[task.remote(str(place), job.cores, job.gpus, os.environ.get("PYTHONPATH"))] = job
        return True

    def gone(self) -> list[Gone]:
        ended, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=1.0)
        if ended:
            ended, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        found = []
        for reference in ended:
            job = self._tasks.pop(reference)
            try:
                code, how = self._ray.get(reference)
                found.append(Gone(job.name, how, empty=code not in (0, RAISED)))
            except self._ray.exceptions.RayError as error:
                found.append(Gone(job.name, f"Ray lost its worker: {_first_line(error)}"))
        self._look_for_room()
        return found

    def close(self) -> None:
        if self._ray is None or not self._ray.is_initialized():
            return
        for reference in self._tasks:
            self._ray.cancel(reference, force=True)
        if self._tasks:
            self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=5.0)
        self._tasks.clear()
        if self._ours:
            self._ray.shutdown()

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody asked us to send reports
        address = find_address(self._address, self._wait)
        try:
            self._ray.init(
                address=address,
                include_dashboard=False if address == "local" else None,
                log_to_driver=False,
                logging_level="error",
            )
        except Exception as error:  # Ray raises of many kinds here
            at = "no Ray can be started here" if address == "local" else f"the Ray cluster at {address} lets nobody in"
            raise ExecuteError(f"{at}: {_first_line(error)}") from None

    def _misfit(self, jobs: Sequence[Job]) -> str | None:
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        for job in jobs:
            needs = {"CPU": job.cores, "GPU": job.gpus, "memory": job.memory or 0}
            if not any(all(node.get(name, 0) >= need for name, need in needs.items()) for node in nodes):
                asked = ", ".join(f"{need:,} {name}" for name, need in needs.items() if need)
                there = "; ".join(
                    ", ".join(f"{node.get(name, 0):,.0f} {name}" for name in needs if node.get(name)) for node in nodes
                )
                return (
                    f"job {job.name} asks for {asked}, and no node of the Ray cluster has that within {self._wait:g} s "
                    f"(nodes: {there or 'none'}); ask for less, or add a node"
                )
        return None

    def _look_for_room(self) -> None:
        if (misfit := self._misfit(list(self._tasks.values()))) is None:
            self._fitted = time.monotonic()
        elif time.monotonic() - self._fitted > self._wait:
            raise ExecuteError(misfit)


def find_address(address: str | None, wait: float) -> str:
    """Give the address of a cluster that answers, or `local` where one is to be made.

    Without an address, that is the cluster of RAY_ADDRESS, else the one last started on this machine if it still
    answers: Ray itself waits for a dead one without end. Raises ExecuteError when an address does not answer in `wait`
    seconds.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address == "local":
        return address
    if address is None or address == "auto":
        try:
            last = (Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster").read_text().strip()
        except OSError:
            last = ""
        if last and _answers(last) is None:
            return last
        if address is None:
            return "local"
        raise ExecuteError("no Ray cluster runs on this machine; start one with `ray start --head`, or give HOST:PORT")
    given_up = time.monotonic() + wait
    while (silence := _answers(address)) is not None:
        if time.monotonic() > given_up:
            raise ExecuteError(
                f"no Ray cluster answers at {address} within {wait:g} s ({silence}); "
                "start one with `ray start --head`, or give the address that it printed"
            )
        time.sleep(0.5)
    return address


def _answers(address: str) -> str | None:
    """Give None where something answers, else why not."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        raise ExecuteError(f"the Ray address {address!r} is not HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise ExecuteError("Ray is not installed; install foretell[cluster], or run on local or slurm") from None
    return ray


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
