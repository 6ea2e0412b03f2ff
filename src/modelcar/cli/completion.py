"""`modelcar completion`."""

from __future__ import annotations

import click


@click.command(short_help="Print the completion script for a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
def completion(shell: str) -> None:
    """Print the completion script for SHELL: bash, zsh or fish.

    \b
    Example:
      modelcar completion bash > ~/.local/share/bash-completion/completions/modelcar
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    context = click.get_current_context().find_root()
    assert kind is not None
    click.echo(kind(context.command, {}, "modelcar", "_MODELCAR_COMPLETE").source())
