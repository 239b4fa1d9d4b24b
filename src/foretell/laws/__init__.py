"""Laws: formulas with named coefficients, and the catalogue of published ones."""

from __future__ import annotations

import re

from foretell.errors import UnknownName
from foretell.laws.catalogue import LOSS_LAWS
from foretell.laws.formula import Formula
from foretell.laws.law import Coefficient, Law
from foretell.laws.links import LINKS
from foretell.laws.moe import MOE_LAWS
from foretell.laws.precision import PRECISION_LAWS
from foretell.laws.repetition import REPETITION_LAWS, repetition_inputs
from foretell.laws.schedule import SCHEDULE_LAWS

LAWS: dict[str, Law] = {law.name: law for law in (*LOSS_LAWS, *LINKS)}
MORE_LAWS: dict[str, Law] = {  # of inputs beside N, D, C and a loss
    law.name: law for law in (*REPETITION_LAWS, *PRECISION_LAWS, *SCHEDULE_LAWS, *MOE_LAWS)
}


def law_named(text: str, inputs: frozenset[str] = frozenset()) -> Law:
    """Give the catalogue's law of that name, or make one of a formula such as `E + A/N**alpha`.

    `inputs` names what a formula may use beside N, D, C, …: the attributes that the data have.

    Raises UnknownName for a name that no law has, and FormulaError for text that is not plain arithmetic.
    """
    if text in (known := {**LAWS, **MORE_LAWS}):
        return known[text]
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text):
        raise UnknownName("law", text, known)
    return Law("formula", text, inputs=inputs)


__all__ = [
    "LAWS", "LINKS", "LOSS_LAWS", "MORE_LAWS", "Coefficient", "Formula", "Law", "law_named", "repetition_inputs",
]  # fmt: skip
