"""Learn src/foretell/methods/priors.toml from the public testbeds: what each family's runs alone say of a loss law.

Runs that a protocol of the OLMo ladder or of Gadre holds out are not read. Run: python benchmarks/learn_priors.py
(writes the file), with --print to compare with what is there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import polars as pl
import tomli_w

from foretell.forecast import Settings
from foretell.methods.borrowed import Borrowed, fit_under
from foretell.methods.priors import SHAPES, SHIPPED, Prior, base, coordinates, sketch_of
from foretell.table import Observations
from protocols import _frame, _table, protocol

FILE = Path(__file__).parents[1] / "src" / "foretell" / "methods" / SHIPPED
EXPECTED = 0.01  # spread of log loss supposed of a family before its rows are seen
SKETCH = 24
HEADER = """\
# What each public family's runs alone say of the laws of foretell.methods.priors.SHAPES: centre and covariance of the
# posterior under that module's base prior, in fitted coordinates (log, or logit of a share), in the order
# of `coordinates`; `natural` are the coefficients at the centre. `sketch` holds hashes by which a family's rows are
# recognised. Made by benchmarks/learn_priors.py; do not edit.

"""


@dataclass(frozen=True)
class Source:
    """Hold one family's runs, and where they are from."""

    name: str
    names: tuple[str, ...]
    origin: str
    runs: Observations
    metric: str


def families() -> Iterator[Source]:
    """Give every family, in a fixed order."""
    yield Source(
        "chinchilla", ("hoffmann",), "Hoffmann 2022, arXiv 2203.15556; digitised by Besiroglu 2024, arXiv 2404.10102",
        protocol("chinchilla").fit, "loss",
    )  # fmt: skip
    for group in protocol("gadre.open").groups:
        yield Source(
            f"gadre/{group.name}", (group.name,), "Gadre 2024, arXiv 2403.08540: runs ≤ 0.41B, and 1.4B at M = 20",
            group.fit, "c4/loss",
        )  # fmt: skip
    yield Source(
        "farseer", (), "Farseer, arXiv 2506.10972",
        _table(_frame("scalebench/farseer.csv"), "farseer", N="N", D="D", metric="loss"), "loss",
    )  # fmt: skip
    best = protocol("misfitting").groups[0]
    assert best.best_test is not None
    yield Source("misfitting", (), "misfitting testbed, best learning rate", best.fit.merge(best.best_test), "loss")
    frame = _frame("porian/isoflop_points.csv")
    keys = ["hparams", "warmup", "decay", "param_count", "val"]
    for key in frame.select(keys).unique().sort(keys).iter_rows():
        where = " AND ".join(f"{column} = '{value}'" for column, value in zip(keys, key, strict=True))
        runs = _table(frame, "porian", where, N="N", D="D", C="flops", metric="loss")
        yield Source("porian/" + "-".join(key), ("/".join(key),), "Porian 2024, arXiv 2406.19146", runs, "loss")
    for group in protocol("marin").groups:
        assert group.test is not None
        yield Source(
            f"marin/{group.name}", (group.name,), "Marin isoflop runs, Paloma macro loss",
            group.fit.merge(group.test), "paloma_macro_loss",
        )  # fmt: skip
    gemstones = protocol("gemstones")
    for metric in ("loss_dclm", "loss_fineweb_edu"):
        yield Source(
            f"gemstones/{metric}", (), "Gemstones, arXiv 2502.06857", gemstones.fit.merge(gemstones.test), metric
        )
    yield Source(
        "datablations", (), "Muennighoff 2023, arXiv 2305.16264: runs without repetition",
        _table(
            _frame("datablations/runs_final_loss.csv"), "datablations", "epochs <= 1", run="run", N="N", D="D",
            metric="val_loss",
        ), "val_loss",
    )  # fmt: skip
    yield Source(
        "olmo-ladder", (), "Bhagia 2024, arXiv 2412.04403: the 16 runs of the ladder",
        protocol("olmo-ladder").fit.only_metrics(["c4/loss"]), "c4/loss",
    )  # fmt: skip
    steps = _frame("steplaw/dense_lr_bs_loss.csv").sort("loss", "exp_name").group_by("N", "D", maintain_order=True)
    yield Source(
        "steplaw", (), "Step law, arXiv 2503.04715: best learning rate and batch of each N and D",
        _table(steps.first().cast({"N": pl.Float64, "D": pl.Float64}), "steplaw", N="N", D="D", metric="loss"), "loss",
    )  # fmt: skip


def learn(source: Source) -> dict[str, Any]:
    """Fit every law with priors to one family's runs, under the base prior and nothing else."""
    points = Borrowed(rows="checkpoints").rows_of(source.runs, source.metric)
    made: dict[str, Any] = {
        "name": source.name,
        "names": list(source.names),
        "origin": source.origin,
        "metric": source.metric,
        "runs": points.run_count,
        "rows": len(points),
        "N": [float(points.input("N").min()), float(points.input("N").max())],
        "D": [float(points.input("D").min()), float(points.input("D").max())],
        "sketch": sorted(sketch_of(source.runs, source.metric, SKETCH)),
    }
    for name, law in SHAPES.items():
        centre, precision = base(law)
        start = Prior(law, centre, np.diag(1.0 / precision), EXPECTED, (), ())
        found = fit_under(start, points, Settings(draws=0)).posterior
        natural = coordinates(law).natural(found.u)
        made[name] = {
            "natural": dict(zip(law.coefficients, (float(f"{value:.5g}") for value in natural), strict=True)),
            "spread": float(f"{found.spread:.5g}"),
            "centre": [float(f"{value:.8g}") for value in found.u],
            "covariance": [[float(f"{value:.8g}") for value in row] for row in found.covariance],
        }
    return made


def main() -> None:
    rows = [learn(source) for source in families()]
    for row in rows:
        for law in SHAPES:
            print(row["name"], row["runs"], row["rows"], law, row[law]["spread"], row[law]["natural"])
    if "--print" not in sys.argv:
        order = {name: list(law.coefficients) for name, law in SHAPES.items()}
        FILE.write_text(HEADER + tomli_w.dumps({"coordinates": order, "family": rows}), encoding="utf-8")


if __name__ == "__main__":
    main()
