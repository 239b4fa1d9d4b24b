"""Priors: how the coefficients of a loss law are spread over the public families, without the one being forecast."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from foretell.errors import MethodError, UnknownName
from foretell.fitting.coordinates import Coordinates, coordinates_of
from foretell.fitting.objective import Objective
from foretell.laws.law import Coefficient, Law
from foretell.table import Observations

Array = NDArray[np.float64]

SHIPPED = "priors.toml"
N0, D0 = 1e9, 2e10  # the run at which coefficients are read: S is its loss, f and w shares of it
LOG = Objective("gaussian", "log")
_SHAPE = {
    "S": Coefficient(start=(1.0, 5.0), unit="loss of 1B parameters on 20B tokens"),
    "f": Coefficient(0.0, 1.0, (0.2, 0.9), "share of S that no run gets below"),
    "w": Coefficient(0.0, 1.0, (0.2, 0.8), "share of the rest that is due to N"),
    "a": Coefficient(start=(0.05, 1.0), unit="1"),
    "b": Coefficient(start=(0.05, 1.0), unit="1"),
    "k": Coefficient(start=(0.15, 1.2), unit="1"),
}
# Chinchilla and Skaling, written so that only S has the unit of the loss; n = log(N/N0), d = log(D/D0). For Skaling a
# and b are the exponents far from the other's reach, alpha·k and beta·k of its own letters.
SHAPES: dict[str, Law] = {
    "chinchilla": Law(
        "chinchilla",
        "S*(f + (1 - f)*(w*exp(-a*n) + (1 - w)*exp(-b*d)))",
        {name: _SHAPE[name] for name in "Sfwab"},
        source="Hoffmann 2022, arXiv 2203.15556, Eq. 2",
        inputs=frozenset({"n", "d"}),
    ),
    "skaling": Law(
        "skaling",
        "S*(f + (1 - f)*(w*exp(-a*n/k) + (1 - w)*exp(-b*d/k))**k)",
        _SHAPE,
        source="Skaling, arXiv 2608.07222",
        inputs=frozenset({"n", "d"}),
    ),
}
# What is supposed of any family before one is seen, in fitted coordinates (log, or logit of a share): so wide that only
# coefficients that a family's rows do not settle feel it. S is left to each family's rows.
BASE_CENTRE = {"S": 1.0, "f": 0.0, "w": 0.0, "a": np.log(0.3), "b": np.log(0.3), "k": np.log(0.6)}
BASE_WIDTH = {"S": 3.0, "f": 1.5, "w": 1.5, "a": 0.7, "b": 0.7, "k": 0.5}
FEWEST_FAMILIES = 3
ROUNDS = 200
WORTH = 4.0  # families that the first guess of the spread between families counts as
FIRST_WIDTH = {"f": 0.5, "w": 0.5, "a": 0.3, "b": 0.3, "k": 0.3}  # that guess


@dataclass(frozen=True)
class Family:
    """Hold what one public family's rows alone say of a law: a normal posterior under the base prior.

    `names` are what studies call it, `sketch` the hashes by which its rows are recognised, `spread` the residuals'
    standard deviation of log loss, `centre` (q,) and `covariance` (q, q) lie in the law's fitted coordinates.
    """

    name: str
    names: tuple[str, ...]
    origin: str
    runs: int
    spread: float
    sketch: frozenset[str]
    centre: Array
    covariance: Array

    @property
    def source(self) -> str:
        """Give the data set it comes from; families of one source share runs or a recipe."""
        return self.name.split("/")[0]


@dataclass(frozen=True)
class Prior:
    """Hold a normal prior in a law's fitted coordinates, the spread to expect, and the families it was learned from."""

    law: Law
    centre: Array
    covariance: Array
    spread: float
    families: tuple[str, ...]
    left_out: tuple[str, ...]


def coordinates(law: Law) -> Coordinates:
    """Give the fitted coordinates of a law's coefficients."""
    return coordinates_of(law, LOG)


def base(law: Law) -> tuple[Array, Array]:
    """Give centre and precision (q,) of the base prior of a law's coefficients."""
    centre = np.array([BASE_CENTRE[name] for name in law.coefficients])
    return centre, np.array([BASE_WIDTH[name] ** -2.0 for name in law.coefficients])


