"""Mixture experiments: laws for any number of sources, the best mixture, and what repetition does to it."""

from foretell.mixing.design import Design, design_ladder
from foretell.mixing.horizon import Best, Horizon, best_of, horizons_of
from foretell.mixing.model import MixtureModel, fit_model
from foretell.mixing.optimum import Goal, Optimum, best_mixture
from foretell.mixing.panel import Panel, objective_weights, panel_of
from foretell.mixing.select import Choice, choose_model
from foretell.mixing.swarm import Survival, decision_accuracy, survival
from foretell.mixing.transfer import Transfer, carry

__all__ = [
    "Best", "Choice", "Design", "Goal", "Horizon", "MixtureModel", "Optimum", "Panel", "Survival", "Transfer",
    "best_mixture", "best_of", "carry", "choose_model", "decision_accuracy", "design_ladder", "fit_model",
    "horizons_of", "objective_weights", "panel_of", "survival",
]  # fmt: skip
