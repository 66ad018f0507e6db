"""Which error of ours one of aiohttp's, or of anything below it, becomes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

from siteassist_async.errors import (
    CertificateError,
    ConnectionFailedError,
    DisconnectedError,
    SiteAssistError,
    TimedOutError,
)
from siteassist_async.transport.inflate import EncodingError

if TYPE_CHECKING:
    from siteassist_async.wire import Timeout

# What came may repeat the request's token, whole or cut, so none of it is told.
_WHAT_CAME = re.compile(r":?\s*(b['\"]|bytearray\()")


class BrokenError(Exception):
    """A connection that broke before the headers, in a form that aiohttp does not repeat."""


def is_broken(error: Exception) -> bool:
    """Whether a connection broke that had been made, before the headers.

    Amid a body aiohttp has a ClientPayloadError for it.
    """
    if isinstance(error, aiohttp.ClientConnectorError):
        return False
    return isinstance(error, BrokenError | aiohttp.ClientOSError | aiohttp.ServerDisconnectedError)


def failure(error: Exception, timeout: Timeout) -> SiteAssistError:
    """Choose the error of ours; none repeats what came over the wire."""
    reason = told(error)
    chosen: SiteAssistError
    match error:
        case aiohttp.ConnectionTimeoutError():
            chosen = TimedOutError(f"no connection within {timeout.connect:g} s")
        case aiohttp.SocketTimeoutError():
            chosen = TimedOutError(f"the server was silent for {timeout.read:g} s")
        case TimeoutError():
            chosen = TimedOutError(f"no whole answer within {timeout.total:g} s")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ServerFingerprintMismatch():
            chosen = CertificateError(f"the server's certificate cannot be trusted: {reason}")
        case aiohttp.ClientConnectorError():
            chosen = ConnectionFailedError(f"no connection to {error.host}:{error.port}: {reason}")
        case _ if is_broken(error):
            chosen = DisconnectedError(f"the connection broke before an answer came: {reason}")
        case aiohttp.ClientResponseError():
            chosen = ConnectionFailedError(f"what came is not HTTP: {reason}")
        case aiohttp.ClientPayloadError() | EncodingError():
            chosen = ConnectionFailedError(f"the answer broke off: {reason}")
        case _:
            chosen = ConnectionFailedError(f"{type(error).__name__}: {reason}")
    return chosen


def told(error: BaseException) -> str:
    """What an error of aiohttp says, on one line."""
    if isinstance(error, aiohttp.ClientPayloadError) and error.__cause__ is not None:
        return told(error.__cause__)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed it"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(getattr(error.certificate_error, "verify_message", error))
    if isinstance(error, aiohttp.ClientConnectorError):
        # Its own text has the TLS setting, and one error for each address.
        refused = isinstance(error.os_error, ConnectionError) and error.os_error.errno
        return os.strerror(refused) if refused else str(error.os_error)
    said = " ".join(str(getattr(error, "message", error)).split())
    return _WHAT_CAME.split(said)[0] or type(error).__name__


def fit_to_chain(error: Exception) -> Exception:
    """Take what came, and the request's headers with the token, out of an error of aiohttp."""
    if isinstance(error, aiohttp.ClientResponseError):
        nothing = CIMultiDictProxy(CIMultiDict[str]())
        error.request_info = error.request_info._replace(headers=nothing)
        error.message, error.headers = told(error), None
        error.args = (error.status, error.message)
        error.__cause__ = error.__context__ = None
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        error.message = told(error)
        error.args = (error.message,)
    elif isinstance(error, aiohttp.ClientPayloadError):
        error.args = (told(error),)
        error.__cause__ = error.__context__ = None
    return error
