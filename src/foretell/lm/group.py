"""A group of processes that train one model together, each on its share of every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PATIENCE = timedelta(hours=12)  # others wait while the first process measures a checkpoint


@dataclass(frozen=True)
class Group:
    """Say which process this is of how many."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Say whether this process writes checkpoints and measurements."""
        return self.rank == 0

    def add(self, tensors: list[Any]) -> None:
        """Replace each tensor by its sum over the processes."""
        if self.size == 1:
            return
        import torch
        import torch.distributed as dist

        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        at = 0
        for t in tensors:
            t.copy_(flat[at : at + t.numel()].view_as(t))
            at += t.numel()

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            import torch.distributed as dist

            dist.barrier()


def together(size: int, work: Callable[..., None], *arguments: Any) -> None:
    """Call `work(group, *arguments)` in `size` processes that can add tensors up; in this one when size is 1."""
    if size == 1:
        work(Group(), *arguments)
        return
    import torch.multiprocessing as mp

    with TemporaryDirectory() as folder:
        mp.spawn(_join, args=(size, str(Path(folder) / "meeting"), work, arguments), nprocs=size, join=True)


def _join(rank: int, size: int, meeting: str, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    import torch
    import torch.distributed as dist

    backend = "nccl" if torch.cuda.is_available() and torch.cuda.device_count() >= size else "gloo"
    dist.init_process_group(backend, f"file://{meeting}", timeout=PATIENCE, rank=rank, world_size=size)
    try:
        work(Group(rank, size), *arguments)
    finally:
        dist.destroy_process_group()
