"""`fewer accelerate`: what compact weights buy a causal language model on this machine."""

import json as json_module
from dataclasses import asdict
from typing import Annotated, Any

import typer

from fewer.cli.options import Json


def accelerate(
    model: Annotated[str, typer.Argument(help="A folder that `fewer prune` wrote, a model by name, or a hub id.")],
    batch: Annotated[int, typer.Option(help="Sequences decoded at once: 1, 2, 4, 8 or 16.")] = 1,
    tokens: Annotated[int, typer.Option(min=2, max=4096, help="Tokens to decode and compare.")] = 64,
    prompt: Annotated[str, typer.Option(help="What they follow.")] = "The history of the lighthouse begins with",
    json: Json = False,
) -> None:
    """Choose for each kind of layer the fastest of dense and sparse kernels; then decode with and without, fused and not."""
    import copy

    import torch

    from fewer.data.models import load_causal_lm
    from fewer.decoding import fuse
    from fewer.errors import ModelError
    from fewer.measure.latency import interleaved, ratio
    from fewer.weights.accelerate import accelerate as speed_up
    from fewer.weights.accelerate.decoding import Decoding, agreement, greedy

    network, tokenizer = load_causal_lm(model)
    fast: Any = speed_up(copy.deepcopy(network.eval()), batch=batch)
    text = tokenizer(prompt, return_tensors="pt").input_ids
    models = {"dense": network, "accelerated": fast}
    unfused = None
    try:
        models |= {f"{name}, fused": fuse(copy.deepcopy(model)) for name, model in list(models.items())}
    except ModelError as error:
        unfused = str(error)
    dense = greedy(network, text, tokens)
    same = {name: agreement(greedy(model, text, tokens), dense) for name, model in models.items()}
    turn = min(tokens, 16)
    timed = interleaved({name: Decoding(model, text, turn) for name, model in models.items()}, 8, 1)
    speed = {name: turn / timing.median for name, timing in timed.items()}
    gain = ratio(timed["dense"], timed["accelerated"])
    said = {
        "tokens_per_second_dense": speed["dense"],
        "tokens_per_second": speed["accelerated"],
        "tokens_per_second_dense_fused": speed.get("dense, fused"),
        "tokens_per_second_fused": speed.get("accelerated, fused"),
        "not_fused": unfused,
        "ratio": gain.mean,
        "ratio_low": gain.low,
        "ratio_high": gain.high,
        "same_tokens": min(same.values()),
        "threads": torch.get_num_threads(),
        "layers": [asdict(choice) for choice in fast.acceleration.choices],
    }
    if json:
        print(json_module.dumps(said))
        return
    print(fast.acceleration)
    print(f"One sequence, {tokens} greedy tokens:")
    for name, timing in timed.items():
        found = ratio(timed["dense"], timing)
        print(
            f"  {name}: {speed[name]:.1f} tokens/s, {found.mean:.2f} x dense [{found.low:.2f}, {found.high:.2f}]; "
            f"{same[name]:.0%} of the tokens are the dense model's"
        )
    if unfused:
        print(f"Not fused: {unfused}")
