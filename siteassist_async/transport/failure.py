"""Failures: converts exceptions of aiohttp, and of anything below it, to the package's own."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, cast

import aiohttp
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDict

from siteassist_async.errors import (
    CertificateError,
    ConfigurationError,
    ConnectionFailedError,
    DisconnectedError,
    ProxyError,
    SiteAssistError,
    TimedOutError,
    TransportError,
)
from siteassist_async.tracebacks import behind
from siteassist_async.transport import aiohttp_internals
from siteassist_async.transport.aiohttp_internals import is_out_of_descriptors
from siteassist_async.transport.inflate import EncodingError

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

    from siteassist_async.wire import Timeout

_PARSER_ERRORS = (aiohttp.ClientResponseError, HttpProcessingError)

# aiohttp's messages quote received bytes, which may repeat the token, in part or as a whole. So
# they are cut off.
_RECEIVED = re.compile(r":?\s*(b['\"]|bytearray\()")


class BrokenError(Exception):
    """A connection lost before the headers; raised so that aiohttp does not repeat the request."""


_BROKEN = (
    BrokenError,
    aiohttp.ClientConnectionResetError,
    aiohttp.ClientOSError,
    aiohttp.ServerDisconnectedError,
)


def is_broken(error: Exception) -> bool:
    """Whether an established connection was lost before the headers of the response.

    During the body, aiohttp raises ClientPayloadError instead.
    """
    if isinstance(error, aiohttp.ClientConnectorError):
        return False
    return isinstance(error, _BROKEN)


_DESCRIPTORS: dict[int | None, str] = {
    errno.EMFILE: "this process has too many files open: lower the concurrency, or raise its limit"
    " (ulimit -n)",
    errno.ENFILE: "this machine has too many files open: lower the concurrency, or raise its limit"
    " (fs.file-max)",
}


# Not caused by the network: conflicting options, an invalid header, a bug in a tracing tool. They
# are not retryable.
_PROGRAMMING_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


def failure(error: Exception, timeout: Timeout) -> SiteAssistError:  # noqa: PLR0911 - one a kind
    """Convert an exception; the result never repeats received bytes."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unsent(_no_connection(error))
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return _unsent(TimedOutError(f"no connection within {timeout.connect:g} s"))
    if isinstance(error, TimeoutError):
        return TimedOutError(
            f"no data received for {timeout.read:g} s"
            if isinstance(error, aiohttp.SocketTimeoutError)
            else f"no complete response within {timeout.total:g} s"
        )
    reason = reason_of(error)
    match error:
        case aiohttp.ServerFingerprintMismatch():
            return CertificateError(f"the server's certificate cannot be trusted: {reason}")
        case aiohttp.ClientHttpProxyError():
            return ProxyError(error.status)
        case _ if is_broken(error):
            return DisconnectedError(f"connection closed before a response: {reason}")
        case aiohttp.ClientResponseError():
            return ConnectionFailedError(f"invalid HTTP response: {reason}")
        case aiohttp.ClientPayloadError() | HttpProcessingError() | EncodingError():
            return ConnectionFailedError(f"the response is truncated: {reason}")
        case _ if isinstance(error, _PROGRAMMING_ERRORS) and not isinstance(error, OSError):
            return ConfigurationError(f"the request cannot be sent: {_named(error)}")
        case _:
            return ConnectionFailedError(_named(error))


def _unsent(error: TransportError) -> TransportError:
    error.sent = False
    return error


def _no_connection(error: aiohttp.ClientConnectorError) -> TransportError:
    reason = reason_of(error)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return CertificateError(f"the server's certificate cannot be trusted: {reason}")
    if is_out_of_descriptors(error):
        return ConnectionFailedError(f"no connection: {_DESCRIPTORS[error.os_error.errno]}")
    return ConnectionFailedError(f"cannot connect to {error.host}:{error.port}: {reason}")


def reason_of(error: BaseException) -> str:  # noqa: PLR0911 - one a kind
    """Return the message of an aiohttp error on one line, without received bytes."""
    if isinstance(error, aiohttp.ClientPayloadError) and error.__cause__ is not None:
        return reason_of(error.__cause__)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "closed by the server"
    if aiohttp_internals.OFF_BECAUSE and isinstance(error, _PARSER_ERRORS):
        return "malformed response"  # other parsers quote received bytes in other formats
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return "refused by the proxy"  # its reason phrase is arbitrary text
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(getattr(error.certificate_error, "verify_message", error))
    if isinstance(error, aiohttp.ClientConnectorError):
        # Its str() includes the TLS settings, and an error for every address.
        refused = isinstance(error.os_error, ConnectionError) and error.os_error.errno
        return os.strerror(refused) if refused else str(error.os_error)
    said = " ".join(str(getattr(error, "message", error)).split())
    return _RECEIVED.split(said)[0] or type(error).__name__


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {reason_of(error)}"


def scrub(error: BaseException, until: BaseException | None = None) -> None:
    """Remove received bytes and the token from an error and everything chained to it."""
    chained = list(behind(error, until))
    for one in chained:
        one.__traceback__ = None  # the locals of aiohttp's frames contain the request's headers
        if isinstance(one, aiohttp.ClientResponseError):
            # Not a proxy of one: that cannot be pickled, and Dask pickles an error with its causes.
            nothing = cast("CIMultiDictProxy[str]", CIMultiDict[str]())
            of = one.request_info
            one.request_info = aiohttp.RequestInfo(of.url, of.method, nothing, of.real_url)
            one.message, one.headers = reason_of(one), None
            one.args = (one.status, one.message)
            one.__cause__ = one.__context__ = None
        elif isinstance(one, HttpProcessingError):
            one.message, one.headers = reason_of(one), None
            one.args = (one.message,)
            one.__cause__ = one.__context__ = None
        elif isinstance(one, aiohttp.ServerDisconnectedError):
            one.message = reason_of(one)
            one.args = (one.message,)
        elif isinstance(one, aiohttp.ClientPayloadError):
            one.args = (reason_of(one),)
            one.__cause__ = one.__context__ = None
