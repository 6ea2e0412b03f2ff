"""The words of HTTP: waits that servers ask for, addresses that hide secrets, and redirects to nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import NetworkError, Unreached
from modelcar.http import Http, origin, retry_after, shown
from tests.doubles.serving import Answer, Record, Request, Server

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the RFC's own example


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:50:37 GMT"}, 60.0),
        ({"Retry-After": "Sunday, 06-Nov-94 08:49:47 GMT"}, 10.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:40:37 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "Sun, 06 Nov 99999999999999999999 08:49:37 GMT"}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api"; r=0; t=55'}, 55.0),
        ({"RateLimit": '"api";r=10;t=55'}, None),
        ({"RateLimit": '"api";r=0'}, None),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "7"}, 7.0),
    ],
)
def test_seconds_that_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, lambda: NOW) == seconds


@given(st.dictionaries(st.sampled_from(["Retry-After", "RateLimit"]), st.text() | st.integers().map(str)))
def test_any_headers_ask_for_a_wait_or_for_none(headers: dict[str, str]) -> None:
    wait = retry_after(headers)
    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://quay.io/v2/a/blobs/sha256:0a", "https://quay.io/v2/a/blobs/sha256:0a"),
        ("https://me:secret@quay.io:8443/v2/", "https://quay.io:8443/v2/"),
        ("https://cdn/x?X-Amz-Signature=secret&X-Amz-Date=1", "https://cdn/x?X-Amz-Signature=…&X-Amz-Date=…"),
        ("https://r/u?digest=sha256:0a&_state=secret", "https://r/u?digest=sha256:0a&_state=…"),
        ("https://r/u?mount=sha256:0a&from=b/c&digest", "https://r/u?mount=sha256:0a&from=b/c&digest"),
        ("https://a/token?service=x&scope=y&account=secret", "https://a/token?service=x&scope=y&account=…"),
        ("https://a/x?secret", "https://a/x?secret=…"),
        ("https://a/x#secret", "https://a/x"),
        ("https://[::1]:5000/v2/", "https://[::1]:5000/v2/"),
    ],
)
def test_shown_addresses_hold_no_secret(url: str, expected: str) -> None:
    assert shown(url) == expected


@given(st.text("abcdefghijk", min_size=8), st.sampled_from(["token", "Signature", "sig", "_state", "key", "password"]))
def test_no_value_that_may_be_secret_is_shown(secret: str, name: str) -> None:
    assert secret not in shown(f"https://{secret}:{secret}@host/path?{name}={secret}&n=1#{secret}")


def test_origin_is_scheme_host_and_port() -> None:
    assert origin("https://QUAY.io/v2/") == origin("https://quay.io:443/x?y") == ("https", "quay.io", 443)
    others = ["http://quay.io", "https://quay.io:8443", "https://cdn.quay.io", "https://quay.io.evil.com"]
    assert len({origin(url) for url in ["https://quay.io", *others]}) == 5
    assert origin("http://user@localhost")[2] == 80


@pytest.mark.parametrize("location", ["http://[", "http://host:port/x", "http://host:99999/", "//[::1", "http://[x]/"])
def test_a_redirect_to_nowhere(location: str) -> None:
    """An error that names where it came from, not a traceback."""
    records: list[Record] = []

    def answer(request: Request) -> Answer:
        return Answer.whole(307, b"", {"Location": location})

    with Server("hub", answer, records) as server, pytest.raises(NetworkError) as raised:
        Http().follow("GET", f"{server.url}/x?token=secret")
    assert "redirects to something that is no address" in raised.value.what
    assert "secret" not in str(raised.value)
    assert raised.value.final


def test_a_server_that_was_met_and_one_that_never_was() -> None:
    """Only of the latter a refused connection says that nobody is there; the former may come back."""
    http = Http()
    with Server("hub", lambda _: Answer.whole(200, b""), []) as server:
        http.request("GET", server.url).close()
    said = f"no connection to {server.url.removeprefix('http://')}: Connection refused"
    for client, kind in ((http, NetworkError), (Http(), Unreached)):
        with pytest.raises(NetworkError, match=said) as raised:
            client.request("GET", server.url)
        assert type(raised.value) is kind


def test_redirects_in_a_circle() -> None:
    records: list[Record] = []

    def answer(request: Request) -> Answer:
        return Answer.whole(302, b"", {"Location": "/x"})

    with Server("hub", answer, records) as server, pytest.raises(NetworkError, match="redirects in a circle"):
        Http().follow("GET", f"{server.url}/x")
    assert len(records) < 12
