"""The mixtures that the runs were trained on."""

from __future__ import annotations

from foretell.laws.law import INPUT_PREFIX
from foretell.report.page.contents import Contents
from foretell.report.page.html import Child, joined, table, tag
from foretell.report.page.section import Section

MOST_MIXTURES = 60


def mixtures(contents: Contents) -> Section | None:
    """Tabulate the distinct mixtures; nothing where the study has none."""
    frame = contents.observations.runs
    shares = [column for column in frame.columns if column.startswith(INPUT_PREFIX)]
    known = frame.drop_nulls(shares) if shares else frame.head(0)
    if not len(known):
        return None
    groups: dict[tuple[float, ...], list[str]] = {}
    for row in known.sort("name").iter_rows(named=True):
        groups.setdefault(tuple(round(row[column], 6) for column in shares), []).append(row["name"])
    lines: list[list[Child]] = []
    for mixture, names in list(groups.items())[:MOST_MIXTURES]:
        named = names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        lines.append([named, *(f"{100 * share:.1f} %" for share in mixture)])
    head = ["runs", *(column.removeprefix(INPUT_PREFIX) for column in shares)]
    counted = f"{len(groups)} mixture{'s' * (len(groups) != 1)} over {len(shares)} source{'s' * (len(shares) != 1)}."
    body = joined(tag("p", counted), table("Shares of each source", head, lines))
    return Section("mixtures", "What the runs were trained on", body, "Mixtures")
