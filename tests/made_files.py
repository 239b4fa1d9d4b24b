"""Where the files lie that the real tools wrote (`make fixtures` makes them anew)."""

from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures"
