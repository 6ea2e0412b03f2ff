"""What goes wrong when an image is checked, over a real socket; and what an image may be that nobody would build."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from modelcar.check import MOST_PARTS, check, check_before_deploying
from modelcar.errors import ContentMismatch, Denied, ModelcarError, NetworkError, NotFound, Refused, UsageError
from modelcar.http import Http
from modelcar.inspection import DEPTH
from modelcar.kserve.check import ImageCheck
from modelcar.kserve.versions import Scheme
from modelcar.oci import Descriptor, Digest, Index, Platform, digest_of, media
from modelcar.oci.manifest import encode
from modelcar.retry import Patience
from tests.checkpoints import LLAMA, decoder, header
from tests.cli import modelcar
from tests.doubles.registry import Basic, Do, Refuse, Registry, Silence
from tests.images import publish
from tests.pushing import ME, REPO, write_login
from tests.unit.image.tars import Layer, file, folder, hard, link, tar

SHELL = tar(file("bin/sh"), file("bin/ln"), file("bin/sleep"))
CONFIG = json.dumps({**LLAMA, "max_position_embeddings": 2048}).encode()
START, SIZE = header(decoder())
WEIGHTS = START + bytes(SIZE - len(START))
MODEL = tar(folder("models"), file("models/config.json", CONFIG), file("models/model.safetensors", WEIGHTS))
LATER = {"Retry-After": "0"}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


def quick() -> Patience:
    return Patience(tries=2, first_wait=0.01)


def found(place: str, **wishes: Any) -> dict[str, list[str]]:
    """The rules by severity."""
    kinds: dict[str, list[str]] = {}
    for finding in check(place, patience=quick(), **wishes).findings:
        kinds.setdefault(finding.severity, []).append(finding.rule)
    return kinds


# Registries


def test_a_good_image(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = modelcar("check", place)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"{place}@{registry.tags(REPO)['1']}"
    assert lines[1].startswith("for nodes of linux/amd64 (--arch names another); 2 layers")
    assert lines[2] == "model: LlamaForCausalLM, 0.1 M parameters, 123 kB of safetensors"
    assert lines[3] == "served by: vLLM, format vLLM; LlamaForCausalLM, as safetensors"
    assert lines[-1] == "Nothing is wrong in modelcar mode (oci://)."


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "1/model.onnx",
            ["model: 1 file", "served by: OpenVINO Model Server, format onnx:1; ONNX, in a folder for its"],
        ),
        (
            "notes.txt",
            ["model: no model is there", "served by: not known; there are no weights that we know"],
        ),
    ],
)
def test_what_serves_a_model_of_another_kind(registry: Registry, name: str, lines: list[str]) -> None:
    done = modelcar("check", publish(registry, SHELL, tar(file(f"models/{name}", b"x"))))
    assert done.code == 0
    for line, begin in zip(done.out.splitlines()[2:4], lines, strict=True):
        assert line.startswith(begin)


def test_it_says_what_it_read(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = modelcar("check", place, "-v", "--format", "json")
    answer = json.loads(done.out)
    assert answer["ok"] is True
    assert answer["requests"] == len(registry.requests)
    assert done.err.splitlines()[-1] == f"read {answer['bytes_read']:,} bytes in {answer['requests']} requests"


def test_the_exit_code_is_about_the_mode_asked_for(registry: Registry) -> None:
    place = publish(registry, MODEL)  # no shell
    assert modelcar("check", place).code == 1
    assert modelcar("check", place, "--mode", "native").code == 0
    assert modelcar("check", f"oci+fetch://{place}").code == 0
    assert modelcar("check", f"oci+native://{place}", "--mode", "modelcar").code == 1


def test_an_image_that_is_not_there(registry: Registry) -> None:
    done = modelcar("check", f"{registry.host}/{REPO}:1")
    assert (done.code, done.out) == (3, "")
    assert "doesn't exist" in done.error


@pytest.mark.parametrize("status", [401, 403])
def test_an_image_that_is_not_for_us(registry: Registry, status: int) -> None:
    registry.fault(Refuse(status), path="/manifests/", times=None)
    done = modelcar("check", f"{registry.host}/{REPO}:1")
    assert (done.code, done.out) == (4, "")
    assert f"modelcar login {registry.host}" in done.error


@pytest.mark.parametrize(
    "fault", [Refuse(429, LATER), Refuse(500), Refuse(503), Silence(60)], ids=["429", "500", "503", "silence"]
)
@pytest.mark.parametrize("path", ["/manifests/1", "/blobs/"])
def test_a_registry_that_gives_no_answer(registry: Registry, fault: Refuse | Silence, path: str) -> None:
    place = publish(registry, SHELL, MODEL)
    registry.fault(fault, path=path, times=None)
    with pytest.raises(NetworkError):
        check(place, patience=quick(), http=Http(silence=0.3))
    done = check_before_deploying(place, ImageCheck.WARN, patience=quick(), http=Http(silence=0.3))
    assert (done.digest, done.findings) == (None, ())
    assert registry.host in done.unchecked
    with pytest.raises(NetworkError):
        check_before_deploying(place, ImageCheck.REQUIRE, patience=quick(), http=Http(silence=0.3))


def test_a_registry_that_gives_an_answer_at_last(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    registry.fault(Refuse(503, LATER), path="/manifests/1")
    registry.fault(Refuse(429, LATER), path="/blobs/")
    assert "error" not in found(place)


def test_a_registry_that_asks_to_wait_for_long_is_not_waited_for(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    registry.fault(Refuse(429, {"Retry-After": "60"}), path="/manifests/", times=None)
    done = modelcar("check", place)
    assert done.code == 7
    assert "asks to slow down (429)" in done.error
    assert registry.count("GET", "/manifests/") == 1


def test_a_registry_that_nobody_can_reach() -> None:
    with Registry() as gone:
        place = f"{gone.host}/{REPO}:1"
    with pytest.raises(NetworkError):
        check(place, patience=quick())
    assert "no connection" in check_before_deploying(place, ImageCheck.WARN, patience=quick()).unchecked


# Before a deployment


def test_who_does_not_want_to_look_does_not(registry: Registry) -> None:
    done = check_before_deploying(f"oci+native://{registry.host}/{REPO}:1", ImageCheck.OFF)
    assert (done.scheme, done.digest, registry.requests) == (Scheme.NATIVE, None, [])
    assert "--image-check off" in done.unchecked


def test_an_image_that_nobody_may_see_from_here(registry: Registry) -> None:
    registry.fault(Refuse(403), path="/manifests/", times=None)
    place = f"{registry.host}/{REPO}:1"
    assert "wants credentials" in check_before_deploying(place, ImageCheck.WARN, patience=quick()).unchecked
    with pytest.raises(Denied):
        check_before_deploying(place, ImageCheck.REQUIRE, patience=quick())


def test_not_found_counts_only_from_those_who_may_see_it() -> None:
    with Registry(auth=Basic(ME)) as registry:
        place = f"{registry.host}/{REPO}:1"
        registry.fault(Refuse(404), path="/manifests/", times=None)
        unchecked = check_before_deploying(place, ImageCheck.WARN, patience=quick()).unchecked
        assert "or can't be seen without credentials" in unchecked
        write_login(registry.host)
        with pytest.raises(NotFound):
            check_before_deploying(place, ImageCheck.WARN, patience=quick())


@pytest.mark.parametrize("how", [ImageCheck.WARN, ImageCheck.REQUIRE])
def test_what_can_never_serve_is_refused(registry: Registry, how: ImageCheck) -> None:
    with pytest.raises(Refused, match="no files below /models"):
        check_before_deploying(publish(registry, SHELL, tag="a"), how)
    with pytest.raises(Refused, match="the nodes are taken to be linux/arm64"):
        check_before_deploying(publish(registry, SHELL, MODEL, tag="b"), how, arch="arm64")


def test_what_is_wrong_in_one_mode_is_refused_where_that_is_required(registry: Registry) -> None:
    place = publish(registry, MODEL)  # no shell
    assert [each.rule for each in check_before_deploying(place, ImageCheck.WARN).failures] == ["modelcar-mode"]
    with pytest.raises(Refused, match="there is no sh"):
        check_before_deploying(place, ImageCheck.REQUIRE)
    assert check_before_deploying(place, ImageCheck.REQUIRE, scheme=Scheme.NATIVE).digest


# Manifests


def test_a_tag_that_moves_while_we_look(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    first = registry.tags(REPO)["1"]
    registry.fault(Do(lambda: publish(registry, SHELL)), path="/blobs/")  # from now on without a model
    done = check(place)
    assert done.digest == first
    assert done.location == f"{place}@{first}"
    assert not done.failures
    assert registry.tags(REPO)["1"] != first


def put_index(registry: Registry, *platforms: tuple[str, str]) -> str:
    """An index of architectures, each with the tag of its image; without one it is missing."""
    manifests = []
    for arch, tag in platforms:
        digest = Digest(registry.tags(REPO)[tag]) if tag else digest_of(b"gone")
        manifests.append(Descriptor(media.OCI_MANIFEST, digest, 4, Platform(arch, "linux")))
    registry.put_manifest(REPO, "all", encode(Index(2, tuple(manifests), media.OCI_INDEX)), media.OCI_INDEX)
    return f"{registry.host}/{REPO}:all"


def test_an_index_without_the_architecture(registry: Registry) -> None:
    publish(registry, SHELL, MODEL)
    place = put_index(registry, ("arm64", "1"), ("s390x", "1"))
    done = modelcar("check", place, "--format", "json")
    (wrong,) = [each for each in json.loads(done.out)["findings"] if each["severity"] == "error"]
    assert (done.code, wrong["rule"], wrong["mode"]) == (1, "architecture", None)
    assert wrong["reason"] == "it is for linux/arm64, linux/s390x, and the nodes are taken to be linux/amd64"
    assert modelcar("check", place, "--arch", "aarch64").code == 0


def test_an_index_whose_manifest_for_us_is_gone(registry: Registry) -> None:
    publish(registry, SHELL, MODEL)
    place = put_index(registry, ("arm64", "1"), ("amd64", ""))
    done = modelcar("check", place)
    assert done.code == 3
    assert "is not there" in done.error
    assert modelcar("check", place, "--arch", "arm64").code == 0


def test_a_config_that_is_no_json(registry: Registry) -> None:
    config = registry.put_blob(REPO, b"{not json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": {"mediaType": media.OCI_CONFIG, "digest": config, "size": 9},
        "layers": [],
    }
    registry.put_manifest(REPO, "1", json.dumps(manifest).encode())
    done = modelcar("check", f"{registry.host}/{REPO}:1")
    assert done.code == 5
    assert "the config of" in done.error
    with pytest.raises(ContentMismatch):
        check_before_deploying(f"{registry.host}/{REPO}:1", ImageCheck.WARN)


def test_an_artifact_that_is_no_image(registry: Registry) -> None:
    manifest = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.cncf.model.config.v1+json",
            "digest": registry.put_blob(REPO, b"{}"),
            "size": 2,
        },
        "layers": [],
    }
    registry.put_manifest(REPO, "1", json.dumps(manifest).encode())
    done = modelcar("check", f"{registry.host}/{REPO}:1")
    assert done.code == 5
    assert "not a container image" in done.error


@pytest.mark.parametrize("arch", ["", "amd64/", "a/b/c"])
def test_a_word_that_is_no_architecture(registry: Registry, arch: str) -> None:
    with pytest.raises(UsageError):
        check(f"{registry.host}/{REPO}:1", arch=arch)


# Layers


def test_no_more_of_a_compressed_layer_is_read_than_its_beginning(registry: Registry) -> None:
    noise = Random(1).randbytes(DEPTH + 8_000_000)
    layer = gzip.compress(tar(file("models/config.json", CONFIG), file("models/noise", noise), file("bin/sh")), 0)
    place = publish(registry, (media.OCI_LAYER_GZIP, layer))
    registry.forget_requests()
    done = check(place)
    kinds = {each.rule: each.severity for each in done.findings}
    assert kinds["modelcar-mode"] == "not checked"
    assert kinds["partly"] == "not checked"
    assert done.failures == []
    assert done.facts is not None
    assert done.facts.estimated
    assert done.facts.weight_bytes == len(layer)
    full = check(place, full=True)
    assert [each.rule for each in full.failures] == ["modelcar-mode"]  # no ln, no sleep
    assert not any(each.severity == "not checked" for each in full.findings)


def test_a_base_is_read_whole_for_its_shell(registry: Registry) -> None:
    noise = Random(1).randbytes(DEPTH + 1_000_000)
    base = gzip.compress(tar(file("usr/lib/noise", noise), file("bin/sh"), file("bin/ln"), file("bin/sleep")), 0)
    assert not check(publish(registry, (media.OCI_LAYER_GZIP, base), MODEL)).failures


@pytest.mark.parametrize("at", [0, 1], ids=["first", "behind the base's files"])
def test_a_small_layer_with_the_model_is_no_base(registry: Registry, at: int) -> None:
    noise = Random(1).randbytes(DEPTH + 20_000_000)
    members = [file("models/noise", noise), file("bin/late")]
    members.insert(at, file("etc/passwd"))
    layer = gzip.compress(tar(*members), 0)
    place = publish(registry, (media.OCI_LAYER_GZIP, layer), SHELL)
    done = check(place)
    assert "partly" in [each.rule for each in done.findings if each.severity == "not checked"]
    assert DEPTH < done.received < DEPTH + 3 * 1024**2
    assert check(place, full=True).received > len(layer)


def test_an_empty_folder_for_the_model_makes_no_base_another_thing(registry: Registry) -> None:
    noise = Random(1).randbytes(DEPTH + 1_000_000)
    shell = [file("bin/sh"), file("bin/ln"), file("bin/sleep")]
    base = gzip.compress(tar(folder("models"), file("usr/lib/noise", noise), *shell), 0)
    assert not check(publish(registry, (media.OCI_LAYER_GZIP, base), MODEL)).failures


def test_a_shell_at_the_end_of_a_large_base_is_not_looked_for(registry: Registry) -> None:
    shell = [file("bin/sh"), file("bin/ln"), file("bin/sleep")]
    noise = file("a/noise", Random(1).randbytes(2 * DEPTH))
    place = publish(registry, (media.OCI_LAYER_GZIP, gzip.compress(tar(noise, *shell), 0)), MODEL)
    done = modelcar("check", place)
    assert (done.code, done.err) == (0, "")
    assert "not checked  modelcar  whether it has sh, ln, sleep was not checked" in done.out
    assert f"only the first {DEPTH:,} of its" in done.out
    assert not check(place, full=True).failures
    begins = publish(registry, (media.OCI_LAYER_GZIP, gzip.compress(tar(*shell, noise), 0)), MODEL, tag="2")
    assert "modelcar-mode" in found(begins)["ok"]


def test_an_entrypoint_is_refused_on_a_base_of_any_size(registry: Registry) -> None:
    base = gzip.compress(tar(file("a/noise", Random(1).randbytes(2 * DEPTH)), file("bin/sh")), 0)
    place = publish(registry, (media.OCI_LAYER_GZIP, base), MODEL, entrypoint=("/bin/serve",))
    done = modelcar("check", place)
    assert done.code == 1
    assert "the Entrypoint (/bin/serve) would take them" in done.out
    assert modelcar("check", place, "--mode", "native").code == 0


def test_a_name_that_modelcar_base_image_waits_at(registry: Registry) -> None:
    place = publish(registry, MODEL, tag="asleep", entrypoint=("/bin/link-model-and-wait",))
    done = modelcar("check", place)
    assert done.code == 1
    assert "reads the word sleep" in done.out
    assert modelcar("check", f"{place.rpartition(':')[0]}@{registry.tags(REPO)['asleep']}").code == 0


def test_a_shell_behind_links(registry: Registry) -> None:
    base = tar(
        file("usr/bin/busybox"), link("bin", "usr/bin"), link("usr/bin/sh", "/bin/busybox"),
        hard("usr/bin/ln", "usr/bin/busybox"), link("usr/bin/sleep", "../bin/busybox"),
    )  # fmt: skip
    assert not check(publish(registry, base, MODEL)).failures
    circle = tar(link("bin/sh", "sh"), file("bin/ln"), file("bin/sleep"))
    (wrong,) = check(publish(registry, circle, MODEL, tag="2")).failures
    assert "there is no sh" in wrong.reason


def test_plain_layers_of_others_cost_a_request_a_member(registry: Registry) -> None:
    # Each is more than a mebibyte from the next: nothing is read along.
    layer = tar(*(file(f"models/{number}", bytes(1_100_000)) for number in range(40)))
    assert not check(publish(registry, SHELL, layer)).failures
    assert 40 <= registry.count("GET", "/blobs/") <= 50


def test_no_more_members_are_asked_for_than_allowed(registry: Registry) -> None:
    layers = [tar(*(file(f"models/{n}-{m}", bytes(1_100_000)) for m in range(35))) for n in range(10)]
    done = check(publish(registry, SHELL, *layers))
    assert registry.count("GET", "/blobs/") <= MOST_PARTS + 10
    assert any(each.rule == "partly" for each in done.findings)
    assert not done.failures
    assert not any(each.severity == "not checked" for each in check(done.name, full=True).findings)


def test_files_that_not_every_user_may_read(registry: Registry) -> None:
    def closed(name: str, mode: int, group: int = 0) -> Any:
        info, content = file(name, CONFIG)
        info.mode, info.gid = mode, group
        return info, content

    def of(*entries: Any) -> dict[str, list[str]]:
        return found(publish(registry, SHELL, tar(*entries)))

    assert "unreadable" in of(closed("models/config.json", 0o600))["error"]
    assert "unreadable" in of(closed("models/config.json", 0o640, 1001))["error"]
    assert of(closed("models/config.json", 0o640))["warning"] == ["root-group"]
    assert "error" not in of(closed("models/config.json", 0o444, 1001))
    shut, _ = folder("models/a")
    shut.mode = 0o700
    assert "unreadable" in of((shut, b""), file("models/a/config.json", CONFIG))["error"]
    assert "error" not in of(closed("etc/shadow", 0o600), file("models/config.json", CONFIG))


def test_links_that_lead_out_of_the_model(registry: Registry) -> None:
    def warned(target: str) -> bool:
        layer = tar(file("models/a/config.json", CONFIG), link("models/a/x", target))
        return "link-out" in found(publish(registry, SHELL, layer)).get("warning", [])

    assert warned("/models/a/config.json")  # the runtime has it at another place
    assert warned("../../etc/passwd")
    assert not warned("config.json")
    assert not warned("../a/config.json")


def test_layers_that_are_no_tar_are_told_and_not_read(registry: Registry) -> None:
    kinds = found(publish(registry, SHELL, MODEL, ("application/vnd.cncf.model.weight.v1.raw", b"weights")))
    assert kinds["error"] == ["layer-type", "layer-type"]


def test_a_damaged_layer(registry: Registry) -> None:
    done = modelcar("check", publish(registry, SHELL, (media.OCI_LAYER_GZIP, b"no gzip")))
    assert done.code == 5
    assert "layer" in done.error


def test_a_blob_that_is_gone(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    registry.drop_blob(digest_of(MODEL))
    done = modelcar("check", place)
    assert done.code == 3
    assert "is not there" in done.error


def test_a_small_layer_with_other_bytes(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    registry.put_blob(REPO, SHELL.replace(b"sleep", b"slept"), digest_of(SHELL))
    with pytest.raises(ContentMismatch, match="other bytes"):
        check(place)


@pytest.mark.parametrize(
    "start",
    [
        (2**40).to_bytes(8, "little") + b"{}",
        json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}).encode(),
        b"",
    ],
    ids=["a header past the file", "tensors that overlap", "an empty file"],
)
def test_weights_that_lie_are_no_reason_to_say_nothing(registry: Registry, start: bytes) -> None:
    if start.startswith(b"{"):
        start = len(start).to_bytes(8, "little") + start + bytes(8)
    layer = tar(file("models/config.json", CONFIG), file("models/model.safetensors", start))
    done = check(publish(registry, SHELL, layer))
    assert done.facts is None
    assert "model.safetensors" in done.no_facts
    assert not done.failures


def test_a_model_in_a_folder_below(registry: Registry) -> None:
    layer = tar(file("models/granite/config.json", CONFIG), file("models/granite/model.safetensors", WEIGHTS))
    assert found(publish(registry, SHELL, layer))["warning"] == ["folder"]


def test_a_layout_before_there_is_a_registry(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_bytes(CONFIG)
    (tmp_path / "m" / "model.safetensors").write_bytes(WEIGHTS)
    assert modelcar("build", tmp_path / "m", f"oci:{tmp_path}/out:1", "--base", "embedded").code == 0
    done = modelcar("check", f"oci:{tmp_path}/out:1", "--mode", "fetch")
    assert (done.code, done.err) == (0, "")
    assert "error" not in done.out


def test_errors_are_ours(registry: Registry) -> None:
    for place in ("ftp://x/y", "oci://", f"{registry.host}/{REPO}:a b"):
        with pytest.raises(ModelcarError):
            check(place)


def layers_of(count: int) -> list[Layer]:
    return [tar(file(f"models/{number}.bin", b"x")) for number in range(count)]


def test_more_layers_than_engines_mount(registry: Registry) -> None:
    assert found(publish(registry, SHELL, *layers_of(130)))["warning"] == ["many-layers", "many-layers", "model"]


def test_a_compressed_layer_is_read_once(registry: Registry) -> None:
    index = json.dumps({"weight_map": {"a": "model-1.safetensors"}}).encode()
    files = {"config.json": CONFIG, "model-1.safetensors": WEIGHTS, "tokenizer_config.json": b'{"chat_template": "x"}'}
    members = [file(f"models/{name}", content) for name, content in files.items()]
    noise = file("models/noise", Random(1).randbytes(DEPTH // 4))
    layer = gzip.compress(tar(*members, file("models/model.safetensors.index.json", index), noise), 0)
    place = publish(registry, SHELL, (media.OCI_LAYER_GZIP, layer))
    registry.forget_requests()
    done = check(place)
    assert done.facts is not None
    assert (done.facts.parameters, done.facts.chat_template) == (61440, "tokenizer_config.json")
    assert not done.facts.estimated
    assert registry.count("GET", digest_of(layer)) == 1
