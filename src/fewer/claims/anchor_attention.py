"""AnchorAttention (Zhang et al. 2025, arXiv 2505.23520): columns near the anchor hold most of the attention mass."""

from fewer.attention.anchor import Anchor
from fewer.attention.anchor_task import EchoColumns
from fewer.attention.columns import BlockColumns, OracleColumns, PlainColumns
from fewer.attention.dense import DenseAttention
from fewer.attention.text_task import TextColumns
from fewer.claims.claim import Claim, Setting
from fewer.compare.beside import Alone, Beside
from fewer.compare.rules import Above, Rule, all_of, within
from fewer.core import Method
from fewer.data.trained.echo_lm import EchoRecipe

NEAR = 0.2526
"""Density of the first and nearest keys alone, in layer 0 and the second copy."""
DENSITIES = (NEAR + 0.224, NEAR + 0.028, NEAR + 0.013)
"""By so much more theta 4, 2 and 1 kept in a trial on one model."""
LEAD, GAP = 0.1, 0.03
"""By how much recall must exceed that of blocks and of random columns, and how near it must come to the oracle's."""

ECHO = "recall_layer_0", "recall_layer_1", "second_copy_nll"
RUNNING_TEXT = "recall", "recall_worst_layer", "nll"
"""Which recall decides, where another one is looked at, and the loss."""

ARMS: dict[str, Method] = {
    "dense": DenseAttention(),
    "random": Anchor().random_twin(),
    "block": BlockColumns(),
    "plain-threshold": PlainColumns(),
    "oracle": OracleColumns(),
    "anchor-attention": Anchor(),
}


def rule(setting: Setting) -> Rule:
    """Recall decides; beside it stands what the method is known to lose."""
    at, own = tuple(setting.budgets), "anchor-attention"
    recall, last, loss = ECHO if isinstance(setting.task(), EchoColumns) else RUNNING_TEXT
    decides = all_of(
        Above(recall, own, "block", at, -LEAD), Above(recall, own, "random", at, -LEAD), Above(recall, own, "oracle", at, GAP)
    )
    return Beside(
        decides,
        (
            Alone("it leads blocks where single keys are asked for, too", Above(last, own, "block", at)),
            Alone("its loss is near dense", within(loss, own, "dense", 0.1, list(at))),
            Alone("the difference to the anchor matters", Above(recall, own, "plain-threshold", at)),
        ),
    )


claim = Claim(
    system="anchor-attention",
    says="Of equally many columns, those that come near the anchor hold more attention mass than blocks or random ones.",
    paper="128k tokens: 1.44x faster than FlexPrefill at higher recall (arXiv 2505.23520, abstract)",
    arms=ARMS,
    method="anchor-attention",
    settings={
        "smoke": Setting(
            lambda: EchoColumns(recipe=EchoRecipe(steps=30, batch=2, plain=0.0, length=160), sequences=2, text="python-topics"),
            (0.5,),
        ),
        "small": Setting(lambda: EchoColumns(recipe=EchoRecipe(steps=800, batch=8, plain=0.0)), DENSITIES),
        # the paper's model and settings; on running text, since RULER and LongBench are not at hand
        "paper": Setting(
            lambda: TextColumns(
                model="meta-llama/Llama-3.1-8B-Instruct",
                text="wikitext2",
                length=131072,
                anchor=Anchor(theta=12.0, block=128, step=16, anchor="max"),
            ),
            (0.2, 0.1),
        ),
    },
    rule=rule,
)
