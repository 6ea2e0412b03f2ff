"""`modelcar check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelcar.cli import show
from modelcar.cli.options import access_options, make_access, text_or_json
from modelcar.cli.progress import notes

if TYPE_CHECKING:
    from modelcar.check import Checked

_MODES = {"modelcar": "oci", "native": "oci+native", "fetch": "oci+fetch"}
_RUNTIMES = {"vllm": "vLLM", "openvino": "OpenVINO Model Server", "mlserver": "MLServer", "triton": "Triton"}
_NAMES = {scheme: mode for mode, scheme in _MODES.items()}


@click.command(short_help="Say whether KServe will take an image, and what is wrong with it.")
@click.argument("image", metavar="REF")
@click.option(
    "--mode",
    type=click.Choice(list(_MODES)),
    help="How KServe brings the image to the runtime; the exit code is about this one.  [default: as the reference "
    "says, oci+native:// or oci+fetch://; else modelcar]",
)
@click.option("--arch", metavar="ARCH", default="amd64", show_default=True, help="Architecture of the nodes.")
@click.option("--full", is_flag=True, help='Read on where else the rest would be "not checked".')
@text_or_json
@access_options
@click.pass_context
def check(
    context: click.Context,
    image: str,
    mode: str | None,
    arch: str,
    full: bool,
    format: str,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
) -> int:
    """Say whether KServe will take an image, in which of its modes, and what is wrong with it.

    Looks at the registry only and pulls no weights: manifest, config, the names in the layers. Each line is a finding:
    the mode that it concerns, the reason, and the fix. -v says how much was read.

    Exit codes: 0 nothing is wrong in the mode asked for, 1 something is, 3 no such image, 4 denied, 5 no image or a
    damaged one, 7 the registry can't be reached.

    \b
    Examples:
      modelcar check quay.io/acme/granite:3.1-2b
      modelcar check oci+native://quay.io/acme/granite:3.1-2b --arch arm64
      modelcar check oci:./images:granite --mode fetch --format json
    """
    from modelcar.check import SILENCE, TRIES
    from modelcar.check import check as look_at
    from modelcar.kserve.versions import Scheme
    from modelcar.retry import Patience

    scheme = Scheme(_MODES[mode]) if mode else None
    access = make_access(ca_file, plain_http, authfile)
    patience = Patience(listener=notes, tries=TRIES, longest_wait=SILENCE)
    done = look_at(image, scheme=scheme, arch=arch, full=full, access=access, patience=patience)
    if format == "json":
        show.as_json(_as_dict(done))
    else:
        is_default = context.get_parameter_source("arch") is click.core.ParameterSource.DEFAULT
        click.echo("\n".join(_text(done, is_default)))
    return 1 if done.failures else 0


def _text(done: Checked, is_default: bool) -> list[str]:
    lines = [show.name(done.location)]
    said = " (--arch names another)" if is_default else ""
    lines.append(f"for nodes of {done.platform}{said}; {show.count(done.layers, 'layer')}, {show.size(done.size or 0)}")
    if done.files:
        lines += [_model(done), _served(done)]
    header = ("FOUND", "MODE", "WHAT")
    rows = [(f.severity.value, _NAMES[f.scheme] if f.scheme else "all", show.name(str(f))) for f in done.findings]
    lines += ["", show.table(header, rows), "", _verdict(done)]
    return lines


def _model(done: Checked) -> str:
    facts = done.facts
    if facts is None:
        # Predictive models have no facts that we read.
        why = show.count(len(done.files), "file") if done.served.runtime else done.no_facts
        return f"model: {show.name(why)}"
    about = "~" if facts.estimated else ""
    architecture = facts.architecture
    parts = [
        (architecture.name or architecture.model_type) if architecture else "",
        "" if facts.parameters is None else f"{about}{show.parameters(facts.parameters)} parameters",
        "" if facts.weight_bytes is None else f"{about}{show.size(facts.weight_bytes)} of {facts.format or 'weights'}",
    ]
    return "model: " + (show.name(", ".join(part for part in parts if part)) or "not known")


def _served(done: Checked) -> str:
    found = done.served
    why = show.name("; ".join(part for part in (found.reason, found.hint) if part))
    if not found.runtime:
        return f"served by: not known; {why}"
    known = f", format {found.format}" if found.format else ""
    return f"served by: {_RUNTIMES[found.runtime]}{known}; {why}"


def _verdict(done: Checked) -> str:
    mode = _NAMES[done.scheme]
    if done.failures:
        return f"KServe won't serve it in {mode} mode ({done.scheme}://)."
    concerning = [f.severity for f in done.findings if f.concerns(done.scheme)]
    if "warning" in concerning:
        return f"KServe will take it in {mode} mode ({done.scheme}://); see the {_count(concerning)}."
    unknown = "not checked" in concerning
    return f"Nothing is wrong in {mode} mode ({done.scheme}://)" + (", as far as was looked." if unknown else ".")


def _count(severities: list[Any]) -> str:
    count = severities.count("warning")
    return "warning" if count == 1 else f"{count} warnings"


def _as_dict(done: Checked) -> dict[str, Any]:
    facts = done.facts
    return {
        "image": done.name,
        "location": done.location,
        "digest": done.digest,
        "mode": _NAMES[done.scheme],
        "ok": not done.failures,
        "platform": done.platform,
        "platforms": list(done.platforms),
        "layers": done.layers,
        "bytes": done.size,
        "model": None
        if facts is None
        else {
            "architecture": facts.architecture.name if facts.architecture else None,
            "format": facts.format or None,
            "folder": facts.folder,
            "parameters": facts.parameters,
            "weight_bytes": facts.weight_bytes,
            "estimated": facts.estimated,
        },
        "no_model": done.no_facts or None,
        "served": {
            "runtime": done.served.runtime or None,
            "format": done.served.format or None,
            "reason": done.served.reason,
            "hint": done.served.hint or None,
        },
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity.value,
                "mode": _NAMES[finding.scheme] if finding.scheme else None,
                "reason": finding.reason,
                "fix": finding.fix or None,
            }
            for finding in done.findings
        ],
        "requests": done.requests,
        "bytes_read": done.received,
    }
