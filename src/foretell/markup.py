"""A small table in HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def small_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """Write a titled table with notes below it; every text is escaped."""
    columns = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    told = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f"<div><b>{escape(title)}</b><table><thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table>"
        + (f"<ul>{told}</ul>" if told else "")
        + "</div>"
    )
