"""The way to a registry: TLS or none, certificates that aren't trusted, proxies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from modelcar.errors import Denied, NetworkError
from modelcar.http import Http
from modelcar.oci import Reference
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores.registry.client import Client
from tests.cli import Done, modelcar
from tests.doubles.proxy import Proxy
from tests.doubles.registry import Basic, Bearer, CutBody, Refuse, Registry
from tests.models import model_files, write_files
from tests.peers import Certificates, self_signed
from tests.pushing import ME, QUICK, REPO, place, push, refusal, store_at, write_login


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", model_files())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return self_signed(tmp_path_factory.mktemp("certificates"))


def build(model: Path, target: str, *options: str | Path, **env: str) -> Done:
    done = modelcar("build", "-vv", "--retry", "0", *options, model, target, env=env)
    assert ME["me"] not in done.out + done.err
    return done


# TLS or none


@pytest.mark.parametrize(
    ("host", "plain_http", "base"),
    [
        ("registry.test", False, "https://registry.test"),
        ("registry.test:5000", False, "https://registry.test:5000"),
        ("10.0.0.7:5000", False, "https://10.0.0.7:5000"),
        ("localhost.evil.test", False, "https://localhost.evil.test"),
        ("registry.test:5000", True, "http://registry.test:5000"),
        ("docker.io", False, "https://registry-1.docker.io"),
    ],
)
def test_tls_is_for_all_but_loopback_unless_told_otherwise(host: str, plain_http: bool, base: str) -> None:
    client = Client(Reference(host, REPO), Http(), Access(plain_http=plain_http), Patience(), None)
    assert client.base() == base


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_on_loopback_plain_http_needs_no_flag(name: str) -> None:
    with Registry() as registry:
        host = registry.host if name == "127.0.0.1" else registry.other_host
        assert Client(Reference(host, REPO), Http(), Access(), Patience(), None).base() == f"http://{host}"


def test_a_registry_without_tls_elsewhere_is_refused_with_the_flag_to_use(model: Path) -> None:
    with Registry(auth=Basic(ME)) as registry, Proxy({"registry.test": registry.host}) as proxy:
        write_login("registry.test:5000")
        target = f"registry.test:5000/{REPO}:1"
        done = build(model, target, HTTP_PROXY=proxy.url, HTTPS_PROXY=proxy.url)
        assert done.code == 7
        assert "--plain-http" in done.error
        assert registry.requests == []
        done = build(model, target, "--plain-http", HTTP_PROXY=proxy.url, HTTPS_PROXY=proxy.url)
        assert done.code == 0, done.err
        assert registry.tags(REPO)["1"] in done.out


def test_a_certificate_of_ones_own_needs_its_authority(model: Path, made: Certificates) -> None:
    with Registry(tls=made.server) as registry:
        assert "--ca-file" in refusal(model, registry, 7)
        assert registry.requests == []
        push(model, registry, replace(QUICK, access=Access(ca_file=made.ca)))


def test_a_certificate_for_another_name_is_refused(model: Path, made: Certificates) -> None:
    with Registry(tls=made.server) as registry:
        target = f"another.test/{REPO}:1"
        with Proxy({"another.test": registry.host}) as proxy:
            done = build(model, target, "--ca-file", made.ca, HTTP_PROXY=proxy.url, HTTPS_PROXY=proxy.url)
        assert done.code == 7
        assert "not trusted" in done.error


def test_an_upload_that_is_cut_within_tls_is_sent_again(tmp_path: Path, made: Certificates) -> None:
    """A connection that ends in the middle is no lack of TLS, however OpenSSL calls it."""
    big = write_files(tmp_path / "big", model_files(shard_size=8_000_000))
    with Registry(tls=made.server) as registry:
        registry.fault(CutBody(1_000_000), "PATCH")
        push(big, registry, replace(QUICK, access=Access(ca_file=made.ca)))
        assert registry.count("PATCH", status=None) == registry.count("PUT", "/blobs/uploads/") + 1


@pytest.mark.parametrize("what", ["absent", "no-certificate"])
def test_a_ca_file_that_is_none(model: Path, what: str, tmp_path: Path) -> None:
    ca = tmp_path / what
    if what == "no-certificate":
        ca.write_text("hello")
    done = build(model, f"registry.test/{REPO}:1", "--ca-file", ca)
    assert done.code == 2
    assert str(ca) in done.error


def test_an_upload_address_without_tls_is_not_used(made: Certificates) -> None:
    elsewhere = "http://storage.test/v2/uploads/1"
    with Registry(tls=made.server) as registry:
        client = Client(Reference(registry.host, REPO), Http(ca_file=made.ca), Access(), Patience(), None)
        with pytest.raises(NetworkError, match=r"without TLS: http://storage\.test"):
            client.absolute(elsewhere, f"{registry.url}/v2/")
        # A proxy in front that took TLS off forgets it in its answers.
        assert client.absolute(f"http://{registry.host}/v2/x", f"{registry.url}/v2/") == f"{registry.url}/v2/x"


@pytest.mark.parametrize("tls", [True, False])
def test_a_token_server_without_tls_gets_no_password(tls: bool, made: Certificates) -> None:
    with Registry(auth=Bearer(ME), tls=made.server if tls else None) as registry:
        write_login(registry.host)
        challenge = {"WWW-Authenticate": 'Bearer realm="http://tokens.test/token",service="x"'}
        registry.fault(Refuse(401, challenge), "POST", times=None)
        store = store_at(registry, ca_file=made.ca if tls else None)
        with pytest.raises(Denied, match=r"token server without TLS: http://tokens\.test/token"):
            store.prepare()
        assert not any(each.has_authorization for each in registry.requests)


# Proxies


def test_plain_http_goes_through_the_proxy_of_the_environment(model: Path) -> None:
    with Registry(auth=Basic(ME)) as registry, Proxy({"registry.test": registry.host}, "ann:proxy-secret") as proxy:
        write_login("registry.test")
        done = build(model, f"registry.test/{REPO}:1", "--plain-http", http_proxy=proxy.url)
        assert done.code == 0, done.err
        assert registry.tags(REPO)["1"] in done.out
        assert {each.target.partition("/v2/")[0] for each in proxy.asked} == {"http://registry.test"}
        assert "proxy-secret" not in done.err
        assert not any("proxy-authorization" in each.headers for each in registry.requests)


def test_tls_goes_through_a_tunnel(model: Path, made: Certificates) -> None:
    with Registry(auth=Basic(ME), tls=made.server) as registry:
        with Proxy({"registry.test": registry.host}, "ann:proxy-secret") as proxy:
            write_login("registry.test")
            done = build(model, f"registry.test/{REPO}:1", "--ca-file", made.ca, HTTPS_PROXY=proxy.url)
            assert done.code == 0, done.err
            assert {(each.method, each.target) for each in proxy.asked} == {("CONNECT", "registry.test:443")}
        assert registry.tags(REPO)["1"] in done.out
        assert "proxy-secret" not in done.err
        assert not any("proxy-authorization" in each.headers for each in registry.requests)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_named_without_its_password(model: Path, scheme: str) -> None:
    with Proxy({}, "ann:proxy-secret") as proxy:
        wrong = proxy.url.replace("proxy-secret", "a-guess")
        plain = ("--plain-http",) if scheme == "http" else ()
        done = build(model, f"registry.test/{REPO}:1", *plain, HTTP_PROXY=wrong, HTTPS_PROXY=wrong)
        assert done.code in (4, 7)
        assert "the proxy" in done.error
        assert "a-guess" not in done.err


def test_a_proxy_that_is_not_there(model: Path) -> None:
    with Proxy() as proxy:
        gone = proxy.url
    done = build(model, f"registry.test/{REPO}:1", HTTPS_PROXY=gone.replace("http://", "http://ann:proxy-secret@"))
    assert done.code == 7
    assert "HTTPS_PROXY" in done.error
    assert "proxy-secret" not in done.err


def test_no_proxy_goes_past_it(model: Path) -> None:
    with Registry() as registry, Proxy() as proxy:
        done = build(model, place(registry), HTTP_PROXY=proxy.url, NO_PROXY="127.0.0.1")
        assert done.code == 0, done.err
        assert proxy.asked == []


def test_loopback_never_goes_through_a_proxy(model: Path) -> None:
    """As in Go's clients: plain HTTP is fine there because it doesn't leave the machine."""
    with Registry(auth=Basic(ME)) as registry, Proxy() as proxy:
        write_login(registry.host)
        done = build(model, place(registry), HTTP_PROXY=proxy.url, ALL_PROXY=proxy.url)
        assert done.code == 0, done.err
        assert proxy.asked == []


def test_an_environment_that_names_no_proxy_of_http(model: Path) -> None:
    done = build(model, f"registry.test/{REPO}:1", HTTPS_PROXY="socks5://ann:proxy-secret@127.0.0.1:1")
    assert done.code == 2
    assert "no HTTP proxy" in done.error
    assert "proxy-secret" not in done.err
