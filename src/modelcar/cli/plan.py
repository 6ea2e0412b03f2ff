"""`modelcar plan`."""

from __future__ import annotations

from typing import Any

import click

from modelcar.cli import show
from modelcar.cli.build import build_options, plan_text
from modelcar.cli.options import access_options, folders, image_options, selection_options, text_or_json


@click.command(short_help="Show what a build would put where.")
@click.argument("source", shell_complete=folders)
@click.argument("target", required=False)
@selection_options
@image_options
@text_or_json
@access_options
def plan(source: str, target: str | None, format: str, **values: Any) -> None:
    """Show what a build of SOURCE would put where, how big it is, and with TARGET what of it is new.

    Says of every file which layer it goes into, or why it is left out. Sends nothing.

    \b
    Examples:
      modelcar plan hf://ibm-granite/granite-3.1-2b-instruct
      modelcar plan ./my-model quay.io/acme/granite:3.1-2b
    """
    from modelcar.build import plan_image

    result = plan_image(source, target, build_options(values))
    if format == "json":
        states = [{"how": fate.how, "digest": fate.stored.digest if fate.stored else None} for fate in result.fates]
        planned = result.plan.as_dict()
        planned["layers"] = [{**layer, **state} for layer, state in zip(planned["layers"], states, strict=True)]
        estimate = {"estimate": result.estimate.as_dict()} if result.estimate else {}
        show.as_json({**planned, "platforms": [str(platform) for platform in result.platforms], **estimate})
    else:
        click.echo(plan_text(result))
