"""`fewer activations`: how few hidden units of a model fire."""

import json as json_module
from typing import Annotated, Any

import typer

from fewer.cli.options import Data, Json, use_data

__all__ = ["activations_app"]

activations_app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="See how few hidden units of a model fire."
)


@activations_app.callback()
def activations() -> None:
    """See how few hidden units of a model fire."""


@activations_app.command("measure")
def measure(
    model: Annotated[str, typer.Argument(help="A causal model that `fewer models list` names, a folder, or a hub id.")],
    text: Annotated[
        str | None,
        typer.Argument(help="A text set that `fewer data list` names, or a text file.  [default: the default text]"),
    ] = None,
    windows: Annotated[int, typer.Option(min=1, help="Windows, spread over the text.")] = 8,
    length: Annotated[int, typer.Option(min=1, help="Tokens a window.")] = 256,
    data: Data = None,
    json: Json = False,
) -> None:
    """Measure by layer which share of the hidden units fires for a token, and how much the largest of them hold.

    not 0: share of units that are not exactly zero. gate > 0: of a gated MLP. <= 0.01: share of units of at most that size.
    top 10% hold: their share of the sum of squares of a token. 90% held by: share of the units that hold so much of it.
    dead: units that are always zero. idle: units that are never among a token's largest tenth.
    """
    use_data(data)
    from fewer.activations.lazy.measure import measure as measure_activations
    from fewer.data.models import load_causal_lm
    from fewer.weights.calibration import spread_windows, text_of, tokens_of

    source, words = text_of(text, "test")
    network, tokenizer = load_causal_lm(model)
    tokens = spread_windows(tokens_of(tokenizer, words), length, windows)
    found = measure_activations(network, tokens, batch=1)
    said: dict[str, Any] = {"model": model, "text": source or text, "tokens": tokens.numel(), **found.to_dict()}
    if json:
        print(json_module.dumps(said))
        return
    found.show()
    print(f"{tokens.numel():,} tokens of {said['text']}; {found.density:.3f} of the units are not zero, mean over layers")
