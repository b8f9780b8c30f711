"""A server that runs until it is told to stop."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

from fewer.errors import RetrievalError
from fewer.serve.app import create_app
from fewer.serve.shelf import Shelf

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
PATIENCE = 10
"""Seconds that requests get to end after the server is told to stop."""


def serve(
    shelf: Shelf,
    host: str,
    port: int,
    threads: int | None = None,
    read_only: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGINT or SIGTERM; requests that run are answered first, then the indexes are closed.

    On a loopback address only loopback names are answered. `tell` is told the page's address.

    Raises RetrievalError when the address cannot be listened on.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # requests run beside each other, one thread each
    app = create_app(shelf, threads, read_only, LOOPBACK if host in LOOPBACK else ("*",))
    settings: dict[str, Any] = {
        "host": host,
        "port": port,
        "log_level": "warning",
        "timeout_graceful_shutdown": PATIENCE,
        "server_header": False,
        "limit_concurrency": 1024,
    }
    server = uvicorn.Server(uvicorn.Config(app, **settings))
    try:
        sockets = [server.config.bind_socket()]
    except SystemExit:
        shelf.close()
        raise RetrievalError(f"nothing can listen on {host}:{port}: it is taken, or not yours. Give another --port.") from None
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    sockets[0].listen(2048)  # who reads the address may connect at once
    shown = f"[{host}]" if ":" in host else host
    tell(f"http://{shown}:{sockets[0].getsockname()[1]}/")
    server.run(sockets)
