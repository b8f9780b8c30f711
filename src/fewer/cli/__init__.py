"""The command line: `fewer`."""

from fewer.cli.main import main

__all__ = ["main"]
