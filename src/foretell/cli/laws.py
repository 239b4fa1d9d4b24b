"""`foretell laws`: the catalogue."""

from __future__ import annotations

from typing import Annotated

import typer

from foretell.cli.options import AsJson


def laws(
    name: Annotated[str | None, typer.Argument(help="A law, to see its coefficients.")] = None, json: AsJson = False
) -> None:
    """List the published laws, or show one with its coefficients, bounds and source."""
    from rich.table import Table

    from foretell.cli.show import console, print_json
    from foretell.laws import LAWS, MORE_LAWS, Law, law_named

    def entry(law: Law) -> dict[str, object]:
        return {
            "law": law.name,
            "formula": law.formula,
            "response": law.response,
            "inputs": list(law.variables),
            "coefficients": {
                c: {
                    "unit": law.coefficient(c).unit,
                    "bounds": [law.coefficient(c).lower, law.coefficient(c).upper],
                    "published": law.coefficient(c).published,
                }
                for c in law.coefficients
            },
            "source": law.source,
            "note": law.note,
        }

    shown = [*LAWS.values(), *MORE_LAWS.values()] if name is None else [law_named(name)]
    if json:
        print_json([entry(law) for law in shown])
        return
    if name is None:
        table = Table("law", "formula", "of", "source", title="Laws", title_justify="left")
        for law in shown:
            table.add_row(law.name, law.formula, law.response, law.source)
        console().print(table)
        return
    law = shown[0]
    out = console()
    out.print(f"{law.name}:  {law.formula}", markup=False)
    out.print(f"source: {law.source or 'your own formula'}" + (f"\n{law.note}" if law.note else ""), markup=False)
    table = Table("coefficient", "unit", "bounds", "published")
    for c in law.coefficients:
        bound = law.coefficient(c)
        published = "" if bound.published is None else f"{bound.published:g}"
        table.add_row(c, bound.unit, f"{bound.lower:g} … {bound.upper:g}", published)
    out.print(table)
