"""The command `modelcar`: its commands, its settings file, and how every failure ends."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, MutableMapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from modelcar.errors import Interrupted, ModelcarError, UsageError
from modelcar.settings import FILE, read_settings

_COMMANDS = (
    "build", "plan", "containerfile", "ls", "cat", "pull", "inspect", "diff", "check", "fit", "copy", "verify", "lint",
    "render", "login", "logout", "completion",
)  # fmt: skip
_HOMES = {"logout": "login"}
"""Modules that aren't called as their command is."""


class _Commands(MutableMapping[str, click.Command]):
    """The commands by name. Each is imported when it is asked for: all of them would take longer than many a call."""

    def __init__(self, names: Iterable[str]) -> None:
        self._commands: dict[str, click.Command | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        command = self._commands[name]
        if command is None:
            command = getattr(import_module(f"modelcar.cli.{_HOMES.get(name, name)}"), name)
            self._commands[name] = command
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


@click.group(
    commands=_Commands(_COMMANDS), context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=FILE,
    show_default=True,
    help="A file of settings: a table for each command, its keys the command's options.",
)
@click.version_option(package_name="modelcar", message="modelcar %(version)s")
@click.pass_context
def app(context: click.Context, config: Path) -> None:
    """Turn models into ModelCar images that KServe and OpenShift AI mount.

    Model bytes stream from their source into the registry: no container engine, no root, no copy on disk.
    """
    named = context.get_parameter_source("config") is not ParameterSource.DEFAULT
    if named and not config.exists():
        raise UsageError(f"{config} doesn't exist")
    context.default_map = _defaults(config)


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a Pod that is stopped puts away what it has open
    code = 0
    try:
        outcome = app.main(prog_name="modelcar", auto_envvar_prefix="MODELCAR", standalone_mode=False)
        code = outcome if isinstance(outcome, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = error.exit_code
    except click.ClickException as error:
        _say(error.format_message().rstrip("."), _usage_hint(error))
        code = error.exit_code
    except ModelcarError as error:
        _say(error.what, error.hint)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("stopped")
        code = Interrupted.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        _say(f"{error.filename or 'the output'} can't be read or written: {error.strerror}")
        code = 1
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends in one line
        if os.environ.get("MODELCAR_DEBUG"):
            traceback.print_exc()
        _say(f"this is a bug in modelcar: {type(error).__name__}: {error}", "MODELCAR_DEBUG=1 shows where")
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that wait for a silent server would hold up an ordinary exit.
    os._exit(code)


def _say(what: str, hint: str = "") -> None:
    line = f"error: {what}; {hint}" if hint else f"error: {what}"
    click.echo(" ".join(line.splitlines()), err=True)


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context else ""


def _defaults(path: Path) -> dict[str, Any]:
    """The settings file as click's default map; a table or key that nothing knows is an error, not a silent loss."""
    defaults: dict[str, Any] = {}
    for name, table in read_settings(path).items():
        command = app.commands.get(name)
        if command is None or not isinstance(table, dict):
            raise UsageError(f"{path}: there is no command {name!r}", f"its tables are {', '.join(app.commands)}")
        known = {option.name: option for option in command.params if isinstance(option, click.Option)}
        defaults[name] = {}
        for key, value in table.items():
            option = known.get(key.replace("-", "_"))
            if option is None:
                raise UsageError(f"{path}: {name!r} has no option {key!r}", f"see modelcar {name} --help")
            # What may be given several times may be given once without a list.
            several = option.multiple and not isinstance(value, list)
            defaults[name][option.name] = [value] if several else value
    return defaults
