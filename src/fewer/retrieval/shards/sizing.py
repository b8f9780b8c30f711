"""How many machines an index of any size takes, on paper, from what was measured on one core.

`python -m fewer.retrieval.shards.sizing` prints the table of the documentation.

The assumptions, each a field below or a line here:

- A shard is searched by one core at a time, and every query asks every shard.
- A shard's mean time is a fixed part and one that grows with its documents: the line through the measured points with the least
  relative error. Beyond the largest measured count that is an extrapolation.
- A query waits for its slowest shard. Times above the mean fall off exponentially, through the measured p99: the slowest of s
  shards takes mean + (p99 - mean) * ln(s) / ln(100).
- Asking goes over a tree: each node asks `fan_out` others, one after the other, and merges what they answer.
- The indexes lie in memory, in `memory_share` of each machine's; texts are read from disk.
- Each core builds its own shard; copies of every shard for lost machines multiply the machines by `copies`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from fewer.errors import RetrievalError


@dataclass(frozen=True)
class Measured:
    """What one core does."""

    fixed_us: float
    """Of a query, however few documents there are."""
    us_per_million: float
    """Of a query, for each million documents of its shard."""
    tail: float
    """p99 over mean of a query's time."""
    index_bytes: float
    """A document, in memory."""
    text_bytes: float
    """A document, on disk: texts, titles, ids."""
    build_us: float
    """A document."""

    @classmethod
    def fit(cls, times: Mapping[int, float], tail: float, index_bytes: float, text_bytes: float, build_us: float) -> Self:
        """From mean microseconds a query by number of documents, two numbers of documents at least.

        Raises:
            RetrievalError: fewer points, a time that is not above 0, or times that do not grow.
        """
        counts, means = np.array(list(times), float), np.array(list(times.values()), float)
        if len(counts) < 2 or (means <= 0).any() or (counts <= 0).any():
            raise RetrievalError(f"a fit needs times above 0 at two numbers of documents or more; given: {dict(times)}.")
        # Divided by the mean, so that the relative error counts.
        design = np.stack([1 / means, counts / 1e6 / means], axis=1)
        fixed, slope = np.linalg.lstsq(design, np.ones(len(means)), rcond=None)[0]
        if fixed < 0:
            fixed, slope = 0.0, float((design[:, 1]).sum() / (design[:, 1] ** 2).sum())
        if slope <= 0:
            raise RetrievalError(f"times must grow with documents for a line through them; given: {dict(times)}.")
        return cls(float(fixed), float(slope), tail, index_bytes, text_bytes, build_us)

    def us(self, documents: float) -> float:
        """Mean microseconds of a query over so many documents on one core."""
        return self.fixed_us + self.us_per_million * documents / 1e6


@dataclass(frozen=True)
class Machine:
    """What the shards run on."""

    cores: int = 64
    memory_bytes: float = 512 * 2**30
    memory_share: float = 0.7
    disk_bytes: float = 15e12
    hop_us: float = 200.0
    """There and back over the network."""
    ask_us: float = 50.0
    """To ask one other machine, on the asking side."""
    merge_us: float = 5.0
    """To merge the answer of one other."""
    fan_out: int = 32
    copies: int = 1

    def spread_us(self, machines: int) -> float:
        """Microseconds to ask so many machines and merge what they answer; none for one."""
        if machines <= 1:
            return 0.0
        levels = max(1, math.ceil(round(math.log(machines, self.fan_out), 9)))
        width = math.ceil(machines ** (1 / levels))
        return levels * (self.hop_us + width * (self.ask_us + self.merge_us))


class Sizing(NamedTuple):
    """What so many documents take."""

    documents: int
    shards: int
    """One core each."""
    machines: int
    limit: str
    """What the number of machines comes from: cores, memory or disk."""
    index_bytes: float
    text_bytes: float
    mean_ms: float
    """Of a query, with the slowest shard, the network and the merge."""
    queries_per_second: float
    """All cores busy; a query occupies every shard for its mean time."""
    build_hours: float


def size(documents: int, measured: Measured, machine: Machine | None = None, shard_ms: float = 5.0) -> Sizing:
    """What an index of `documents` takes when no shard's mean time may exceed `shard_ms`.

    Raises:
        RetrievalError: no document, or a shard time that not even the fixed part fits into.
    """
    machine = machine or Machine()
    room = shard_ms * 1000 - measured.fixed_us
    if documents < 1 or room <= 0:
        raise RetrievalError(
            f"sizes are for 1 document or more, shards above {measured.fixed_us / 1000:g} ms; given: {documents}, {shard_ms}."
        )
    shards = math.ceil(documents * measured.us_per_million / 1e6 / room)
    index, text = documents * measured.index_bytes, documents * measured.text_bytes
    needs = {
        "cores": shards / machine.cores,
        "memory": index / (machine.memory_bytes * machine.memory_share),
        "disk": (index + text) / machine.disk_bytes,
    }
    limit = max(needs, key=lambda name: needs[name])
    machines = math.ceil(needs[limit])
    # Cores that would idle take shards too: smaller shards are faster.
    shards = max(shards, min(machines * machine.cores, documents))
    mean = measured.us(documents / shards)
    slowest = mean * (1 + (measured.tail - 1) * math.log(shards) / math.log(100))
    return Sizing(
        documents,
        shards,
        machines * machine.copies,
        limit,
        index,
        text,
        (slowest + machine.spread_us(machines)) / 1000,
        1e6 / mean * machine.copies,
        documents / shards * measured.build_us / 3.6e9,
    )


def table(sizings: Sequence[Sizing]) -> str:
    """Rows in Markdown."""
    head = (
        "| documents | shards | machines | limited by | index | texts | mean query | queries / s | build |\n"
        + "|---" * 9
        + "|\n"
    )
    return head + "".join(
        f"| {_count(row.documents)} | {row.shards:,} | {row.machines:,} | {row.limit} | {_bytes(row.index_bytes)} "
        f"| {_bytes(row.text_bytes)} | {row.mean_ms:.2g} ms | {_two(row.queries_per_second)} | {_time(row.build_hours)} |\n"
        for row in sizings
    )


# ImpactIndex at recall@10 of .95, `fewer bench index-growth` on one core; the tail is that of docstrings in `sparse-search-95`.
MEASURED = Measured.fit(
    {50_000: 17.9, 100_000: 32.7, 200_000: 52.3, 500_000: 133.2, 2_000_000: 490.1},
    tail=2.1,
    index_bytes=694.0,
    text_bytes=1000.0,
    build_us=5.2,
)
SIZES = (10**7, 10**9, 10**11)


def _count(number: int) -> str:
    return f"{number / 1e9:g}B" if number >= 10**9 else f"{number / 1e6:g}M"


def _bytes(number: float) -> str:
    return f"{number / 1e12:.3g} TB" if number >= 1e12 else f"{number / 1e9:.3g} GB"


def _time(hours: float) -> str:
    return f"{hours:.2g} h" if hours >= 1 else f"{hours * 60:.2g} min" if hours * 60 >= 1 else f"{hours * 3600:.2g} s"


def _two(number: float) -> str:
    return f"{float(f'{number:.2g}'):,.0f}"


if __name__ == "__main__":
    print(table([size(documents, MEASURED) for documents in SIZES]), end="")
