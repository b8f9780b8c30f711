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
    """Choose for each kind of layer the fastest of dense and sparse kernels, then decode with and without them."""
    import copy

    import torch

    from fewer.data.models import load_causal_lm
    from fewer.measure.latency import interleaved, ratio
    from fewer.weights.accelerate import accelerate as speed_up
    from fewer.weights.accelerate.decoding import Decoding, agreement, greedy

    network, tokenizer = load_causal_lm(model)
    fast: Any = speed_up(copy.deepcopy(network.eval()), batch=batch)
    text = tokenizer(prompt, return_tensors="pt").input_ids
    same = agreement(greedy(fast, text, tokens), greedy(network, text, tokens))
    turn = min(tokens, 16)
    timed = interleaved({name: Decoding(m, text, turn) for name, m in (("dense", network), ("fast", fast))}, 8, 1)
    gain = ratio(timed["dense"], timed["fast"])
    said = {
        "tokens_per_second_dense": turn / timed["dense"].median,
        "tokens_per_second": turn / timed["fast"].median,
        "ratio": gain.mean,
        "ratio_low": gain.low,
        "ratio_high": gain.high,
        "same_tokens": same,
        "threads": torch.get_num_threads(),
        "layers": [asdict(choice) for choice in fast.acceleration.choices],
    }
    if json:
        print(json_module.dumps(said))
        return
    print(fast.acceleration)
    print(
        f"{said['tokens_per_second']:.1f} tokens/s against {said['tokens_per_second_dense']:.1f} dense, one sequence: "
        f"{gain.mean:.2f} x [{gain.low:.2f}, {gain.high:.2f}]; {same:.0%} of {tokens} greedy tokens are the same"
    )
