"""The laws of repeated tokens: their limits, their published values, and what they forecast on datablations."""

from dataclasses import replace

import numpy as np
import pytest

from differences import derivative
from foretell.errors import FormulaError
from foretell.fitting import fit
from foretell.laws import LAWS, MORE_LAWS, law_named, repetition_inputs
from foretell.laws.repetition import REPETITION_LAWS
from ladders import points_of
from protocols import protocol

TYPICAL = {
    "E": 1.9, "A": 500.0, "B": 1500.0, "alpha": 0.35, "beta": 0.36, "k": 0.7, "P_R": 0.3, "delta": 0.5, "kappa": 0.9,
    "R0": 30.0, "rho": -0.4, "Rstar_D": 15.0, "Rstar_N": 5.0,
}  # fmt: skip
NAMES = [law.name for law in REPETITION_LAWS]


def repeated(rows: int = 40, once: float = 0.2, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    N = np.exp(rng.uniform(np.log(1e7), np.log(5e9), rows))
    D = N * np.exp(rng.uniform(np.log(2), np.log(500), rows))
    U = np.where(rng.random(rows) < once, D, D / np.exp(rng.uniform(np.log(1.5), np.log(200), rows)))
    return repetition_inputs({"N": N, "D": D, "U": U})


def typical(name: str) -> dict[str, float]:
    return {c: TYPICAL[c] for c in MORE_LAWS[name].coefficients}


@pytest.mark.parametrize(("N", "D", "loss"), [(6.34e9, 242e9, 2.22564), (8.67e9, 178e9, 2.22696)])
def test_muennighoff_gives_the_values_of_the_released_code(N, D, loss):
    law = MORE_LAWS["muennighoff"]
    inputs = repetition_inputs({"N": np.array([N]), "D": np.array([D]), "U": np.array([25e9])})
    assert law.value(law.published, inputs)[0] == pytest.approx(loss, abs=5e-6)


def test_muennighoffs_smooth_minimum_is_that_of_the_paper():
    law, inputs = MORE_LAWS["muennighoff"], repeated(200)
    c = law.published
    G = (c["alpha"] * c["A"] / (c["beta"] * c["B"])) ** (1 / (c["alpha"] + c["beta"]))
    U_N = np.minimum(inputs["N"], (inputs["U_D"] * G) ** (c["beta"] / c["alpha"]) * G)
    R_N = inputs["N"] / U_N - 1
    R = np.where(inputs["R"] > 1e-200, inputs["R"], 0.0)
    N_worth = U_N * (1 + c["Rstar_N"] * (1 - np.exp(-R_N / c["Rstar_N"])))
    D_worth = inputs["U_D"] * (1 + c["Rstar_D"] * (1 - np.exp(-R / c["Rstar_D"])))
    by_hand = c["E"] + c["A"] / N_worth ** c["alpha"] + c["B"] / D_worth ** c["beta"]
    np.testing.assert_allclose(law.value(c, inputs), by_hand, rtol=1e-7)


@pytest.mark.parametrize(
    ("name", "plain"), [("muennighoff-D", "chinchilla"), ("lovelace", "chinchilla"), ("overfit", "skaling")]
)
def test_tokens_seen_once_follow_the_law_without_repetition(name, plain):
    inputs = repeated(once=1.1)
    coefficients = typical(name)
    others = {c: coefficients[c] for c in LAWS[plain].coefficients}
    np.testing.assert_allclose(
        MORE_LAWS[name].value(coefficients, inputs), LAWS[plain].value(others, inputs), rtol=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
def test_more_unique_tokens_than_are_seen_change_nothing(name):
    once = repeated(once=1.1)
    endless = repetition_inputs({"N": once["N"], "D": once["D"], "U": np.full(len(once["D"]), 1e40)})
    law, coefficients = MORE_LAWS[name], typical(name)
    np.testing.assert_array_equal(law.value(coefficients, once), law.value(coefficients, endless))


def test_muennighoff_with_slow_wear_is_chinchilla():
    inputs = repeated()
    c = {**typical("muennighoff"), "Rstar_D": 1e9, "Rstar_N": 1e9}
    plain = {name: c[name] for name in LAWS["chinchilla"].coefficients}
    np.testing.assert_allclose(
        MORE_LAWS["muennighoff"].value(c, inputs), LAWS["chinchilla"].value(plain, inputs), rtol=1e-5
    )


def test_repeated_tokens_are_never_worth_more_than_fresh_ones():
    inputs = repeated()
    plain = {name: TYPICAL[name] for name in LAWS["chinchilla"].coefficients}
    assert (
        MORE_LAWS["muennighoff-D"].value(typical("muennighoff-D"), inputs) >= LAWS["chinchilla"].value(plain, inputs)
    ).all()


def test_only_a_penalty_lets_the_loss_rise_with_repetition():
    epochs = np.geomspace(1, 3000, 50)
    inputs = repetition_inputs({"N": np.full(50, 4e8), "D": 1e8 * epochs, "U": np.full(50, 1e8)})
    for name, rises in (("muennighoff", False), ("muennighoff-D", False), ("lovelace", True), ("overfit", True)):
        assert bool((np.diff(MORE_LAWS[name].value(typical(name), inputs)) > 1e-9).any()) == rises, name


def test_the_overfitting_penalty_levels_off():
    law, c = MORE_LAWS["overfit"], typical("overfit")
    inputs = repetition_inputs({"N": np.full(2, 4e8), "D": np.array([1e13, 1e14]), "U": np.full(2, 1e8)})
    inputs["D"] = np.full(2, 1e14)
    worst = (c["A"] / 4e8 ** c["alpha"] + c["B"] / 1e14 ** c["beta"] + c["P_R"] * 4 ** c["kappa"]) ** c["k"] + c["E"]
    np.testing.assert_allclose(law.value(c, inputs), worst, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_of_laws_of_repetition_are_right_where_nothing_is_repeated_too(name):
    law, inputs = MORE_LAWS[name], repeated()
    assert (inputs["R"] < 1e-200).any()
    theta = law.theta(typical(name))
    value, gradient = law.gradient(theta, law.features(inputs))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(value, law.value(typical(name), inputs), rtol=1e-11)
    numeric = derivative(lambda at: law.value(dict(zip(law.coefficients, at, strict=True)), inputs), theta)
    size = np.abs(theta)[:, None]
    np.testing.assert_allclose(gradient * size, numeric * size, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_a_law_of_repetition_is_recovered_from_exact_losses(name):
    law, inputs = MORE_LAWS[name], repeated(80)
    made = fit(law, points_of(law, typical(name), inputs), starts=64)
    np.testing.assert_allclose(made.fitted, law.value(typical(name), inputs), rtol=1e-6)
    beyond = repetition_inputs({"N": np.array([2e10]), "D": np.array([1e12]), "U": np.array([5e10])})
    np.testing.assert_allclose(made.predict(beyond), law.value(typical(name), beyond), rtol=1e-4)


def test_the_order_of_rows_does_not_matter_to_repetition():
    inputs, order = repeated(), np.random.default_rng(1).permutation(40)
    shuffled = repetition_inputs({name: inputs[name][order] for name in ("N", "D", "U")})
    np.testing.assert_array_equal(shuffled["R"], inputs["R"][order])
    np.testing.assert_array_equal(shuffled["U_D"], inputs["U_D"][order])


def test_data_without_unique_tokens_are_told_what_is_missing():
    with pytest.raises(FormulaError, match="needs U"):
        repetition_inputs({"N": np.ones(2), "D": np.ones(2)})
    with pytest.raises(FormulaError, match="U is not a positive finite number"):
        repetition_inputs({"D": np.ones(2), "U": np.array([1.0, 0.0])})


@pytest.mark.parametrize("name", NAMES)
def test_laws_of_repetition_are_found_by_name_and_state_their_source(name):
    law = law_named(name)
    assert law.source
    assert all(law.coefficient(c).unit and law.coefficient(c).start for c in law.coefficients)


@pytest.mark.parametrize(
    ("name", "published", "tolerance"), [("chinchilla", 3.15, 0.01), ("lovelace", 2.44, 0.01), ("overfit", 2.08, 0.05)]
)
def test_datablations_is_forecast_as_measured(name, published, tolerance):
    made = protocol("datablations")
    fitted, test = (
        replace(points, inputs=repetition_inputs(points.inputs))
        for points in (made.fit.metric("val_loss"), made.test.metric("val_loss"))
    )
    forecast = fit(law_named(name), fitted, starts=64).predict(test.inputs)
    assert 100 * np.mean(np.abs(forecast / test.value - 1)) == pytest.approx(published, abs=tolerance)
