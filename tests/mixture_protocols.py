"""The mixture protocols as panels: what a model may see, and what it is scored on."""

from __future__ import annotations

from foretell.mixing.panel import Panel, panel_of
from protocols import Group, protocol


def panels(name: str, *, rows: str = "final") -> list[tuple[str, Panel, Panel]]:
    """Give for each group of a protocol its name, the rows to fit and the rows to forecast."""
    made = protocol(name)
    return [(group.name, *parts(group, made.metrics, rows)) for group in made.groups]


def parts(group: Group, metrics: list[str], rows: str = "final") -> tuple[Panel, Panel]:
    from dataclasses import replace

    assert group.test is not None
    return tuple(panel_of(replace(part, rows=rows), metrics) for part in (group.fit, group.test))
