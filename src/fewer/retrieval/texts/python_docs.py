"""Python's own documentation as documents: what is searched when nothing is given. It is part of every Python."""

from fewer.data.python_docs import docstrings
from fewer.data.retrieval import Document
from fewer.retrieval.texts.passages import passages


def python_docs() -> tuple[Document, ...]:
    """The topics of `help()` and the docstrings of the standard library, long ones in passages; each text once.

    Raises DataError where this Python comes without its library's sources.
    """
    from pydoc_data.topics import topics

    texts = [(f"topic:{name}", f"Python topic: {name}", text) for name, text in sorted(topics.items())]
    texts += [(doc.name, doc.name, doc.text) for doc in docstrings()]
    seen: set[str] = set()
    found: dict[str, Document] = {}
    for name, title, text in texts:
        for number, part in enumerate(passages(text), 1):
            if part not in seen:
                seen.add(part)
                key = name if number == 1 else f"{name}#{number}"
                found.setdefault(key, Document(key, title, part))
    return tuple(found.values())
