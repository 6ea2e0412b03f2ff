"""The command line: a thin skin over the library. `app.py` joins the commands, one module each."""

from modelcar.cli.app import main

__all__ = ["main"]
