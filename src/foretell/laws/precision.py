"""The laws of loss when numbers are held in few bits: `P_w` of weights, `P_a` of activations, `P_kv` of the cache.

`P_post` are the bits that weights are quantised to after training. Source: Kumar 2024, arXiv 2411.04330.
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
PAPER = "Kumar 2024, arXiv 2411.04330"
TRAINING_BITS = frozenset({"P_w", "P_a", "P_kv"})
ALL_BITS = TRAINING_BITS | {"P_post"}
PARTS = ("w", "a", "kv")
FULL_BITS = 16.0  # bf16: what the paper's cost 6ND stands for (§2)

# App. K, Table 2 (READ from a scan; the subscripts "i" = activations and of the last two rows are ours to guess).
# "e^(x/γ) in the main text is really computed with offset e^(x/γ + n)": the sign that makes few bits worse is
# 1 − exp(n − P/γ), which puts the loss of all capacity at P_a = 3.1 bits, where the paper's runs diverge (App. L).
_TABLE = {
    "A": 4.299e3, "alpha": 0.4965, "beta": 0.4965, "B": 1.806e4, "E": 2.7648,
    "gamma_w": 2.6745, "n_w": 0.3037, "gamma_a": 2.2102, "n_a": 1.4072, "gamma_kv": 0.9578, "n_kv": 2.4185,
}  # fmt: skip
_TABLE_PTQ = {"C_T": 0.0598 * math.exp(1.1277), "gamma_D": 0.5068, "gamma_N": 0.3439, "gamma_post": 0.5907}


def _bounded(published: Mapping[str, float], *names: str) -> dict[str, Coefficient]:
    kinds: dict[str, tuple[float, tuple[float, float], str]] = {
        "E": (0.0, (0.05, 3.0), LOSS),
        "A": (0.0, (1.0, 1e5), f"{LOSS} · parameters^alpha"),
        "B": (0.0, (1.0, 1e5), f"{LOSS} · tokens^beta"),
        "C_T": (0.0, (1e-3, 10.0), f"{LOSS} · parameters^gamma_N · tokens^(-gamma_D)"),
        "gamma_post": (0.0, (0.2, 3.0), "bits"),
        **{f"gamma_{part}": (0.0, (0.3, 4.0), "bits") for part in PARTS},
        **{f"n_{part}": (-math.inf, (-0.5, 1.0), "1") for part in PARTS},
        **{f"C_{part}": (0.0, (0.05, 2.0), "1/bit") for part in PARTS},
    }
    made = {}
    for name in names:
        lower, start, unit = kinds.get(name, (0.0, (0.05, 1.0), "1"))
        made[name] = Coefficient(lower=lower, start=start, unit=unit, published=published.get(name))
    return made


_CHINCHILLA = ("E", "A", "B", "alpha", "beta")
_GAMMAS = tuple(f"gamma_{part}" for part in PARTS)
_OFFSETS = tuple(f"n_{part}" for part in PARTS)
_WORTH = "N*" + "*".join(f"(1 - exp(-P_{part}/gamma_{part}))" for part in PARTS)
_WORTH_OFFSET = "N*" + "*".join(f"(1 - exp(n_{part} - P_{part}/gamma_{part}))" for part in PARTS)
_LOST_BEFORE = "*".join(f"(1 - exp(-C_{part}*(P_{part} - P_post)))" for part in PARTS)
_UNIFIED = f"C_T*exp(-P_post/gamma_post)*D**gamma_D/({_WORTH})**gamma_N*{_LOST_BEFORE}"

PRECISION = Law(
    "precision",
    f"E + A/({_WORTH})**alpha + B/D**beta",
    _bounded({}, *_CHINCHILLA, *_GAMMAS),
    source=f"{PAPER}, Eq. 3 and 4 (main text); its coefficients hold with the offsets only: see precision-offset",
    note="Few bits in training are fewer parameters: N_eff = N times one saturating factor each for weights, "
    "activations and cache. With many bits it is Chinchilla.",
    inputs=TRAINING_BITS,
)

PRECISION_OFFSET = Law(
    "precision-offset",
    f"E + A/({_WORTH_OFFSET})**alpha + B/D**beta",
    _bounded(_TABLE, *_CHINCHILLA, *_GAMMAS, *_OFFSETS),
    source=f"{PAPER}, App. K, Table 2 (READ from a scan, the offsets' sign derived); N 30M to 220M on Dolma",
    note="n = 0 is the law precision. Below γ·n bits it has no value: there the paper's runs diverge.",
    inputs=TRAINING_BITS,
)

QUANTISED = Law(
    "quantised",
    "C_T*D**gamma_D/N**gamma_N*exp(-P_post/gamma_post)",
    _bounded(_TABLE_PTQ, "C_T", "gamma_D", "gamma_N", "gamma_post"),
    source=f"{PAPER}, Eq. 2; coefficients: App. K, Table 2 (READ from a scan; its offset b is within C_T)",
    note="What quantisation to P_post bits after training adds to the loss: more for more tokens, less for more "
    "parameters.",
    inputs=frozenset({"P_post"}),
)

QUANTISED_UNIFIED = Law(
    "quantised-unified",
    _UNIFIED,
    _bounded({}, "C_T", "gamma_D", "gamma_N", "gamma_post", *_GAMMAS, *(f"C_{part}" for part in PARTS)),
    source=f"{PAPER}, Eq. 9 (main text); no coefficients are stated for C_w, C_a, C_kv",
    note="What quantisation to P_post bits adds after training in P_w, P_a, P_kv bits; nothing when it was trained "
    "in P_post bits. For P_post ≤ P_w, P_a, P_kv.",
    inputs=ALL_BITS,
)

PRECISION_UNIFIED = Law(
    "precision-unified",
    f"E + A/({_WORTH})**alpha + B/D**beta + {_UNIFIED}",
    _bounded({}, *_CHINCHILLA, "C_T", "gamma_D", "gamma_N", "gamma_post", *_GAMMAS, *(f"C_{part}" for part in PARTS)),
    source=f"{PAPER}, Eq. 10: the law precision plus the law quantised-unified",
    note="The loss after quantisation to P_post bits of a model trained in P_w, P_a, P_kv bits.",
    inputs=ALL_BITS,
)

PRECISION_LAWS: tuple[Law, ...] = (PRECISION, PRECISION_OFFSET, QUANTISED, QUANTISED_UNIFIED, PRECISION_UNIFIED)


def effective_parameters(N: Array, bits: Mapping[str, Array], coefficients: Mapping[str, float]) -> Array:
    """Give N_eff (…): the parameters that a model trained in `bits` P_w, P_a, P_kv is worth.

    A part that is not in `bits` is in full precision. `coefficients` holds gamma_w, gamma_a, gamma_kv and, where
    they were fitted, offsets n_w, n_a, n_kv. Raises FormulaError for bits of an unknown part, or where nothing is left.
    """
    stray = sorted(set(bits) - TRAINING_BITS)
    if stray:
        raise FormulaError(f"bits of {', '.join(stray)} do not matter in training; known: {', '.join(TRAINING_BITS)}")
    worth = np.asarray(N, dtype=np.float64)
    for part in PARTS:
        if (given := bits.get(f"P_{part}")) is not None:
            gamma, offset = coefficients[f"gamma_{part}"], coefficients.get(f"n_{part}", 0.0)
            worth = worth * (1.0 - np.exp(offset - np.asarray(given, dtype=np.float64) / gamma))
            if not (worth > 0).all():
                raise FormulaError(f"P_{part} is at most {gamma * offset:.2g} bits, where the law leaves nothing of N")
    return worth


def training_cost(N: Array, D: Array, bits: Array) -> Array:
    """Give training compute in FLOP of 16 bits: (6/16) N D P for P bits in all parts (Kumar 2024, §2)."""
    return 6.0 / FULL_BITS * np.asarray(N, dtype=np.float64) * D * bits
