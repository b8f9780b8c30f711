"""`fewer serve`: a search page and an API."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fewer.cli.options import Data, use_data


def serve(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="What `fewer index` wrote, or a folder of such; Python's documentation, indexed once, when not given.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Beyond 127.0.0.1 anyone who reaches it may search and write.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8808,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that search and write.  [default: one a core]")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse to add, delete and merge.")] = False,
    encoder: Annotated[str, typer.Option(help="Of Python's documentation: bm25, or splade-tiny with MiniLM.")] = "splade-tiny",
    data: Data = None,
) -> None:
    """Serve a search page and an API until interrupted."""
    use_data(data)
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        from fewer.errors import MissingExtraError

        raise MissingExtraError(f'fewer serve needs the extra "search": pip install "fewer[search]" ({error}).') from error

    from fewer.serve.running import serve as run
    from fewer.serve.shelf import Shelf

    shelf = Shelf.open(folder if folder is not None else _default(encoder), read_only)
    for name, index in shelf.items():
        index.warm()
        print(f"{name}: {len(index):,} documents, {', '.join(index.modes)}", file=sys.stderr)
    run(shelf, host, port, threads, read_only, lambda url: print(f"{url}  (Ctrl+C stops it)", file=sys.stderr, flush=True))


def _default(encoder: str) -> Path:
    """The index of Python's documentation in the cache, made on first use."""
    from fewer.data.places import Places
    from fewer.retrieval.texts.build import build
    from fewer.retrieval.texts.sources import read
    from fewer.retrieval.texts.text_index import is_index

    python = f"python-{sys.version_info.major}-{sys.version_info.minor}-{Path(encoder).name.lower()}"
    folder = Places.find().cache / "indexes" / python
    if not is_index(folder):
        print("Indexing Python's documentation, once ...", file=sys.stderr)
        dense = None if encoder == "bm25" else "minilm"
        built = build(read(None), folder, encoder, dense, say=lambda text: print(text, file=sys.stderr, flush=True))
        if built.choice:
            print(built.choice.says(0.95), file=sys.stderr)
    return folder
