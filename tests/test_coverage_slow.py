"""With the right law, intervals of coefficients and noise cover what they say, 1.5 decades beyond the data."""

import numpy as np
import pytest

from foretell.forecast import Settings, Target, reach_of
from foretell.judge import binomial_interval
from foretell.methods.chinchilla import Chinchilla
from ladders import CHINCHILLA, SIZES, TRUTH, ladder

SIMULATIONS = 400
NOISE = 0.003
GROWTH = 10**0.75  # of N and of D: 1.5 decades of compute beyond the largest run
TARGET = Target(SIZES[-1] * GROWTH, 200 * SIZES[-1] * GROWTH)


def covered(simulation: int) -> dict[float, bool]:
    study = ladder(NOISE, seed=simulation)
    assert reach_of(study.metric("c4/loss"), TARGET) == pytest.approx(1.5)
    settings = Settings(draws=400, parts=frozenset({"coefficients", "noise"}), starts=16, seed=simulation)
    (made,) = Chinchilla().forecast(study, [TARGET], ["c4/loss"], settings)
    truth = float(CHINCHILLA.value(TRUTH, {"N": np.array([TARGET.N]), "D": np.array([TARGET.D])})[0])
    observed = truth * np.exp(NOISE * np.random.default_rng([simulation, 7]).normal())
    return {level: made.interval(level)[0] <= observed <= made.interval(level)[1] for level in (0.5, 0.8, 0.9)}


@pytest.mark.slow
def test_80_percent_intervals_cover_75_to_85_percent_of_400_simulated_ladders():
    outcomes = [covered(simulation) for simulation in range(SIMULATIONS)]
    share = {level: np.mean([outcome[level] for outcome in outcomes]) for level in (0.5, 0.8, 0.9)}
    told = {level: binomial_interval(round(SIMULATIONS * s), SIMULATIONS) for level, s in share.items()}
    assert 0.75 <= share[0.8] <= 0.85, (share, told)
    assert 0.42 <= share[0.5] <= 0.58, (share, told)
    assert 0.85 <= share[0.9] <= 0.95, (share, told)
