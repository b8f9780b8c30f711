"""A comparison as one HTML file that works offline: `page` returns it, `write` saves it."""

from fewer.compare.html.report import page, write

__all__ = ["page", "write"]
