"""A comparison spread over a real Ray cluster gives what one process gives."""

from __future__ import annotations

import pytest
from ray_cluster import LEFT_OPEN

from foretell import api
from foretell.forecast import Settings
from foretell.judge.carried import carried
from ladders import ladder, sigmoid_task

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(ignored) for ignored in LEFT_OPEN)]


def test_ray_gives_what_one_process_gives(cluster, tmp_path):
    study = ladder(tasks={"task/acc": sigmoid_task})
    asked = {"methods": ["chinchilla", "ladder", "direct"], "settings": Settings(draws=40, starts=16)}
    here, failures = api.compare(study, ["c4/loss", "task/acc"], **asked)
    there, others = api.compare(
        study,
        ["c4/loss", "task/acc"],
        **asked,
        on="ray",
        options={"address": cluster.address},
        folder=tmp_path / "work",
    )
    assert others == failures
    assert [backtest.method for backtest in there] == [backtest.method for backtest in here]
    for one, other in zip(here, there, strict=True):
        assert [carried(outcome) for outcome in other.outcomes] == [carried(outcome) for outcome in one.outcomes]
        assert other.failures == one.failures
