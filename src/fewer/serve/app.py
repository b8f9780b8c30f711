"""The application: the API, health and metrics, the page, and a clear answer to whatever goes wrong."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from fewer.errors import FewerError, ModelError, RetrievalError, VectorError
from fewer.retrieval.texts.text_index import MEASURED, TextIndex
from fewer.serve import schemas
from fewer.serve.api import router
from fewer.serve.limits import BODY, Limits
from fewer.serve.metrics import TYPE, Measured, Metrics
from fewer.serve.shelf import Shelf, UnknownIndexError
from fewer.serve.workers import BusyError, Workers

ASSETS = {
    "": ("index.html", "text/html"),
    "search.js": ("search.js", "text/javascript"),
    "search.css": ("search.css", "text/css"),
}
"""What the page is made of: path -> file and its type. Nothing else is read from disk by name."""
log = logging.getLogger("fewer.serve")


def create_app(
    shelf: Shelf,
    threads: int | None = None,
    read_only: bool = False,
    hosts: tuple[str, ...] = ("*",),
    largest_body: int = BODY,
) -> FastAPI:
    """The server of the indexes of `shelf`, which it closes when it ends.

    Args:
        threads: that search and write; one a core when not given.
        read_only: writes are refused with 403.
        hosts: names that the server is asked by; others are refused, so that no other site's name can stand for this machine.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.workers.close()
        shelf.close()

    app = FastAPI(
        title="fewer search",
        version=version("fewer"),
        description="Search over sparse and dense vectors of texts. Paths without an index name mean the first index.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # both would load their scripts from another host
        redoc_url=None,
        lifespan=life,
    )
    app.state.shelf, app.state.workers, app.state.read_only = shelf, Workers(threads), read_only
    app.state.metrics = Metrics()
    _add_own(app)
    app.include_router(router(named=False))
    app.include_router(router(named=True))
    _add_page(app)
    _add_problems(app)
    app.add_middleware(Limits, largest=largest_body)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_middleware(Measured, metrics=app.state.metrics)
    return app


def _add_own(app: FastAPI) -> None:
    @app.get("/api/health", tags=["server"])
    async def health() -> schemas.Health:
        """That the server answers, and what it serves."""
        return schemas.Health(
            status="ok",
            version=version("fewer"),
            read_only=app.state.read_only,
            indexes=[_state(name, index) for name, index in app.state.shelf.items()],
        )

    @app.get("/api/metrics", tags=["server"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Requests, errors, times, documents and segments, as Prometheus reads them."""
        about = {name: index.store.describe() for name, index in app.state.shelf.items()}
        return Response(app.state.metrics.text(about), media_type=TYPE)


def _state(name: str, index: TextIndex) -> schemas.IndexState:
    about = index.store.about
    return schemas.IndexState(
        name=name,
        documents=len(index),
        modes=list(index.modes),
        encoder=about.get("encoder"),
        dense=about.get("dense"),
        kind=index.store.kind,
        source=about.get("source"),
        measured=(index.folder / MEASURED).is_file(),
    )


def _add_page(app: FastAPI) -> None:
    for path, (name, kind) in ASSETS.items():
        content = (files("fewer.serve") / "page" / name).read_text(encoding="utf-8")

        async def asset(content: str = content, kind: str = kind) -> Response:
            return Response(content, media_type=kind)

        app.add_api_route(f"/{path}", asset, include_in_schema=False)


def _add_problems(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _problem(422, f"{where}: {first['msg']}.", where)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return _problem(error.status_code, str(error.detail))

    @app.exception_handler(BusyError)
    async def busy(_: Request, error: BusyError) -> JSONResponse:
        answer = _problem(503, "too many requests wait. Ask again in a second.")
        answer.headers["retry-after"] = "1"
        return answer

    @app.exception_handler(FewerError)
    async def refused(_: Request, error: FewerError) -> JSONResponse:
        if isinstance(error, UnknownIndexError):
            return _problem(404, str(error))
        if isinstance(error, RetrievalError | VectorError):
            return _problem(422, str(error))
        log.error("%s: %s", type(error).__name__, error)
        return _problem(503 if isinstance(error, ModelError) else 500, str(error))

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        return _problem(500, "the server failed to answer this. Its log says why.")


def _problem(status: int, message: str, where: str | None = None) -> JSONResponse:
    content: dict[str, Any] = schemas.ProblemResponse(
        error=schemas.Problem(status=status, message=message, where=where)
    ).model_dump()
    return JSONResponse(content, status)
