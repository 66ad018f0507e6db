"""Which error of ours one of aiohttp's, or of anything below it, becomes."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDict, CIMultiDictProxy

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
    from siteassist_async.wire import Timeout

_OF_A_PARSER = (aiohttp.ClientResponseError, HttpProcessingError)

# What came may repeat the request's token, whole or cut, so none of it is told.
_WHAT_CAME = re.compile(r":?\s*(b['\"]|bytearray\()")


class BrokenError(Exception):
    """A connection that broke before the headers, in a form that aiohttp does not repeat."""


_BROKEN = (
    BrokenError,
    aiohttp.ClientConnectionResetError,
    aiohttp.ClientOSError,
    aiohttp.ServerDisconnectedError,
)


def is_broken(error: Exception) -> bool:
    """Whether a connection broke that had been made, before the headers.

    Amid a body aiohttp has a ClientPayloadError for it.
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


# No network raises these: an option that clashes with another, a header that cannot be sent, a
# fault in a tool that listens. Trying again is no help.
_OF_A_PROGRAM = (
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
    """Choose the error of ours; none repeats what came over the wire."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unsent(_no_connection(error))
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return _unsent(TimedOutError(f"no connection within {timeout.connect:g} s"))
    if isinstance(error, TimeoutError):
        return _timed_out(error, timeout)
    reason = told(error)
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
        case _ if isinstance(error, _OF_A_PROGRAM) and not isinstance(error, OSError):
            return ConfigurationError(f"the request cannot be sent: {_named(error)}")
        case _:
            return ConnectionFailedError(_named(error))


def _timed_out(error: TimeoutError, timeout: Timeout) -> SiteAssistError:
    match error:
        case aiohttp.SocketTimeoutError():
            return TimedOutError(f"no data received for {timeout.read:g} s")
        case _:
            return TimedOutError(f"no complete response within {timeout.total:g} s")


def _unsent(error: TransportError) -> TransportError:
    error.sent = False
    return error


def _no_connection(error: aiohttp.ClientConnectorError) -> TransportError:
    reason = told(error)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return CertificateError(f"the server's certificate cannot be trusted: {reason}")
    if is_out_of_descriptors(error):
        return ConnectionFailedError(f"no connection: {_DESCRIPTORS[error.os_error.errno]}")
    return ConnectionFailedError(f"cannot connect to {error.host}:{error.port}: {reason}")


def told(error: BaseException) -> str:  # noqa: PLR0911 - one a kind
    """What an error of aiohttp says, on one line."""
    if isinstance(error, aiohttp.ClientPayloadError) and error.__cause__ is not None:
        return told(error.__cause__)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "closed by the server"
    if aiohttp_internals.OFF_BECAUSE and isinstance(error, _OF_A_PARSER):
        return "malformed response"  # other parsers repeat what came, and not as bytes only
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return "refused by the proxy"  # its own words may be any
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(getattr(error.certificate_error, "verify_message", error))
    if isinstance(error, aiohttp.ClientConnectorError):
        # Its own text has the TLS setting, and one error for each address.
        refused = isinstance(error.os_error, ConnectionError) and error.os_error.errno
        return os.strerror(refused) if refused else str(error.os_error)
    said = " ".join(str(getattr(error, "message", error)).split())
    return _WHAT_CAME.split(said)[0] or type(error).__name__


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {told(error)}"


def make_presentable(error: BaseException, until: BaseException | None = None) -> None:
    """Take what came, and the token, out of an error of aiohttp and of all that is behind it."""
    chained = list(behind(error, until))
    for one in chained:
        one.__traceback__ = None  # the locals of aiohttp's frames hold the request's headers
        _take_out_what_came(one)


def _take_out_what_came(error: BaseException) -> None:
    if isinstance(error, aiohttp.ClientResponseError):
        nothing = CIMultiDictProxy(CIMultiDict[str]())
        of = error.request_info
        error.request_info = aiohttp.RequestInfo(of.url, of.method, nothing, of.real_url)
        error.message, error.headers = told(error), None
        error.args = (error.status, error.message)
        error.__cause__ = error.__context__ = None
    elif isinstance(error, HttpProcessingError):
        error.message, error.headers = told(error), None
        error.args = (error.message,)
        error.__cause__ = error.__context__ = None
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        error.message = told(error)
        error.args = (error.message,)
    elif isinstance(error, aiohttp.ClientPayloadError):
        error.args = (told(error),)
        error.__cause__ = error.__context__ = None
