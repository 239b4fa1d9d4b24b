"""Functions for jobs of the tests: resumable, as those of users are."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from foretell.errors import TrainError
from foretell.execute import Job


def job(name, function, /, *, cores=1, gpus=0, memory=None, after=(), **arguments):
    """Ask for a call of one of the functions below."""
    return Job(name, f"execute_jobs:{function}", arguments, cores, gpus, memory, after)


def add(a, b):
    print("adding")
    return {"sum": a + b}


def chain(folder, steps, pause=0.0, wait_at=None, go=None):
    """Hash a state forward, one step at a time, going on from the state on disk; tell where each try began."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    state_file = place / "state.json"
    state = json.loads(state_file.read_text()) if state_file.exists() else {"step": 0, "hash": "start"}
    with (place / "log").open("a") as log:
        log.write(f"{os.getpid()} {state['step']} {os.uname().nodename}\n")
    while state["step"] < steps:
        state = {"step": state["step"] + 1, "hash": hashlib.sha256(state["hash"].encode()).hexdigest()}
        part = state_file.with_suffix(".part")
        part.write_text(json.dumps(state))
        os.replace(part, state_file)
        time.sleep(pause)
        while state["step"] == wait_at and not Path(go).exists():
            time.sleep(0.02)
    return state


def tries(folder):
    """Read what `chain` told: process and first step of each try."""
    path = Path(folder) / "log"
    return [tuple(int(n) for n in line.split()[:2]) for line in path.read_text().splitlines()] if path.exists() else []


def die(folder, times, how="SIGKILL"):
    """Kill the own process that often, then return how often it began."""
    with (Path(folder) / "begun").open("a") as log:
        log.write("x")
    begun = (Path(folder) / "begun").stat().st_size
    if begun <= times:
        os.kill(os.getpid(), signal.Signals[how])
    return begun


def count_and_raise(folder, ours=False):
    with (Path(folder) / "begun").open("a") as log:
        log.write("x")
    raise TrainError("the loss is NaN at step 3; lower the learning rate") if ours else ValueError("no such thing")


def leave(code):
    os._exit(code)


def exit_politely(code):
    sys.exit(code)


def give(what):
    return {"nan": float("nan"), "set": {1}, "none": None}[what]


def environment(names):
    return {name: os.environ.get(name) for name in names}


def busy(folder, name, seconds):
    """Note the moments between which it works."""
    began = time.time()
    time.sleep(seconds)
    (Path(folder) / name).write_text(json.dumps([began, time.time()]))


def linger(folder):
    """Start a process of one's own, note both, and stay."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    part = Path(folder) / "pids.part"
    part.write_text(json.dumps([os.getpid(), child.pid]))
    part.rename(Path(folder) / "pids")
    time.sleep(600)


def where():
    return str(Path.cwd())


not_a_function = 3
