"""The ladder that ships: small runs trained for this package, and the larger one that they forecast."""

from __future__ import annotations

from importlib.resources import as_file, files

from foretell.table import Observations, open_study

FOLDER = "shipped"


def shipped_ladder() -> Observations:
    """Give the shipped ladder's observations: no network, no torch.

    Byte-level Llamas of 27K to 443K parameters on four sources of plain text, each with four horizons from one trunk,
    two of them with a second seed; the target, 2.2M parameters on 26M tokens, is held out. `make ladder` trains them.
    """
    with as_file(files("foretell") / FOLDER / "ladder") as folder:
        return open_study(folder)
