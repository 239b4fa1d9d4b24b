"""Run resumable jobs here, on Ray or on Slurm, with the same result."""

from foretell.execute.executor import EXECUTORS, Executor, executor_named, read_options
from foretell.execute.job import Ended, Job

__all__ = ["EXECUTORS", "Ended", "Executor", "Job", "executor_named", "read_options"]
