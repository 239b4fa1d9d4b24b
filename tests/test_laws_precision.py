"""The laws of few bits: their limits, their derivatives, and the paper's own remarks about them."""

import numpy as np
import pytest

from differences import derivative
from foretell.errors import FormulaError
from foretell.fitting import fit
from foretell.laws import LAWS, MORE_LAWS
from foretell.laws.precision import PRECISION_LAWS, effective_parameters, training_cost
from ladders import points_of

NAMES = [law.name for law in PRECISION_LAWS]
TYPICAL = {
    "E": 2.7, "A": 4000.0, "B": 18000.0, "alpha": 0.5, "beta": 0.5, "gamma_w": 2.7, "gamma_a": 2.2, "gamma_kv": 0.96,
    "n_w": 0.3, "n_a": 0.2, "n_kv": 0.5, "C_T": 0.2, "gamma_D": 0.5, "gamma_N": 0.34, "gamma_post": 0.6,
    "C_w": 0.4, "C_a": 0.3, "C_kv": 0.5,
}  # fmt: skip
FULL = 400.0  # bits: endless, for every purpose


def inputs_of(rows: int = 60, **bits: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    drawn = {f"P_{part}": rng.integers(5, 13, rows).astype(float) for part in ("w", "a", "kv")}
    N = np.exp(rng.uniform(np.log(3e7), np.log(2.2e8), rows))
    inputs = {"N": N, "D": N * rng.uniform(10, 800, rows), "P_post": rng.integers(3, 6, rows).astype(float), **drawn}
    return {**inputs, **{name: np.full(rows, value) for name, value in bits.items()}}


def typical(name: str) -> dict[str, float]:
    return {c: TYPICAL[c] for c in MORE_LAWS[name].coefficients}


def value(name: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return MORE_LAWS[name].value(typical(name), inputs)


@pytest.mark.parametrize("name", ["precision", "precision-offset"])
def test_with_many_bits_the_law_of_precision_is_chinchilla(name):
    inputs = inputs_of(P_w=FULL, P_a=FULL, P_kv=FULL)
    plain = {c: TYPICAL[c] for c in LAWS["chinchilla"].coefficients}
    np.testing.assert_allclose(value(name, inputs), LAWS["chinchilla"].value(plain, inputs), rtol=1e-12)


def test_offsets_of_zero_are_the_main_texts_law():
    inputs = inputs_of()
    offset = {**typical("precision-offset"), "n_w": 0.0, "n_a": 0.0, "n_kv": 0.0}
    np.testing.assert_allclose(
        MORE_LAWS["precision-offset"].value(offset, inputs), value("precision", inputs), rtol=1e-13
    )


@pytest.mark.parametrize("part", ["P_w", "P_a", "P_kv"])
def test_fewer_bits_in_training_never_help(part):
    bits = np.arange(3.0, 17.0)
    inputs = {**inputs_of(len(bits), P_w=8.0, P_a=8.0, P_kv=8.0, N=1e8, D=1e10), part: bits}
    assert (np.diff(value("precision", inputs)) < 0).all()


def test_quantisation_hurts_more_after_more_tokens_and_less_with_more_parameters():
    base = inputs_of(1, N=1e8, D=1e10, P_post=4.0)
    more_tokens, larger, more_bits = ({**base, name: base[name] * 2} for name in ("D", "N", "P_post"))
    assert value("quantised", more_tokens) > value("quantised", base) > value("quantised", larger)
    assert value("quantised", more_bits) < value("quantised", base)


def test_a_model_trained_in_full_precision_loses_what_the_simple_law_says():
    inputs = inputs_of(P_w=FULL, P_a=FULL, P_kv=FULL)
    np.testing.assert_allclose(value("quantised-unified", inputs), value("quantised", inputs), rtol=1e-12)


def test_a_model_trained_in_the_bits_it_is_quantised_to_loses_nothing():
    np.testing.assert_allclose(value("quantised-unified", inputs_of(P_w=4.0, P_post=4.0)), 0.0, atol=1e-15)


def test_the_unified_loss_is_that_of_training_plus_that_of_quantisation():
    inputs = inputs_of()
    both = value("precision", inputs) + value("quantised-unified", inputs)
    np.testing.assert_allclose(value("precision-unified", inputs), both, rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_of_laws_of_precision_are_right(name):
    law, inputs = MORE_LAWS[name], inputs_of()
    theta = law.theta(typical(name))
    computed, gradient = law.gradient(theta, law.features(inputs))
    np.testing.assert_allclose(computed, value(name, inputs), rtol=1e-11)
    numeric = derivative(lambda at: law.value(dict(zip(law.coefficients, at, strict=True)), inputs), theta)
    size = np.abs(theta)[:, None]
    np.testing.assert_allclose(gradient * size, numeric * size, rtol=1e-6, atol=1e-8)


def test_the_law_of_precision_is_recovered_from_exact_losses():
    law, inputs = MORE_LAWS["precision"], inputs_of(150)
    made = fit(law, points_of(law, typical("precision"), inputs), starts=64)
    np.testing.assert_allclose(made.fitted, value("precision", inputs), rtol=1e-6)
    for name, truth in typical("precision").items():
        assert made.coefficients[name] == pytest.approx(truth, rel=0.02)


def test_quantisation_is_recovered_from_exact_losses():
    law, inputs = MORE_LAWS["quantised"], inputs_of(80)
    made = fit(law, points_of(law, law.published, inputs), starts=32)
    for name, truth in law.published.items():
        assert made.coefficients[name] == pytest.approx(truth, rel=1e-3)


def test_effective_parameters_are_what_the_law_puts_in_place_of_N():
    inputs, c = inputs_of(), typical("precision-offset")
    worth = effective_parameters(inputs["N"], {p: inputs[p] for p in ("P_w", "P_a", "P_kv")}, c)
    by_hand = c["E"] + c["A"] / worth ** c["alpha"] + c["B"] / inputs["D"] ** c["beta"]
    np.testing.assert_allclose(value("precision-offset", inputs), by_hand, rtol=1e-13)
    np.testing.assert_allclose(effective_parameters(inputs["N"], {}, c), inputs["N"])


def test_published_offsets_leave_nothing_where_the_papers_runs_diverge():
    # App. L: runs with activations of 3 bits diverge, weights of 3 bits are well behaved
    published, N = MORE_LAWS["precision-offset"].published, np.array([1e8])
    with pytest.raises(FormulaError, match=r"P_a is at most 3\.1 bits"):
        effective_parameters(N, {"P_a": np.array([3.0])}, published)
    assert 0.4 < effective_parameters(N, {"P_w": np.array([3.0])}, published)[0] / 1e8 < 0.7


def test_bits_of_an_unknown_part_are_refused():
    with pytest.raises(FormulaError, match="bits of P_post do not matter in training"):
        effective_parameters(np.array([1e8]), {"P_post": np.array([4.0])}, TYPICAL)


def test_training_in_16_bits_costs_6ND():
    assert training_cost(1e9, 2e10, 16.0) == 6 * 1e9 * 2e10
    assert training_cost(1e9, 2e10, 8.0) == 3 * 1e9 * 2e10


@pytest.mark.parametrize("name", NAMES)
def test_laws_of_precision_state_source_units_and_starts(name):
    law = MORE_LAWS[name]
    assert "2411.04330" in law.source
    for c in law.coefficients:
        bound = law.coefficient(c)
        assert bound.unit
        assert bound.start is not None
        assert bound.published is None or bound.lower < bound.published < bound.upper
