"""`fewer attention`: what sparse attention keeps of a model's attention, and how sparse it may be."""

import json as json_module
import math
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from fewer.cli.frontier import frontier
from fewer.cli.options import Data, Json, use_data

__all__ = ["attention_app"]

attention_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Compare ways of making a model's attention sparse, and fit one to a loss budget.",
)

Model = Annotated[str, typer.Argument(help="A causal model that `fewer models list` names, a folder, or a hub id.")]
Text = Annotated[
    str | None,
    typer.Argument(help="A text set that `fewer data list` names, or a text file.  [default: the default text]"),
]


@attention_app.command("compare")
def compare(
    model: Model,
    text: Text = None,
    length: Annotated[int, typer.Option(min=2, help="Tokens, from the start of the text.")] = 2048,
    methods: Annotated[
        str | None, typer.Option(help="Names, as anchor,tidal,quest.  [default: all but sparsed, which is for denoising]")
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(help="Share of the keys, for methods that have a number of them.  [default: each method's own settings]"),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Tokens at the end that methods of decoding read, one by one.")] = 8,
    out: Annotated[Path | None, typer.Option(help="HTML file to write: heat maps, and maps of kept cells.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Measure what each method keeps of dense attention, by layer and head, beside its random twin at the same counts.

    kept: cells, of those that dense attention has. recall: dense attention's weight on kept keys. error: change of the outputs,
    relative to their norm. The numbers before the colons say which layer and head is the worst.
    """
    use_data(data)
    from fewer.attention.comparing import arms
    from fewer.attention.comparing import compare as compare_methods
    from fewer.attention.comparing.page import write
    from fewer.attention.comparing.table import table
    from fewer.data.models import load_causal_lm
    from fewer.errors import AttentionError
    from fewer.weights.calibration import text_of, tokens_of

    names = None if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
    chosen = arms(names, share, length)
    source, words = text_of(text, "test")
    network, tokenizer = load_causal_lm(model)
    tokens = tokens_of(tokenizer, words)
    if len(tokens) < length:
        raise AttentionError(
            f"the text has {len(tokens)} tokens; {length} are asked for. Lower --length, or give a longer text."
        )
    found = compare_methods(network, tokens[None, :length], chosen, steps, progress=_say)
    name = source or str(text)
    page = write(out, found, model, name) if out is not None else None
    if json:
        print(json_module.dumps({"model": model, "text": name, **found.to_dict()}))
    else:
        from rich.console import Console

        Console(highlight=False).print(table(found))
        if whole := [row.name for row in found.rows if row.method.kind == "method" and row.own.density.mean() == 1]:
            print(f"\nThis text is too short for the settings of {', '.join(whole)}: all was kept. --share makes them smaller.")
    if page is not None:
        print(f"Picture: {page.resolve().as_uri()}", file=sys.stderr)


@attention_app.command("fit")
def fit(
    model: Model,
    text: Text = None,
    budget: Annotated[float, typer.Option(min=0, help="Relative increase of the perplexity that is allowed.")] = 0.02,
    method: Annotated[str, typer.Option(help="anchor (prompts) or tidal (decoding).")] = "anchor",
    held_out: Annotated[
        str | None,
        typer.Option(help="Text set or file to report the outcome on.  [default: the held-out part of a set; none for a file]"),
    ] = None,
    length: Annotated[int, typer.Option(min=2, help="Tokens a window.")] = 2048,
    windows: Annotated[int, typer.Option(min=1, help="Windows, spread over the text; decoding takes one.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder to save the switched model to.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a folder that exists.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Find the sparsest setting whose perplexity stays within a budget, on one text, and report it on another.

    The saved model loads as it is, dense; with attn_implementation="fewer_anchor" or "fewer_tidal" it is as it was fitted.
    """
    use_data(data)
    if method not in ("anchor", "tidal"):
        raise typer.BadParameter(f'--method is "{method}"; allowed: anchor, tidal.')
    from functools import partial

    from fewer.attention import fit as fit_attention
    from fewer.data.models import load_causal_lm
    from fewer.weights.calibration import text_of
    from fewer.weights.saving import make_beside, save

    if out is not None:
        make_beside(out, overwrite).rmdir()
    source, words = text_of(text, "calibration")
    other, other_words = text_of(held_out or source, "test") if held_out or source else ("", None)
    network, tokenizer = load_causal_lm(model)
    found = fit_attention(
        network,
        words,
        budget,
        held_out=other_words,
        method=method,  # type: ignore[arg-type]
        tokenizer=partial(cast(Any, tokenizer), verbose=False),
        length=length,
        windows=windows,
        progress=_say,
    )
    folder = save(network, out, tokenizer, overwrite) if out is not None else None
    if json:
        texts = {"text": source or text, "held_out": other or held_out}
        print(json_module.dumps({"model": model, **texts, "method": method, "out": folder and str(folder), **_fitted(found)}))
        return
    print(found)
    if folder is not None:
        print(f'saved to {folder}: from_pretrained("{folder}", attn_implementation="fewer_{method}")')


attention_app.command("frontier")(frontier)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _fitted(found: Any) -> dict[str, Any]:
    """As plain values; infinite thetas are the words that Python's float() reads."""
    said = found._asdict()
    if "method" in said:
        anchor = said.pop("method")
        thetas = {str(layer): [t if math.isfinite(t) else str(t) for t in heads] for layer, heads in said["thetas"].items()}
        return {**said, "block": anchor.block, "step": anchor.step, "anchor": anchor.anchor, "thetas": thetas}
    tried = [{"keys": keys, "select": select, "increase": rise} for (keys, select), rise in said.pop("tried").items()]
    return {**said, "tried": tried}
