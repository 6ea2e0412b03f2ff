"""The log on stderr, which `-v` asks for."""

from __future__ import annotations

import logging

import click


def show_requests() -> None:
    """Show each request. Only our own loggers: those of libraries know nothing of secrets."""
    log = logging.getLogger("modelcar")
    log.addHandler(_Stderr())
    log.setLevel(logging.DEBUG)


class _Stderr(logging.Handler):
    """Lines on what is stderr at the time: a live area that is shown there makes room for them."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        click.echo(record.getMessage(), err=True)
