"""Challenges as registries write them, and the tokens that are asked for in answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelcar.errors import Denied, NetworkError
from modelcar.http import Http
from modelcar.stores.registry.auth import Authorizer, parse_challenges
from modelcar.stores.registry.credentials import Credentials
from tests.doubles.registry import Amend, Bearer, Refuse, Registry

PULL = ("repository:acme/tiny:pull",)
ME = Credentials("me", "secret")


@pytest.mark.parametrize(
    ("header", "schemes"),
    [
        ('Bearer realm="https://auth.test/token",service="registry.test"', ["bearer"]),
        ('Basic realm="a registry"', ["basic"]),
        ("basic realm=plain", ["basic"]),
        ('Basic realm="x", Bearer realm="https://auth.test/token"', ["basic", "bearer"]),
        ('Bearer realm="https://auth.test/token",scope="repository:a:pull,push", Basic realm=x', ["bearer", "basic"]),
        ("Negotiate", []),
        ("", []),
    ],
)
def test_challenges_in_their_order(header: str, schemes: list[str]) -> None:
    assert [each.scheme for each in parse_challenges(header)] == schemes


def test_parameters_of_a_challenge() -> None:
    header = r'Bearer Realm="https://auth.test/token?a=b", service=plain, scope="repository:a/b:pull,push", x="a\"b"'
    assert dict(parse_challenges(header)[0].parameters) == {
        "realm": "https://auth.test/token?a=b",
        "service": "plain",
        "scope": "repository:a/b:pull,push",
        "x": 'a"b',
    }


@pytest.fixture
def auth() -> Bearer:
    return Bearer({"me": "secret"}, refresh_tokens={"identity": "me"}, anonymous=["pull"])


@pytest.fixture
def server(auth: Bearer) -> Iterator[Registry]:
    with Registry(auth=auth) as running:
        yield running


def authorizer(credentials: Credentials | None = ME) -> Authorizer:
    return Authorizer("registry.test", Http(), credentials, lambda host: host.startswith("127.0.0.1"))


def challenged(server: Registry, known: Authorizer, query: str = "") -> Authorizer:
    header = {"WWW-Authenticate": f'Bearer realm="{server.url}/token{query}",service="registry.test"'}
    assert known.learn(header, PULL, None, server.url)
    return known


def test_nothing_is_sent_before_it_is_asked_for() -> None:
    assert authorizer().header(PULL) is None


def test_basic_once() -> None:
    known = authorizer()
    assert known.learn({"WWW-Authenticate": "Basic realm=x"}, PULL, None, "https://registry.test/v2/")
    assert known.header(PULL) == ME.basic
    assert not known.learn({"WWW-Authenticate": "Basic realm=x"}, PULL, ME.basic, "https://registry.test/v2/")


@pytest.mark.parametrize("credentials", [None, Credentials("", "identity")])
def test_basic_needs_a_user(credentials: Credentials | None) -> None:
    known = authorizer(credentials)
    assert not known.learn({"WWW-Authenticate": "Basic realm=x"}, PULL, None, "https://registry.test/v2/")
    assert known.header(PULL) is None


def test_an_unknown_scheme_is_no_challenge_to_meet() -> None:
    assert not authorizer().learn({"WWW-Authenticate": "Negotiate"}, PULL, None, "https://registry.test/v2/")
    assert not authorizer().learn({}, PULL, None, "https://registry.test/v2/")


@pytest.mark.parametrize(
    ("credentials", "asked"),
    [
        (ME, ("GET", "basic", "me")),
        (Credentials("", "identity"), ("POST", "refresh_token", "me")),
        (None, ("GET", "basic", None)),
    ],
)
def test_each_kind_of_credentials_gets_a_token(
    server: Registry, auth: Bearer, credentials: Credentials | None, asked: tuple[str, str, str | None]
) -> None:
    header = challenged(server, authorizer(credentials)).header(PULL)
    assert header is not None
    assert header.startswith("Bearer ")
    assert [(each.method, each.grant, each.user) for each in auth.asked] == [asked]
    assert auth.asked[0].scopes == PULL
    assert auth.asked[0].service == "registry.test"


def test_a_token_is_used_again_until_it_is_refused(server: Registry, auth: Bearer) -> None:
    known = challenged(server, authorizer())
    first = known.header(PULL)
    assert known.header(PULL) == first
    challenge = {"WWW-Authenticate": f'Bearer realm="{server.url}/token",service="registry.test"'}
    assert known.learn(challenge, PULL, first, server.url)
    second = known.header(PULL)
    assert second != first
    # Another thread's late news of the first token takes the second one away from nobody.
    assert known.learn(challenge, PULL, first, server.url)
    assert known.header(PULL) == second
    assert len(auth.asked) == 2


def test_scopes_have_a_token_each(server: Registry, auth: Bearer) -> None:
    known = challenged(server, authorizer())
    both = ("repository:acme/tiny:pull,push", "repository:acme/other:pull")
    assert known.header(PULL) != known.header(both)
    assert auth.asked[1].scopes == both


def test_a_realm_may_have_a_query_and_be_relative(server: Registry, auth: Bearer) -> None:
    challenged(server, authorizer(), "?account=acme").header(PULL)
    known = authorizer()
    assert known.learn({"WWW-Authenticate": 'Bearer realm="/token"'}, PULL, None, f"{server.url}/v2/acme/tiny/tags")
    known.header(PULL)
    assert server.count("GET", "/token?account=acme&service=registry.test&scope=repository:acme/tiny:pull") == 1
    assert server.count("GET", "/token?scope=repository:acme/tiny:pull") == 1


@pytest.mark.parametrize("name", ["token", "access_token"])
def test_the_token_has_two_names(server: Registry, name: str) -> None:
    server.fault(Amend(body=b'{"%s": "abc", "expires_in": "soon"}' % name.encode(), headers={"Content-Length": None}))
    assert challenged(server, authorizer()).header(PULL) == "Bearer abc"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 1}', b"<html>"])
def test_an_answer_without_a_token_is_no_token(server: Registry, body: bytes) -> None:
    server.fault(Refuse(200, {}, body), "GET", "/token")
    with pytest.raises(NetworkError, match="without a token"):
        challenged(server, authorizer()).header(PULL)


@pytest.mark.parametrize("credentials", [Credentials("me", "a-guess"), Credentials("", "a-guess")])
def test_wrong_credentials(server: Registry, credentials: Credentials) -> None:
    with pytest.raises(Denied, match="refuses the credentials") as raised:
        challenged(server, authorizer(credentials)).header(PULL)
    assert "a-guess" not in str(raised.value) + repr(credentials)


def test_no_password_without_tls() -> None:
    known = authorizer()
    for url in ("https://registry.test/v2/", "http://127.0.0.1:5000/v2/"):
        with pytest.raises(Denied, match="without TLS"):
            known.learn({"WWW-Authenticate": 'Bearer realm="http://auth.test/token"'}, PULL, None, url)
