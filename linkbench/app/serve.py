"""The server on this machine's own address, until it is stopped."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import uvicorn

from linkbench.app.guard import HOST
from linkbench.app.server import application
from linkbench.app.session import temporary_folder
from linkbench.errors import InputError

if TYPE_CHECKING:
    from linkbench.app.tasks import Desk

ENDS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals after which the folder of uploads is removed. SIGKILL leaves it: the next start removes it."""


def serve(desk: Desk, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until a signal ends it. port: 0 for any that is free; ready: told the address.

    Raises InputError where the port is not free.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening, temporary_folder() as folder:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise InputError(f"port {port} cannot be used: {error.strerror or error}; leave --port out") from None
        listening.listen(64)
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(24)
        config = uvicorn.Config(
            application(desk, folder, token, port), log_level="warning", access_log=False, server_header=False,
            ws="none", loop="asyncio", http="h11", lifespan="on", timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        with _ended_by_signals(server):
            ready(f"http://{HOST}:{port}/{token}/")
            server.run(sockets=[listening])


@contextlib.contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Every signal that ends a process ends the server first. uvicorn repeats those that it took: to no effect."""

    def end(*_: object) -> None:
        server.should_exit = True

    kinds = [getattr(signal, name) for name in ENDS if hasattr(signal, name)]
    before = {kind: signal.signal(kind, end) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
