"""The published laws of loss: from parameters, tokens and compute to nats/token."""

from __future__ import annotations

import math

from foretell.laws.law import Coefficient, Law

LOSS = "nats/token"


def _floor(published: float | None = None, start: tuple[float, float] = (0.05, 3.0)) -> Coefficient:
    return Coefficient(start=start, unit=LOSS, published=published)


def _exponent(published: float | None = None, start: tuple[float, float] = (0.05, 1.0)) -> Coefficient:
    return Coefficient(start=start, unit="1", published=published)


def _amplitude(unit: str, published: float | None = None, start: tuple[float, float] = (1.0, 1e5)) -> Coefficient:
    return Coefficient(start=start, unit=unit, published=published)


CHINCHILLA = Law(
    "chinchilla",
    "E + A/N**alpha + B/D**beta",
    {
        "E": _floor(1.8172),
        "A": _amplitude(f"{LOSS} · parameters^alpha", 482.01),
        "B": _amplitude(f"{LOSS} · tokens^beta", 2085.43),
        "alpha": _exponent(0.3478),
        "beta": _exponent(0.3658),
    },
    source="Hoffmann 2022, arXiv 2203.15556, Eq. 2; coefficients: Besiroglu 2024, arXiv 2404.10102",
)

TIED = Law(
    "chinchilla-tied",
    "E + A/N**alpha + B/D**alpha",
    {
        "E": _floor(),
        "A": _amplitude(f"{LOSS} · parameters^alpha"),
        "B": _amplitude(f"{LOSS} · tokens^alpha"),
        "alpha": _exponent(),
    },
    source="Muennighoff 2023, arXiv 2305.16264: Chinchilla with alpha = beta",
)

GADRE = Law(
    "gadre",
    "E + (a*M**eta + b*M**(-eta))*C**(-eta)",
    {
        "E": _floor(1.8366),
        "a": _amplitude(f"{LOSS} · FLOP^eta", 166.2 * 6**0.13645),
        "b": _amplitude(f"{LOSS} · FLOP^eta", 366.7),
        "eta": _exponent(0.13645, (0.03, 0.5)),
    },
    source="Gadre 2024, arXiv 2403.08540, Eq. 4; coefficients: RedPajama, Table 6 of the released code",
    note="The tied Chinchilla law in compute C and token multiplier M = D/N; C is 6ND.",
)

SKALING = Law(
    "skaling",
    "(A/N**alpha + B/D**beta)**k + E",
    {
        "E": _floor(),
        "A": _amplitude(f"{LOSS}^(1/k) · parameters^alpha", start=(1.0, 1e7)),
        "B": _amplitude(f"{LOSS}^(1/k) · tokens^beta", start=(1.0, 1e8)),
        "alpha": _exponent(start=(0.1, 1.5)),
        "beta": _exponent(start=(0.1, 1.5)),
        "k": _exponent(start=(0.15, 1.2)),
    },
    source="Skaling, arXiv 2608.07222; k = 1 is Chinchilla",
    note="alpha, beta, k and E trade off against each other: only the surface they draw is usable.",
)

FARSEER = Law(
    "farseer",
    "exp(s*N**q + S) + exp(B*N**b + Q) * D**(-exp(A*N**a + E))",
    {
        "s": Coefficient(-math.inf, math.inf, (-0.2, 0.0), "1", -0.0624655),
        "q": Coefficient(0.0, math.inf, (0.05, 0.3), "1", 0.13),
        "S": Coefficient(-math.inf, math.inf, (-1.0, 1.0), "log nats/character", 0.128488),
        "B": Coefficient(-math.inf, math.inf, (10.0, 300.0), "1", 230.734),
        "b": Coefficient(-math.inf, 0.0, (-0.3, -0.1), "1", -0.1729),
        "Q": Coefficient(-math.inf, math.inf, (-3.0, 1.0), "log nats/character", -1.54421),
        "A": Coefficient(-math.inf, math.inf, (-3.0, -0.5), "1", -1.66563),
        "a": Coefficient(0.0, math.inf, (0.02, 0.1), "1", 0.0459),
        "E": Coefficient(-math.inf, math.inf, (1.0, 4.0), "1", 3.13335),
    },
    source="Farseer, arXiv 2506.10972; its E is not a floor of the loss",
    note="The exponent of D falls with N.",
)

BNSL = Law(
    "bnsl",
    "a + b*C**(-c0)*(1 + (C/d1)**(1/f1))**(-c1*f1)",
    {
        "a": _floor(),
        "b": _amplitude(f"{LOSS} · FLOP^c0", start=(1.0, 1e4)),
        "c0": _exponent(start=(0.01, 0.3)),
        "c1": Coefficient(-math.inf, math.inf, (-0.2, 0.3), "1"),
        "d1": _amplitude("FLOP", start=(1e17, 1e22)),
        "f1": Coefficient(0.05, 5.0, (0.1, 2.0), "1"),
    },
    source="Caballero 2022, arXiv 2210.14891, Eq. 1 with one break (from memory of the paper; limits tested)",
    note="A power law of exponent c0 below the break d1, c0 + c1 above it; f1 is the break's width.",
)

RAY = Law(
    "ray",
    "psi/N**alpha + E",
    {"psi": _amplitude(f"{LOSS} · parameters^alpha"), "alpha": _exponent(), "E": _floor()},
    source="arXiv 2605.08541: what runs on a single ray D = kN identify",
    note="psi = A + B k^(-alpha): valid on the ray it was fitted on, and nowhere else.",
)

POWER_C = Law(
    "power-C",
    "E + A/C**alpha",
    {
        "A": _amplitude(f"{LOSS} · FLOP^alpha", start=(1.0, 1e6)),
        "alpha": _exponent(start=(0.02, 0.5)),
        "E": _floor(),
    },
    source="Kaplan 2020, arXiv 2001.08361, with a floor; Bhagia 2024, arXiv 2412.04403, app. on FLOPs",
)

POWER_N = Law(
    "power-N",
    "E + A/N**alpha",
    {"A": _amplitude(f"{LOSS} · parameters^alpha"), "alpha": _exponent(), "E": _floor()},
    source="Kaplan 2020, arXiv 2001.08361, Eq. 1.1, with a floor",
)

POWER_D = Law(
    "power-D",
    "E + B/D**beta",
    {"B": _amplitude(f"{LOSS} · tokens^beta"), "beta": _exponent(), "E": _floor()},
    source="Kaplan 2020, arXiv 2001.08361, Eq. 1.2, with a floor",
)

LOSS_LAWS: tuple[Law, ...] = (
    CHINCHILLA, TIED, GADRE, SKALING, FARSEER, BNSL, RAY, POWER_C, POWER_N, POWER_D,
)  # fmt: skip
