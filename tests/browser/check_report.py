"""Opens the report of the OLMo ladder in a browser and holds it to its figures.

    npm install --prefix DIR axe-core playwright-core        # the versions of tests/browser/package.json
    python tests/browser/check_report.py --modules DIR/node_modules --out DIR/out

Chromium is looked for at /usr/bin/chromium, or where CHROMIUM says.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from foretell import api
from foretell.api.sharing import gather
from foretell.forecast import Settings, Target
from foretell.report.page import render_page
from foretell.sources import fetch_published, read

LARGEST, SLOWEST = 6e6, 2.0  # bytes, seconds
SAME = 5e-5  # relative: four digits
ELSEWHERE = ((7e9, 4e12), (1.3e10, 5e12), (1e9, 1e11), (7e10, 1.5e13), (4e8, 1e10))


def same(found: float, expected: float) -> bool:
    return abs(found - expected) <= SAME * abs(expected)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--modules", type=Path, default=Path(__file__).parent / "node_modules")
    options.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "foretell-browser")
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    study = read("olmo-ladder", fetch_published("olmo-ladder"))
    tasks = [*api.metrics_of(study), "c4/loss", "pile/loss"]
    settings = Settings()
    contents = gather(
        study, [], tasks, title="OLMo ladder", level=0.8, method="ladder", settings=settings, with_backtest=True,
        command="foretell report olmo-ladder", options={},
    )  # fmt: skip
    page = given.out / "report.html"
    page.write_text(render_page(contents), encoding="utf-8")
    # the form's part is drawn from a stream of its own for each target's name: the page has that of its first target
    targets = [Target(N, D, name=contents.targets[0].label) for N, D in ELSEWHERE]
    expected = given.out / "expected.json"
    expected.write_text(json.dumps({"level": 0.8, "targets": [{"N": t.N, "D": t.D} for t in targets]}))
    visited = subprocess.run(
        ["node", str(Path(__file__).with_name("visit.cjs")), str(page), str(expected), str(given.out),
         str(given.modules.resolve())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if visited.returncode:
        print(visited.stderr)
        return 1
    told = json.loads(visited.stdout)
    failures = [f"console: {text}" for text in told["console"]] + [f"request: {url}" for url in told["requests"]]
    worst = 0.0
    compared = 0
    for target, shown in zip(targets, told["rows"], strict=True):
        made = {f.metric.name: f for f in api.predict(study, [target], tasks, settings=settings)}
        if {row["metric"] for row in shown["rows"]} != set(made):
            failures.append(f"at {target.N:.3g} on {target.D:.3g} the page shows other metrics than Python")
        for row in shown["rows"]:
            forecast = made[row["metric"]]
            low, high = forecast.interval(0.8)
            for name, number in (("value", forecast.value), ("low", low), ("high", high), ("reach", forecast.reach)):
                compared += 1
                worst = max(worst, abs(row[name] / number - 1.0))
                if not same(row[name], number):
                    failures.append(
                        f"{row['metric']} at {target.N:.3g} on {target.D:.3g}: {name} {row[name]} ≠ {number}"
                    )
    serious = [fault for fault in told["faults"] if fault["impact"] in ("serious", "critical")]
    failures += [f"axe, {fault['look']}: {fault['id']} ({fault['impact']}) {fault['nodes']}" for fault in serious]
    sideways = {name: value for name, value in told["checks"].items() if name.endswith("sideways")}
    failures += [name for name, value in sideways.items() if value]
    failures += [f"not so: {name}" for name, value in told["checks"].items() if name not in sideways and not value]
    size = page.stat().st_size
    opens, slowest = statistics.median(told["seconds"]), max(told["seconds"])
    if size > LARGEST:
        failures.append(f"the page has {size} bytes")
    if opens > SLOWEST:
        failures.append(f"the page took {opens:.2f} s, the middle of five times")
    print(f"size {size / 1e6:.2f} MB; opens in {opens:.2f} s (slowest of 5: {slowest:.2f} s)")
    print(f"{compared} what-if numbers beside Python's: largest relative difference {worst:.1e}")
    print(
        f"axe-core: {len(told['faults'])} faults, {len(serious)} serious or critical; console messages {len(told['console'])}"
    )
    print(f"PDF {told['pdf'] / 1e3:.0f} kB; checks: {', '.join(told['checks'])}")
    for fault in told["faults"]:
        print("  fault:", fault)
    for failure in failures:
        print("FAILED", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
