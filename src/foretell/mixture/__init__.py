"""A mixture: a point on a simplex, the pools behind it, how to draw some."""

from foretell.mixture.mixture import ROUNDING, Mixture, mixture_rows, parse_shares
from foretell.mixture.pools import Pools
from foretell.mixture.sampling import sample_mixtures
from foretell.mixture.simplex import Region, onto_simplex

__all__ = [
    "ROUNDING", "Mixture", "Pools", "Region", "mixture_rows", "onto_simplex", "parse_shares", "sample_mixtures",
]  # fmt: skip
