"""Executors are named, given options and bounded by their machine; none is waited for in vain."""

import socket
import sys
from pathlib import Path

import pytest

from execute_jobs import job
from foretell.errors import ExecuteError, UnknownName
from foretell.execute import executor_named, read_options
from foretell.execute import machine as machine_module
from foretell.execute.machine import read_bytes, this_machine
from foretell.execute.on_ray import find_address
from foretell.execute.slurm_queue import read_minutes

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _jobs_are_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def test_an_unknown_executor_or_option_names_the_known():
    with pytest.raises(UnknownName, match="did you mean slurm"):
        executor_named("slrum")
    with pytest.raises(UnknownName, match=r"did you mean address\? known: address, wait"):
        executor_named("ray", adress="x:1")
    with pytest.raises(UnknownName, match=r"known: .*partition.*slurm_… "):
        executor_named("slurm", partitoin="gpu")
    assert executor_named("slurm", slurm_qos="low").parameters == {"qos": "low"}


def test_options_are_read_from_text():
    assert executor_named("local", **read_options(["cores=1", "memory=48GB"])).memory == 48 * 2**30
    slurm = executor_named("slurm", **read_options(["partition=gpu", "time=1-12:00:00", "wait=none", "slurm-qos=a=b"]))
    assert (slurm.partition, slurm.time, slurm.wait, slurm.parameters) == ("gpu", 36 * 60, None, {"qos": "a=b"})
    for pair in ("cores", "=1", "cores="):
        with pytest.raises(ExecuteError, match="is not NAME=VALUE"):
            read_options([pair])
    with pytest.raises(ExecuteError, match="twice"):
        read_options(["cores=1", "cores=2"])
    with pytest.raises(ExecuteError, match="cores = 'many' of the executor local is not a whole number"):
        executor_named("local", cores="many")
    with pytest.raises(ExecuteError, match="this machine has"):
        executor_named("local", cores=10**6).run([], Path())


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), (90, 90), ("90:30", 91), ("1:30:00", 90), ("2-0", 2880), ("2-1:30", 2970), ("0-0:0:1", 1)],
)
def test_times_are_read_as_slurm_reads_them(text, minutes):
    assert read_minutes(text) == minutes


@pytest.mark.parametrize("text", ["", "soon", "1h", "0", "-5", "1:2:3:4"])
def test_other_times_are_refused(text):
    with pytest.raises(ExecuteError, match="time"):
        read_minutes(text)


@pytest.mark.parametrize(("text", "size"), [("1", 1), (5, 5), ("2K", 2048), ("1.5GiB", 3 * 2**29), ("3 tb", 3 * 2**40)])
def test_memory_is_read_with_its_unit(text, size):
    assert read_bytes(text) == size


def test_control_groups_bound_the_machine(tmp_path, monkeypatch):
    whole = this_machine()
    for name, content in (("cpu.max", "100000 100000"), ("memory.max", "1048576")):
        (tmp_path / name).write_text(content)
    for controller, name, content in (
        ("cpu", "cpu.cfs_quota_us", "100000"),
        ("cpu", "cpu.cfs_period_us", "100000"),
        ("memory", "memory.limit_in_bytes", "1048576"),
    ):
        (tmp_path / controller).mkdir(exist_ok=True)
        (tmp_path / controller / name).write_text(content)
    monkeypatch.setattr(machine_module, "CGROUPS", tmp_path)
    bounded = this_machine()
    assert (bounded.cores, bounded.memory) == (1, 2**20)
    assert whole.memory > 2**20


def test_a_ray_that_no_longer_answers_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert find_address(None, 0) == "local"
    (tmp_path / "ray").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "ray" / "ray_current_cluster").write_text(address)
        assert find_address(None, 0) == find_address("auto", 0) == find_address(address, 0) == address
    assert find_address(None, 0) == "local"
    with pytest.raises(ExecuteError, match="no Ray cluster runs on this machine"):
        find_address("auto", 0)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ExecuteError, match=f"no Ray cluster answers at {address}"):
        find_address(None, 0)
    with pytest.raises(ExecuteError, match="is not HOST:PORT"):
        find_address("nowhere", 0)


def test_without_a_cluster_the_error_says_what_to_do(tmp_path, monkeypatch):
    jobs = [job("a", "add", a=1, b=2)]
    monkeypatch.setattr("foretell.execute.on_slurm._check_installed", lambda: None)
    monkeypatch.setattr("foretell.execute.run.check_calls", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExecuteError, match="there is no sinfo here: this machine is not part of a Slurm cluster"):
        executor_named("slurm").run(jobs, tmp_path / "jobs")
    for package, name in (("ray", "ray"), ("submitit", "slurm")):
        monkeypatch.undo()
        monkeypatch.setenv("PYTHONPATH", str(HERE))
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ExecuteError, match=r"is not installed; install foretell\[cluster\]"):
            executor_named(name).run(jobs, tmp_path / "jobs")
