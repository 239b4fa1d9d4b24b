"""The elements of a page: text goes in as text and comes out escaped."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


@dataclass(frozen=True)
class Html:
    """Hold markup that is safe to write as it is; it is made by `tag`, never from a user's text."""

    text: str

    def __str__(self) -> str:
        return self.text


Child = Html | str | int | float


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Html:
    """Write one element; children that are no Html are escaped, as is every attribute.

    Attributes are spelt as in Python: `class_`, `data_metric`. One that is None or False is left out.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        spelt = key.rstrip("_").replace("_", "-")
        written.append(f" {spelt}" if value is True else f' {spelt}="{escape(str(value), quote=True)}"')
    opening = f"<{name}{''.join(written)}>"
    return Html(opening if name in VOID else f"{opening}{joined(*children)}</{name}>")


def joined(*children: Child) -> Html:
    """Write children one after the other."""
    return Html(
        "".join(child.text if isinstance(child, Html) else escape(str(child), quote=True) for child in children)
    )


def table(
    caption: str,
    head: list[str],
    rows: list[list[Child]],
    *,
    numbers_from: int = 1,
    metrics: list[str] | None = None,
    class_: str = "",
) -> Html:
    """Write a table that scrolls sideways where it is too wide.

    Columns from `numbers_from` on are aligned as numbers; `metrics` names the metric of each row.
    """
    columns = [tag("th", name, scope="col", class_="num" if i >= numbers_from else None) for i, name in enumerate(head)]
    body = []
    for i, row in enumerate(rows):
        cells = [
            tag("th", cell, scope="row") if j == 0 else tag("td", cell, class_="num" if j >= numbers_from else None)
            for j, cell in enumerate(row)
        ]
        body.append(tag("tr", *cells, data_metric=metrics[i] if metrics else None))
    inner = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *columns)),
        tag("tbody", *body),
        class_=class_ or None,
    )
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption)
