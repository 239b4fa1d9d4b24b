"""The command line: one file a verb, and the only place that prints."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; an error of ours ends with one clear message and exit code 2."""
    from foretell.cli.app import app
    from foretell.errors import ForetellError

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
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing half-written was left behind\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
