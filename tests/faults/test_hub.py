"""A Hub that has no such thing, refuses, limits, or lists what no image may hold: how a build ends then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar import Denied, NetworkError, NotFound, RateLimited, Refused, UsageError, Wish
from modelcar.http import Http
from modelcar.sources.huggingface import HuggingFaceSource
from tests.builds import FILES, NAME, SOURCE, Builds, check_no_secret, served
from tests.cli import modelcar
from tests.doubles import faults
from tests.doubles.hub import TOKEN, Hub

ALWAYS = 99


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Hub]:
    with served(monkeypatch, caplog) as hub:
        yield hub


@pytest.fixture
def builds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Builds:
    return Builds(tmp_path, caplog)


# What isn't there


@pytest.mark.parametrize("text", ["", "acme/x/y", "acme/x@", "acme/x.git", "acme/-x", "a--b/x", "../x", "acme/x y"])
def test_a_name_that_no_model_has(builds: Builds, text: str) -> None:
    assert f"'hf://{text}' names no model; write hf://OWNER/NAME" in builds.fails(UsageError, f"hf://{text}")


def test_no_such_repository(hub: Hub, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"{SOURCE} doesn't exist on {hub.endpoint}, or is private; check its name; if it is private, "
    assert builds.fails(NotFound) == said + "your token has no right to it"
    monkeypatch.delenv("HF_TOKEN")
    assert builds.fails(NotFound) == said + "log in (hf auth login) or set HF_TOKEN"


def test_no_such_revision(hub: Hub, builds: Builds) -> None:
    hub.repo(NAME, FILES)
    line = builds.fails(NotFound, f"{SOURCE}@v9")
    assert line == f"{SOURCE} has no revision 'v9'; see {hub.endpoint}/{NAME}/tree/main"


def test_a_repository_without_files(hub: Hub, builds: Builds) -> None:
    hub.repo(NAME, {})
    assert builds.fails(NotFound) == f"{SOURCE} holds no files"


def test_nothing_that_looks_like_weights(hub: Hub, builds: Builds) -> None:
    hub.repo(NAME, {"README.md": b"# X", "config.json": b"{}"})
    line = builds.fails(NotFound)
    assert "holds nothing that looks like weights: README.md, config.json; --all-files" in line


def test_no_file_matches(hub: Hub, builds: Builds) -> None:
    hub.repo(NAME, FILES)
    line = builds.fails(NotFound, wish=Wish(include=("*.gguf",), exclude=("*.bin",)))
    assert line == (
        "no file is left by --include *.gguf --exclude *.bin; there are README.md, config.json, model.safetensors"
    )


# Who may read it


@pytest.mark.parametrize("gate", ["auto", "manual"])
def test_gated_and_no_access(hub: Hub, builds: Builds, monkeypatch: pytest.MonkeyPatch, gate: str) -> None:
    hub.repo(NAME, FILES, gated="auto" if gate == "auto" else "manual", readers=())
    page = f"accept its terms at {hub.endpoint}/{NAME}"
    assert builds.fails(Denied) == (
        f"{SOURCE} is gated, and your token has no access to it; "
        f"{page} with the account of your token, then run it again"
    )
    monkeypatch.delenv("HF_TOKEN")
    assert builds.fails(Denied) == (
        f"{SOURCE} is gated, and there is no token; {page}, then log in (hf auth login) or set HF_TOKEN"
    )


def test_private_and_no_access(hub: Hub, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repo(NAME, FILES, private=True, readers=())
    assert "or is private; check its name; if it is private, your token has no right" in builds.fails(NotFound)
    monkeypatch.delenv("HF_TOKEN")
    assert "if it is private, log in (hf auth login) or set HF_TOKEN" in builds.fails(NotFound)


def test_a_wrong_token(hub: Hub, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repo(NAME, FILES)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    line = builds.fails(Denied)
    assert line == f"the Hub refuses your token for {SOURCE}; check HF_TOKEN, or log in again: hf auth login"


def test_a_token_that_is_withdrawn_during_the_build(hub: Hub, builds: Builds) -> None:
    hub.repo(NAME, FILES)
    hub.on_request(lambda request: hub.tokens.clear() if "/resolve/" in request.path else None)
    assert "the Hub refuses your token" in builds.fails(Denied)


def test_a_repository_that_was_disabled(hub: Hub, builds: Builds) -> None:
    hub.repo(NAME, FILES)
    hub.fault(faults.status(403, {"X-Error-Message": "Access to this resource is disabled."}), times=ALWAYS)
    assert builds.fails(Denied) == f"{SOURCE} has been disabled; see {hub.endpoint}/{NAME}"


# A Hub that doesn't answer as it should


@pytest.mark.parametrize(
    ("limit", "page", "seconds"),
    [
        (faults.rate_limited(1), f"/api/models/{NAME}?", 1.0),
        (faults.status(429, {"Retry-After": "1"}), f"/api/models/{NAME}?", 1.0),
        (faults.status(503, {"Retry-After": "0"}), f"/api/models/{NAME}?", 0.1),
    ],
)
def test_the_listing_is_limited(hub: Hub, builds: Builds, limit: faults.Fault, page: str, seconds: float) -> None:
    """The build waits as long as it was asked to, or its own time if that is longer, says so, and goes on."""
    hub.repo(NAME, FILES)
    hub.fault(limit, lambda request: f"{request.path}?".startswith(page))
    builds.run(retry_delay=0.1)
    assert builds.waits == [seconds]


def test_the_listing_is_limited_for_long(hub: Hub, builds: Builds) -> None:
    hub.repo(NAME, FILES)
    hub.fault(faults.rate_limited(3600), times=ALWAYS)
    assert builds.fails(RateLimited) == f"{SOURCE}: the Hub asks to slow down (429); run it again later"
    assert len(hub.requests) == 1


@pytest.mark.parametrize("fault", [faults.status(500), faults.status(502), faults.status(408), faults.drop()])
def test_the_listing_fails_once(hub: Hub, builds: Builds, fault: faults.Fault) -> None:
    hub.repo(NAME, FILES)
    hub.fault(fault, "/api/models/")
    builds.run()
    assert len(builds.waits) == 1


def test_the_listing_fails_again_and_again(hub: Hub, builds: Builds) -> None:
    hub.repo(NAME, FILES)
    hub.fault(faults.status(502), "/api/models/", times=ALWAYS)
    assert builds.fails(NetworkError) == f"{SOURCE}: the Hub answered 502"
    assert len(hub.requests) == 3


def test_no_hub_at_all(hub: Hub, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert builds.fails(NetworkError) == f"{SOURCE}: no answer of http://127.0.0.1:9 (ConnectError)"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"sha": null}', b"", b'"\xff"'])
def test_something_else_answers(hub: Hub, builds: Builds, body: bytes) -> None:
    hub.repo(NAME, FILES)
    hub.fault(faults.status(200, body=body), times=ALWAYS)
    line = builds.fails(NetworkError)
    assert line == f"{SOURCE}: what {hub.endpoint} answers is not a Hub's; check HF_ENDPOINT and the proxy"


def test_the_listing_goes_silent(hub: Hub) -> None:
    hub.repo(NAME, FILES)
    hub.fault(faults.silence(3, 60), f"/api/models/{NAME}")
    source = HuggingFaceSource(NAME, None, Http(silence=0.5))
    with pytest.raises(NetworkError, match=f"no answer of {hub.endpoint} .ReadTimeout"):
        source.snapshot()
    assert len(source.snapshot().files) == len(FILES)


def test_the_listing_is_elsewhere(hub: Hub, builds: Builds) -> None:
    """Another host is asked without the token (the fixture looks)."""
    hub.repo(NAME, FILES)
    hub.fault(faults.redirect(f"{hub.cdn}/a/b/c/d?Expires=0&Signature=x"), "/api/models/")
    builds.fails(Denied)
    assert [record.server for record in hub.requests] == ["hub", "cdn"]


def test_redirects_in_a_circle(hub: Hub, builds: Builds) -> None:
    hub.repo(NAME, FILES)
    hub.fault(faults.redirect("?again"), "/resolve/", times=ALWAYS)
    assert "redirects in a circle" in builds.fails(NetworkError)


# What an image may not hold


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../../etc/passwd", "would lead out of /models; leave it out with --exclude"),
        ("a/../b.safetensors", "would lead out of /models"),
        ("/etc/passwd", "would lead out of /models"),
        ("a//b.json", "would lead out of /models"),
        ("two\nlines.json", "holds a control character"),
        ("bell\a.json", "holds a control character"),
        ("n" * 300, "has a part of 300 bytes, and file systems take 255; rename it"),
        ("é" * 150, "has a part of 300 bytes"),
    ],
)
def test_names_that_no_image_holds(hub: Hub, builds: Builds, path: str, reason: str) -> None:
    hub.repo(NAME, {**FILES, path: b"x"})
    line = builds.fails(Refused)
    assert f"the file name {path!r} {reason}" in line
    assert all(record.path.startswith("/api/") for record in hub.requests)


def test_a_name_that_is_no_text(hub: Hub, builds: Builds) -> None:
    """Half of a surrogate pair, as JSON can spell it."""
    hub.repo(NAME, FILES)
    info = {"id": NAME, "sha": "0" * 40, "siblings": [{"rfilename": "\ud800", "blobId": "0" * 40, "size": 1}]}
    hub.fault(faults.status(200, body=json.dumps(info).encode()), "/api/", times=ALWAYS)
    assert "what" in builds.fails(NetworkError)


def test_names_that_differ_by_case(hub: Hub, builds: Builds) -> None:
    hub.repo(NAME, {**FILES, "Config.json": b"{}"})
    builds.run()
    assert builds.warnings == [
        "Config.json and config.json differ only by case: a file system that ignores case holds one of them"
    ]


# On the command line


def end(tmp_path: Path, hub: Hub, source: str = SOURCE, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and last line of a build that fails, with -vv and no secret in what it says."""
    done = modelcar("build", source, f"oci:{tmp_path}/out:1", "-vv", "--retry", "0", env=env)
    assert done.out == ""
    check_no_secret(done.err, hub)
    index = tmp_path / "out" / "index.json"
    assert not index.exists() or json.loads(index.read_bytes())["manifests"] == []
    return done.code, done.error


