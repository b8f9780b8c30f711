"""Counts of requests and their times, in the text format of Prometheus (version 0.0.4)."""

import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: upper ends of the histogram's buckets."""
TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What was asked, how it went, how long it took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BOUNDS) + 1))
        self._seconds: Counter[str] = Counter()

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request is answered."""
        with self._lock:
            self._requests[method, route, status] += 1
            self._buckets[route][bisect_left(BOUNDS, seconds)] += 1
            self._seconds[route] += seconds  # type: ignore[assignment]

    def text(self, indexes: Mapping[str, Mapping[str, Any]]) -> str:
        """All of it, and what `Store.describe` says of each index: numbers alone."""
        with self._lock:
            requests, seconds = dict(self._requests), dict(self._seconds)
            buckets = {route: list(counts) for route, counts in self._buckets.items()}
        errors: Counter[str] = Counter()
        for (_, route, status), n in requests.items():
            errors[route] += n if status >= 400 else 0
        lines = [
            *_family("fewer_requests_total", "counter", "Requests answered."),
            *(_line("fewer_requests_total", n, method=m, route=r, status=s) for (m, r, s), n in sorted(requests.items())),
            *_family("fewer_errors_total", "counter", "Requests answered with a status of 400 or above."),
            *(_line("fewer_errors_total", n, route=route) for route, n in sorted(errors.items())),
            *_family("fewer_request_seconds", "histogram", "Time to answer."),
        ]
        for route, counts in sorted(buckets.items()):
            below = 0
            for bound, n in zip([*BOUNDS, "+Inf"], counts, strict=True):
                below += n
                lines.append(_line("fewer_request_seconds_bucket", below, route=route, le=bound))
            lines.append(_line("fewer_request_seconds_sum", f"{seconds[route]:.6f}", route=route))
            lines.append(_line("fewer_request_seconds_count", below, route=route))
        gauges = {key for about in indexes.values() for key, value in about.items() if type(value) in (int, float)}
        for key in sorted(gauges):
            lines += _family(f"fewer_index_{key}", "gauge", f"{key.replace('_', ' ').capitalize()} of an index.")
            lines += [_line(f"fewer_index_{key}", about[key], index=name) for name, about in indexes.items() if key in about]
        return "\n".join(lines) + "\n"


def _family(name: str, kind: str, about: str) -> Iterable[str]:
    return (f"# HELP {name} {about}", f"# TYPE {name} {kind}")


def _line(name: str, value: Any, **labels: Any) -> str:
    written = ",".join(f'{key}="{_escaped(str(label))}"' for key, label in labels.items())
    return f"{name}{{{written}}} {value}"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Measured:
    """Counts every request under its route, so that ids and made-up paths make no labels."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.count(scope["method"], route, status, time.perf_counter() - began)
