"""The peer's side of the llmcompressor benchmark: prunes on request. Run by the peer's own Python, which has no fewer.

Requests and answers are lines of JSON on standard input and output; the model and the tokens lie in the folder given.
"""

import json
import os
import sys
from pathlib import Path


def main(folder: Path, threads: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed goes to standard error
    import torch
    from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier
    from safetensors.torch import load_file, save_file
    from torch.utils.data import DataLoader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from llmcompressor import oneshot

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    dense = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tokens = load_file(folder / "tokens.safetensors")["tokens"]
    modifiers = {"wanda": WandaPruningModifier, "sparsegpt": SparseGPTModifier}

    def prune(method: str, structure: str, sequences: int) -> None:
        model.load_state_dict(dense)
        recipe = modifiers[method](sparsity=0.5, mask_structure=structure, targets=["Linear"], ignore=["re:.*lm_head"])
        batches = DataLoader([{"input_ids": row} for row in tokens[:sequences]], batch_size=1)
        oneshot(model=model, tokenizer=tokenizer, dataset=batches, recipe=recipe, pipeline="sequential")

    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "save" in request:
            save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, request["save"])
        else:
            prune(**request)
        print(json.dumps({"done": True}), file=answers, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
