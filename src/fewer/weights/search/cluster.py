"""Evaluation on a Ray cluster."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from fewer.errors import MissingExtraError
from fewer.weights.search.evaluation import Evaluation, Failure, Job


class Cluster:
    """Tasks for Ray: the cluster that this process is connected to, or RAY_ADDRESS names; else one on this machine.

    A cluster that was started here is shut down by `close`.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, job: Job, workers: int):
        try:
            import ray
        except ImportError:
            raise MissingExtraError(
                'executor="ray" needs Ray, which is not installed: pip install "fewer[ray]". Without it: executor="processes".'
            ) from None
        self._ray = ray
        self.died: tuple[type[Exception], ...] = (ray.exceptions.RayError,)
        self._own = not ray.is_initialized()
        if self._own:
            local: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers, "include_dashboard": False}
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **local)
        self._job = ray.put(job)
        self._task = ray.remote(num_cpus=1, max_retries=0)(Job.run)

    def submit(self, samples: Sequence[int], bar: float) -> Future[list[Evaluation] | Failure]:
        return self._task.remote(self._job, samples, bar).future()

    def renew(self) -> None:
        """Ray replaces its workers by itself."""

    def close(self) -> None:
        if self._own:
            self._ray.shutdown()
