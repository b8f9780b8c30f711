"""Prunes SmolLM2-135M to half of its weights, saves it, and loads it again with transformers alone."""

from transformers import AutoModelForCausalLM

import fewer
from fewer.data.models import load_causal_lm
from fewer.data.text import default_text
from fewer.measure import perplexity
from fewer.weights.calibration import draw_tokens, spread_windows, tokens_of

model, tokenizer = load_causal_lm("smollm2-135m")  # 98 MB, once
calibration = draw_tokens(tokenizer, default_text("calibration").text, sequences=4, length=256, seed=0)
test = spread_windows(tokens_of(tokenizer, default_text("test").text), length=256, count=4)

before = perplexity(model, test).perplexity
fewer.prune(model, "wanda", density=0.5, calibration=calibration)
fewer.save(model, "runs/pruned", tokenizer, overwrite=True)  # 540 MB: the zeros are stored

again = AutoModelForCausalLM.from_pretrained("runs/pruned")
after = perplexity(again, test).perplexity
print(f"kept {model.fewer.selections.density:.1%} of {model.fewer.selections.size:,} weights")
print(f"perplexity on {len(test)} windows: {before:.1f} dense, {after:.1f} pruned")
