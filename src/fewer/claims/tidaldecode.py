"""TidalDecode (Yang et al. 2024, arXiv 2410.05076): keys chosen in a few layers serve the layers behind them."""

from dataclasses import replace

from fewer.attention.decode_baselines import OracleKeys, SinksAndWindow
from fewer.attention.decode_tasks import EchoDecode, SweptTidal, TextDecode
from fewer.attention.dense import DenseAttention
from fewer.attention.tidal import Sets, Tidal
from fewer.claims.claim import Claim, Setting
from fewer.compare.beside import Alone
from fewer.compare.result import Results
from fewer.compare.rules import Below, Rule, all_of, higher, lower, within
from fewer.core import Method
from fewer.data.trained.echo_lm import EchoRecipe

START = 2
LAYERS = 6
KEYS = (32, 16, 8, 4)
HALF = 128
"""Tokens that are read before the first step."""
JUDGED = tuple(keys / HALF for keys in KEYS if keys > 4)
"""Four keys, of which one is the new token, are shown and not judged."""
NAMES: dict[Sets, str] = {"shared": "tidal", "head": "tidal-head"}
KIND: dict[str, Sets] = {name: sets for sets, name in NAMES.items()}


def arms(layers: int = LAYERS) -> dict[str, Method]:
    """Dense, oracles, a window of two first keys and the last ones; sets with each second selection layer, with the swept one,
    with none; the twins of those."""
    first = (START,)
    found: dict[str, Method] = {"dense": DenseAttention(), "window": SinksAndWindow(select=first, sinks=2)}
    for sets, name in NAMES.items():
        suffix = name.removeprefix("tidal")
        swept = SweptTidal(sets=sets, select=first)
        found |= {
            name: swept,
            f"random{suffix}": swept.random_twin(),
            f"oracle{suffix}": OracleKeys(sets=sets, select=first),
            f"{name}-none": Tidal(sets=sets, select=first),
            f"random{suffix}-none": Tidal(sets=sets, select=first).random_twin(),
        }
        found |= {f"{name}@{layer}": Tidal(sets=sets, select=(START, layer)) for layer in range(START + 1, layers)}
        found |= {
            f"{name}@1,{layer}": Tidal(sets=sets, select=(1, layer)) if layer > 1 else Tidal(sets=sets, select=(1,))
            for layer in range(1, layers)
        }
    return found


TWINS = {"random": "tidal", "random-none": "tidal-none", "random-head": "tidal-head", "random-head-none": "tidal-head-none"}


def rule(setting: Setting) -> Rule:
    """One set for all heads: its carried keys hold more mass than random ones in every later layer; with the second selection
    layer that is best on other text the loss is within 0.05 nats of the oracle's, where random keys and a window lose more than
    1; and it is below that of no second layer."""
    task = setting.task()
    if isinstance(task, EchoDecode):
        at = [budget for budget in setting.budgets if budget in JUDGED]
        return rule_of("tidal", at, range(START + 1, task.recipe.layers))
    at = list(setting.budgets)
    return all_of(within("nll", "tidal", "oracle", 0.02, at), *_beside("tidal", "random", at, 0.02))


def rule_of(name: str, at: list[float], layers: range) -> Rule:
    """The card's rule, for one kind of sets."""
    suffix = name.removeprefix("tidal")
    mass = (higher(f"mass:{layer}", f"{name}-none", f"random{suffix}-none", at) for layer in layers)
    return all_of(*mass, within("nll", name, f"oracle{suffix}", 0.05, at), *_beside(name, f"random{suffix}", at, 1.0))


def _beside(name: str, random: str, at: list[float], lost: float) -> list[Rule]:
    fails = [Below("nll", "dense", arm, tuple(at), margin=-lost) for arm in (random, "window")]
    return [*fails, lower("nll", name, f"{name}-none", at)]


def findings(results: Results) -> list[str]:
    """The same for one set a head, as in the paper, and every arm's loss."""
    lines = []
    at = [budget for budget in results.budgets if budget in JUDGED]
    if at and "tidal-head" in results.arms:
        named = [m for row in results.of("tidal-none", at[0]) for m in row.quality if m.startswith("mass:")]
        layers = [int(m.partition(":")[2]) for m in named]
        of_heads = rule_of("tidal-head", at, range(min(layers), max(layers) + 1))
        lines += Alone("the same for one set a head, as in the paper", of_heads).findings(results)
    for budget in (1.0, *results.budgets):
        for arm in results.arms:
            if rows := results.of(arm, budget):
                mass = sum(row.quality.get("mass", 0) for row in rows) / len(rows)
                layers_chosen = ", ".join(str(row.detail["facts"].get("select", "")) for row in rows)
                lines.append(
                    f"{arm} at density {budget:g}: {results.summary(arm, budget, 'nll').mean:.3f} nats"
                    + (f", mass {mass:.2f}, selection layers {layers_chosen}" if mass else "")
                )
    return lines


def on_text() -> dict[str, Method]:
    """For SmolLM2's 30 layers: every second layer chooses, against the published two and one alone."""
    every = Tidal(select=tuple(range(START, 30, 2)))
    return {
        "dense": DenseAttention(),
        "oracle": OracleKeys(select=(START,)),
        "window": SinksAndWindow(select=(START,)),
        "tidal": every,
        "random": every.random_twin(),
        "tidal-published": Tidal(),
        "tidal-none": Tidal(select=(START,)),
        "tidal-head": replace(every, sets="head"),
    }


def smoke() -> EchoDecode:
    """Seconds, and a model that has not learnt to copy: with two seeds nothing is decided."""
    recipe = EchoRecipe(layers=4, hidden=32, heads=2, intermediate=64, length=2 * HALF, batch=4, steps=60, plain=0.0)
    return EchoDecode(recipe=recipe, pieces=4)


claim = Claim(
    system="tidaldecode",
    says="The keys that one or two layers choose in decoding serve the layers behind them: one set for all heads, chosen anew "
    "in the right layer, keeps a copying task that random keys, a window and a set without the second choice all lose.",
    paper="needle at 100k tokens, Llama-3-8B: 100% with 128 keys (Quest 65%); LLaMA-2-7B decodes 2.1 times faster than with "
    "full attention at 100k (arXiv 2410.05076 and its repository)",
    arms=arms(),
    settings={
        "smoke": Setting(smoke, budgets=(16 / HALF,), arms=arms(layers=4)),
        "small": Setting(EchoDecode, budgets=tuple(k / HALF for k in KEYS)),
        "paper": Setting(TextDecode, budgets=(1024 / 7168, 512 / 7168, 256 / 7168), arms=on_text()),
    },
    rule=rule,
    method="tidal",
    at=lambda setting: min(b for b in setting.budgets if b * HALF > 4),
    twins=TWINS,
    beside=findings,
)
