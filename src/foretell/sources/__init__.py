"""Readers of others' formats: each turns files into Observations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from foretell.errors import UnknownName
from foretell.sources.console_logs import read_lightning, read_torchtitan
from foretell.sources.every_eval_ever import read_every_eval_ever, read_records
from foretell.sources.gadre import read_gadre
from foretell.sources.lm_eval import Harness, read_harness, read_lm_eval
from foretell.sources.mapping import ColumnMap
from foretell.sources.metric_map import MetricMap
from foretell.sources.mlflow_store import read_mlflow
from foretell.sources.olmo_core import read_levanter, read_olmo_core
from foretell.sources.olmo_ladder import read_olmo_ladder
from foretell.sources.outcomes import save_harness
from foretell.sources.published import fetch_published, published_sets
from foretell.sources.published_study import read_published
from foretell.sources.run_table import RunTable
from foretell.sources.table import read_table
from foretell.sources.tensorboard_events import read_tensorboard
from foretell.sources.trainer_state import read_trainer
from foretell.sources.wandb_history import read_wandb
from foretell.table import Observations

SOURCES: dict[str, Callable[..., Observations]] = {
    "every-eval-ever": read_every_eval_ever,
    "gadre": read_gadre,
    "levanter": read_levanter,
    "lightning": read_lightning,
    "lm-eval": read_lm_eval,
    "mlflow": read_mlflow,
    "olmo-core": read_olmo_core,
    "olmo-ladder": read_olmo_ladder,
    "published": read_published,
    "table": read_table,
    "tensorboard": read_tensorboard,
    "torchtitan": read_torchtitan,
    "trainer": read_trainer,
    "wandb": read_wandb,
}
HARNESSES: dict[str, Callable[..., Harness]] = {"every-eval-ever": read_records, "lm-eval": read_harness}


def read(kind: str, path: str | Path, **options: Any) -> Observations:
    """Read files of a known kind; the options are those of its reader. Raises UnknownName for another kind."""
    if kind not in SOURCES:
        raise UnknownName("source", kind, SOURCES)
    return SOURCES[kind](path, **options)


__all__ = [
    "HARNESSES",
    "SOURCES",
    "ColumnMap",
    "Harness",
    "MetricMap",
    "RunTable",
    "fetch_published",
    "published_sets",
    "read",
    "read_every_eval_ever",
    "read_gadre",
    "read_harness",
    "read_levanter",
    "read_lightning",
    "read_lm_eval",
    "read_mlflow",
    "read_olmo_core",
    "read_olmo_ladder",
    "read_published",
    "read_records",
    "read_table",
    "read_tensorboard",
    "read_torchtitan",
    "read_trainer",
    "read_wandb",
    "save_harness",
]
