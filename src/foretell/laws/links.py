"""The published links: from a loss (or straight from N and D) to a share in 0..1."""

from __future__ import annotations

import math

from foretell.laws.law import Coefficient, Law

SLOPE = Coefficient(start=(0.5, 20.0), unit="1/loss")
MIDDLE = Coefficient(start=(0.2, 5.0), unit="loss")
SHARE = Coefficient(0.0, 1.0, (0.05, 0.95), "share")
CHANCE = frozenset({"chance"})  # the metric's own, known beforehand

SIGMOID = Law(
    "sigmoid",
    "a/(1 + exp(-k*(L - L0))) + b",
    {
        "a": Coefficient(-1.0, 0.0, (-0.9, -0.1), "share"),
        "k": SLOPE,
        "L0": MIDDLE,
        "b": Coefficient(0.0, 1.0, (0.5, 0.99), "share"),
    },
    response="share",
    source="Bhagia 2024, arXiv 2412.04403, Eq. 2",
)

SIGMOID_FLOOR = Law(
    "sigmoid-floor",
    "chance + (top - chance)/(1 + exp(k*(L - L0)))",
    {"top": Coefficient(0.0, 1.0, (0.5, 0.99), "share"), "k": SLOPE, "L0": MIDDLE},
    response="share",
    source="Bhagia 2024, arXiv 2412.04403, Eq. 2 with the floor fixed at chance",
    inputs=CHANCE,
)

SIGMOID_FIXED = Law(
    "sigmoid-fixed",
    "chance + (1 - chance)/(1 + exp(k*(L - L0)))",
    {"k": SLOPE, "L0": MIDDLE},
    response="share",
    source="Cao 2025: sigmoid regression on a validation loss with the floor at chance and the ceiling at 1",
    inputs=CHANCE,
)

SIGMOID_IDEAL = Law(
    "sigmoid-ideal",
    "1 - h*(1/(1 + exp(-k*(L - L0))) - 1/(1 + exp(k*L0)))*(1 + exp(-k*L0))",
    {"h": SHARE, "k": SLOPE, "L0": MIDDLE},
    response="share",
    source="Bhagia 2024, arXiv 2412.04403, Eq. 2 made to pass through its ideal point: accuracy 1 at loss 0",
)

EXPONENTIAL = Law(
    "exponential",
    "1 - epsilon + k*exp(-gamma*L)",
    {
        "epsilon": Coefficient(0.0, 2.0, (0.3, 0.95), "share", 0.857),
        "k": Coefficient(start=(0.1, 20.0), unit="share", published=2.2065),
        "gamma": Coefficient(start=(0.1, 3.0), unit="1/loss", published=0.7146),
    },
    response="share",
    source="Gadre 2024, arXiv 2403.08540, Eq. 5 for the error 1 − accuracy; coefficients: RedPajama, 17 tasks",
)

LINEAR = Law(
    "linear",
    "w0 + w1*L",
    {
        "w0": Coefficient(-math.inf, math.inf, (0.0, 2.0), "share"),
        "w1": Coefficient(-math.inf, math.inf, (-1.0, 0.0), "share/loss"),
    },
    response="share",
    source="Chen 2024 (FLP), arXiv 2410.08527, stage 2",
)

LOGISTIC = Law(
    "logistic",
    "floor + (ceiling - floor)/(1 + exp(b*L - a))",
    {
        "floor": Coefficient(0.0, 0.6, (0.05, 0.4), "share"),
        "ceiling": Coefficient(0.6, 1.0, (0.7, 0.99), "share"),
        "a": Coefficient(-math.inf, math.inf, (0.0, 10.0), "1"),
        "b": Coefficient(start=(0.5, 10.0), unit="1/loss"),
    },
    response="share",
    source="Cao 2025: sigmoid regression of binary outcomes on a validation loss; meant for counts (binomial)",
)

DIRECT = Law(
    "direct",
    "chance + (1 - chance)*exp(-(A/N**alpha + B/D**beta))",
    {
        "A": Coefficient(start=(1.0, 1e5), unit="parameters^alpha"),
        "B": Coefficient(start=(1.0, 1e5), unit="tokens^beta"),
        "alpha": Coefficient(start=(0.05, 1.0), unit="1"),
        "beta": Coefficient(start=(0.05, 1.0), unit="1"),
    },
    response="share",
    source="arXiv 2512.08894, Eq. 4: −log Q' = A/N^alpha + B/D^beta, Q' the accuracy above chance",
    inputs=CHANCE,
)

FLAT = Law(
    "flat",
    "w0",
    {"w0": SHARE},
    response="share",
    source="no law: what a task without signal allows to be said",
)

LINKS: tuple[Law, ...] = (
    FLAT,
    SIGMOID,
    SIGMOID_FLOOR,
    SIGMOID_FIXED,
    SIGMOID_IDEAL,
    EXPONENTIAL,
    LINEAR,
    LOGISTIC,
    DIRECT,
)
