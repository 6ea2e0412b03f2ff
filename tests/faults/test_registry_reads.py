"""Blobs on their way out of a registry: redirected, cut, expired, without ranges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from random import Random

import pytest

from modelcar.errors import Denied, NetworkError, NotFound, RateLimited
from modelcar.oci import Digest, digest_of
from tests.doubles.registry import Amend, Basic, CutAnswer, Do, Quirks, Refuse, Registry
from tests.pushing import ME, REPO, store_at, write_login

CONTENT = Random(7).randbytes(3_000_000)


@pytest.fixture
def registry() -> Iterator[Registry]:
    """One with a login, that sends readers elsewhere."""
    with Registry(auth=Basic(ME), quirks=Quirks(redirects=True)) as running:
        write_login(running.host)
        running.put_blob(REPO, CONTENT)
        yield running


def read(registry: Registry, offset: int = 0, length: int | None = None, *, tries: int = 3) -> bytes:
    store = store_at(registry, tries=tries)
    with closing(store.open_blob(Digest(digest_of(CONTENT)), offset, length)) as reader:
        return b"".join(iter(lambda: reader.read(100_000), b""))


@pytest.mark.parametrize(("offset", "length"), [(0, None), (0, 1000), (1000, None), (1000, 2_000_000)])
def test_a_redirect_gets_the_range_and_no_credentials(registry: Registry, offset: int, length: int | None) -> None:
    assert read(registry, offset, length) == CONTENT[offset:][:length]
    storage = [each for each in registry.requests if "/storage/" in each.target]
    assert len(storage) == 1
    assert ("range" in storage[0].headers) == bool(offset or length)
    assert registry.leaks == []


def test_a_link_that_expired_is_asked_for_again(registry: Registry) -> None:
    registry.fault(Do(registry.expire_links), "GET", "/storage/")
    assert read(registry) == CONTENT
    assert registry.count("GET", "/storage/", status=403) == 1
    assert registry.count("GET", "/blobs/", status=307) == 2


def test_links_that_always_expire_give_up(registry: Registry) -> None:
    registry.fault(Do(registry.expire_links), "GET", "/storage/", times=None)
    with pytest.raises(NetworkError, match=rf"the link to {registry.other_host} has expired"):
        read(registry)
    assert registry.count("GET", "/storage/") < 10


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_read_that_is_cut_goes_on_where_it_was(registry: Registry, elsewhere: bool) -> None:
    registry.quirks.redirects = elsewhere
    if elsewhere:
        registry.fault(CutAnswer(1_000_000), "GET", "/storage/")
    else:
        registry.fault(CutAnswer(1_000_000), "GET", "/blobs/", skip=1)  # the first one is answered 401
    assert read(registry) == CONTENT
    ranges = [each.headers["range"] for each in registry.requests if "range" in each.headers]
    assert ranges[-1].startswith("bytes=1000000-")


def test_a_read_that_ends_too_early_is_no_end(registry: Registry) -> None:
    """A server that gives part of a range, with a length that fits what it gives."""
    part = Amend(body=CONTENT[1000:1500], headers={"Content-Length": "500", "Content-Range": None})
    registry.fault(part, "GET", "/storage/")
    assert read(registry, 1000, 2000) == CONTENT[1000:3000]


def test_a_server_without_ranges(registry: Registry) -> None:
    registry.quirks.redirects = False
    whole = Amend(status=200, body=CONTENT, headers={"Content-Length": str(len(CONTENT)), "Content-Range": None})
    registry.fault(whole, "GET", "/blobs/", times=None)
    assert read(registry, 1_500_000, 1000) == CONTENT[1_500_000:1_501_000]


@pytest.mark.parametrize("status", [429, 500])
def test_asked_to_come_again(registry: Registry, status: int) -> None:
    registry.fault(Refuse(status, {"Retry-After": "0"}), "GET", "/blobs/")
    assert read(registry) == CONTENT


def test_asked_to_come_again_tomorrow(registry: Registry) -> None:
    """That long nobody waits."""
    registry.fault(Refuse(429, {"Retry-After": "86400"}), "GET", "/storage/")
    with pytest.raises(RateLimited, match="asks to slow down"):
        read(registry)
    assert registry.count("GET", "/storage/") == 1


def test_a_blob_that_is_not_there(registry: Registry) -> None:
    registry.drop_blob(digest_of(CONTENT))
    with pytest.raises(NotFound, match="is not there"):
        read(registry)
    assert not store_at(registry).has_blob(Digest(digest_of(CONTENT)))


def test_no_credentials(registry: Registry) -> None:
    write_login("another.test")
    with pytest.raises(Denied, match=f"modelcar login {registry.host}"):
        read(registry)
