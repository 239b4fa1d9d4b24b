"""Ctrl-C ends a long command at once, with a word of its own, and leaves the study as it was."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time

from foretell.table import save_study
from ladders import ladder


def digest(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def test_an_interrupt_stops_a_long_fit_and_leaves_the_study_alone(tmp_path):
    study = tmp_path / "study"
    save_study(ladder(), study)
    before = digest(study)
    command = [sys.executable, "-m", "foretell", "fit", str(study), "--law", "farseer", "--metric", "c4/loss"]
    running = subprocess.Popen(
        [*command, "--starts", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(8)  # well inside the hundred thousand starts
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "stopped" in said
    assert "Traceback" not in said
    assert digest(study) == before
    assert [path.name for path in tmp_path.iterdir()] == ["study"]
