"""The laws of loss in terms of a mixture, written out for any list of sources.

A source `Pile-CC` has the share `w_Pile_CC` and the coefficients `C_Pile_CC`, `g_Pile_CC`, …. The range of first
guesses of a coefficient is also what a fit with few runs falls back on: as a normal prior of that middle and
half-width, in the fitted coordinate (`foretell.mixing`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FormulaError, UnknownName
from foretell.laws.law import INPUT_PREFIX, Coefficient, Law

Array = NDArray[np.float64]

LOSS = "nats/token"
TRACE = 1e-6  # a share of zero has no logarithm; this one is far below the rounding of any published share
NEVER = 1e-9  # repetitions of a source seen at most once
BILLION = 1e9  # tokens and parameters are counted in billions inside these laws, so that coefficients are of order one

_E = Coefficient(start=(0.3, 3.0), unit=LOSS)
_WORTH = Coefficient(start=(0.01, 20.0), unit="1")
_SATURATION = Coefficient(start=(0.6, 0.95), unit="1")
_STEEP = Coefficient(
    start=(0.12, 0.4), unit="1"
)  # these three: by cross-validation inside the fit rows of regmix, five-mix, dmsl
_EXPONENT = Coefficient(start=(0.1, 0.7), unit="1")
_SIZE = Coefficient(start=(0.01, 2.0), unit=LOSS)
_SIGNED = Coefficient(-math.inf, math.inf, (-2.0, 2.0), "1")
_HALF_LIFE = Coefficient(start=(3.0, 60.0), unit="repetitions")
_PENALTY = Coefficient(start=(1e-5, 1e-1), unit=LOSS)


def symbols_of(domains: Sequence[str]) -> list[str]:
    """Turn sources' names into words that a formula may hold: `Pile-CC` into `Pile_CC`.

    Raises FormulaError for fewer than two sources, or two that come out alike.
    """
    if len(domains) < 2:
        raise FormulaError(f"a mixture has at least two sources; given: {', '.join(domains) or 'none'}")
    made = [re.sub(r"\W", "_", name) for name in domains]
    if len(set(made)) < len(made):
        raise FormulaError(f"two of the sources {', '.join(domains)} are alike but for signs; rename one")
    return made


def mixture_inputs(
    weights: Array,
    domains: Sequence[str],
    N: Array | None = None,
    D: Array | None = None,
    pools: Array | None = None,
) -> dict[str, Array]:
    """Give the inputs of a mixture law: shares (n, k), and where known N, D (n,) and pools (n, k) of unique tokens.

    With D and pools come `U_NAME`, the unique tokens of each source that were seen, and `R_NAME`, how often again.
    """
    words = symbols_of(domains)
    made = {f"{INPUT_PREFIX}{word}": np.maximum(weights[:, j], TRACE) for j, word in enumerate(words)}
    if N is not None:
        made["N"] = np.asarray(N, dtype=np.float64)
    if D is not None:
        made["D"] = np.asarray(D, dtype=np.float64)
        seen = np.maximum(weights, TRACE) * made["D"][:, None]
        unique = seen if pools is None else np.minimum(seen, pools)
        for j, word in enumerate(words):
            made[f"U_{word}"] = unique[:, j]
            made[f"R_{word}"] = np.maximum(seen[:, j] / unique[:, j] - 1.0, NEVER)
    return made


def _sum(words: Sequence[str], worth: str, gain: str, variable: str = INPUT_PREFIX) -> str:
    return " + ".join(f"{worth}_{word}*{variable}{word}**{gain}_{word}" for word in words)


def _each(words: Sequence[str], **of: Coefficient) -> dict[str, Coefficient]:
    return {f"{letter}_{word}": bound for letter, bound in of.items() for word in words}


def exponential(domains: Sequence[str]) -> Law:
    """E + exp(Σ t_j w_j): the mixing law; its factor k is in t, since the shares sum to 1."""
    words = symbols_of(domains)
    inner = " + ".join(f"t_{word}*w_{word}" for word in words)
    return Law(
        "exponential",
        f"E + exp({inner})",
        {"E": _E, **_each(words, t=_SIGNED)},
        source="Ye 2024, arXiv 2403.16952, Eq. 7 (Data Mixing Laws), and Olmix, arXiv 2602.12237",
    )


def power(domains: Sequence[str]) -> Law:
    """E + (Σ C_j w_j)^(−b): a power law of effective data, each source worth C_j."""
    words = symbols_of(domains)
    inner = " + ".join(f"C_{word}*w_{word}" for word in words)
    return Law("power", f"E + ({inner})**(-b)", {"E": _E, "b": _STEEP, **_each(words, C=_WORTH)}, source="AutoScale")


def reciprocal(domains: Sequence[str]) -> Law:
    """E + 1/Σ C_j w_j^γ_j: the additive law without its terms of N and D."""
    words = symbols_of(domains)
    bounds = {"E": _E, **_each(words, C=_WORTH, g=_SATURATION)}
    return Law("reciprocal", f"E + 1/({_sum(words, 'C', 'g')})", bounds, source="Shukor 2025, arXiv 2507.09404")


def saturating(domains: Sequence[str]) -> Law:
    """E + (Σ C_j w_j^γ_j)^(−b): both of the above at once."""
    words = symbols_of(domains)
    bounds = {"E": _E, "b": _STEEP, **_each(words, C=_WORTH, g=_SATURATION)}
    return Law(
        "saturating",
        f"E + ({_sum(words, 'C', 'g')})**(-b)",
        bounds,
        source="ours: Shukor's sum (arXiv 2507.09404) under a free power; chosen by cross-validation in 512 mixtures",
    )


def additive(domains: Sequence[str]) -> Law:
    """E + 1/Σ C_j w_j^γ_j + A/N^α + B/D^β (N, D in billions)."""
    words = symbols_of(domains)
    bounds = {
        "E": _E, "A": _SIZE, "B": _SIZE, "alpha": _EXPONENT, "beta": _EXPONENT, **_each(words, C=_WORTH, g=_SATURATION)
    }  # fmt: skip
    formula = f"E + 1/({_sum(words, 'C', 'g')}) + A*(N/1e9)**(-alpha) + B*(D/1e9)**(-beta)"
    return Law("additive", formula, bounds, source="Shukor 2025, arXiv 2507.09404: the additive law")


def joint(domains: Sequence[str]) -> Law:
    """E + 1/Σ C_j w_j^γ_j + (Σ A_j w_j)^−1 N^−α + (Σ B_j w_j)^−1 D^−β: A and B depend on the mixture.

    The paper gives A and B the same form as the floor, exponents and all (read second-hand); here their exponents are
    1, which k sources and few mixtures bear.
    """
    words = symbols_of(domains)
    size = " + ".join(f"A_{word}*w_{word}" for word in words)
    data = " + ".join(f"B_{word}*w_{word}" for word in words)
    wide = Coefficient(start=(0.3, 30.0), unit="1")
    bounds = {
        "E": _E, "alpha": _EXPONENT, "beta": _EXPONENT, **_each(words, C=_WORTH, g=_SATURATION, A=wide, B=wide)
    }  # fmt: skip
    formula = f"E + 1/({_sum(words, 'C', 'g')}) + (N/1e9)**(-alpha)/({size}) + (D/1e9)**(-beta)/({data})"
    return Law("joint", formula, bounds, source="Shukor 2025, arXiv 2507.09404: the joint law, exponents of A and B 1")


def scaled(domains: Sequence[str]) -> Law:
    """E + (Σ C_j w_j^γ_j)^(−b) (1 + A/N^α + B/D^β): size and tokens scale what the mixture leaves to learn."""
    words = symbols_of(domains)
    bounds = {
        "E": _E, "b": _STEEP, "A": _SIZE, "B": _SIZE, "alpha": _EXPONENT, "beta": _EXPONENT,
        **_each(words, C=_WORTH, g=_SATURATION),
    }  # fmt: skip
    formula = f"E + ({_sum(words, 'C', 'g')})**(-b)*(1 + A*(N/1e9)**(-alpha) + B*(D/1e9)**(-beta))"
    return Law("scaled", formula, bounds, source="ours: the law `saturating`, scaled by Chinchilla's terms")


def own_domain(domains: Sequence[str], own: str) -> Law:
    """A w^−α (B/D^β + C): a loss from the share of its own source alone (D in billions).

    From memory of the paper; at D → ∞ a power of the share is left, at w = 1 a power law of tokens with a floor.
    Raises UnknownName when `own` is none of the sources.
    """
    if own not in domains:
        raise UnknownName("source", own, domains)
    word = symbols_of(domains)[list(domains).index(own)]
    return Law(
        "own-domain",
        f"w_{word}**(-alpha)*(B*(D/1e9)**(-beta) + F)",
        {
            "alpha": Coefficient(start=(0.01, 0.3), unit="1"),
            "B": _SIZE,
            "beta": _EXPONENT,
            "F": Coefficient(start=(0.5, 4.0), unit=LOSS),
        },
        source="BiMix, Ge 2024, arXiv 2405.14908 (from memory)",
    )


def repeated(domains: Sequence[str]) -> Law:
    """E + A/N^α + (Σ C_j worth_j^γ_j)^(−b), worth_j the tokens of a source after Muennighoff's decay of repetition.

    worth = U (1 + R* (1 − e^(−R/R*))) for each source, in billions; one R* for all. Repetition wears out, never harms.
    """
    words = symbols_of(domains)
    terms = " + ".join(f"C_{word}*(U_{word}/1e9*(1 + Rstar*(1 - exp(-R_{word}/Rstar))))**g_{word}" for word in words)
    bounds = {
        "E": _E, "A": _SIZE, "alpha": _EXPONENT, "b": _STEEP, "Rstar": _HALF_LIFE,
        **_each(words, C=_WORTH, g=_SATURATION),
    }  # fmt: skip
    return Law(
        "repeated",
        f"E + A*(N/1e9)**(-alpha) + ({terms})**(-b)",
        bounds,
        source="Muennighoff 2023, arXiv 2305.16264, Eq. 5, for each source",
        inputs=_tokens(words),
    )


def target_domain(domains: Sequence[str], own: str) -> Law:
    """E + A/N^β + B N^δ worth^−α + γ h: a scarce source of interest, h the share of everything else (billions).

    Raises UnknownName when `own` is none of the sources.
    """
    if own not in domains:
        raise UnknownName("source", own, domains)
    word = symbols_of(domains)[list(domains).index(own)]
    worth = f"(U_{word}/1e9*(1 + Rstar*(1 - exp(-R_{word}/Rstar))))"
    return Law(
        "target-domain",
        f"E + A*(N/1e9)**(-beta) + B*(N/1e9)**delta*{worth}**(-alpha) + gamma*(1 - w_{word})",
        {
            "E": _E, "A": _SIZE, "B": _SIZE, "alpha": _EXPONENT, "beta": _EXPONENT, "Rstar": _HALF_LIFE,
            "delta": Coefficient(-1.0, 1.0, (-0.2, 0.2), "1"), "gamma": _SIGNED,
        },
        source="Sedova 2026, arXiv 2605.12715 (read in abstract)",
        inputs=_tokens([word]),
    )  # fmt: skip


def penalised(domains: Sequence[str], own: str) -> Law:
    """E + A/N^α + (Σ C_j tokens_j^γ_j)^(−b) + P R^δ (N/U)^κ of one scarce source: repetition can do harm.

    Raises UnknownName when `own` is none of the sources.
    """
    if own not in domains:
        raise UnknownName("source", own, domains)
    words = symbols_of(domains)
    word = words[list(domains).index(own)]
    terms = " + ".join(f"C_{w}*(w_{w}*D/1e9)**g_{w}" for w in words)
    bounds = {
        "E": _E, "A": _SIZE, "alpha": _EXPONENT, "b": _STEEP, "P_R": _PENALTY,
        "delta": Coefficient(start=(0.5, 2.5), unit="1"), "kappa": Coefficient(start=(0.2, 1.2), unit="1"),
        **_each(words, C=_WORTH, g=_SATURATION),
    }  # fmt: skip
    return Law(
        "penalised",
        f"E + A*(N/1e9)**(-alpha) + ({terms})**(-b) + P_R*R_{word}**delta*(N/U_{word})**kappa",
        bounds,
        source="Lovelace 2026, arXiv 2605.01640 (read second-hand): its penalty, on one source of a mixture",
        inputs=_tokens([word]),
    )


def _tokens(words: Sequence[str]) -> frozenset[str]:
    return frozenset(f"{letter}_{word}" for letter in "UR" for word in words)


MIXTURE_LAWS: Mapping[str, Callable[[Sequence[str]], Law]] = {
    "exponential": exponential,
    "power": power,
    "reciprocal": reciprocal,
    "saturating": saturating,
    "additive": additive,
    "joint": joint,
    "scaled": scaled,
    "repeated": repeated,
}
OWN_LAWS: Mapping[str, Callable[[Sequence[str], str], Law]] = {
    "own-domain": own_domain,
    "target-domain": target_domain,
    "penalised": penalised,
}


def mixture_law(name: str, domains: Sequence[str], own: str | None = None) -> Law:
    """Write out a mixture law by name; `own` is the source that own-domain, target-domain and penalised are about.

    Raises UnknownName for a name that no mixture law has, FormulaError when `own` is needed but not given.
    """
    if name in MIXTURE_LAWS:
        return MIXTURE_LAWS[name](domains)
    if name not in OWN_LAWS:
        raise UnknownName("mixture law", name, [*MIXTURE_LAWS, *OWN_LAWS])
    if own is None:
        raise FormulaError(f"the law {name} is about one source; name it, such as {domains[0]}")
    return OWN_LAWS[name](domains, own)