def test_exit_codes(hub: Hub, tmp_path: Path) -> None:
    assert end(tmp_path, hub, "hf://acme/x@") == (
        2,
        "'hf://acme/x@' names no model; write hf://OWNER/NAME or hf://OWNER/NAME@REVISION",
    )
    code, line = end(tmp_path, hub)
    assert (code, line.partition(" on ")[0]) == (3, f"{SOURCE} doesn't exist")
    hub.repo(NAME, FILES, gated="auto", readers=())
    code, line = end(tmp_path, hub)
    assert code == 4
    assert f"{SOURCE} is gated, and your token has no access to it; accept its terms at {hub.endpoint}/{NAME}" in line
    hub.repo(NAME, FILES)
    hub.fault(faults.flip(2_000_000), where="cdn")
    code, line = end(tmp_path, hub)
    assert (code, line.partition(":")[0]) == (5, "model.safetensors")
    hub.repo("acme/bad", {**FILES, "/x": b""})
    assert end(tmp_path, hub, "hf://acme/bad") == (
        6,
        "the file name '/x' would lead out of /models; leave it out with --exclude",
    )
    hub.fault(faults.status(500), "model.safetensors", times=ALWAYS)
    assert end(tmp_path, hub) == (7, f"model.safetensors: {hub.endpoint.removeprefix('http://')} answered 500")


def test_offline(hub: Hub, tmp_path: Path) -> None:
    hub.repo(NAME, FILES)
    code, line = end(tmp_path, hub, env={"HF_HUB_OFFLINE": "1"})
    assert (code, line) == (7, f"{SOURCE} can't be listed: HF_HUB_OFFLINE is set; unset it, or build from a folder")
    assert not any("/models/" in record.path for record in hub.requests)


def test_a_token_that_may_not_be_sent_unasked(hub: Hub, tmp_path: Path) -> None:
    """HF_HUB_DISABLE_IMPLICIT_TOKEN holds for us as for huggingface_hub."""
    hub.repo(NAME, FILES)
    env = {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "HF_TOKEN": TOKEN}
    assert modelcar("build", SOURCE, f"oci:{tmp_path}/out:1", env=env).code == 0
    assert not any(record.authorized for record in hub.requests)


def test_a_trusted_publisher_without_a_token(hub: Hub, tmp_path: Path) -> None:
    code, line = end(tmp_path, hub, env={"HF_OIDC_RESOURCE": "models/acme/x"})
    assert code == 4
    assert line.startswith("there is no token for HF_OIDC_RESOURCE: ")
