"""A comparison spread over a real Ray cluster gives what one process gives."""

from __future__ import annotations

import warnings

import pytest

from foretell import api
from foretell.forecast import Settings
from foretell.judge.carried import carried
from ladders import ladder, sigmoid_task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Ray leaves its files to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what importing Ray says of others
        from ray.cluster_utils import Cluster
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield made
    made.shutdown()


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
