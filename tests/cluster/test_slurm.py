"""A real Slurm on this machine gives what the local executor gives, also when workers are killed or queued again."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from foretell.errors import ExecuteError, UnknownName
from foretell.execute import Job, executor_named

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[1]
SCRIPT = str(Path(__file__).with_name("slurm.sh"))


@pytest.fixture(autouse=True)
def _reachable(slurm_here):
    """Have Slurm run."""


def slurm(**options):
    return executor_named("slurm", pause="0.3", **options)


def wait_for(truth, seconds=240.0):
    given_up = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < given_up, "it never came true"
        time.sleep(0.05)


def chain(folder, **more):
    return Job("chain", "execute_jobs:chain", {"folder": str(folder), "steps": 12, **more})


def first_steps(folder):
    return [int(line.split()[1]) for line in (folder / "log").read_text().splitlines()]


def at_step(folder, step):
    state = folder / "state.json"
    return state.exists() and json.loads(state.read_text())["step"] == step


def queued(folder):
    """Give the number of the Slurm job that runs `chain`."""
    return json.loads((folder / "chain" / "slurm.json").read_text())["number"]


def state_of(number):
    command = ["squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%T"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def plain(ended):
    return [(one.name, one.state, one.result, one.error) for one in ended]


def test_ends_are_told_as_the_local_executor_tells_them(tmp_path):
    def jobs(folder):
        folder.mkdir()
        where = {"folder": str(folder)}
        return [
            Job("after", "execute_jobs:add", {"a": 1, "b": 1}, after=("raises",)),
            Job("raises", "execute_jobs:count_and_raise", where),
            Job("sum", "execute_jobs:add", {"a": 1, "b": 2}, after=("threads",)),
            Job("threads", "execute_jobs:environment", {"names": ["OMP_NUM_THREADS"]}, cores=2),
        ]

    on_slurm = slurm(partition="main").run(jobs(tmp_path / "s"), tmp_path / "s-jobs")
    local = executor_named("local").run(jobs(tmp_path / "l"), tmp_path / "l-jobs")
    assert plain(on_slurm) == plain(local)
    assert [one.tries for one in on_slurm] == [one.tries for one in local] == [0, 1, 1, 1]
    assert [one.tries for one in slurm().run(jobs(tmp_path / "again"), tmp_path / "s-jobs")] == [0, 1, 0, 0]


def test_a_killed_worker_goes_on_and_the_result_is_the_local_one(tmp_path):
    work, go = tmp_path / "work", tmp_path / "go"

    def kill():
        wait_for(lambda: at_step(work, 5))
        os.kill(int((work / "log").read_text().split()[0]), signal.SIGKILL)
        go.touch()

    killer = threading.Thread(target=kill)
    killer.start()
    ended = slurm().run([chain(work, wait_at=5, go=str(go))], tmp_path / "jobs")
    killer.join()
    local = executor_named("local").run([chain(tmp_path / "l", wait_at=5, go=str(go))], tmp_path / "l-jobs")
    assert plain(ended) == plain(local)
    assert (ended[0].tries, first_steps(work)) == (2, [0, 5])


@pytest.mark.parametrize("by", ["the administrator", "submitit"])
def test_a_job_that_is_queued_again_goes_on(tmp_path, by):
    work, go = tmp_path / "work", tmp_path / "go"

    def requeue():
        wait_for(lambda: at_step(work, 5))
        wait_for((tmp_path / "jobs" / "chain" / "slurm.json").exists)
        number = queued(tmp_path / "jobs")
        command = ["scontrol", "requeue", number]
        if by == "submitit":  # as Slurm warns before a time limit or a preemption
            command = ["scancel", "--signal=USR2", number]
        subprocess.run(command, check=True)
        wait_for(lambda: state_of(number) == "PENDING")
        subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], check=True)  # else in two minutes
        wait_for(lambda: len(first_steps(work)) == 2)
        go.touch()

    thread = threading.Thread(target=requeue)
    thread.start()
    ended = slurm().run([chain(work, wait_at=5, go=str(go))], tmp_path / "jobs")
    thread.join()
    assert (ended[0].state, ended[0].result["step"], first_steps(work)) == ("done", 12, [0, 5])


def test_a_cancelled_job_is_not_queued_again(tmp_path):
    work = tmp_path / "work"

    def stop():
        wait_for(lambda: at_step(work, 5))
        wait_for((tmp_path / "jobs" / "chain" / "slurm.json").exists)
        subprocess.run(["scancel", queued(tmp_path / "jobs")], check=True)

    thread = threading.Thread(target=stop)
    thread.start()
    (ended,) = slurm().run([chain(work, wait_at=5, go=str(tmp_path / "never"))], tmp_path / "jobs")
    thread.join()
    assert (ended.state, ended.error, ended.tries) == ("killed", "it was cancelled in Slurm's queue", 1)


COORDINATOR = """
import sys
from pathlib import Path
from foretell.execute import Job, executor_named
arguments = {"folder": sys.argv[1] + "/work", "steps": 12, "wait_at": 5, "go": sys.argv[1] + "/go"}
executor_named("slurm", pause=0.3).run([Job("chain", "execute_jobs:chain", arguments)], Path(sys.argv[1]) / "jobs")
"""


def start_coordinator(tmp_path):
    running = subprocess.Popen([sys.executable, "-c", COORDINATOR, str(tmp_path)], stderr=subprocess.DEVNULL)
    wait_for(lambda: at_step(tmp_path / "work", 5) and (tmp_path / "jobs" / "chain" / "slurm.json").exists())
    return running


def test_jobs_whose_run_was_cut_off_are_taken_over(tmp_path):
    running = start_coordinator(tmp_path)
    running.kill()
    running.wait()
    number = queued(tmp_path / "jobs")
    go = threading.Timer(4.0, (tmp_path / "go").touch)  # once the second run has found the job
    go.start()
    ended = slurm().run([chain(tmp_path / "work", wait_at=5, go=str(tmp_path / "go"))], tmp_path / "jobs")
    go.join()
    assert (ended[0].state, first_steps(tmp_path / "work"), queued(tmp_path / "jobs")) == ("done", [0], number)


def test_an_interrupted_run_cancels_its_jobs(tmp_path):
    running = start_coordinator(tmp_path)
    running.send_signal(signal.SIGINT)
    assert running.wait(120) != 0
    worker = int((tmp_path / "work" / "log").read_text().split()[0])
    wait_for(lambda: not Path(f"/proc/{worker}").exists())


def test_a_cluster_that_never_starts_is_given_up(tmp_path):
    jobs = [chain(tmp_path / "work")]
    with pytest.raises(ExecuteError, match=r"running for 1 s and they are cancelled: chain: PENDING \(PartitionDown\)"):
        slurm(partition="closed", wait="1").run(jobs, tmp_path / "jobs")
    assert state_of(queued(tmp_path / "jobs")) == "CANCELLED"


def test_what_cannot_run_is_refused_before_anything_starts(tmp_path):
    jobs = [Job("a", "execute_jobs:add", {"a": 1, "b": 1})]
    with pytest.raises(UnknownName, match="no partition is called 'mian'; did you mean main"):
        slurm(partition="mian").run(jobs, tmp_path)
    for needs, said in (
        ({"cores": 999}, "999 cores"),
        ({"gpus": 1}, "1 GPUs"),
        ({"memory": 2**50}, "no node has that"),
    ):
        with pytest.raises(ExecuteError, match=said):
            slurm().run([*jobs, Job("b", "execute_jobs:add", {"a": 1, "b": 1}, **needs)], tmp_path)
    with pytest.raises(ExecuteError, match="time = 90 minutes, but the partition allows 60"):
        slurm(time="1:30:00").run(jobs, tmp_path)
    with pytest.raises(ExecuteError, match=r"slurm_mem .see: memory of the job."):
        slurm(slurm_mem="4G").run(jobs, tmp_path)
    with pytest.raises(ExecuteError, match=r"Slurm does not take job a: .*unrecognized option '--no-such=1'"):
        slurm(slurm_no_such="1").run(jobs, tmp_path)


def test_a_worker_gets_its_memory_its_name_and_further_options(tmp_path):
    job = Job("a", "execute_jobs:add", {"a": 1, "b": 1}, memory=100 * 2**20)
    (ended,) = slurm(slurm_setup="export SAID=1", slurm_comment="a small one", slurm_exclusive="true").run(
        [job], tmp_path
    )
    assert ended.state == "done"
    script = next((tmp_path / "a" / "slurm").glob("*_submission.sh")).read_text()
    for line in ("--mem=100M", "--job-name=foretell.a", "--comment='a small one'", "--exclusive\n", "export SAID=1"):
        assert line in script
