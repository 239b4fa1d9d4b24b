"""Jobs run in processes of their own: killed ones go on, failed ones tell why, finished ones stay finished."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from execute_jobs import job, tries
from foretell.errors import ExecuteError
from foretell.execute import Job, executor_named

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _jobs_are_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def run(jobs, folder, **options):
    return executor_named("local").run(jobs, folder, **options)


def wait_for(truth, seconds=120.0):
    given_up = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < given_up, "it never came true"
        time.sleep(0.02)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_results_come_in_the_order_of_the_jobs(tmp_path):
    seen = []
    ended = run([job("b", "add", a=1, b=2), job("a", "add", a=0.5, b=0.25)], tmp_path, on_end=seen.append)
    assert [(one.name, one.state, one.result, one.error, one.tries) for one in ended] == [
        ("b", "done", {"sum": 3}, None, 1),
        ("a", "done", {"sum": 0.75}, None, 1),
    ]
    assert sorted(one.name for one in seen) == ["a", "b"]
    assert (tmp_path / "a" / "stdout").read_text() == "adding\n"


def test_a_worker_killed_midway_goes_on_and_the_result_is_the_same(tmp_path):
    work, go = tmp_path / "work", tmp_path / "go"

    def kill():
        wait_for(lambda: (work / "state.json").exists() and json.loads((work / "state.json").read_text())["step"] == 5)
        os.kill(tries(work)[0][0], signal.SIGKILL)
        wait_for(lambda: not alive(tries(work)[0][0]))
        go.touch()

    killer = threading.Thread(target=kill)
    killer.start()
    chain = {"steps": 10, "wait_at": 5, "go": str(go)}
    (ended,) = run([job("chain", "chain", folder=str(work), **chain)], tmp_path / "jobs")
    killer.join()
    (plain,) = run([job("chain", "chain", folder=str(tmp_path / "plain"), **chain)], tmp_path / "plain-jobs")
    assert (ended.state, ended.tries, plain.tries) == ("done", 2, 1)
    assert ended.result == plain.result
    assert [first for _, first in tries(work)] == [0, 5]


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "SIGTERM"])
def test_a_worker_that_always_dies_is_given_up(tmp_path, how):
    (ended,) = run([job("dies", "die", folder=str(tmp_path), times=99, how=how)], tmp_path / "jobs", retries=1)
    assert (ended.state, ended.result, ended.tries) == ("killed", None, 2)
    assert f"its process was ended by {how}" in ended.error
    assert (tmp_path / "begun").read_text() == "xx"


def test_a_process_that_leaves_without_a_word_counts_as_killed(tmp_path):
    (ended,) = run([job("leaves", "leave", code=7)], tmp_path, retries=0)
    assert (ended.state, ended.error) == ("killed", "its process ended with code 7 and no result")


def test_what_raised_is_not_tried_again(tmp_path):
    ours, other = run(
        [
            job("ours", "count_and_raise", folder=str(tmp_path), ours=True),
            job("other", "count_and_raise", folder=str(tmp_path)),
        ],
        tmp_path / "jobs",
    )
    assert (ours.state, other.state, ours.tries, other.tries) == ("failed", "failed", 1, 1)
    assert (tmp_path / "begun").read_text() == "xx"
    assert ours.error == "TrainError: the loss is NaN at step 3; lower the learning rate"
    assert other.error == "ValueError: no such thing"
    assert (tmp_path / "jobs" / "ours" / "stderr").read_text() == ours.error + "\n"
    trace = (tmp_path / "jobs" / "other" / "stderr").read_text()
    assert "execute_jobs.py" in trace
    assert "worker.py" not in trace


def test_a_function_that_exits_has_failed(tmp_path):
    (ended,) = run([job("exits", "exit_politely", code=3)], tmp_path)
    assert (ended.state, ended.error, ended.tries) == ("failed", "SystemExit: 3", 1)


@pytest.mark.parametrize("what", ["nan", "set"])
def test_a_result_that_json_cannot_carry_fails_and_says_so(tmp_path, what):
    (ended,) = run([job("gives", "give", what=what)], tmp_path)
    assert ended.state == "failed"
    assert "is not a JSON value" in ended.error


def test_a_job_that_returns_nothing_is_done_for_good(tmp_path):
    jobs = [job("none", "give", what="none")]
    assert [(one.state, one.result, one.tries) for one in run(jobs, tmp_path)] == [("done", None, 1)]
    assert [(one.state, one.result, one.tries) for one in run(jobs, tmp_path)] == [("done", None, 0)]


def test_a_job_starts_after_those_that_it_comes_after(tmp_path):
    ended = run(
        [
            job("late", "busy", folder=str(tmp_path), name="late", seconds=0, after=("early",)),
            job("early", "busy", folder=str(tmp_path), name="early", seconds=0.3),
        ],
        tmp_path / "jobs",
    )
    assert [one.state for one in ended] == ["done", "done"]
    (_, end), (begin, _) = (json.loads((tmp_path / name).read_text()) for name in ("early", "late"))
    assert begin >= end


def test_what_comes_after_a_failure_is_not_started_and_others_go_on(tmp_path):
    ended = run(
        [
            job("third", "add", a=1, b=1, after=("second",)),
            job("second", "add", a=1, b=1, after=("first", "other")),
            job("first", "count_and_raise", folder=str(tmp_path)),
            job("other", "add", a=1, b=1),
        ],
        tmp_path / "jobs",
    )
    assert [(one.state, one.tries) for one in ended] == [
        ("not started", 0),
        ("not started", 0),
        ("failed", 1),
        ("done", 1),
    ]
    assert ended[0].error == "it comes after second, which was not started"
    assert ended[1].error == "it comes after first, which failed"


def test_finished_work_stays_and_changed_work_is_done_again(tmp_path):
    work = [str(tmp_path / name) for name in "ab"]
    seen = []
    first = run(
        [job("a", "chain", folder=work[0], steps=3), job("b", "chain", folder=work[1], steps=3)], tmp_path / "j"
    )
    second = run(
        [job("a", "chain", folder=work[0], steps=3), job("b", "chain", folder=work[1], steps=4)],
        tmp_path / "j",
        on_end=seen.append,
    )
    assert [one.tries for one in first] == [1, 1]
    assert [one.tries for one in second] == [0, 1]
    assert second[0].result == first[0].result
    assert second[1].result["step"] == 4
    assert [len(tries(folder)) for folder in work] == [1, 2]
    assert {one.name for one in seen} == {"a", "b"}


def test_the_order_of_arguments_does_not_matter():
    assert job("x", "add", a=1, b=2).digest == job("y", "add", b=2, a=1).digest
    assert job("x", "add", a=1, b=2).digest != job("x", "add", a=2, b=1).digest


def test_a_failed_job_is_tried_again_by_the_next_run(tmp_path):
    jobs = [job("raises", "count_and_raise", folder=str(tmp_path))]
    assert [run(jobs, tmp_path / "jobs")[0].tries for _ in range(2)] == [1, 1]
    assert (tmp_path / "begun").read_text() == "xx"


def test_a_half_written_result_is_no_result(tmp_path):
    jobs = [job("a", "add", a=1, b=2)]
    run(jobs, tmp_path)
    result = tmp_path / "a" / "result.json"
    result.write_text(result.read_text()[:-3])
    assert [(one.result, one.tries) for one in run(jobs, tmp_path)] == [({"sum": 3}, 1)]


def test_no_more_jobs_run_at_once_than_there_are_cores(tmp_path):
    jobs = [job(f"j{n}", "busy", folder=str(tmp_path), name=f"{n}", seconds=0.2) for n in range(3)]
    executor_named("local", cores="1").run(jobs, tmp_path / "jobs")
    spans = sorted(json.loads((tmp_path / f"{n}").read_text()) for n in range(3))
    assert all(begin >= end for (_, end), (begin, _) in itertools.pairwise(spans))


def test_a_worker_has_as_many_threads_as_cores_and_only_its_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    names = ["OMP_NUM_THREADS", "POLARS_MAX_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES"]
    jobs = [job(f"j{gpus}", "environment", names=names, gpus=gpus) for gpus in (0, 1, 2)]
    seen = [one.result for one in executor_named("local", cores=1).run(jobs, tmp_path)]
    assert [tuple(one.values()) for one in seen] == [
        ("1", "1", "passive", ""),
        ("1", "1", "passive", "GPU-a"),
        ("1", "1", "passive", "GPU-a,GPU-b"),
    ]


def test_two_jobs_at_once_never_share_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    jobs = [job(f"j{n}", "busy", folder=str(tmp_path), name=f"{n}", seconds=0.2, gpus=1) for n in range(2)]
    run(jobs, tmp_path / "jobs")
    (_, end), (begin, _) = sorted(json.loads((tmp_path / f"{n}").read_text()) for n in range(2))
    assert begin >= end


def test_jobs_run_in_the_folder_that_the_run_was_started_in(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run([job("w", "where")], Path("../jobs"))[0].result == str(tmp_path / "here")


COORDINATOR = """
import sys
from pathlib import Path
from foretell.execute import Job, executor_named
job = Job("lingers", "execute_jobs:linger", {"folder": sys.argv[1]})
executor_named("local").run([job], Path(sys.argv[1]) / "jobs")
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_die_with_the_run(tmp_path, how):
    running = subprocess.Popen([sys.executable, "-c", COORDINATOR, str(tmp_path)], stderr=subprocess.DEVNULL)
    wait_for((tmp_path / "pids").exists)
    worker, child = json.loads((tmp_path / "pids").read_text())
    assert alive(worker)
    running.send_signal(how)
    assert running.wait(120) != 0
    wait_for(lambda: not alive(worker))
    if how == signal.SIGINT:  # a run that can still act ends what its workers started as well
        wait_for(lambda: not alive(child))
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def test_two_runs_do_not_work_in_one_folder(tmp_path):
    running = subprocess.Popen([sys.executable, "-c", COORDINATOR, str(tmp_path)], stderr=subprocess.DEVNULL)
    try:
        wait_for((tmp_path / "pids").exists)
        with pytest.raises(ExecuteError, match="another run is at work"):
            run([job("a", "add", a=1, b=2)], tmp_path / "jobs")
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(120)


