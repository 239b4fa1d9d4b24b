"""The mixtures that ship, and what the demo makes of them."""

import json

import pytest
from typer.testing import CliRunner

from foretell.cli.app import app
from foretell.errors import ForetellError
from foretell.mixing.design import design_ladder
from foretell.mixture import Pools
from foretell.rung.shape import Shape
from foretell.sources.shipped import MIXTURES, shipped_mixtures

SHAPE = Shape(layers=2, width=64, heads=2, kv_heads=2, mlp_width=168, vocabulary=264, sequence=256)


def test_the_shipped_mixtures_are_those_that_the_plan_designs():
    design = design_ladder(
        SHAPE, int(MIXTURES.D), Pools({MIXTURES.scarce: MIXTURES.pool}), (MIXTURES.scarce, "kernel"),
        learning_rate=2e-3, points=7, seeds=2,
    )  # fmt: skip
    runs = {row["name"]: row for row in shipped_mixtures().runs.iter_rows(named=True)}
    described = {rung.run_name(rung.D[0]): rung for rung in design.rungs}
    assert set(runs) == set(described)
    for name, rung in described.items():
        assert runs[name]["D"] == rung.tokens(rung.D[0])
        assert runs[name][f"w_{MIXTURES.scarce}"] == pytest.approx(rung.weights[MIXTURES.scarce])
        assert runs[name]["seed"] == rung.seed


def test_passes_over_a_cut_pool_are_those_of_the_target():
    runs = shipped_mixtures().runs
    passes = {
        (row["family"], round(row[f"w_{MIXTURES.scarce}"], 3)): row[f"epochs_{MIXTURES.scarce}"]
        for row in runs.iter_rows(named=True)
        if row["D"] > 0.4 * MIXTURES.D
    }
    for (family, share), epochs in passes.items():
        if family == "matched":
            assert epochs == pytest.approx(passes["target", share], rel=0.1)


def test_the_demo_says_what_each_answer_cost_at_the_target(tmp_path):
    figure = tmp_path / "mixtures.png"
    done = CliRunner().invoke(app, ["demo", "--mixtures", "--draws", "40", "--json", "--figure", str(figure)])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["way"] == "epochs"
    assert [h["series"] for h in said["horizons"]] == ["full"] * 4 + ["matched"] * 4
    assert said["measured"]["regret"].keys() == said["ways"].keys()
    assert all(regret >= -0.01 for regret in said["measured"]["regret"].values())  # a parabola may dip by its error
    low, high = said["region"][MIXTURES.scarce]
    assert low <= said["mixture"][MIXTURES.scarce] <= high
    assert figure.stat().st_size > 20_000


def test_the_demo_of_mixtures_prints_tables_and_takes_nothing_else():
    done = CliRunner().invoke(app, ["demo", "--mixtures", "--draws", "20"])
    assert done.exit_code == 0, done.output
    assert "81 runs on a scarce and an abundant source" in done.stdout
    assert "regret: nats lost at 1.5M tokens" in done.stdout
    done = CliRunner().invoke(app, ["demo", "--mixtures", "--olmo"])
    assert "leave out --train, --olmo and the path" in str(done.exception)
    done = CliRunner().invoke(app, ["demo", "--mixtures", "--draws", "-1"])
    assert isinstance(done.exception, ForetellError)
