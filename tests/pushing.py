"""Building a small model into a registry double, and looking at what is there then."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelcar.build import BuildOptions, BuildResult, build_image
from modelcar.errors import ModelcarError
from modelcar.events import Event, ignore
from modelcar.http import Http
from modelcar.oci import Reference
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores.registry import RegistryStore
from tests.doubles.registry import Registry

REPO = "acme/tiny"
ME = {"me": "the-secret"}
SHARD = 2_000_000
"""Bytes of each of the model's two weight files: more than any buffer on the way holds."""

QUICK = BuildOptions(base="none", retry=2, retry_delay=0.01, workers=1)
"""One layer at a time, so that it is known which request a fault will hit."""


def place(registry: Registry, tag: str = "1") -> str:
    """The reference to push to."""
    return f"{registry.host}/{REPO}:{tag}"


def push(model: Path, registry: Registry, options: BuildOptions = QUICK, events: list[Event] | None = None) -> str:
    """Build, and check that the tag names an image with the model's files. Returns its digest."""
    result = build_image(str(model), place(registry), options, listener=ignore if events is None else events.append)
    assert registry.tags(REPO)["1"] == result.digest
    assert pushed_files(registry, str(result.digest)) == {
        f"models/{path.relative_to(model)}": path.read_bytes() for path in model.rglob("*") if path.is_file()
    }
    assert registry.unfinished_uploads == 0
    return str(result.digest)


def pushed(model: Path, registry: Registry, **wishes: Any) -> BuildResult:
    """Build with other options; what it did."""
    return build_image(str(model), place(registry), replace(QUICK, **wishes))


def image_tags(registry: Registry, repository: str = REPO) -> dict[str, str]:
    """The tags of images: a build that the network ended leaves a record under a tag of its own besides."""
    return {tag: of for tag, of in registry.tags(repository).items() if not tag.startswith("modelcar-partial-")}


def refusal(model: Path, registry: Registry, code: int, **wishes: Any) -> str:
    """Build, and expect it to end with this exit code, one line, and every tag as it was. Returns the line."""
    before = image_tags(registry)
    with pytest.raises(ModelcarError) as raised:
        pushed(model, registry, **wishes)
    line = str(raised.value)
    assert raised.value.exit_code == code, line
    assert "\n" not in line
    assert image_tags(registry) == before
    assert not any(secret in line for secret in ME.values())
    return line


def pushed_files(registry: Registry, digest: str) -> dict[str, bytes]:
    """The files of an image, read out of the double's memory."""
    index = json.loads(registry.manifest(REPO, digest) or b"")
    files: dict[str, bytes] = {}
    manifest = json.loads(registry.manifest(REPO, index["manifests"][0]["digest"]) or b"")
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(registry.blob(layer["digest"]) or b"")) as archive:
            for member in archive:
                if member.isfile() and (opened := archive.extractfile(member)):
                    files[member.name] = opened.read()
    return files


def blobs(registry: Registry, digest: str) -> dict[str, int]:
    """Sizes of all blobs of an image, by digest."""
    index = json.loads(registry.manifest(REPO, digest) or b"")
    sizes: dict[str, int] = {}
    for platform in index["manifests"]:
        manifest = json.loads(registry.manifest(REPO, platform["digest"]) or b"")
        sizes |= {each["digest"]: each["size"] for each in (manifest["config"], *manifest["layers"])}
    return sizes


def layers_sent(registry: Registry) -> list[int]:
    """How much of each weights layer came in, upload by upload; of the layer of small files and configs nothing."""
    moved = (each for each in registry.requests if "/blobs/uploads/" in each.target)
    return [each.received for each in moved if each.received > 100_000]


def store_at(registry: Registry, *, silence: float = 20, tries: int = 2, ca_file: Path | None = None) -> RegistryStore:
    """The repository as a store, without a build."""
    patience = Patience(tries=tries, first_wait=0.01)
    return RegistryStore(Reference(registry.host, REPO), Http(silence=silence, ca_file=ca_file), Access(), patience)


def write_login(host: str, entry: dict[str, str] | None = None, **more: object) -> Path:
    """Let docker's config.json hold credentials: by default those of `ME`."""
    path = Path(os.environ["DOCKER_CONFIG"], "config.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    auths = {host: entry or {"auth": base64.b64encode(b"me:the-secret").decode()}}
    path.write_text(json.dumps({"auths": auths, **more}))
    return path


def write_helper(folder: Path, name: str, *, first_line: str = "") -> Path:
    """A credential helper that speaks docker's protocol and keeps what it is given in files beside itself."""
    script = folder / f"docker-credential-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    script.write_text(_HELPER.format(python=sys.executable, first_line=first_line))
    script.chmod(0o755)
    return script


_HELPER = """#!{python}
import json, pathlib, sys
{first_line}
text = sys.stdin.read()
server = json.loads(text)["ServerURL"] if sys.argv[1] == "store" else text.strip()
kept = pathlib.Path(__file__).with_name("kept-" + server.replace("/", "_"))
if sys.argv[1] == "store":
    kept.write_text(text)
elif not kept.exists():
    sys.exit("credentials not found in native keychain")
elif sys.argv[1] == "get":
    print(kept.read_text())
else:
    kept.unlink()
"""