def test_what_on_end_raises_ends_the_run_and_its_workers(tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    jobs = [job("a", "add", a=1, b=2), job("z", "linger", folder=str(tmp_path), after=("a",))]
    with pytest.raises(KeyboardInterrupt):
        run(jobs, tmp_path / "jobs", on_end=stop)
    assert run(jobs[:1], tmp_path / "jobs")[0].tries == 0


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([job("a", "add", a=1, b=2), job("a", "add", a=1, b=3)], "several jobs are called a"),
        ([job("a", "add", a=1, b=2, after=("b",))], "comes after b, which is not among"),
        ([job("a", "add", a=1, b=1, after=("b",)), job("b", "add", a=1, b=1, after=("a",))], "circle: . → . → ."),
        ([job("a", "add", a=1, b=1, after=("a",))], "circle: a → a"),
        ([job("a", "ad", a=1, b=2)], "execute_jobs:ad cannot be imported"),
        ([Job("a", "no.such.module:f", {})], "no.such.module:f cannot be imported: ModuleNotFoundError"),
        ([job("a", "not_a_function")], "is of type int, not a function"),
        ([job("a", "add", a=1)], r"add\(a, b\) does not take these arguments: missing a required argument: 'b'"),
        ([job("a", "add", a=1, b=2, c=3)], "unexpected keyword argument 'c'"),
        ([job("a", "add", a=1, b=2, cores=10**6)], "asks for 1,000,000 cores"),
        ([job("a", "add", a=1, b=2, gpus=1)], "asks for 1 GPUs and 0 may be used"),
        ([job("a", "add", a=1, b=2, memory=2**60)], "bytes of memory"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(tmp_path, monkeypatch, jobs, said):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ExecuteError, match=said):
        run([job("good", "add", a=1, b=2), *jobs], tmp_path)
    assert not (tmp_path / "good").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "a/b"}, "cannot name a folder"),
        ({"name": ".."}, "cannot name a folder"),
        ({"name": ""}, "cannot name a folder"),
        ({"call": "os.system"}, "names no function"),
        ({"call": "a:b(c)"}, "names no function"),
        ({"arguments": {"x": float("nan")}}, "x = nan is not a JSON value"),
        ({"arguments": {"x": Path("y")}}, "is not a JSON value"),
        ({"arguments": {"x": {1: 2}}}, "is not a JSON value"),
        ({"arguments": {"x": (1, 2)}}, "is not a JSON value"),
        ({"arguments": {3: 2}}, "the argument 3 has a name that is not text"),
        ({"cores": 0}, "asks for cores = 0"),
        ({"cores": 1.5}, "asks for cores = 1.5"),
        ({"gpus": -1}, "asks for gpus = -1"),
        ({"memory": 0}, "asks for memory = 0"),
        ({"after": "b"}, "write a tuple"),
    ],
)
def test_a_job_that_makes_no_sense_cannot_be_written(fields, said):
    with pytest.raises(ExecuteError, match=said):
        Job(**({"name": "a", "call": "m:f", "arguments": {}} | fields))


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExecuteError, match="cannot be made"):
        run([job("a", "add", a=1, b=2)], tmp_path / "file" / "jobs")
