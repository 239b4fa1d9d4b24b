"""A real Ray cluster of two nodes on this machine gives what the local executor gives, also when a node is lost."""

import json
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
from ray_cluster import LEFT_OPEN

from foretell.errors import ExecuteError
from foretell.execute import Job, executor_named

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(ignored) for ignored in LEFT_OPEN)]


def wait_for(truth, seconds=240.0):
    given_up = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < given_up, "it never came true"
        time.sleep(0.05)


def chains(folder, **more):
    """Give a small ladder of chains, one of which comes after another."""
    jobs = [
        Job(f"c{n}", "execute_jobs:chain", {"folder": str(folder / f"c{n}"), "steps": 20 + n, **more}) for n in range(4)
    ]
    return [*jobs, Job("sum", "execute_jobs:add", {"a": 1, "b": 2}, after=("c0", "c3"))]


def plain(ended):
    return [(one.name, one.state, one.result, one.error) for one in ended]


def test_a_lost_node_costs_nothing_but_time(cluster, tmp_path):
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    work, go = tmp_path / "work", tmp_path / "go"

    def lose():  # both nodes are in the middle of a chain, and stay there until one is gone
        wait_for(lambda: sum(_step(work / f"c{n}") == 7 for n in range(4)) == 2)
        workers = [int(line.split()[0]) for log in work.glob("*/log") for line in log.read_text().splitlines()]
        cluster.remove_node(second, allow_graceful=False)
        wait_for(lambda: not all(Path(f"/proc/{worker}").exists() for worker in workers))
        go.touch()

    loser = threading.Thread(target=lose)
    loser.start()
    ray = executor_named("ray", address=cluster.address)
    ended = ray.run(chains(work, wait_at=7, go=str(go)), tmp_path / "jobs")
    loser.join()
    local = executor_named("local").run(chains(tmp_path / "local", wait_at=7, go=str(go)), tmp_path / "local-jobs")
    assert plain(ended) == plain(local)
    assert [one.state for one in ended] == ["done"] * 5
    assert sum(one.tries for one in ended) == 6  # the one whose node was lost, once more
    begun = [[int(line.split()[1]) for line in (work / f"c{n}" / "log").read_text().splitlines()] for n in range(4)]
    assert sorted(map(tuple, begun)) == [(0,), (0,), (0,), (0, 7)]  # it went on where it had been
    assert [one.tries for one in ray.run(chains(work, wait_at=7, go=str(go)), tmp_path / "jobs")] == [0] * 5


def _step(folder):
    state = folder / "state.json"
    return json.loads(state.read_text())["step"] if state.exists() else 0


def test_ends_are_told_as_the_local_executor_tells_them(cluster, tmp_path):
    def jobs(folder):
        folder.mkdir()
        where = {"folder": str(folder)}
        return [
            Job("raises", "execute_jobs:count_and_raise", where),
            Job("after", "execute_jobs:add", {"a": 1, "b": 1}, after=("raises",)),
            Job("leaves", "execute_jobs:leave", {"code": 7}),
            Job("killed", "execute_jobs:die", {"folder": str(folder), "times": 99}),
            Job("threads", "execute_jobs:environment", {"names": ["OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"]}),
        ]

    on_ray = executor_named("ray", address=cluster.address).run(jobs(tmp_path / "r"), tmp_path / "r-jobs", retries=1)
    local = executor_named("local").run(jobs(tmp_path / "l"), tmp_path / "l-jobs", retries=1)
    assert plain(on_ray) == plain(local)
    assert [one.tries for one in on_ray] == [one.tries for one in local] == [1, 0, 2, 2, 1]


def test_what_no_node_could_hold_is_refused_before_anything_starts(cluster, tmp_path):
    jobs = [Job("good", "execute_jobs:add", {"a": 1, "b": 1}), Job("big", "execute_jobs:add", {"a": 1, "b": 1}, gpus=4)]
    with pytest.raises(ExecuteError, match=r"job big asks for 1 CPU, 4 GPU, and no node of the Ray cluster has that"):
        executor_named("ray", address=cluster.address, wait="1").run(jobs, tmp_path)
    assert not (tmp_path / "good").exists()


def test_a_cluster_that_does_not_answer_is_told(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    jobs = [Job("a", "execute_jobs:add", {"a": 1, "b": 1})]
    with pytest.raises(ExecuteError, match=f"no Ray cluster answers at {address} within 1 s"):
        executor_named("ray", address=address, wait=1).run(jobs, tmp_path)
    with pytest.raises(ExecuteError, match="is not HOST:PORT"):
        executor_named("ray", address="nowhere").run(jobs, tmp_path)


def test_without_an_address_a_cluster_is_made_for_the_occasion(tmp_path, monkeypatch):
    short = tempfile.TemporaryDirectory(dir="/tmp", prefix="r")  # a socket's path holds 107 characters
    monkeypatch.setenv("RAY_TMPDIR", short.name)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with short:
        ended = executor_named("ray").run([Job("a", "execute_jobs:add", {"a": 1, "b": 1})], tmp_path)
    assert plain(ended) == [("a", "done", {"sum": 2}, None)]
