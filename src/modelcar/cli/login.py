"""`modelcar login` and `modelcar logout`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from modelcar.cli.options import access_options, make_access


@click.command(short_help="Try credentials at a registry and keep them.")
@click.argument("registry")
@click.option("-u", "--username", help="Asked for when it isn't given.")
@click.option("--password-stdin", is_flag=True, help="Read the password or token from standard input.")
@access_options
def login(
    registry: str,
    username: str | None,
    password_stdin: bool,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
) -> None:
    """Try a user name and password at REGISTRY, and keep them where docker, podman and skopeo find them too.

    They are written into the credential helper that ~/.docker/config.json names, else into that file; where --authfile
    or REGISTRY_AUTH_FILE names another file, or podman's has an entry for REGISTRY already, into that one.

    \b
    Example:
      echo "$TOKEN" | modelcar login quay.io -u acme+robot --password-stdin
    """
    from modelcar.stores.registry import log_in

    if password_stdin and not username:
        raise click.UsageError("--password-stdin needs --username")
    if not password_stdin and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: give --username and --password-stdin")
    user = username or click.prompt("Username", err=True)
    if password_stdin:
        secret = sys.stdin.readline().rstrip("\r\n")
    else:
        secret = click.prompt("Password", hide_input=True, err=True)
    place = log_in(registry, user, secret, make_access(ca_file, plain_http, authfile))
    click.echo(f"logged in to {registry} as {user}; kept in {place}", err=True)


@click.command(short_help="Forget the credentials for a registry.")
@click.argument("registry")
@click.option(
    "--authfile", type=click.Path(dir_okay=False, path_type=Path), help="The file to remove them from, as for login."
)
def logout(registry: str, authfile: Path | None) -> None:
    """Forget the credentials for REGISTRY that `modelcar login` keeps.

    \b
    Example:
      modelcar logout quay.io
    """
    from modelcar.stores.registry import log_out

    place = log_out(registry, authfile)
    click.echo(f"removed the credentials for {registry} from {place}", err=True)
