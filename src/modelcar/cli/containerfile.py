"""`modelcar containerfile`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelcar.cli import show
from modelcar.cli.options import Pair, Size, access_options, folders, make_access, selection_options


@click.command(short_help="Write a Containerfile that builds the same plan.")
@click.argument("source", shell_complete=folders)
@click.argument("folder", shell_complete=folders)
@selection_options
@click.option(
    "--base",
    metavar="REF|none",
    default="registry.access.redhat.com/ubi9/ubi-micro",
    show_default=True,
    help="The image under the model. KServe's modelcar mode needs a shell in it.",
)
@click.option(
    "--downloader",
    metavar="REF",
    default="registry.access.redhat.com/ubi9/python-312-minimal",
    show_default=True,
    help="The image of the first stage, with python3 3.9 or later in it.",
)
@click.option("--max-layer-size", type=Size(), help="What the registry takes, as 10GB.")
@click.option("--label", multiple=True, type=Pair(), help="Add a label to the image; repeatable.")
@access_options
def containerfile(source: str, folder: str, downloader: str, **values: Any) -> None:
    """Write a Containerfile into FOLDER, for those whose policy wants a container engine to build SOURCE.

    Beside it go download.py and model.json: the first stage downloads the files of one commit and checks each, the
    second copies one layer after the other of the same plan as build's. Both images are pinned to digests where their
    registries answer. FOLDER is new, empty, or of an earlier call; - prints the Containerfile alone. The head of the
    Containerfile says how podman and buildah build it.

    \b
    Examples:
      modelcar containerfile hf://ibm-granite/granite-3.1-2b-instruct ./granite
      modelcar containerfile ./my-model - --base none
    """
    from modelcar.build import BuildOptions, Wish
    from modelcar.build.context import check_folder, make_context
    from modelcar.events import Event, Warned

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            click.echo(f"warning: {show.name(event.message)}", err=True)

    if folder != "-":
        check_folder(Path(folder))
    options = BuildOptions(
        wish=Wish(values["include"], values["exclude"], values["all_files"]),
        base=values["base"],
        labels=dict(values["label"]),
        max_layer_size=values["max_layer_size"],
        access=make_access(values["ca_file"], values["plain_http"], values["authfile"]),
    )
    context = make_context(source, options, downloader=downloader, listener=listen)
    if folder == "-":
        click.echo(context.files["Containerfile"].decode(), nl=False)
        return
    context.write(Path(folder))
    layers = show.model_layers(len(context.plan.layers))
    click.echo(f"{show.count(len(context.plan.files), 'file')} in {layers}: {Path(folder) / 'Containerfile'}", err=True)
