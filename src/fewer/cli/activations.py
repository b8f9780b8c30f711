"""`fewer activations`: a language model that reads part of its weights for a token, and what that costs and gives."""

import json as json_module
from typing import Annotated, Any

import typer

from fewer.cli.lazy_neuron import activations_app
from fewer.cli.options import Data, Json, Seed, use_data

__all__ = ["activations_app"]


@activations_app.command("sparsify")
def sparsify(
    model: Annotated[str, typer.Argument(help="A model that `fewer models list` names, a folder, or a hub id.")],
    method: Annotated[
        str, typer.Option(help="r-sparse, teal, cats, magnitude-channels; random:r-sparse is a twin.")
    ] = "r-sparse",
    sparsity: Annotated[float, typer.Option(help="Share of the weights that is not read for a token, in [0, 1).")] = 0.5,
    rho: Annotated[
        float | None, typer.Option(help="For r-sparse: share of the budget that goes to inputs.  [default: 0.95]")
    ] = None,
    together: Annotated[bool, typer.Option(help="Layers that read one input keep the same inputs.")] = False,
    calibration: Annotated[
        str | None, typer.Option(help="A text set that `fewer data list` names.  [default: the default text]")
    ] = None,
    sequences: Annotated[int, typer.Option(min=1, help="Calibration sequences.")] = 8,
    windows: Annotated[int, typer.Option(min=1, help="Windows of held-out text that perplexity is measured on.")] = 8,
    length: Annotated[int, typer.Option(min=2, help="Tokens a sequence and a window.")] = 512,
    dense_prompt: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of each window, from its start, that is dense while perplexity is measured."),
    ] = 0.0,
    tokens: Annotated[int, typer.Option(min=2, max=4096, help="Tokens to decode.")] = 64,
    prompt: Annotated[str, typer.Option(help="What they follow.")] = "The history of the lighthouse begins with",
    include: Annotated[list[str] | None, typer.Option(help="Layers to take, as *.mlp.*; may be repeated.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Layers to leave dense; may be repeated.")] = None,
    seed: Seed = 0,
    data: Data = None,
    json: Json = False,
) -> None:
    """Perplexity on held-out text and tokens a second, dense and sparse. The output head stays dense; nothing is saved."""
    use_data(data)
    import copy

    from fewer.activations import measure_inputs
    from fewer.activations import sparsify as make_sparse
    from fewer.activations.method import InputMethod
    from fewer.activations.report import on_all_tokens
    from fewer.core import method as named
    from fewer.core import stream
    from fewer.data import text
    from fewer.data.models import load_causal_lm
    from fewer.data.trained.byte_tokens import plain_batch
    from fewer.errors import MethodError
    from fewer.measure.latency import interleaved, ratio
    from fewer.measure.quality import perplexity
    from fewer.measure.quality import windows as cut
    from fewer.weights.accelerate import accelerate
    from fewer.weights.accelerate.decoding import Decoding

    chosen = named(method, seed=seed)
    if not isinstance(chosen, InputMethod):
        raise MethodError(f"{method} is no method for inputs; `fewer activations sparsify --help` names them.")
    dense, tokenizer = load_causal_lm(model)
    source = calibration or text.default_text("test").name

    def ids(split: text.Split) -> Any:
        words = text.load(source, split)
        return tokenizer(words, return_tensors="pt", verbose=False, add_special_tokens=False).input_ids[0]

    test = cut(ids("test"), length, windows)
    sparse: Any = make_sparse(
        copy.deepcopy(dense),
        chosen,
        sparsity,
        plain_batch(ids("calibration"), sequences, length, stream(seed, "calibration")),
        rho=rho,
        include=include or "*",
        exclude=exclude or (),
        together=together,
    )
    before = perplexity(dense, test).perplexity
    with on_all_tokens(sparse, dense_prompt):
        after = perplexity(sparse, test).perplexity
    kept = measure_inputs(sparse, test[:1], dense_prompt)
    models = {"dense": dense, "best": accelerate(copy.deepcopy(dense), forms=["dense"]), "sparse": sparse}
    accelerate(sparse, forms=["dense"], include=_head(sparse))
    first, turn = tokenizer(prompt, return_tensors="pt").input_ids, min(tokens, 16)
    timed = interleaved({name: Decoding(m, first, turn) for name, m in models.items()}, max(2, tokens // turn), 1)
    gain, over_best = (ratio(timed[name], timed["sparse"]) for name in ("dense", "best"))
    found = sparse.input_sparsity
    said = {
        "method": chosen.configuration(),
        "sparsity": sparsity,
        "text": source,
        "perplexity_before": before,
        "perplexity_after": after,
        "dense_prompt": dense_prompt,
        "weights_read": kept.touched,
        "extra_bytes": found.extra_bytes,
        "tokens_per_second_dense": turn / timed["dense"].median,
        "tokens_per_second": turn / timed["sparse"].median,
        "ratio": gain.mean,
        "ratio_to_best_dense": over_best.mean,
        "layers": [{**layer._asdict(), "inputs_kept": kept.inputs[layer.names[0]]} for layer in found.layers],
    }
    if json:
        print(json_module.dumps(said))
        return
    print(found)
    print(
        f"perplexity on held-out {source}, the last {1 - dense_prompt:.0%} of each window sparse: {before:.2f} dense, "
        f"{after:.2f} sparse; {kept.touched:.3f} of the weights were read for a token"
    )
    print(
        f"{said['tokens_per_second']:.1f} tokens/s against {said['tokens_per_second_dense']:.1f} dense, one sequence, the head "
        f"dense: {gain.mean:.2f} x [{gain.low:.2f}, {gain.high:.2f}]; {over_best.mean:.2f} x the best dense kernel everywhere"
    )


def _head(model: Any) -> tuple[str, ...]:
    """Name of the output head."""
    head = model.get_output_embeddings()
    return tuple(name for name, module in model.named_modules() if module is head)
