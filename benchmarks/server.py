"""A server that is not the bottleneck: nginx where it is there, else the emulator, on loopback."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import machine
from attrs import frozen
from bodies import body, ids, list_body

from siteassist_async.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

TOKEN = "sk_emulator"

# One worker that never closes a connection; each answer is made of the id asked for.
_NGINX = r"""
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off; default_type application/json; keepalive_requests 1000000000;
    keepalive_time 24h; keepalive_timeout 1h; variables_hash_max_size 8192;
    map "0000$arg_offset" $page {{ "~(?<digits>\d{{4}})00$" $digits; default 0000; }}
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{
        listen 127.0.0.1:{port} backlog=1024{tls};
        {locations}
    }}
}}
"""
_TLS = " ssl; ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem"
_LONGEST_WORD = 2000  # nginx takes 4,096 bytes, and escaping may double what is written


@frozen
class Site:
    """Where conversations of one size are, and what trusts the server; None without TLS."""

    base_url: str
    tls: ssl.SSLContext | None = None


@frozen
class Server:
    """What is listening, and where it serves conversations of each size, or a list of them (0)."""

    kind: str
    sites: dict[int, Site]


@contextmanager
def serving(sizes: Sequence[int], *, tls: bool = False) -> Generator[Server]:
    """Serve conversations of these numbers of messages until the block is left, however it is."""
    binary = _find_nginx()
    if tls and not binary:
        raise SystemExit("TLS needs nginx")
    locations = {size: _location(size) for size in sizes}
    with _nginx(binary, locations, tls=tls) if binary else _emulators(sizes) as server:
        yield server


@contextmanager
def listing(count: int) -> Generator[Server]:
    """Serve a list of so many conversations, in pages of 100, at the site 0."""
    binary = _find_nginx()
    with (
        _nginx(binary, {0: _list_location(count)}, tls=False)
        if binary
        else _emulators([0], conversations=count)
    ) as server:
        yield server


def _find_nginx() -> str | None:
    return shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@contextmanager
def _nginx(binary: str, locations: Mapping[int, str], *, tls: bool) -> Generator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        config = Path(folder, "nginx.conf")
        text = _NGINX.format(
            folder=folder,
            port=port,
            tls=_TLS.format(folder=folder) if tls else "",
            locations="\n".join(locations.values()),
        )
        config.write_bytes(text.encode("utf-8", "surrogateescape"))
        context = _certified(Path(folder)) if tls else None
        command = [binary, "-p", folder, "-e", f"{folder}/errors", "-c", str(config)]
        with _running(command) as process:
            _await_port(process, port)
            shown = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True)
            kind = shown.stderr.strip().rpartition(": ")[2]
            url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
            sites = {size: Site(f"{url}/m{size}", context) for size in locations}
            yield Server(f"{kind}{' and TLS' if tls else ''}", sites)


def _certified(folder: Path) -> ssl.SSLContext:
    """Write a certificate for this machine, and trust whoever signed it."""
    authority = import_module("trustme").CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        folder / "server.pem"
    )
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def _location(size: int) -> str:
    example = next(ids(1))
    path = f"~ ^/m{size}/conversations/(?<id>[-0-9a-f]+)$"
    return _answer(path, body(example, size), {example: "$id"})


def _list_location(count: int) -> str:
    # The pages differ in their offset, and in the times and ids of their conversations.
    example = list_body(count, "OFFSET", "PAGE")
    return _answer("= /m0/conversations", example, {"OFFSET": "$arg_offset", "PAGE": "$page"})


def _answer(path: str, text: bytes, variables: Mapping[str, str]) -> str:
    settings: list[str] = []
    words: list[str] = []
    for piece in re.split(f"({'|'.join(variables)})".encode(), text):
        variable = variables.get(piece.decode("utf-8", "surrogateescape"))
        if variable is not None:
            words.append(variable)
            continue
        for start in range(0, len(piece), _LONGEST_WORD):
            name = f"$p{crc32(path.encode()):x}_{len(settings)}"
            settings.append(f"set {name} '{_quoted(piece[start : start + _LONGEST_WORD])}';")
            words.append(name)
    return "\n".join([f"location {path} {{", *settings, f'return 200 "{"".join(words)}";', "}"])


def _quoted(piece: bytes) -> str:
    # nginx has no way to write a dollar; JSON has another.
    text = piece.decode("utf-8", "surrogateescape")
    return text.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\\\u0024")


@contextmanager
def _emulators(sizes: Sequence[int], conversations: int = 0) -> Generator[Server]:
    command = [sys.executable, __file__, str(conversations), *map(str, sizes)]
    with _running(command) as process:
        assert process.stdout is not None
        urls = process.stdout.readline().decode().split()
        yield Server("the emulator", dict(zip(sizes, map(Site, urls), strict=True)))


@contextmanager
def _running(command: Sequence[str]) -> Generator[subprocess.Popen[bytes]]:
    # Its own session: a Ctrl-C ends the benchmark, and the benchmark ends the server.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        with machine.apart(process.pid):
            yield process
    finally:
        signal.signal(signal.SIGTERM, before)
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_port(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError(f"nginx ended with {process.returncode}")


async def _emulate(conversations: int, *sizes: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with AsyncExitStack() as stack:
        for size in sizes:
            emulator = Emulator(
                token=TOKEN,
                messages=None if conversations else size,
                conversations=conversations,
                spelling="current" if conversations else "documented",
            )
            await stack.enter_async_context(emulator)
            print(emulator.url, end=" ")
        print(flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(_emulate(*map(int, sys.argv[1:])))
