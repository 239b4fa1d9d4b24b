"""The laws of loss when training tokens are repeated: N parameters, D tokens seen, U unique tokens to be had.

Two inputs follow from D and U, see `repetition_inputs`: `U_D`, the unique tokens that were seen, and `R`, how often
they were seen again (R = epochs − 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FormulaError
from foretell.laws.law import Coefficient, Law

Array = NDArray[np.float64]

LOSS = "nats/token"
REPETITION = frozenset({"U_D", "R"})
NEVER = 1e-300  # R of tokens seen once: as good as 0, but with a logarithm, which slopes of R**delta need
SMOOTH = 4e-12  # rounds the corner of U_N = min(N, V): relative error at most 1e-6, at N = V


def repetition_inputs(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Add to inputs `U_D` = min(U, D) tokens and `R` = max(D/U − 1, 0), which laws of repetition need.

    Raises FormulaError when D or U is missing, or either is not positive and finite.
    """
    for name in ("D", "U"):
        if name not in inputs:
            raise FormulaError(
                f"a law of repetition needs {name}, which the data do not have; they have {', '.join(sorted(inputs))}"
            )
        column = np.asarray(inputs[name], dtype=np.float64)
        if not (np.isfinite(column) & (column > 0)).all():
            raise FormulaError(f"{name} is not a positive finite number of tokens on every row")
    D, U = (np.asarray(inputs[name], dtype=np.float64) for name in ("D", "U"))
    return {**inputs, "U_D": np.minimum(U, D), "R": np.maximum(D / U - 1.0, NEVER)}


_E = Coefficient(start=(0.05, 3.0), unit=LOSS)
_A = Coefficient(start=(1.0, 1e5), unit=f"{LOSS} · parameters^alpha")
_B = Coefficient(start=(1.0, 1e5), unit=f"{LOSS} · tokens^beta")
_EXPONENT = Coefficient(start=(0.05, 1.0), unit="1")
_HALF_LIFE = Coefficient(start=(1.0, 100.0), unit="repetitions")

# 2305.16264, released code: a, b, e are logarithms of A, B, E; alpha and beta are one number there
_C4 = {
    "E": Coefficient(start=_E.start, unit=_E.unit, published=math.exp(0.6254804)),
    "A": Coefficient(start=_A.start, unit=_A.unit, published=math.exp(6.255414)),
    "B": Coefficient(start=_B.start, unit=_B.unit, published=math.exp(7.3049974)),
    "alpha": Coefficient(start=_EXPONENT.start, unit="1", published=0.3526596),
    "beta": Coefficient(start=_EXPONENT.start, unit="1", published=0.3526596),
    "Rstar_D": Coefficient(start=_HALF_LIFE.start, unit="repetitions", published=15.387756),
}
_D_WORTH = "(U_D*(1 + Rstar_D*(1 - exp(-R/Rstar_D))))"

# U_N = min(N, V), V = (U_D G)^(beta/alpha) G the best size for the unique tokens. In logarithms: excess = log(N/V),
# over = max(excess, 0), U_N = N exp(-over), R_N = exp(over) − 1. G is Chinchilla's (αA/(βB))^(1/(α+β)).
_LOG_G = "(log(alpha) + log(A) - log(beta) - log(B))/(alpha + beta)"
_EXCESS = f"(log(N) - {_LOG_G} - (beta/alpha)*(log(U_D) + {_LOG_G}))"
_OVER = f"(({_EXCESS} + sqrt({_EXCESS}**2 + {SMOOTH}))/2)"
_N_WORTH = f"(N*exp(-{_OVER})*(1 + Rstar_N*(1 - exp(-(exp({_OVER}) - 1)/Rstar_N))))"

MUENNIGHOFF = Law(
    "muennighoff",
    f"E + A/{_N_WORTH}**alpha + B/{_D_WORTH}**beta",
    {**_C4, "Rstar_N": Coefficient(start=(1.0, 100.0), unit="parameters beyond U_N / U_N", published=5.309743)},
    source="Muennighoff 2023, arXiv 2305.16264, Eq. 5 and 6; coefficients: the released code (READ)",
    note="Repeated tokens and excess parameters wear out; the loss can level off with repetition but never rise. "
    "Its min(N, V) is rounded by 1e-6.",
    inputs=REPETITION,
)

MUENNIGHOFF_D = Law(
    "muennighoff-D",
    f"E + A/N**alpha + B/{_D_WORTH}**beta",
    _C4,
    source="Muennighoff 2023, arXiv 2305.16264, Eq. 5 and 6 for tokens alone; coefficients: the released code (READ)",
    note="Without a penalty on excess parameters: the published Rstar_D was fitted together with Rstar_N.",
    inputs=REPETITION,
)

LOVELACE = Law(
    "lovelace",
    "E + A/N**alpha + B/D**beta + P_R*R**delta*(N/U_D)**kappa",
    {
        "E": _E,
        "A": _A,
        "B": _B,
        "alpha": _EXPONENT,
        "beta": _EXPONENT,
        "P_R": Coefficient(start=(1e-4, 1.0), unit=f"{LOSS} · (tokens/parameter)^kappa"),
        "delta": Coefficient(start=(0.1, 1.5), unit="1"),
        "kappa": Coefficient(start=(0.1, 1.5), unit="1"),
    },
    source="Lovelace 2026, arXiv 2605.01640 (read second-hand; its coefficients are not known to us)",
    note="Chinchilla in all tokens plus an over-fitting penalty, so that repetition can do harm.",
    inputs=REPETITION,
)

OVERFIT = Law(
    "overfit",
    "(A/N**alpha + B/D**beta + P_R*(N/U_D)**kappa*(1 - exp(-R*(N/U_D)**rho/R0)))**k + E",
    {
        "E": _E,
        "A": Coefficient(start=(1.0, 1e7), unit=f"{LOSS}^(1/k) · parameters^alpha"),
        "B": Coefficient(start=(1.0, 1e7), unit=f"{LOSS}^(1/k) · tokens^beta"),
        "alpha": Coefficient(start=(0.1, 1.5), unit="1"),
        "beta": Coefficient(start=(0.1, 1.5), unit="1"),
        "k": Coefficient(start=(0.15, 1.2), unit="1"),
        "P_R": Coefficient(start=(1e-4, 1.0), unit=f"{LOSS}^(1/k) · (tokens/parameter)^kappa"),
        "kappa": Coefficient(start=(0.1, 3.0), unit="1"),
        "R0": Coefficient(start=(1.0, 100.0), unit="repetitions · (parameters/token)^rho"),
        "rho": Coefficient(-2.0, 2.0, (-0.5, 0.8), "1"),
    },
    source="ours: Skaling (arXiv 2608.07222) with a penalty like Lovelace's (arXiv 2605.01640) inside its bracket, "
    "levelling off with repetition; chosen on the fit rows of datablations (benchmarks/repetition.py)",
    note="Without repetition (R = 0) it is Skaling. The penalty is at most P_R (N/U_D)^kappa; R0 repetitions at "
    "N = U_D bring 63 % of it.",
    inputs=REPETITION,
)

REPETITION_LAWS: tuple[Law, ...] = (MUENNIGHOFF, MUENNIGHOFF_D, LOVELACE, OVERFIT)