@cache
def shipped(law: str) -> tuple[Family, ...]:
    """Read the shipped families of a law; raises UnknownName for a law without priors."""
    if law not in SHAPES:
        raise UnknownName("law with priors", law, SHAPES)
    table = tomllib.loads(files("foretell.methods").joinpath(SHIPPED).read_text(encoding="utf-8"))
    return tuple(
        Family(
            name=row["name"],
            names=tuple(row["names"]),
            origin=row["origin"],
            runs=row["runs"],
            spread=row[law]["spread"],
            sketch=frozenset(row["sketch"]),
            centre=np.array(row[law]["centre"]),
            covariance=np.array(row[law]["covariance"]),
        )
        for row in table["family"]
    )


def learn_prior(families: Collection[Family], law: Law, left_out: Collection[str] = ()) -> Prior:
    """Learn the spread of coefficients over families; those of a source named in `left_out` are not looked at.

    Each family is taken as its likelihood, which is its posterior with the base prior divided out; the normal
    population is found by expectation maximisation (Laird 1982), each source counting once. S stays free: it is
    the one coefficient with a unit, and tells the tokeniser, the text and the family apart. Raises MethodError when
    fewer than three families are left.
    """
    kept = sorted((f for f in families if f.source not in left_out), key=lambda family: family.name)
    if len(kept) < FEWEST_FAMILIES:
        raise MethodError(
            f"a prior needs at least {FEWEST_FAMILIES} families, and {len(kept)} are left; leave fewer out"
        )
    start, base_precision = base(law)
    inverse = np.stack([np.linalg.inv(family.covariance) for family in kept])
    known = inverse - np.diag(base_precision)
    pull = np.einsum("fij,fj->fi", inverse, np.stack([f.centre for f in kept])) - base_precision * start
    siblings = [family.source for family in kept]
    weight = np.array([1.0 / siblings.count(source) for source in siblings])
    free = np.array([name == "S" for name in law.coefficients])
    guess = np.diag([FIRST_WIDTH.get(name, BASE_WIDTH[name]) ** 2.0 for name in law.coefficients])
    centre, covariance = start, guess
    for _ in range(ROUNDS):
        precision = np.linalg.inv(covariance)
        spread = np.linalg.inv(known + precision)
        means = np.einsum("fij,fj->fi", spread, pull + precision @ centre)
        centre = np.where(free, start, weight @ means / weight.sum())
        away = means - centre
        total = np.einsum("f,fij->ij", weight, spread + away[:, :, None] * away[:, None, :])
        covariance = (WORTH * guess + total) / (WORTH + weight.sum())
        covariance[free, :] = covariance[:, free] = 0.0
        covariance[free, free] = BASE_WIDTH["S"] ** 2.0
    return Prior(
        law=law,
        centre=centre,
        covariance=covariance * (1.0 + np.where(free, 0.0, 1.0 / weight.sum())),  # the centre is an estimate, too
        spread=float(np.exp(weight @ np.log([family.spread for family in kept]) / weight.sum())),
        families=tuple(family.name for family in kept),
        left_out=tuple(sorted(family.name for family in families if family.source in left_out)),
    )


def sketch_of(observations: Observations, metric: str, most: int | None = None) -> frozenset[str]:
    """Hash every (tokens, loss) of a metric; of many rows the `most` smallest hashes, a sample that any part shares."""
    values = observations.values.filter(observations.values["metric"] == metric)
    hashes = {
        hashlib.sha256(f"{D:.3e} {value:.5e}".encode()).hexdigest()[:10]
        for D, value in zip(values["D"], values["value"], strict=True)
    }
    return frozenset(sorted(hashes)[:most])


def recognise(families: Collection[Family], observations: Observations, metric: str, named: str) -> set[str]:
    """Name the sources to leave out: those of the study's families, of rows that it shares with one, and those named.

    `named` lists further families or sources, between commas. Raises UnknownName for one that is not there.
    """
    told = {part.strip() for part in named.split(",") if part.strip()}
    known = {name for family in families for name in (family.name, family.source, *family.names)}
    for name in sorted(told - known):
        raise UnknownName("family with priors", name, known)
    told |= set(observations.runs["family"].to_list())
    rows = sketch_of(observations, metric)
    return {f.source for f in families if told & {f.name, f.source, *f.names} or rows & f.sketch}
