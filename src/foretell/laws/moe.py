"""The laws of loss of routed models: N parameters of the dense model, `experts` in each routed layer."""

from __future__ import annotations

import math

from foretell.laws.law import Coefficient, Law

LN10 = math.log(10.0)  # the paper's logarithms are decimal: with natural ones its table gives losses below 1
EXPERTS = frozenset({"experts"})

_WORTH = "(1/(1/(experts - 1 + 1/(1/E_start - 1/E_max)) + 1/E_max))"  # Ê: E_start at one expert, E_max at endless
_PAPER = "Clark 2022, arXiv 2202.01169"

ROUTED = Law(
    "routed",
    f"exp(a*log(N) + b*log({_WORTH}) + c*log(N)*log({_WORTH}) + d)",
    {
        "a": Coefficient(-math.inf, math.inf, (-0.2, -0.02), "1", -0.082),
        "b": Coefficient(-math.inf, math.inf, (-0.4, -0.02), "1", -0.108),
        "c": Coefficient(-math.inf, math.inf, (0.0, 0.03), "1", 0.009 / LN10),
        "d": Coefficient(-math.inf, math.inf, (1.0, 5.0), "log nats/token", 1.104 * LN10),
        "E_start": Coefficient(1.0, start=(1.2, 8.0), unit="experts", published=1.847),
        "E_max": Coefficient(16.0, start=(100.0, 3000.0), unit="experts", published=314.478),
    },
    source=f"{_PAPER}, Eq. 6 and 7; coefficients: S-BASE, Table 3 (RECALL, formula too); "
    "RUN: unfitted they miss scalebench's moe.csv by 1.5 %, a fit to it by 1.4 %",
    note="The gain of experts levels off at E_max and, with c > 0, falls with N. One number of tokens (130B there).",
    inputs=EXPERTS,
)

ROUTED_FLOOR = Law(
    "routed-floor",
    f"L_inf + exp(a*log(N) + b*log({_WORTH}) + c*log(N)*log({_WORTH}) + d)",
    {
        **{name: Coefficient(*_plain, unit="1") for name, _plain in {
            "a": (-math.inf, math.inf, (-0.4, -0.02)),
            "b": (-math.inf, math.inf, (-0.5, -0.02)),
            "c": (-math.inf, math.inf, (-0.01, 0.03)),
        }.items()},
        "d": Coefficient(-math.inf, math.inf, (1.0, 6.0), "log nats/token"),
        "E_start": Coefficient(1.0, start=(1.2, 8.0), unit="experts"),
        "E_max": Coefficient(16.0, start=(100.0, 3000.0), unit="experts"),
        "L_inf": Coefficient(start=(0.05, 2.0), unit="nats/token"),
    },
    source=f"ours: {_PAPER} with a floor",
    note="Without the floor (L_inf = 0) it is the law routed.",
    inputs=EXPERTS,
)  # fmt: skip

MOE_LAWS: tuple[Law, ...] = (ROUTED, ROUTED_FLOOR)
