"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from modelcar.errors import UsageError
from modelcar.settings import Access

F = TypeVar("F", bound=Callable[..., Any])


class Size(click.ParamType[int]):
    """Bytes as people write them: `10GB`, `5GiB`, `500M`; decimal unless it says `i`."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType`."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", str(value).strip(), re.IGNORECASE)
        if not match or (match[3] and not match[2]):
            self.fail(f"{value!r} is no size: write it like 10GB or 5GiB", param, ctx)
        power = " kmgt".index(match[2].lower() or " ")
        return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


class Pair(click.ParamType[tuple[str, str]]):
    """`KEY=VALUE`."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """See `click.ParamType`."""
        if isinstance(value, tuple):
            return value
        key, equals, rest = str(value).partition("=")
        if not equals or not key:
            self.fail(f"{value!r} is no KEY=VALUE", param, ctx)
        return key, rest


text_or_json = click.option("--format", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
of_platform = click.option(
    "--platform", metavar="OS/ARCH", help="Of a multi-platform image, take this one.  [default: the first]"
)
gguf_file = click.option("--file", metavar="NAME", help="Where several GGUF models are, look at this one.")

_REGISTRY = (
    click.option(
        "--ca-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="PEM file of certificate authorities to trust besides the system's own.",
    ),
    click.option(
        "--plain-http", is_flag=True, help="Speak HTTP without TLS to registries that aren't on loopback too."
    ),
    click.option(
        "--authfile",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Credentials to look at first, as podman's --authfile.  [env: REGISTRY_AUTH_FILE too]",
    ),
)


def registry_options(command: F) -> F:
    """How registries are reached."""
    return _apply(command, *_REGISTRY)


def access_options(command: F) -> F:
    """How registries are reached, and how much is said about it."""
    return _apply(
        command,
        *_REGISTRY,
        click.option(
            "-v",
            "--verbose",
            count=True,
            callback=_set_up_log,
            expose_value=False,
            help="Show each request, without what is secret; -vv does too.",
        ),
    )


def _workers(besides: str = "") -> Callable[[F], F]:
    """How much is done at a time, and what else that number is for."""
    help = f"Layers in flight{besides}."
    return click.option("--workers", type=click.IntRange(1, 64), metavar="N", default=4, show_default=True, help=help)


_TRIES = (
    click.option(
        "--retry",
        type=click.IntRange(0, 100),
        metavar="N",
        default=5,
        show_default=True,
        help="Tries after the first one failed.",
    ),
    click.option(
        "--retry-delay",
        type=click.FloatRange(0, 600),
        metavar="SECONDS",
        default=0.5,
        show_default=True,
        help="Before the first of them; each further one waits twice as long.",
    ),
)


def effort_options(command: F) -> F:
    """How much is done at a time, and how often it is tried."""
    return _apply(command, _workers(), *_TRIES)


def selection_options(command: F) -> F:
    """Which files of the source."""
    return _apply(
        command,
        click.option("--include", multiple=True, metavar="GLOB", help="Take only files that match; repeatable."),
        click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out files that match; repeatable."),
        click.option("--all-files", is_flag=True, help="Take what serving doesn't need too."),
    )


def image_options(command: F) -> F:
    """What the image is built on and how it is cut."""
    return _apply(
        command,
        click.option(
            "--base",
            metavar="REF|embedded|none",
            default="embedded",
            show_default=True,
            help="The image under the model, in a registry, layout or archive. KServe's modelcar mode needs a shell in "
            "it; embedded is modelcar's own, which runs KServe's lines and no others.",
        ),
        click.option("--base-without-shell", is_flag=True, help="Take a base in which KServe's shell lines can't run."),
        click.option(
            "--image-format",
            type=click.Choice(["oci", "docker"]),
            default="oci",
            show_default=True,
            help="docker writes manifests of its schema 2, with gzip layers, for old consumers.",
        ),
        click.option(
            "--compression",
            metavar="none|gzip|zstd[:LEVEL]",
            help="Compress layers, which costs much time and saves little of weights.  [default: none; docker: gzip]",
        ),
        click.option(
            "--platform",
            multiple=True,
            metavar="OS/ARCH[,…]",
            help="Build for these only; repeatable.  [default: all of the base]",
        ),
        click.option(
            "--max-layer-size", type=Size(), help="What the registry takes, as 10GB.  [default: as known of it]"
        ),
        click.option(
            "--cache-from",
            multiple=True,
            metavar="REF",
            help="Take over layers of this image too, of another repository of the registry; repeatable.",
        ),
        click.option("--no-cache", is_flag=True, help="Take over nothing: read and send all layers."),
        _workers("; on slow links idle ones fetch ranges of the last files (up to 128 MiB of memory)"),
        *_TRIES,
    )


def folders(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What the shell completes where a folder may stand."""
    return [CompletionItem(begun, type="dir")]


def split_platforms(values: tuple[str, ...]) -> tuple[str, ...]:
    """Platforms given one by one or as lists."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def make_access(ca_file: Path | None, plain_http: bool, authfile: Path | None) -> Access:
    """The values of `access_options` as one.

    Raises:
        UsageError: The file of authorities isn't there.
    """
    if ca_file is not None and not ca_file.is_file():
        raise UsageError(f"--ca-file {ca_file} doesn't exist")
    return Access(ca_file, plain_http, authfile)


def _apply(command: F, *options: Callable[[F], F]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def _set_up_log(_context: click.Context, _parameter: click.Parameter, value: int) -> None:
    if value:
        from modelcar.cli.log import show_requests

        show_requests()
