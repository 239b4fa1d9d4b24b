"""Serves a study, lets a run arrive, and sees in a browser that the page follows and keeps what a reader chose.

tests/browser/install.sh && python tests/browser/check_serve.py
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import foretell as ft
from foretell.api.sharing import gather
from foretell.forecast import Settings
from foretell.report.page import render_page
from foretell.report.serve import Shown, serve_page, study_version

RUNS = Path(__file__).parents[2] / "examples" / "runs.csv"
PATIENCE = 180.0  # seconds, on a machine that does other work
CHOSEN = "3B"  # what follow.cjs writes into the panel


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--modules", type=Path, default=Path(__file__).parent / "node_modules")
    given = options.parse_args()
    every = ft.read("table", RUNS, run="model", N="params", D="tokens", metric={"c4/loss": "val_loss"})
    last = every.runs["name"][-1]
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        ft.save(every.only_runs([name for name in every.runs["name"] if name != last]), study)

        def build(version: str) -> str:
            contents = gather(
                ft.open(study), [ft.target("7B", "1T")], [], title="study", level=0.8, method="ladder",
                settings=Settings(draws=100, starts=16), with_backtest=False, command="foretell serve study", options={},
            )  # fmt: skip
            return render_page(contents, live=version)

        server = serve_page(Shown(lambda: study_version(study), build), 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        visit = subprocess.Popen(
            ["node", str(Path(__file__).with_name("follow.cjs")), f"http://127.0.0.1:{server.server_port}/",
             str(given.modules.resolve())],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert visit.stdout is not None
        first = visit.stdout.readline()
        if first:
            ft.save(every, study)
        rest, _ = visit.communicate(timeout=PATIENCE)
        server.shutdown()
        server.server_close()
    if visit.returncode or not rest:
        print("FAILED the browser saw no reload; its reason is above")
        return 1
    before, after = json.loads(first), json.loads(rest)
    truths = {
        "the new run is not there before it arrives": last not in before["runs"],
        "the page reloads when a run arrives, and shows it": last in after["runs"],
        "one run more": len(after["runs"]) == len(before["runs"]) + 1,
        "the panel keeps the N that was chosen": before["N"] == after["N"] == CHOSEN,
        "the reader stays at the same place": abs(after["whatif"] - before["whatif"]) < 60,
        "the console is silent": after["messages"] == [],
    }
    for truth, holds in truths.items():
        print("ok    " if holds else "FAILED", truth)
    if not all(truths.values()):
        print(before, after)
    return 0 if all(truths.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
