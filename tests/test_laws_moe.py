"""The law of routed models: its limits, and how well it foretells the larger ones of moe.csv."""

import math

import numpy as np
import pytest

from differences import derivative
from foretell.fitting import fit
from foretell.laws import LAWS, MORE_LAWS, Law
from foretell.sources.datafile import read_frame
from foretell.table import Points, metric_named
from ladders import points_of
from protocols import testbeds

ROUTED, FLOOR = MORE_LAWS["routed"], MORE_LAWS["routed-floor"]
TYPICAL = {**ROUTED.published, "L_inf": 0.8}


def grid() -> dict[str, np.ndarray]:
    N, experts = np.meshgrid(np.geomspace(1.5e7, 1.3e9, 6), 2.0 ** np.arange(10))
    return {"N": N.ravel(), "experts": experts.ravel()}


def moe(where=lambda N, experts: N > 0) -> Points:
    frame = read_frame(testbeds() / "scalebench" / "moe.csv")
    N, experts, loss = (
        frame[c].to_numpy().astype(float) for c in ("dense_parameter_count", "num_experts", "loss_validation")
    )
    rows = where(N, experts)
    names = np.array([f"run {i:03d}" for i in range(len(N))])
    inputs = {"N": N[rows], "experts": experts[rows]}
    return Points(metric_named("c4/loss"), names[rows], inputs, loss[rows], np.full(int(rows.sum()), np.nan))


def miss(made, points: Points) -> float:
    return float(100 * np.mean(np.abs(made.predict(points.inputs) / points.value - 1)))


@pytest.mark.parametrize(("experts", "worth"), [(1.0, "E_start"), (1e15, "E_max")])
def test_effective_experts_run_from_E_start_to_E_max(experts, worth):
    c, N = ROUTED.published, 1e9
    by_hand = c["a"] * math.log(N) + (c["b"] + c["c"] * math.log(N)) * math.log(c[worth]) + c["d"]
    value = ROUTED.value(c, {"N": np.array([N]), "experts": np.array([experts])})
    assert value[0] == pytest.approx(math.exp(by_hand), rel=1e-9)


def test_without_gain_from_experts_the_routed_law_is_a_power_of_N():
    inputs = grid()
    c = {**ROUTED.published, "b": 0.0, "c": 0.0}
    np.testing.assert_allclose(ROUTED.value(c, inputs), math.exp(c["d"]) * inputs["N"] ** c["a"], rtol=1e-12)


def test_without_its_floor_the_routed_law_is_the_papers():
    inputs = grid()
    np.testing.assert_allclose(
        FLOOR.value({**ROUTED.published, "L_inf": 0.0}, inputs), ROUTED.value(ROUTED.published, inputs)
    )


def test_published_experts_help_and_help_larger_models_less():
    inputs = grid()
    loss = ROUTED.value(ROUTED.published, inputs).reshape(10, 6)
    assert (np.diff(loss, axis=0) < 0).all()
    assert (np.diff(np.log(loss[0] / loss[-1])) < 0).all()


@pytest.mark.parametrize("law", [ROUTED, FLOOR])
def test_derivatives_of_the_routed_law_are_right(law):
    inputs = grid()
    theta = law.theta({c: TYPICAL[c] for c in law.coefficients})
    _, gradient = law.gradient(theta, law.features(inputs))
    numeric = derivative(lambda at: law.value(dict(zip(law.coefficients, at, strict=True)), inputs), theta)
    size = np.abs(theta)[:, None]
    np.testing.assert_allclose(gradient * size, numeric * size, rtol=1e-6, atol=1e-8)


def test_the_routed_law_is_recovered_from_exact_losses():
    made = fit(ROUTED, points_of(ROUTED, ROUTED.published, grid()), starts=64)
    for name, truth in ROUTED.published.items():
        assert made.coefficients[name] == pytest.approx(truth, rel=1e-3)


def test_the_recalled_coefficients_fit_moe_almost_as_well_as_fitted_ones():
    points = moe()
    recalled = 100 * np.mean(np.abs(ROUTED.value(ROUTED.published, points.inputs) / points.value - 1))
    assert recalled == pytest.approx(1.52, abs=0.01)
    assert miss(fit(ROUTED, points), points) == pytest.approx(1.45, abs=0.02)


def test_the_largest_dense_model_is_foretold_from_the_smaller_ones():
    small, large = moe(lambda N, _: N < 3e8), moe(lambda N, _: N > 3e8)
    blind = miss(fit(LAWS["power-N"], small), large)
    routed, floor = (miss(fit(law, small), large) for law in (ROUTED, FLOOR))
    assert (blind, routed, floor) == (
        pytest.approx(3.73, abs=0.05),
        pytest.approx(3.13, abs=0.05),
        pytest.approx(2.27, abs=0.05),
    )


def test_a_law_of_experts_can_be_written_by_a_user():
    mine = Law("mine", "E + A/(N*experts**b)**alpha", inputs=frozenset({"experts"}))
    assert mine.variables == ("N", "experts")
