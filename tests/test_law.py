"""Every law of the catalogue is what its formula says, in value, slope, curvature and limits."""

import math

import numpy as np
import pytest

from differences import derivative
from foretell.errors import FormulaError, UnknownName
from foretell.fitting.kernel import kernel_of, upper_index
from foretell.fitting.objective import parse_objective
from foretell.laws import LAWS, LINKS, LOSS_LAWS, Coefficient, Law, law_named

EVERY_LAW = sorted(LAWS)
RNG = np.random.default_rng(0)
HUGE = 1e250


def usual_inputs(rows: int = 12) -> dict[str, np.ndarray]:
    N = np.exp(RNG.uniform(np.log(1e7), np.log(1e10), rows))
    D = N * np.exp(RNG.uniform(np.log(5), np.log(500), rows))
    return {
        "N": N, "D": D, "C": 6 * N * D, "M": D / N,
        "L": RNG.uniform(0.5, 2.5, rows), "chance": np.full(rows, 0.25),
    }  # fmt: skip


def usual_coefficients(law: Law, seed: int = 0) -> np.ndarray:
    """Draw coefficients from the law's own first guesses, evenly in logarithm where they have one sign."""
    rng = np.random.default_rng(seed)
    drawn = []
    for name in law.coefficients:
        low, high = law.coefficient(name).start
        share = rng.uniform(0.3, 0.7)
        drawn.append(low ** (1 - share) * high**share if low > 0 else low + share * (high - low))
    return np.array(drawn)


def by_name(law: Law, theta: np.ndarray) -> dict[str, float]:
    return dict(zip(law.coefficients, theta, strict=True))


