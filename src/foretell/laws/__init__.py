"""Laws: formulas with named coefficients, and the catalogue of published ones."""

from __future__ import annotations

import re

from foretell.errors import UnknownName
from foretell.laws.catalogue import LOSS_LAWS
from foretell.laws.formula import Formula
from foretell.laws.law import Coefficient, Law
from foretell.laws.links import LINKS

LAWS: dict[str, Law] = {law.name: law for law in (*LOSS_LAWS, *LINKS)}


def law_named(text: str, inputs: frozenset[str] = frozenset()) -> Law:
    """Give the catalogue's law of that name, or make one of a formula such as `E + A/N**alpha`.

    `inputs` names what a formula may use beside N, D, C, …: the attributes that the data have.

    Raises UnknownName for a name that no law has, and FormulaError for text that is not plain arithmetic.
    """
    if text in LAWS:
        return LAWS[text]
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text):
        raise UnknownName("law", text, LAWS)
    return Law("formula", text, inputs=inputs)


__all__ = ["LAWS", "LINKS", "LOSS_LAWS", "Coefficient", "Formula", "Law", "law_named"]
