"""The ladder: what to train for a target, what it costs, what it will tell."""

from foretell.ladder.devices import DEVICES, Device, device_hours, device_named
from foretell.ladder.expected import Expected, Lens, Prior, prior_of, shipped_prior
from foretell.ladder.plan import (
    Aim,
    NextRun,
    Plan,
    Request,
    aim_at,
    make_plan,
    next_ladder,
    parse_budget,
    rank_next,
    sources_of,
    with_precision,
)  # fmt: skip
from foretell.ladder.recipe import RECIPES, Recipe
from foretell.ladder.shapes import shape_near
from foretell.ladder.write import write_ladder

__all__ = [
    "DEVICES", "RECIPES", "Aim", "Device", "Expected", "Lens", "NextRun", "Plan", "Prior", "Recipe", "Request",
    "aim_at", "device_hours", "device_named", "make_plan", "next_ladder", "parse_budget", "prior_of", "rank_next",
    "shape_near", "shipped_prior", "sources_of", "with_precision", "write_ladder",
]  # fmt: skip
