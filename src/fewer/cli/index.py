"""`fewer index`: texts in, an index that can be searched out."""

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fewer.cli.options import Data, Json, use_data


def index(
    out: Annotated[Path, typer.Option(help="Folder to write; it appears whole or not at all.")],
    texts: Annotated[
        Path | None,
        typer.Argument(
            help="A folder of text files, a BEIR folder, a file (.jsonl, .ciff, .csr, text), or nothing: Python's documents.",
            show_default=False,
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(help="What turns texts into sparse vectors: bm25, splade-tiny, or a SPLADE model by folder or hub id."),
    ] = "splade-tiny",
    dense: Annotated[
        bool, typer.Option(help="Dense vectors too (MiniLM), for dense and fused search; they take longest.")
    ] = True,
    kind: Annotated[
        str, typer.Option(help="auto measures which is fastest on these texts; or impact, seismic, exact.")
    ] = "auto",
    recall: Annotated[float, typer.Option(help="What the tuner must reach at 10 results against exhaustive search.")] = 0.95,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that exists.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Index texts for `fewer search` and `fewer serve`. Cut off, a second call goes on where the encoding stopped."""
    use_data(data)
    from fewer.retrieval.texts.build import build
    from fewer.retrieval.texts.sources import read

    source = read(texts)
    if source.complaint:
        print(source.complaint, file=sys.stderr)
    built = build(source, out, encoder, "minilm" if dense else None, kind, recall, overwrite, _say)
    if built.skipped:
        print(f"skipped: {len(built.skipped)} texts without a word ({', '.join(built.skipped[:3])})", file=sys.stderr)
    said: dict[str, Any] = {
        "out": str(out),
        "source": source.name,
        "documents": built.documents,
        "encoder": encoder,
        "dense": "minilm" if dense else None,
        "kind": built.kind,
        "why": built.choice.says(recall) if built.choice else _why(kind),
        "expected": _expected(built.choice),
        "skipped": [*built.skipped],
        "complaint": source.complaint,
    }
    if json:
        print(json_module.dumps(said))
        return
    print(f"{out}: {built.documents:,} passages of {source.name}")
    print(f"kind: {said['why']}")
    print(f'next: fewer search {out} "some words", or fewer serve {out}')


def _why(kind: str) -> str:
    from fewer.retrieval.texts.measured import ENOUGH

    return f"{kind}, as asked for." if kind != "auto" else f"exact: below {ENOUGH:,} passages nothing needs to be faster."


def _expected(choice: Any) -> dict[str, float] | None:
    if choice is None:
        return None
    return {
        "recall": choice.chosen.recall,
        "milliseconds": choice.chosen.mean * 1e3,
        "milliseconds_exhaustive": choice.exact.mean * 1e3,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
