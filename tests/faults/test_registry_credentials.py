"""Who may push: each way in which a registry asks for credentials, and each in which it refuses them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar.oci import Digest
from tests.cli import modelcar
from tests.doubles.registry import Access, Auth, Basic, Bearer, Do, Quirks, Registry
from tests.models import model_files, write_files
from tests.pushing import ME, REPO, SHARD, blobs, layers_sent, place, push, refusal, store_at, write_login

PASSWORD = ME["me"]
WHOLE = pytest.approx(SHARD + 2048, rel=0.01)
WRONG = {"auth": base64.b64encode(b"me:a-guess").decode()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("model"), model_files(shard_size=SHARD))


@pytest.fixture(params=["basic", "bearer"])
def guarded(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A registry of each kind; no credentials are kept for it yet."""
    with Registry(auth=Basic(ME) if request.param == "basic" else Bearer(ME)) as running:
        yield running


def no_push(access: Access) -> bool:
    return access.action == "push"


# The ways in


def test_a_password_is_taken_from_the_docker_configuration(model: Path, guarded: Registry) -> None:
    write_login(guarded.host)
    digest = push(model, guarded)
    assert guarded.uploaded == sum(blobs(guarded, digest).values())


def test_basic_goes_along_from_the_second_request_on(model: Path) -> None:
    with Registry(auth=Basic(ME)) as registry:
        write_login(registry.host)
        push(model, registry)
        api = [each for each in registry.requests if REPO in each.target]
        assert [each.status for each in api if not each.has_authorization] == [401]


def test_tokens_come_by_get_and_are_used_again(model: Path) -> None:
    auth = Bearer(ME)
    with Registry(auth=auth) as registry:
        write_login(registry.host)
        push(model, registry)
        assert {(each.method, each.user, each.service) for each in auth.asked} == {("GET", "me", Bearer.service)}
        assert sorted(each.scopes for each in auth.asked) == [
            (f"repository:{REPO}:pull",),
            (f"repository:{REPO}:pull,push",),
        ]


def test_an_identity_token_goes_by_post(model: Path) -> None:
    auth = Bearer({}, refresh_tokens={"the-identity": "me"})
    with Registry(auth=auth) as registry:
        write_login(registry.host, {"auth": base64.b64encode(b"<token>:").decode(), "identitytoken": "the-identity"})
        push(model, registry)
        assert {(each.method, each.grant) for each in auth.asked} == {("POST", "refresh_token")}


def test_a_token_server_elsewhere_gets_the_password_and_storage_elsewhere_nothing(model: Path) -> None:
    with Registry(auth=Bearer(ME), quirks=Quirks(token_host="other", upload_host="other")) as registry:
        write_login(registry.host)
        push(model, registry)
        assert registry.leaks == []
        assert registry.count("PATCH") > 0


def test_credentials_go_to_their_own_host_only(model: Path) -> None:
    """Two registries on one machine, of which one has a login."""
    with Registry() as stranger, Registry(auth=Basic(ME)) as own:
        write_login(own.host)
        push(model, stranger)
        push(model, own)
        assert not any(each.has_authorization for each in stranger.requests)


# Tokens that end


def test_a_token_that_ends_between_patch_and_put_is_renewed(model: Path) -> None:
    auth = Bearer(ME)
    with Registry(auth=auth) as registry:
        write_login(registry.host)
        registry.fault(Do(auth.revoke), "PUT", "/blobs/uploads/")
        push(model, registry)
        assert layers_sent(registry) == [WHOLE, WHOLE]
        assert registry.count("PUT", "/blobs/uploads/", status=401) == 1


def test_a_token_that_ends_at_the_patch_lets_that_layer_start_again(model: Path) -> None:
    auth = Bearer(ME)
    with Registry(auth=auth) as registry:
        write_login(registry.host)
        registry.fault(Do(auth.revoke), "PATCH", skip=1)
        push(model, registry)
        assert registry.count("PATCH", status=401) == 1
        finished = [each for each in registry.requests if each.method == "PATCH" and each.status == 202]
        assert [each.received for each in finished if each.received > SHARD] == [WHOLE, WHOLE]


def test_tokens_that_serve_three_requests_only(model: Path) -> None:
    with Registry(auth=Bearer(ME, uses=3)) as registry:
        write_login(registry.host)
        push(model, registry)


def test_a_token_whose_server_states_no_end(model: Path) -> None:
    with Registry(auth=Bearer(ME, expires_in=None)) as registry:
        write_login(registry.host)
        push(model, registry)


