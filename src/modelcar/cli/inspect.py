"""`modelcar inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelcar.cli import show
from modelcar.cli.options import access_options, folders, gguf_file, make_access, of_platform, text_or_json

if TYPE_CHECKING:
    from modelcar.inspection import InspectedLayer, Inspection
    from modelcar.kserve.modes import Finding

_SHOWN_FILES = 3


@click.command(short_help="Show what a model is, without loading it.")
@click.argument("model", metavar="REF|SOURCE", shell_complete=folders)
@gguf_file
@of_platform
@text_or_json
@access_options
def inspect(
    model: str,
    file: str | None,
    platform: str | None,
    format: str,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
) -> None:
    """Show what a model is, without loading it, and what the image around it is made of.

    Looks at an image or, before there is one, at a source. Of uncompressed layers only headers and configuration are
    read; into a compressed layer, and one of a registry without ranges, it looks 32 MiB deep at the most, and says what
    was not seen. The last lines of an image say which of KServe's modes can take it.

    \b
    Examples:
      modelcar inspect quay.io/acme/granite:3.1-2b
      modelcar inspect hf://ibm-granite/granite-3.1-2b-instruct
      modelcar inspect oci:./images:granite --format json
    """
    from modelcar.inspection import inspect as look_into

    found = look_into(model, file=file, platform=platform, access=make_access(ca_file, plain_http, authfile))
    if format == "json":
        show.as_json(_as_dict(found))
    else:
        click.echo("\n".join(_text(found)))


def _text(found: Inspection) -> list[str]:
    """What people read: the model, the image, its layers, the modes."""
    rows = [*_model(found), *_origin(found), *_image(found)]
    width = max(len(label) for label, _ in rows)
    lines = [show.name(found.location), ""]
    lines += [f"{label:<{width}}  {show.name(text)}" for label, text in rows]
    if found.layers:
        header = ("LAYER", "DIGEST", "SIZE", "STORED", "HOLDS")
        lines += ["", show.table(header, [_layer(n, layer) for n, layer in enumerate(found.layers)], right=(0, 2))]
    if found.modes:
        lines += ["", show.table(("KSERVE", "TAKES IT", "WHY"), [_mode(finding) for finding in found.modes])]
    notes = [f"note: {show.name(note)}" for note in found.notes]
    return [*lines, "", *notes] if notes else lines


def _model(found: Inspection) -> list[tuple[str, str]]:
    facts = found.facts
    if facts is None:
        return [("model", f"none found: {found.no_facts}")]
    architecture = facts.architecture
    name = (architecture.name or architecture.model_type) if architecture else ""
    rows = [("architecture", name or "not known")]
    rows.append(("parameters", "not known" if facts.parameters is None else show.parameters(facts.parameters)))
    rows.append(("weights", _weights(found)))
    if facts.dtypes:
        rows.append(("dtype", ", ".join(f"{kind} {show.size(size)}" for kind, size in facts.dtypes.items())))
    rows.append(("quantization", str(facts.quantization) if facts.quantization else "none seen"))
    context = architecture.context if architecture else None
    rows.append(("context", f"{context:,} tokens" if context else "not known"))
    rows.append(("KV cache", _cache(found)))
    rows.append(("chat template", facts.chat_template or "none"))
    return rows


def _weights(found: Inspection) -> str:
    facts = found.facts
    if facts is None or facts.weight_bytes is None:
        return "not known"
    return f"{show.size(facts.weight_bytes)} of {facts.format}" + (f" in {facts.folder}/" if facts.folder else "")


def _cache(found: Inspection) -> str:
    states = f" and {show.size(found.state_bytes)} of states a sequence" if found.state_bytes else ""
    if found.kv_bytes_per_token is None:
        return "not known; see modelcar fit"
    return f"{found.kv_bytes_per_token:,} B a token in 16 bits{states}; see modelcar fit"


def _origin(found: Inspection) -> list[tuple[str, str]]:
    stated = (
        ("license", found.license),
        ("title", found.title),
        ("source", found.source),
        ("revision", found.revision),
        ("created", found.created),
    )
    return [(label, text) for label, text in stated if text]


def _image(found: Inspection) -> list[tuple[str, str]]:
    if not found.platforms:
        return [("files", f"{show.count(found.files, 'file')}, {show.size(found.size)}")]
    rows = [("files", show.count(found.files, "file") + " in /models")] if found.files else []
    for image in found.platforms:
        text = f"{image.platform or 'not stated'}: "
        layers = image.manifest.layers if image.manifest else ()
        size = image.size
        text += "missing" if size is None else f"{show.size(size)} in {show.count(len(layers), 'layer')}"
        rows.append(("platform", text))
    base = found.base
    if base is None:
        text = "not stated" if any(layer.is_base for layer in found.layers) else "none"
    else:
        text = " ".join(part for part in (base.name, base.digest) if part)
    return [*rows, ("base", text)]


def _layer(number: int, layer: InspectedLayer) -> tuple[str, str, str, str, str]:
    stored = {"": "tar", None: "no tar"}.get(layer.compression, layer.compression or "")
    return (str(number), layer.digest.partition(":")[2][:12], show.size(layer.size), stored, _holds(layer))


def _holds(layer: InspectedLayer) -> str:
    if layer.is_base:
        return f"base, {show.count(len(layer.files), 'file')}"
    more = "" if layer.is_whole else ", the rest not checked"
    some = ", ".join(show.name(path) for path in layer.files[:_SHOWN_FILES])
    left = len(layer.files) - _SHOWN_FILES
    if not layer.files:
        return "not checked" if more else "no files"
    return some + (f" and {left:,} more" if left > 0 else "") + more


def _mode(finding: Finding) -> tuple[str, str, str]:
    answer = {True: "yes", False: "no", None: "not known"}[finding.works]
    return (finding.mode, answer, show.name(f"{finding.reason}; {finding.fix}" if finding.fix else finding.reason))


def _as_dict(found: Inspection) -> dict[str, Any]:
    facts, architecture = found.facts, found.facts.architecture if found.facts else None
    return {
        "location": found.location,
        "model": None
        if facts is None
        else {
            "architecture": architecture.name if architecture else None,
            "model_type": architecture.model_type if architecture else None,
            "format": facts.format or None,
            "folder": facts.folder,
            "parameters": facts.parameters,
            "weight_bytes": facts.weight_bytes,
            "mtp_weight_bytes": facts.mtp_bytes,
            "dtype": facts.dtype or None,
            "dtype_bytes": dict(facts.dtypes),
            "quantization": str(facts.quantization) if facts.quantization else None,
            "context_length": architecture.context if architecture else None,
            "kv_bytes_per_token": found.kv_bytes_per_token,
            "state_bytes_per_sequence": found.state_bytes,
            "chat_template": facts.chat_template,
        },
        "no_model": found.no_facts or None,
        "license": found.license,
        "title": found.title,
        "source": found.source,
        "revision": found.revision,
        "created": found.created,
        "files": found.files,
        "bytes": found.size,
        **(_image_as_dict(found) if found.platforms else {}),
        "notes": list(found.notes),
    }


def _image_as_dict(found: Inspection) -> dict[str, Any]:
    base = found.base
    return {
        "platform": found.platform,
        "platforms": [
            {
                "platform": str(image.platform) if image.platform else None,
                "digest": image.digest,
                "bytes": image.size,
                "layers": len(image.manifest.layers) if image.manifest else None,
            }
            for image in found.platforms
        ],
        "base": {"name": base.name or None, "digest": base.digest} if base else None,
        "layers": [
            {
                "digest": layer.digest,
                "bytes": layer.size,
                "media_type": layer.media_type,
                "compression": layer.compression,
                "base": layer.is_base,
                "files": list(layer.files),
                "checked": layer.is_whole,
            }
            for layer in found.layers
        ],
        "kserve": [
            {
                "mode": finding.mode,
                "scheme": finding.scheme,
                "works": finding.works,
                "reason": finding.reason,
                "fix": finding.fix or None,
            }
            for finding in found.modes
        ],
    }
