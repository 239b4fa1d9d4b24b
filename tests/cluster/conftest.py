"""A Ray cluster and a Slurm of this machine, for the tests of executors."""

import subprocess
import warnings
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SCRIPT = str(Path(__file__).with_name("slurm.sh"))


@pytest.fixture(autouse=True)
def _jobs_are_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


@pytest.fixture
def cluster(monkeypatch):
    """Start a Ray cluster whose head has one core."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what importing Ray says of others
        from ray.cluster_utils import Cluster
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    made.shutdown()


@pytest.fixture(scope="session")
def _slurm():
    """Have Slurm run; it stays, `slurm.sh stop` ends it."""
    started = subprocess.run([SCRIPT, "start"], capture_output=True, text=True, check=False)
    if started.returncode:
        pytest.fail(f"no Slurm to test with: {started.stderr}", pytrace=False)


@pytest.fixture
def slurm_here(_slurm, monkeypatch):
    """Point this process at the Slurm of this machine."""
    told = subprocess.run([SCRIPT, "config"], capture_output=True, text=True, check=True)
    monkeypatch.setenv("SLURM_CONF", told.stdout.strip())