def formula_of(law: Law, theta: np.ndarray, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Compute the formula as it is written, one value a row."""
    return np.broadcast_to(law.value(by_name(law, theta), inputs), len(inputs["N"]))


# -- code against formula -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_LAW)
def test_the_generated_code_computes_the_formula(name):
    law, inputs = LAWS[name], usual_inputs()
    for seed in range(3):
        theta = usual_coefficients(law, seed)
        value, _ = law.gradient(theta, law.features(inputs))
        np.testing.assert_allclose(value, formula_of(law, theta, inputs), rtol=1e-11)


@pytest.mark.parametrize("name", EVERY_LAW)
def test_the_gradient_is_the_slope_of_the_formula(name):
    law, inputs = LAWS[name], usual_inputs()
    for seed in range(3):
        theta = usual_coefficients(law, seed)
        _, gradient = law.gradient(theta, law.features(inputs))
        numeric = derivative(lambda at: formula_of(law, at, inputs), theta)
        size = np.abs(theta)[:, None]
        assert np.isfinite(gradient).all()
        np.testing.assert_allclose(gradient * size, numeric * size, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", EVERY_LAW)
def test_the_hessian_is_the_slope_of_the_gradient(name):
    law, inputs = LAWS[name], usual_inputs()
    objective = parse_objective("gaussian@linear")
    theta = usual_coefficients(law)
    features, p = np.ascontiguousarray(law.features(inputs)), len(law.coefficients)
    target = formula_of(law, theta, inputs) - 1.0  # every residual 1: the sum is that of all second derivatives
    out = np.empty(1 + p + p * (p + 1) // 2)
    kernel_of(law, objective)(theta, features, target, np.ones(len(target)), 0.0, len(target), out)
    _, gradient = law.gradient(theta, features)
    curvature = derivative(lambda at: law.gradient(at, features)[1].sum(axis=-1), theta)
    expected = gradient @ gradient.T + curvature
    for i in range(p):
        for j in range(i, p):
            size = abs(theta[i] * theta[j])
            ours = out[upper_index(i, j, p)]
            assert ours * size == pytest.approx(expected[i, j] * size, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", EVERY_LAW)
def test_one_row_of_a_batch_of_coefficients_is_that_row_alone(name):
    law = LAWS[name]
    features = law.features(usual_inputs())
    batch = np.array([usual_coefficients(law, seed) for seed in range(4)])
    values, gradients = law.gradient(batch, features)
    for row, theta in enumerate(batch):
        value, gradient = law.gradient(theta, features)
        np.testing.assert_array_equal(values[row], value)
        np.testing.assert_array_equal(gradients[row], gradient)


# -- what laws mean -------------------------------------------------------------------------------------------------


def floor_of(law: Law, coefficients: dict[str, float], **inputs: float) -> float:
    return float(law.value(coefficients, {name: np.array([x]) for name, x in inputs.items()})[0])


@pytest.mark.parametrize("name", [law.name for law in LOSS_LAWS if law.name not in ("farseer", "bnsl", "flat")])
def test_a_loss_falls_to_its_floor_as_everything_grows(name):
    law = LAWS[name]
    coefficients = by_name(law, usual_coefficients(law))
    largest = {"N": HUGE, "D": HUGE, "C": HUGE, "M": 1.0}
    assert floor_of(law, coefficients, **largest) == pytest.approx(coefficients["E"], rel=1e-6)


def test_with_endless_parameters_chinchilla_is_the_power_law_in_tokens():
    truth = LAWS["chinchilla"].published
    tokens = {name: truth[name] for name in ("E", "B", "beta")}
    for D in (1e9, 1e11, 1e13):
        assert floor_of(LAWS["chinchilla"], truth, N=HUGE, D=D) == pytest.approx(floor_of(LAWS["power-D"], tokens, D=D))


def test_with_endless_tokens_chinchilla_is_the_power_law_in_parameters():
    truth = LAWS["chinchilla"].published
    parameters = {name: truth[name] for name in ("E", "A", "alpha")}
    for N in (1e7, 1e9, 1e11):
        assert floor_of(LAWS["chinchilla"], truth, N=N, D=HUGE) == pytest.approx(
            floor_of(LAWS["power-N"], parameters, N=N)
        )


def test_skaling_with_k_one_is_chinchilla():
    truth, inputs = LAWS["chinchilla"].published, usual_inputs()
    np.testing.assert_allclose(
        LAWS["skaling"].value({**truth, "k": 1.0}, inputs), LAWS["chinchilla"].value(truth, inputs), rtol=1e-14
    )


def test_gadre_is_chinchilla_with_one_exponent():
    inputs = usual_inputs()
    tied = {"E": 1.7, "A": 300.0, "B": 900.0, "alpha": 0.3}
    factor = 6**0.15  # C = 6ND, so C^-eta M^eta = 6^-eta N^-2eta
    gadre = {"E": 1.7, "a": 300.0 * factor, "b": 900.0 * factor, "eta": 0.15}
    np.testing.assert_allclose(
        LAWS["gadre"].value(gadre, inputs), LAWS["chinchilla-tied"].value(tied, inputs), rtol=1e-12
    )


def test_the_ray_is_chinchilla_on_a_line_of_constant_ratio():
    k, alpha = 20.0, 0.3
    N = np.geomspace(1e7, 1e10, 6)
    tied = {"E": 1.7, "A": 300.0, "B": 900.0, "alpha": alpha}
    ray = {"E": 1.7, "psi": 300.0 + 900.0 * k**-alpha, "alpha": alpha}
    np.testing.assert_allclose(
        LAWS["ray"].value(ray, {"N": N}), LAWS["chinchilla-tied"].value(tied, {"N": N, "D": k * N}), rtol=1e-13
    )


def test_bnsl_has_one_exponent_below_its_break_and_the_sum_of_two_above():
    law = LAWS["bnsl"]
    c = {"a": 0.0, "b": 50.0, "c0": 0.07, "c1": 0.11, "d1": 1e20, "f1": 0.3}

    def exponent(C: float) -> float:
        first, second = law.value(c, {"C": np.array([C, 10 * C])})
        return -math.log10(second / first)

    assert exponent(1e10) == pytest.approx(0.07, abs=1e-6)
    assert exponent(1e30) == pytest.approx(0.18, abs=1e-6)


def test_the_width_of_the_break_is_f1():
    law = LAWS["bnsl"]
    c = {"a": 0.0, "b": 1.0, "c0": 0.1, "c1": 0.1, "d1": 1e20}
    beyond = {"C": np.array([1e21])}  # a decade beyond the break
    sharp, wide = (float(law.value({**c, "f1": f1}, beyond)[0]) for f1 in (0.1, 2.0))
    assert sharp == pytest.approx(1e21**-0.1 * 10**-0.1, rel=1e-4)  # the second exponent in full
    assert wide < sharp  # smeared out, the second exponent has begun before the break


def test_farseers_exponent_of_tokens_falls_with_parameters():
    law = LAWS["farseer"]

    def exponent(N: float) -> float:
        floor = floor_of(law, law.published, N=N, D=HUGE)
        first, second = (floor_of(law, law.published, N=N, D=D) - floor for D in (1e9, 1e10))
        return math.log10(first / second)

    assert exponent(1e8) > exponent(1e9) > exponent(1e10) > 0


def test_the_sigmoid_runs_from_its_ceiling_to_its_floor():
    law = LAWS["sigmoid"]
    c = {"a": -0.7, "b": 0.95, "k": 5.0, "L0": 1.0}
    best, worst = law.value(c, {"L": np.array([-100.0, 100.0])})
    assert (best, worst) == (pytest.approx(0.95), pytest.approx(0.25))


def test_the_fixed_floor_is_chance():
    coefficients = {"top": 0.9, "k": 5.0, "L0": 1.0}
    value = LAWS["sigmoid-floor"].value(coefficients, {"L": np.array([100.0, 1.0, -100.0]), "chance": np.full(3, 0.25)})
    np.testing.assert_allclose(value, [0.25, 0.575, 0.9], rtol=1e-12)


def test_the_ideal_sigmoid_is_one_at_loss_zero():
    law = LAWS["sigmoid-ideal"]
    for seed in range(5):
        coefficients = by_name(law, usual_coefficients(law, seed))
        assert floor_of(law, coefficients, L=0.0) == pytest.approx(1.0, abs=1e-12)


def test_the_logistic_runs_from_ceiling_to_floor():
    c = {"floor": 0.25, "ceiling": 0.9, "a": 5.0, "b": 2.0}
    value = LAWS["logistic"].value(c, {"L": np.array([-100.0, 2.5, 100.0])})
    np.testing.assert_allclose(value, [0.9, 0.575, 0.25], rtol=1e-12)


def test_the_direct_law_runs_from_chance_to_one():
    c = {"A": 100.0, "B": 100.0, "alpha": 0.3, "beta": 0.3}
    ends = {"N": np.array([1e-30, HUGE]), "D": np.array([1e-30, HUGE]), "chance": np.array([0.25, 0.25])}
    np.testing.assert_allclose(LAWS["direct"].value(c, ends), [0.25, 1.0], rtol=1e-12)


# -- published ------------------------------------------------------------------------------------------------------


def test_published_chinchilla_coefficients_give_chinchillas_loss():
    # Besiroglu 2024 (arXiv 2404.10102): E 1.8172, A 482.01, B 2085.43, alpha .3478, beta .3658, at 70B on 1.4T
    by_hand = 1.8172 + 482.01 / 70e9**0.3478 + 2085.43 / 1.4e12**0.3658
    law = LAWS["chinchilla"]
    assert floor_of(law, law.published, N=70e9, D=1.4e12) == pytest.approx(by_hand, rel=1e-14)
    assert by_hand == pytest.approx(1.9737, abs=5e-4)


def test_published_gadre_coefficients_give_gadres_loss():
    # Gadre 2024, RedPajama: E 1.84, a 212, b 367, eta .136: L(C, M) at 6.9B parameters and M = 20
    law, N = LAWS["gadre"], 6.89e9
    published = law.published
    assert {name: float(f"{value:.3g}") for name, value in published.items()} == {
        "E": 1.84, "a": 212.0, "b": 367.0, "eta": 0.136,
    }  # fmt: skip
    C = 6 * N * 20 * N
    by_hand = 1.8366 + (published["a"] * 20**0.13645 + 366.7 * 20**-0.13645) * C**-0.13645
    assert floor_of(law, published, M=20.0, C=C) == pytest.approx(by_hand, rel=1e-14)


@pytest.mark.parametrize("name", [name for name in EVERY_LAW if LAWS[name].published])
def test_published_coefficients_lie_within_their_bounds(name):
    law = LAWS[name]
    for coefficient, value in law.published.items():
        bound = law.coefficient(coefficient)
        assert bound.lower < value < bound.upper


@pytest.mark.parametrize("name", EVERY_LAW)
def test_every_law_states_its_source_and_a_unit_for_each_coefficient(name):
    law = LAWS[name]
    assert law.source
    assert all(law.coefficient(coefficient).unit for coefficient in law.coefficients)


@pytest.mark.parametrize("name", EVERY_LAW)
def test_first_guesses_lie_within_bounds(name):
    law = LAWS[name]
    for coefficient in law.coefficients:
        bound = law.coefficient(coefficient)
        assert bound.lower <= bound.start[0] < bound.start[1] <= bound.upper


# -- by name, never by position -------------------------------------------------------------------------------------


def test_the_order_of_keys_does_not_matter():
    law, inputs = LAWS["skaling"], usual_inputs()
    coefficients = by_name(law, usual_coefficients(law))
    backwards = dict(reversed(list(coefficients.items())))
    np.testing.assert_array_equal(
        law.value(coefficients, inputs), law.value(backwards, dict(reversed(list(inputs.items()))))
    )
    np.testing.assert_array_equal(law.theta(coefficients), law.theta(backwards))


def test_the_order_of_terms_in_a_formula_does_not_matter():
    inputs = usual_inputs()
    one, other = Law("one", "E + A/N**alpha + B/D**beta"), Law("other", "B/D**beta + A/N**alpha + E")
    assert one.coefficients == other.coefficients
    theta = one.theta(LAWS["chinchilla"].published)
    for ours, theirs in zip(
        one.gradient(theta, one.features(inputs)), other.gradient(theta, other.features(inputs)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)


def test_the_order_of_rows_does_not_matter():
    law, inputs = LAWS["farseer"], usual_inputs()
    order = RNG.permutation(12)
    theta = law.theta(law.published)
    value, gradient = law.gradient(theta, law.features(inputs))
    shuffled = law.gradient(theta, law.features({name: column[order] for name, column in inputs.items()}))
    np.testing.assert_array_equal(value[order], shuffled[0])
    np.testing.assert_array_equal(gradient[:, order], shuffled[1])


# -- a user's own law -----------------------------------------------------------------------------------------------


def test_a_formula_is_a_law():
    law = law_named("E + (A/N**alpha + B/D**beta)**k")
    assert law.coefficients == ("A", "B", "E", "alpha", "beta", "k")
    assert law.variables == ("D", "N")
    assert law.coefficient("alpha").start == (0.05, 1.0)  # an exponent is guessed to be one


def test_a_users_law_has_right_derivatives_too():
    inputs = usual_inputs()
    for text in (
        "E + A/N**alpha + B*log(D)**(-beta)",
        "E + sqrt(A/N + B/D)",
        "E + A*exp(-g*log(N)) + B/(D/1e9)",
        "E*N/D",
    ):
        law = law_named(text)
        theta = np.linspace(0.2, 0.9, len(law.coefficients))
        value, gradient = law.gradient(theta, law.features(inputs))
        np.testing.assert_allclose(value, law.value(by_name(law, theta), inputs), rtol=1e-11)
        numeric = derivative(lambda at, law=law: law.value(by_name(law, at), inputs), theta)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-10)


def test_an_attribute_of_the_data_may_be_an_input():
    assert law_named("E + A/lr**alpha", frozenset({"lr"})).variables == ("lr",)
    assert law_named("E + A/lr**alpha").variables == ()


def test_an_unknown_law_suggests_the_nearest():
    with pytest.raises(UnknownName, match="did you mean chinchilla"):
        law_named("chinchila")
    with pytest.raises(UnknownName, match="did you mean skaling"):
        law_named("Scaling")


def test_a_formula_without_a_coefficient_is_refused():
    with pytest.raises(FormulaError, match="no coefficient to fit"):
        law_named("6*N*D")


def test_bounds_of_a_name_that_is_not_in_the_formula_are_refused():
    with pytest.raises(FormulaError, match="bounds for F"):
        Law("mine", "E + A/N", {"F": Coefficient()})


def test_bounds_the_wrong_way_round_are_refused():
    with pytest.raises(FormulaError, match="put the lower first"):
        Coefficient(2.0, 1.0)
    with pytest.raises(FormulaError, match="outside the bounds"):
        Coefficient(0.0, 1.0, (0.5, 2.0))


def test_a_missing_coefficient_or_input_is_named():
    law = LAWS["chinchilla"]
    with pytest.raises(FormulaError, match="values of E, alpha"):
        law.theta({"A": 1.0, "B": 1.0, "beta": 0.3})
    with pytest.raises(FormulaError, match="needs D"):
        law.features({"N": np.ones(3)})


def test_links_answer_with_shares_and_loss_laws_with_losses():
    assert {law.response for law in LINKS} == {"share"}
    assert {law.response for law in LOSS_LAWS} == {"loss"}
