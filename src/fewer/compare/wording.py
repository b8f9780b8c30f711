"""Numbers as a reader wants them: few digits, human units, the spread beside the mean."""

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple

MISSING = "missing"
MINUS = "\u2212"
TIMES = "\u00d7"
NOTHING = "\u2013"
"""What stands where a figure makes no sense, such as dense against itself."""
_TIME = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "h"))
_BYTES = ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"))
_FLOPS = ((1.0, "FLOP"), (1e3, "kFLOP"), (1e6, "MFLOP"), (1e9, "GFLOP"), (1e12, "TFLOP"), (1e15, "PFLOP"))
_COUNT = ((1.0, ""), (1e3, "thousand"), (1e6, "million"), (1e9, "billion"))
# A word of a measure's name that says its unit: what one of it is on the ladder, the ladder, and whether the word is
# only a unit and so leaves the title.
_UNITS = {
    "ns": (1e-9, _TIME, True),
    "us": (1e-6, _TIME, True),
    "ms": (1e-3, _TIME, True),
    "s": (1.0, _TIME, True),
    "seconds": (1.0, _TIME, True),
    "bytes": (1.0, _BYTES, False),
    "flops": (1.0, _FLOPS, False),
    "macs": (1.0, _COUNT, False),
    "tokens": (1.0, _COUNT, False),
    "documents": (1.0, _COUNT, False),
    "postings": (1.0, _COUNT, False),
    "labels": (1.0, _COUNT, False),
}


class Scale(NamedTuple):
    """How the values of one measure are shown."""

    title: str
    """The measure's name as words, its unit left out: `latency_ms` is "latency"."""
    unit: str
    """The human unit that fits the values: MB, ms, million; empty where there is none."""
    factor: float
    """What a raw value is multiplied with to be in `unit`."""

    @property
    def heading(self) -> str:
        """Title with the unit in brackets."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def scale(measure: str, values: Iterable[float] = ()) -> Scale:
    """The unit in which the middle of `values` reads as a number of one to three digits.

    The unit is the first or the last word of the measure's name (`bytes_stored`, `latency_ms`); without one, values
    are shown as they are.
    """
    words = measure.replace("-", "_").split("_")
    unit = next((word for word in (words[-1], words[0]) if word in _UNITS), None)
    if unit is None:
        return Scale(" ".join(words), "", 1.0)
    one, ladder, only_unit = _UNITS[unit]
    if only_unit and len(words) > 1:
        words.remove(unit)
    sizes = [abs(v) * one for v in values if math.isfinite(v) and v != 0]
    middle = statistics.median(sizes) if sizes else one
    step, name = next(((s, n) for s, n in reversed(ladder) if s <= middle * 1.0000001), ladder[0])
    return Scale(" ".join(words), name, one / step)


def number(value: float | None, sign: bool = False, decimals: int | None = None) -> str:
    """`value` in few digits: 15.2, 0.8731, 4.1e+04. `sign` writes the plus too.

    Args:
        decimals: places after the point; None takes as many as make four significant digits.
    """
    if value is None or math.isnan(value):
        return "unknown"
    plus = "+" if sign else ""
    if math.isinf(value):
        return f"{MINUS if value < 0 else plus}infinite"
    size = abs(value)
    if size >= 1e4 or 0 < size < 1e-3:
        text = f"{value:{plus}.1e}"
    else:
        digits = 4 - 1 - math.floor(math.log10(size)) if size else 0
        text = f"{value:{plus}.{max(0, digits) if decimals is None else decimals}f}"
        if decimals is None and "." in text:
            text = text.rstrip("0").rstrip(".")
    return text.replace("-", MINUS, 1) if value < 0 else text  # the exponent keeps its ASCII sign


def estimate(mean: float, half: float, sign: bool = False) -> tuple[str, str]:
    """A mean and the half width of its interval, each with the digits that the half width supports."""
    if not math.isfinite(mean) or not math.isfinite(half) or half <= 1e-9 * abs(mean):
        return number(mean, sign), ""
    places = min(6, max(0, 1 - math.floor(math.log10(half))))
    if max(abs(mean), half) >= 1e4 or half < 1e-4:
        return number(mean, sign), f"±{half:.1e}" if half >= 1e3 else f"±{half:.2g}"
    # A mean below 0.001 beside a wider interval is zero to the digits shown, not 3.1e-05.
    shown = number(mean, sign, places) if abs(mean) >= 1e-3 else f"{mean:{'+' if sign else ''}.{places}f}"
    return shown.replace("-", MINUS, 1) if mean < 0 else shown, f"±{half:.{places}f}"


def kept(budget: float) -> str:
    """A density as both of its names: "50% kept, 50% sparsity"."""
    return f"{percent(budget)} kept, {percent(1 - budget)} sparsity"


def percent(share: float) -> str:
    """A share as a percentage of at most three digits."""
    return f"{round(100 * share, 2):.3g}%" if share < 0.9995 else f"{round(100 * share, 2):g}%"
