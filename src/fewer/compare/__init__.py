"""Comparisons: arms x budgets x seeds on a task, kept, judged and shown. Called, the package is `fewer.comparing.compare`."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.compare.result import Results


class _Callable(ModuleType):
    """Lets `fewer.compare` be the package and the call that users type."""

    def __call__(self, *methods: Any, **settings: Any) -> "Results":
        from fewer.comparing import compare

        return compare(*methods, **settings)


sys.modules[__name__].__class__ = _Callable
