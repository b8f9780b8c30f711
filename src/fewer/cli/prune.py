"""`fewer prune`: a model in, a pruned model out."""

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fewer.cli.options import Data, Json, Seed, use_data


def prune(
    model: Annotated[str, typer.Argument(help="A model that `fewer models list` names, a folder, or a hub id.")],
    out: Annotated[Path, typer.Option(help="Folder to write; it appears whole or not at all.")],
    method: Annotated[
        str,
        typer.Option(
            help="random, magnitude, wanda, sparsegpt, sparsegpt-mask, snip, dsnot; dsnot:magnitude refines magnitude's mask, "
            "random:sparsegpt is a twin."
        ),
    ] = "wanda",
    sparsity: Annotated[float, typer.Option(help="Share of the weights that is dropped, in [0, 1].")] = 0.5,
    pattern: Annotated[
        str | None, typer.Option(help="row, layer, global, 2:4, block:16x16, neuron ...  [default: row]")
    ] = None,
    allocation: Annotated[str | None, typer.Option(help="uniform, uniform+, erk, erk+, global, mass.")] = None,
    kind: Annotated[str, typer.Option(help="causal-lm, masked-lm or encoder.")] = "causal-lm",
    calibration: Annotated[
        str | None, typer.Option(help="A text set that `fewer data list` names, or a text file.  [default: the default text]")
    ] = None,
    sequences: Annotated[int, typer.Option(min=0, help="Calibration sequences.")] = 16,
    length: Annotated[int, typer.Option(min=2, help="Tokens a calibration sequence.")] = 512,
    include: Annotated[list[str] | None, typer.Option(help="Layers to prune, as *.mlp.*; may be repeated.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Layers to leave dense; may be repeated.")] = None,
    mode: Annotated[str, typer.Option(help="layer: one pass; block: two, as the papers.")] = "layer",
    evaluate: Annotated[bool, typer.Option(help="Perplexity on held-out text, before and after (causal-lm).")] = True,
    dtype: Annotated[str, typer.Option(help="Precision to save in: float32, bfloat16, float16.")] = "float32",
    compress: Annotated[
        bool,
        typer.Option(
            "--compress", help="Store no zeros: a smaller folder, which fewer.load reads and from_pretrained does not."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a folder that exists.")] = False,
    seed: Seed = 0,
    data: Data = None,
    json: Json = False,
) -> None:
    """Prune a Hugging Face model and save it so that from_pretrained loads it again, its selection beside it."""
    use_data(data)
    for name, value, allowed in (
        ("--kind", kind, ("causal-lm", "masked-lm", "encoder")),
        ("--mode", mode, ("layer", "block")),
        ("--dtype", dtype, ("float32", "bfloat16", "float16")),
    ):
        if value not in allowed:
            raise typer.BadParameter(f'{name} is "{value}"; allowed: {", ".join(allowed)}.')

    import torch

    from fewer.core.budget import Density
    from fewer.measure.bytes import disk_bytes
    from fewer.weights.calibration import draw_tokens, text_of
    from fewer.weights.prune import prune as prune_model
    from fewer.weights.prune import resolve
    from fewer.weights.saving import make_beside, save

    density = round(1 - sparsity, 12)
    pruner = resolve(method, pattern, seed)
    Density(density) if 0 <= sparsity <= 1 else _refuse(f"--sparsity must lie in [0, 1], not {sparsity}.")
    make_beside(out, overwrite).rmdir()
    network, tokenizer = _load(model, kind)
    source, words = text_of(calibration, "calibration")
    tokens = draw_tokens(tokenizer, words, sequences, length, seed) if pruner.needs_data else None
    test = _windows(tokenizer, calibration, length) if evaluate and kind == "causal-lm" else None
    before = _perplexity(network, test)
    prune_model(
        network,
        pruner,
        density=density,
        calibration=tokens,
        allocation=allocation,
        include=include or "*",
        exclude=[*(exclude or ()), *(("pooler.*",) if kind == "encoder" else ())],  # mean pooling never reads it
        mode=mode,  # type: ignore[arg-type]
        progress=_dots(method),
    )
    for parameter in network.parameters():  # buffers stay: loaded again, they are made anew in float32
        parameter.data = parameter.data.to(getattr(torch, dtype))
    after = _perplexity(network, test)
    folder = save(network, out, tokenizer, overwrite, compress)
    pruning: Any = network.fewer
    said = {
        "out": str(folder),
        **pruning.configuration,
        "bytes_on_disk": disk_bytes(folder),
        "density_kept": pruning.selections.density,
        "calibration_text": source if pruner.needs_data else None,
        "seconds": pruning.seconds,
        "report": pruning.report,
        "perplexity_before": before,
        "perplexity_after": after,
    }
    if json:
        print(json_module.dumps(said))
        return
    kept = pruning.selections
    print(f"{pruner.spelling} kept {kept.density:.1%} of {kept.size:,} weights in {pruning.seconds:.1f} s")
    for name, value in pruning.report.items():
        if (was := pruning.report.get(f"{name}_before")) is not None:
            print(f"{name.replace('_', ' ')} of the outputs, mean over layers: {was:.4g} before refining, {value:.4g} after")
    if before is not None:
        print(f"perplexity on held-out text: {before:.2f} dense, {after:.2f} pruned")
    size = f"{disk_bytes(folder) / 1e6:,.0f} MB"
    if compress:
        print(f'saved to {folder}: {size} without zeros; fewer.load("{folder}") reads it')
    else:
        print(f"saved to {folder}: {size} with the zeros in them: --compress leaves them out, `fewer accelerate` skips them")


def _load(model: str, kind: str) -> tuple[Any, Any]:
    from fewer.data import models

    if kind == "encoder":
        encoder = models.load_sentence_encoder(model)
        return encoder.model, encoder.tokenizer
    return (models.load_causal_lm if kind == "causal-lm" else models.load_masked_lm)(model)


def _windows(tokenizer: Any, calibration: str | None, length: int) -> Any:
    """Held-out windows; None for a text file, all of which was open to calibration."""
    from fewer.weights.calibration import spread_windows, text_of, tokens_of

    source, words = text_of(calibration, "test")
    return spread_windows(tokens_of(tokenizer, words), length, 8) if source else None


def _perplexity(model: Any, windows: Any) -> float | None:
    from fewer.measure.quality import perplexity

    return None if windows is None else perplexity(model, windows).perplexity


def _dots(method: str) -> Any:
    def show(done: int, total: int) -> None:
        end = "\n" if done == total else ""
        print(f"\r{method}: layer {done} of {total}", end=end, file=sys.stderr, flush=True)

    return show if sys.stderr.isatty() else None


def _refuse(text: str) -> None:
    raise typer.BadParameter(text)
