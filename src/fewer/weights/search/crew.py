"""Who evaluates: this process, its threads, processes beside it, or a Ray cluster (`cluster`). The outcome is the same."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any, Literal, Protocol

from fewer.errors import MethodError, SearchError
from fewer.weights.search.evaluation import Evaluation, Failure, Job

Outcome = list[Evaluation] | Failure
Where = Literal["processes", "threads", "ray"]
SHARES = 4  # tasks for each worker: what the last one still does while the others wait is small


class Crew(Protocol):
    """Takes tasks. A task never raises: what goes wrong in it comes back as a Failure."""

    died: tuple[type[Exception], ...]
    """What a future raises when the worker is gone."""

    def submit(self, samples: Sequence[int], bar: float) -> Future[Outcome]: ...

    def renew(self) -> None:
        """After a death: be ready for tasks again."""

    def close(self) -> None: ...


class Alone:
    """This process, here and now."""

    died: tuple[type[Exception], ...] = ()

    def __init__(self, job: Job):
        self._job = job

    def submit(self, samples: Sequence[int], bar: float) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        future.set_result(self._job.run(samples, bar))
        return future

    def renew(self) -> None:
        pass

    def close(self) -> None:
        pass


class Pool:
    """Threads or processes. Processes are sent the job once, when they start."""

    died: tuple[type[Exception], ...] = (BrokenExecutor,)

    def __init__(
        self, start: Callable[[], Executor], run: Callable[[Sequence[int], float], Outcome], stop: Callable[[Any], None]
    ):
        self._start, self._run, self._stop = start, run, stop
        self._executor = start()

    def submit(self, samples: Sequence[int], bar: float) -> Future[Outcome]:
        return self._executor.submit(self._run, samples, bar)

    def renew(self) -> None:
        self.close()
        self._executor = self._start()

    def close(self) -> None:
        self._stop(self._executor)


def hire(job: Job, workers: int, where: Where) -> Crew:
    """Raises MethodError for fewer than one worker or an unknown place, MissingExtraError for Ray where it is not installed."""
    if not isinstance(workers, int) or workers < 1:
        raise MethodError(f"a search needs at least 1 worker, not {workers!r}.")
    if where == "ray":
        from fewer.weights.search.cluster import Cluster

        return Cluster(job, workers)
    if where not in ("processes", "threads"):
        raise MethodError(f'executor "{where}" is unknown; allowed: processes, threads, ray.')
    if workers == 1:
        return Alone(job)
    if where == "threads":
        return Pool(lambda: ThreadPoolExecutor(workers), job.run, lambda pool: pool.shutdown(cancel_futures=True))
    return Pool(lambda: _processes(job, workers), _run_here, lambda pool: pool.shutdown(kill_workers=True))


def _processes(job: Job, workers: int) -> Executor:
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    # loky neither forks a process that has threads nor imports the caller's script again, and it takes lambdas.
    return ProcessPoolExecutor(workers, initializer=_take, initargs=(job,))


_JOB: list[Job] = []


def _take(job: Job) -> None:
    """In a worker process: keep the job for all tasks to come."""
    _JOB[:] = [job]


def _run_here(samples: Sequence[int], bar: float) -> Outcome:
    return _JOB[0].run(samples, bar)


def evaluated(crew: Crew, samples: Sequence[int], bar: float, workers: int, retries: int) -> Iterator[Evaluation]:
    """The evaluations of `samples`, in their order, spread over the crew.

    Samples whose worker died are evaluated again, each by itself, so that one that kills its worker is known.

    Raises:
        SearchError: a sample whose worker died `retries` times more; and whatever went wrong inside an evaluation.
    """
    size = max(1, -(-len(samples) // (SHARES * workers)))
    tasks = [samples[i : i + size] for i in range(0, len(samples), size)]
    outcomes: list[Outcome | None] = []
    futures = [_submitted(crew, task, bar) for task in tasks]
    for future in futures:
        outcomes.append(None if future is None else _outcome(crew, future))
    if None in outcomes:
        crew.renew()
    for task, outcome in zip(tasks, outcomes, strict=True):
        if outcome is not None:
            yield from _checked(outcome)
            continue
        for sample in task:
            yield from _checked(_again(crew, sample, bar, retries))


def _again(crew: Crew, sample: int, bar: float, retries: int) -> Outcome:
    for _ in range(retries):
        future = _submitted(crew, [sample], bar)
        outcome = None if future is None else _outcome(crew, future)
        if outcome is not None:
            return outcome
        crew.renew()
    raise SearchError(
        f"sample {sample}: its worker died, and so did {retries} more that were given it. Look at its memory, or evaluate it "
        "in this process (workers=1)."
    )


def _submitted(crew: Crew, samples: Sequence[int], bar: float) -> Future[Outcome] | None:
    try:
        return crew.submit(samples, bar)
    except crew.died:  # a neighbour's death has broken the crew
        return None


def _outcome(crew: Crew, future: Future[Outcome]) -> Outcome | None:
    try:
        return future.result()
    except crew.died:
        return None


def _checked(outcome: Outcome) -> list[Evaluation]:
    if isinstance(outcome, Failure):
        error = outcome.kind(outcome.text)
        if outcome.trace:
            error.add_note(outcome.trace)
        raise error
    return outcome
