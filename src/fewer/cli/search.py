"""`fewer search`: a query in, documents out."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewer.cli.options import Json

if TYPE_CHECKING:
    from fewer.retrieval.texts.text_index import Answer, Explanation, Hit

EXPLAINED = 8
"""Terms of a document that are shown."""


def search(
    folder: Annotated[Path, typer.Argument(help="What `fewer index` wrote.")],
    query: Annotated[str, typer.Argument(help="What to search for.")],
    k: Annotated[int | None, typer.Option("-k", min=1, help="How many documents.  [default: 10]")] = None,
    mode: Annotated[
        str | None, typer.Option(help="sparse, dense or fused.  [default: fused where there are dense vectors]")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each term adds to a score.")] = False,
    json: Json = False,
) -> None:
    """Search an index."""
    if mode not in (None, "sparse", "dense", "fused"):
        raise typer.BadParameter(f'--mode is "{mode}"; allowed: sparse, dense, fused.')
    from fewer.retrieval.texts.text_index import TextIndex

    with TextIndex.open(folder, read_only=True) as found:
        answer = found.search(query, k, mode)  # type: ignore[arg-type]
        whys = [found.explain(query, hit.id) for hit in answer.hits] if explain else []
    if json:
        print(json_module.dumps(_plain(answer, whys)))
    else:
        _show(answer, whys)


def _plain(answer: "Answer", whys: "list[Explanation]") -> dict[str, Any]:
    return {
        "mode": answer.mode,
        "encode_ms": answer.encode_seconds * 1e3,
        "search_ms": answer.search_seconds * 1e3,
        "terms": [{"term": term, "weight": weight} for term, weight in answer.terms],
        "results": [
            {"id": hit.id, "score": hit.score, "title": hit.title, "excerpt": hit.excerpt.text, "parts": hit.parts}
            | ({"explain": _terms(whys[number])} if whys else {})
            for number, hit in enumerate(answer.hits)
        ],
    }


def _terms(why: "Explanation") -> list[dict[str, Any]]:
    return [
        {"term": match.term, "query": match.query, "document": match.document, "contribution": match.contribution}
        for match in why.terms
    ]


def _show(answer: "Answer", whys: "list[Explanation]") -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    for number, hit in enumerate(answer.hits):
        head = Text(f"{number + 1:>2}  ", "dim")
        head.append(hit.title or hit.id, "bold")
        head.append(f"  {hit.score:.3f}", "dim")
        console.print(head)
        console.print(Padding(_excerpt(hit), (0, 0, 0, 4), expand=False))
        if whys:
            console.print(Padding(Text(_why(whys[number]), "dim"), (0, 0, 0, 4), expand=False))
    if not answer.hits:
        console.print("Nothing shares a term with this query. Try other words.")
    encode, search = answer.encode_seconds * 1e3, answer.search_seconds * 1e3
    Console(stderr=True, highlight=False).print(
        f"{answer.mode}: {search:.2f} ms in the index, {encode:.1f} ms to encode the query", style="dim"
    )


def _excerpt(hit: "Hit") -> Any:
    from rich.text import Text

    shown = Text()
    before, after = hit.excerpt.cut
    shown.append("… " if before else "")
    last = 0
    for start, stop in hit.excerpt.marks:
        shown.append(_flat(hit.excerpt.text[last:start]))
        shown.append(_flat(hit.excerpt.text[start:stop]), "bold yellow")
        last = stop
    shown.append(_flat(hit.excerpt.text[last:]))
    shown.append(" …" if after else "")
    return shown


def _flat(text: str) -> str:
    return text.replace("\n", " ")


def _why(why: "Explanation") -> str:
    added = ", ".join(f"{m.term} {m.query:.2f} x {m.document:.2f} = {m.contribution:.2f}" for m in why.terms[:EXPLAINED])
    more = f", {len(why.terms) - EXPLAINED} more" if len(why.terms) > EXPLAINED else ""
    return f"why: {added}{more}" if why.terms else "why: no term of the query stands in it; the dense vectors found it"
