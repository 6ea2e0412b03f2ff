"""`verify`: what it says of images that are right, and which layer and file it names of those that are not."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from modelcar import BuildOptions, VerifyOptions, VerifyResult, build_image, verify_image
from modelcar.oci import Config, Manifest, RootFS, digest_of, media
from modelcar.oci import config as configs
from modelcar.oci.manifest import encode
from modelcar.stores import BytesBlob
from tests.artifacts import place
from tests.builds import FILES, SOURCE, served
from tests.cli import image, modelcar
from tests.doubles.registry import CutAnswer, Registry
from tests.models import model_files, write_files


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", model_files())


@pytest.fixture
def layout(model: Path, tmp_path: Path) -> str:
    image(model, f"oci:{tmp_path}/out:1")
    return f"oci:{tmp_path}/out:1"


def layers(layout: str) -> list[tuple[str, str]]:
    """Path (empty for a layer of several files) and digest of each layer."""
    store = place(layout).store
    index = json.loads(store.manifest("1").content)
    manifest = json.loads(store.manifest(index["manifests"][0]["digest"]).content)
    return [(each["annotations"].get("modelcar.path", ""), each["digest"]) for each in manifest["layers"]]


def blob_of(layout: str, digest: str) -> Path:
    return Path(layout.removeprefix("oci:").removesuffix(":1")) / "blobs" / "sha256" / digest.partition(":")[2]


def checked(result: VerifyResult) -> dict[str, str]:
    return {file.path: file.check for file in result.files}


# With the source


def test_each_file_is_compared_with_what_the_hub_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with served(monkeypatch, caplog) as hub:
        hub.repo("acme/x", FILES)
        target = f"oci:{tmp_path}/out:1"
        build_image(SOURCE, target, BuildOptions(base="embedded"))
        result = verify_image(target)
        assert result.problems == ()
        assert result.source is not None
        assert result.source.startswith("hf://acme/x@")
        assert checked(result) == {"README.md": "git-sha1", "config.json": "git-sha1", "model.safetensors": "sha256"}
        done = modelcar("verify", target)
        assert done.code == 0, done.err
        assert "git blob SHA-1  ok" in done.out
        assert "every digest and diffID is right" in done.out
        assert f"3 files compared with {result.source}" in done.out


def test_without_the_source_the_rest_is_verified_and_the_result_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    target = f"oci:{tmp_path}/out:1"
    with served(monkeypatch, caplog) as hub:
        hub.repo("acme/x", FILES)
        build_image(SOURCE, target, BuildOptions(base="none"))
    for options, why in (((), f"no answer of {hub.endpoint}"), (("--offline",), "--offline")):
        done = modelcar("verify", *options, target)
        assert done.code == 0, done.err
        assert "files were not compared with their source: " in done.out
        assert why in done.out
        assert "layer only" in done.out
    required = modelcar("verify", "--require-source", target)
    assert required.code == 7
    assert required.error


def test_an_image_without_a_source_says_so(layout: str) -> None:
    result = verify_image(layout)
    assert (result.source, result.reason, result.problems) == (None, "the image names no source", ())
    done = modelcar("verify", "--require-source", layout)
    assert done.code == 3
    assert "name it with --source" in done.error


def test_a_folder_is_a_source_and_the_file_that_differs_is_named(layout: str, model: Path) -> None:
    good = verify_image(layout, VerifyOptions(source=str(model)))
    assert good.problems == ()
    assert set(checked(good).values()) == {"sha256"}
    (model / "tokenizer" / "vocab.txt").write_bytes(b"a\nc\n")
    (model / "config.json").unlink()
    done = modelcar("verify", "--source", model, layout)
    small = next(digest for path, digest in layers(layout) if not path)
    assert done.code == 5
    assert f"/models/tokenizer/vocab.txt in layer {small}: its content is sha256:" in done.error
    assert f"/models/config.json in layer {small}: {model} has no such file" in done.error


def test_json_says_which_check_each_file_had(layout: str, model: Path) -> None:
    done = modelcar("verify", "--format", "json", "--source", model, layout)
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert (value["ok"], value["source"]) == (True, str(model))
    assert {each["check"] for each in value["files"]} == {"sha256"}


# What is wrong


def test_a_flipped_bit_is_found_in_its_layer_and_its_file(layout: str, model: Path) -> None:
    path, digest = next(each for each in layers(layout) if each[0])
    blob = blob_of(layout, digest)
    content = bytearray(blob.read_bytes())
    content[2000] ^= 1
    blob.write_bytes(content)
    offline = modelcar("verify", "--offline", layout)
    assert offline.code == 5
    assert f"layer {digest} has other bytes than its digest says" in offline.error
    assert f"it holds /models/{path}" in offline.error
    compared = verify_image(layout, VerifyOptions(source=str(model)))
    assert any(problem.startswith(f"/models/{path} in layer {digest}: its content") for problem in compared.problems)
    assert sum(problem.startswith("/models/") for problem in compared.problems) == 1


def test_a_truncated_layer(layout: str) -> None:
    _, digest = next(each for each in layers(layout) if each[0])
    blob = blob_of(layout, digest)
    blob.write_bytes(blob.read_bytes()[:5000])
    done = modelcar("verify", "--offline", layout)
    assert done.code == 5
    assert f"layer {digest} has 5,000 bytes, and its manifest states" in done.error


def test_a_missing_layer_and_a_wrong_manifest(layout: str) -> None:
    _, digest = layers(layout)[0]
    blob_of(layout, digest).unlink()
    assert digest in modelcar("verify", "--offline", layout).error
    child = json.loads(place(layout).store.manifest("1").content)["manifests"][0]["digest"]
    blob_of(layout, child).write_bytes(b"{}" + blob_of(layout, child).read_bytes()[2:])
    done = modelcar("verify", "--offline", layout)
    assert done.code == 5
    assert child in done.error


@pytest.mark.parametrize("lie", [False, True])
def test_a_diff_id_that_is_not_that_of_the_layer(layout: str, tmp_path: Path, *, lie: bool) -> None:
    """A gzip layer: its digest and its diffID are two hashes, made in one pass."""
    tar = blob_of(layout, layers(layout)[0][1]).read_bytes()
    target = place(f"oci:{tmp_path}/gzip:1")
    target.store.prepare()
    packed = BytesBlob(gzip.compress(tar), "layer")
    diff_id = digest_of(b"lie" if lie else tar)
    config = BytesBlob(configs.encode(Config("amd64", "linux", RootFS("layers", (diff_id,)))), "config")
    for blob in (packed, config):
        target.store.write_blob(blob)
    manifest = Manifest(2, config.described_as(media.OCI_CONFIG), (packed.described_as(media.OCI_LAYER_GZIP),))
    target.store.write_manifest(encode(manifest), media.OCI_MANIFEST, "1")
    result = verify_image(str(target), VerifyOptions(offline=True))
    expected = (
        f"layer {packed.digest} unpacks to {digest_of(tar)}, and the config {config.digest} states the diffID {diff_id}"
    )
    assert result.problems == ((expected,) if lie else ())


def test_a_layer_that_is_no_tar(tmp_path: Path) -> None:
    target = place(f"oci:{tmp_path}/odd:1")
    target.store.prepare()
    layer = BytesBlob(b"x" * 5000, "layer")
    config = BytesBlob(configs.encode(Config("amd64", "linux", RootFS("layers", (layer.digest,)))), "config")
    for blob in (layer, config):
        target.store.write_blob(blob)
    manifest = Manifest(2, config.described_as(media.OCI_CONFIG), (layer.described_as(media.OCI_LAYER),))
    target.store.write_manifest(encode(manifest), media.OCI_MANIFEST, "1")
    (problem,) = verify_image(str(target)).problems
    assert problem.startswith(f"the layer {layer.digest} of {target.store.name} can't be read")


def test_an_attestation_beside_the_image_is_verified_by_its_digest(layout: str) -> None:
    location = place(layout)
    statement = BytesBlob(b'{"_type": "https://in-toto.io/Statement/v1"}', "statement")
    empty = BytesBlob(b"{}", "config")
    for blob in (statement, empty):
        location.store.write_blob(blob)
    kind = "application/vnd.in-toto+json"
    manifest = encode(Manifest(2, empty.described_as("application/x"), (statement.described_as(kind),)))
    digest = location.store.write_manifest(manifest, media.OCI_MANIFEST, digest_of(manifest))
    old = json.loads(location.store.manifest("1").content)
    described = {"mediaType": media.OCI_MANIFEST, "digest": digest, "size": len(manifest)}
    index = json.dumps({**old, "manifests": [*old["manifests"], described]}).encode()
    location.store.write_manifest(index, media.OCI_INDEX, "1")
    result = verify_image(layout)
    assert result.problems == ()
    assert statement.digest in result.layers


def test_a_connection_that_breaks_is_gone_on_with(model: Path) -> None:
    with Registry() as registry:
        image(model, f"{registry.host}/acme/x:1")
        registry.fault(CutAnswer(50_000), "GET", "/blobs/", skip=4)
        assert verify_image(f"{registry.host}/acme/x:1").problems == ()


def test_offline_and_source_exclude_each_other(layout: str) -> None:
    done = modelcar("verify", "--offline", "--source", ".", layout)
    assert done.code == 2


def test_an_archive_is_verified_as_a_layout_is(layout: str, tmp_path: Path) -> None:
    modelcar("copy", layout, f"oci-archive:{tmp_path}/x.tar:1")
    done = modelcar("verify", "--offline", "-q", f"oci-archive:{tmp_path}/x.tar:1")
    assert (done.code, done.out) == (0, "")
    assert hashlib.sha256((tmp_path / "x.tar").read_bytes()).hexdigest()
