"""A phase: a stretch of steps of a rung, from the checkpoint that it starts at to the one that it ends with."""

from __future__ import annotations

from dataclasses import dataclass

from foretell.rung import Rung, cosine_share, wsd_share

TRUNK = "trunk"


@dataclass(frozen=True)
class Phase:
    """Describe steps `first` to `last` towards horizon D, under the name that its checkpoints bear.

    It begins from the checkpoint `source` at step `first`, or from an untrained model where that is empty. `run` names
    the run that it ends, if any.
    """

    name: str
    source: str
    first: int
    last: int
    D: int
    run: str = ""

    def learning_rate(self, rung: Rung, step: int) -> float:
        """Give the learning rate at a step."""
        steps = rung.steps(self.D)
        if rung.schedule == "cosine":
            return rung.learning_rate * cosine_share(step, steps, rung.warmup)
        return rung.learning_rate * wsd_share(step, steps, rung.warmup, rung.cooldown)


def phases_of(rung: Rung) -> list[Phase]:
    """List the phases of a rung in the order that they are trained in.

    With a shared trunk each horizon takes two: the trunk up to its cool-down, then the cool-down. Otherwise one each.
    """
    made: list[Phase] = []
    at = 0
    for D in rung.D:
        run, steps = rung.run_name(D), rung.steps(D)
        if rung.separate:
            made.append(Phase(run, "", 0, steps, D, run))
            continue
        branch = rung.trunk_steps(D)
        made.append(Phase(TRUNK, TRUNK if at else "", at, branch, D))
        made.append(Phase(run, TRUNK, branch, steps, D, run))
        at = branch
    return made