# Refused


def test_without_credentials_it_says_how_to_log_in(model: Path, guarded: Registry) -> None:
    line = refusal(model, guarded, 4)
    assert f"modelcar login {guarded.host}" in line
    assert guarded.uploaded == 0


@pytest.mark.parametrize(
    "auth",
    [Basic(ME), Basic(ME, wrong=403), Bearer(ME), Bearer(ME, wrong=403)],
    ids=["basic-401", "basic-403", "bearer-401", "bearer-403"],
)
def test_a_wrong_password_is_denied_once(model: Path, auth: Auth) -> None:
    with Registry(auth=auth) as registry:
        write_login(registry.host, WRONG)
        line = refusal(model, registry, 4)
        assert registry.host in line
        assert "a-guess" not in line
        assert len(registry.requests) <= 4


def test_a_wrong_identity_token_is_denied(model: Path) -> None:
    with Registry(auth=Bearer(ME, refresh_tokens={"the-identity": "me"})) as registry:
        write_login(registry.host, {"identitytoken": "another-identity"})
        line = refusal(model, registry, 4)
        assert "refuses the credentials" in line
        assert "another-identity" not in line


@pytest.mark.parametrize("auth", [Basic(ME, denies=no_push), Bearer(ME, denies=no_push)], ids=["basic", "bearer"])
def test_no_right_to_push_says_so_before_anything_is_read(model: Path, auth: Auth) -> None:
    with Registry(auth=auth) as registry:
        write_login(registry.host)
        line = refusal(model, registry, 4)
        assert f"not allowed on {registry.host}/{REPO}" in line
        assert registry.uploaded == 0
        assert registry.count() < 10


def test_a_mount_from_where_one_may_not_read_is_no_error() -> None:
    def secret(access: Access) -> bool:
        return access.repository == "acme/secret"

    with Registry(auth=Bearer(ME, denies=secret)) as registry:
        write_login(registry.host)
        digest = Digest(registry.put_blob("acme/secret", b"hidden"))
        assert not store_at(registry).mount_blob(digest, f"{registry.host}/acme/secret")


# Nothing secret is said


@pytest.mark.parametrize("kind", ["basic", "bearer", "identity"])
def test_the_log_shows_requests_without_what_is_secret(model: Path, kind: str, tmp_path: Path) -> None:
    auth = Basic(ME) if kind == "basic" else Bearer(ME, refresh_tokens={"the-identity": "me"})
    with Registry(auth=auth, quirks=Quirks(upload_state=True, redirects=True)) as registry:
        write_login(registry.host, {"identitytoken": "the-identity"} if kind == "identity" else None)
        build = modelcar("build", "-vv", model, place(registry))
        pull = modelcar("pull", "-vv", place(registry), tmp_path / "out")
        assert (build.code, pull.code) == (0, 0), build.err + pull.err
        said = build.out + build.err + pull.out + pull.err
        assert f"POST http://{registry.host}/v2/{REPO}/blobs/uploads/ -> 202" in said
        assert "_state=…" in said
        assert "signature=…" in said
        for secret in secrets_of(registry):
            assert secret not in said
        for manifest in registry.manifests(REPO).values():
            assert PASSWORD.encode() not in manifest
        for digest in blobs(registry, registry.tags(REPO)["1"]):
            assert PASSWORD.encode() not in (registry.blob(digest) or b"")


def secrets_of(registry: Registry) -> set[str]:
    """Whatever went over the line that nobody else may know: passwords, tokens, states and signatures of links."""
    headers = (each.headers.get("authorization", "") for each in registry.requests)
    queries = (each.target.partition("?")[2] for each in registry.requests)
    pairs = [pair.partition("=") for query in queries for pair in query.split("&")]
    signed = {value for name, _, value in pairs if name in ("_state", "signature")}
    found = {PASSWORD, "the-identity", *signed, *(header.rpartition(" ")[2] for header in headers)} - {""}
    assert len(found) > 4
    return found


@pytest.mark.parametrize("auth", [Basic(ME), Bearer(ME)], ids=["basic", "bearer"])
def test_a_failure_says_nothing_secret(model: Path, auth: Auth) -> None:
    with Registry(auth=auth) as registry:
        write_login(registry.host, WRONG)
        done = modelcar("build", "-vv", model, place(registry))
        assert done.code == 4
        assert "refuses the credentials" in done.error
        for secret in ("a-guess", WRONG["auth"]):
            assert secret not in done.out + done.err
