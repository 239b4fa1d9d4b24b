"""The command line: one file a verb, and the only place that prints."""

from __future__ import annotations

import gc
import signal
import sys


class _Interrupted(BaseException):
    """Stand for Ctrl-C: Typer would turn a KeyboardInterrupt into an exit without a word."""


def _interrupt(*_: object) -> None:
    raise _Interrupted


def main() -> None:
    """Run the command line; an error of ours ends with one clear message and exit code 2, Ctrl-C with 130."""
    gc.set_threshold(200_000)  # imports make objects that stay: collecting among them costs a tenth of a forecast
    from foretell.cli.app import app
    from foretell.errors import ForetellError

    signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except ForetellError as error:
        from rich.console import Console

        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        console.print(str(error), markup=False)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except _Interrupted:
        sys.stderr.write("stopped; nothing half-written was left behind\n")
        sys.stderr.flush()
        sys.exit(130)
    finally:
        gc.freeze()  # nothing is left to collect but what the exit frees anyway
