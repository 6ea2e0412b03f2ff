"""Connections that fail, in our words."""

from __future__ import annotations

import ssl

import urllib3

from modelcar.errors import NetworkError, Unreached


class Broke(NetworkError):
    """The connection ended before its time."""


class WentSilent(NetworkError):
    """Nothing came for too long."""


class NotTls(NetworkError):
    """The server's side of the handshake was no TLS."""


def broken(error: Exception, host: str, *, is_met: bool = True) -> NetworkError:
    """An error of the transport in our words.

    Args:
        error: urllib3's, or the system's.
        host: With its port, where it was named.
        is_met: Whether the host has answered before.
    """
    reason = _innermost(error)
    text = str(reason)
    # Whoever answered once may come back; where nobody ever did, the name is most often wrong.
    no_connection = NetworkError if is_met or not isinstance(reason, ConnectionRefusedError) else Unreached
    if "CERTIFICATE_VERIFY_FAILED" in text:
        detail = text.partition("verify failed: ")[2].partition(" (_ssl")[0] or "it can't be verified"
        hint = "name its certificate authority with --ca-file"
        return NetworkError(f"the certificate of {host} is not trusted: {detail}", hint, final=True)
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return NetworkError(f"the host {host} is not known", "check its spelling, the network and the proxy settings")
    if isinstance(error, urllib3.exceptions.ProxyError) and " 407 " in text:
        return refused_by_proxy(host)
    if isinstance(error, urllib3.exceptions.ProxyError):
        return no_connection(f"the proxy for {host} doesn't answer", "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY")
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        hint = "check its name and port, and that it runs" if no_connection is Unreached else ""
        return no_connection(f"no connection to {host}: {getattr(reason, 'strerror', None) or 'refused'}", hint)
    if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError):
        return WentSilent(f"{host} went silent")
    # OpenSSL's word for a connection that ends in the middle; a server without TLS is another error.
    if isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError) and not isinstance(reason, ssl.SSLEOFError):
        return NotTls(
            f"{host} doesn't speak TLS properly", "for a registry without TLS there is --plain-http", final=True
        )
    return Broke(f"the connection to {host} broke")


def refused_by_proxy(host: str) -> NetworkError:
    """The error for a proxy that wants other credentials (407)."""
    hint = "check user and password in HTTPS_PROXY or HTTP_PROXY"
    return NetworkError(f"the proxy for {host} refuses its credentials", hint, final=True)


def _innermost(error: Exception) -> Exception:
    """What lies at the bottom of urllib3's wrappings."""
    while isinstance(
        inner := getattr(error, "reason", None) or error.__cause__ or next(iter(error.args), None), Exception
    ):
        error = inner
    return error
