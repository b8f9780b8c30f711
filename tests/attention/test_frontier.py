"""The study's parts: samples, counting, fitting, one prompt for many methods, tests and fronts."""

import re

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fewer.attention.dense import DenseAttention
from fewer.attention.families.block import BlockAttention
from fewer.attention.families.local import LocalAttention
from fewer.attention.families.quest import Quest
from fewer.attention.families.snapkv import SnapKV
from fewer.attention.families.vertical_slash import VerticalSlashAttention
from fewer.attention.frontier import byte_tasks, text_tasks
from fewer.attention.frontier.arms import TWINS, for_bytes, phase_of, published
from fewer.attention.frontier.fitted import calls, density, fitted
from fewer.attention.frontier.isoflop import isoflop
from fewer.attention.frontier.judged import batches, judge
from fewer.attention.frontier.sample import Sample, running
from fewer.attention.frontier.studied import Counted, studied
from fewer.attention.frontier.study import STUDIES, Study
from fewer.attention.frontier.task import FrontierTask, dense_flops
from fewer.attention.frontier.tolerable import p_value, tolerable
from fewer.attention.settings import configure
from fewer.compare.result import ArmFacts, Results, Row
from fewer.core.budget import Density
from fewer.data import text
from fewer.data.trained.byte_tokens import encode
from fewer.data.trained.echo_lm import EchoRecipe
from fewer.errors import AttentionError, DataError, MethodError

TEXT = text.load("python-topics", "test")


class Pieces:
    """A tokenizer of words with the blank before them."""

    def __init__(self):
        self.known = {}

    def __call__(self, words, **_):
        return {"input_ids": [self.known.setdefault(piece, len(self.known)) for piece in re.findall(r" ?\w+|\W", words)]}

    def decode(self, ids):
        names = list(self.known)
        return "".join(names[i] for i in ids)


TOKENIZER = Pieces()


@pytest.fixture(scope="module")
def source():
    return text_tasks.Words(TOKENIZER, TEXT)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=None, bos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def said(sample, part):
    return TOKENIZER.decode(sample.tokens[part].tolist())


def test_retrieval_hides_facts_and_asks_for_four_of_them(source):
    sample = text_tasks.retrieval(source, 1000, np.random.default_rng(0))
    assert len(sample.tokens) == 1000
    whole, prompt = said(sample, slice(None)), said(sample, slice(sample.start))
    facts = dict(re.findall(r"\nThe secret number of (\w+) is (\d+)\.\n", prompt))
    assert len(facts) == text_tasks.NEEDLES
    asked = re.findall(r"The secret number of (\w+) is (\d+)", whole.rsplit("Answer: ", 1)[1])
    assert len(asked) == text_tasks.QUERIES
    assert all(facts[thing] == number for thing, number in asked)
    judged = [TOKENIZER.decode([int(sample.tokens[at])]).strip() for at in sample.asked]
    assert judged == [number for _, number in asked]
    assert sample.answers == (0, 1, 2, 3)


def test_tracking_follows_two_hops_to_the_number(source):
    sample = text_tasks.tracking(source, 1000, np.random.default_rng(1))
    held = dict(re.findall(r"\n(VAR \w+) = (\w+(?: \w+)?)\n", said(sample, slice(sample.start))))
    asked = re.findall(r"(VAR \w+) = (\d+)", said(sample, slice(None)).rsplit("Answer: ", 1)[1])
    assert len(asked) == text_tasks.CHAINS
    for name, answer in asked:
        for _ in range(text_tasks.HOPS):
            assert held[name].startswith("VAR")
            name = held[name]
        assert held[name] == answer


def test_frequent_words_are_right_in_any_order(source):
    sample = text_tasks.frequent(source, 1500, np.random.default_rng(2))
    assert 1400 < len(sample.tokens) <= 1500
    listed = said(sample, slice(sample.start)).rsplit("List:", 1)[1].split(".\n")[0].split(", ")
    counts = {word.strip(): listed.count(word) for word in set(listed)}
    words = [w.strip() for w in said(sample, slice(sample.start, None)).split(",") if w.strip()]
    assert len(words) == text_tasks.COMMON
    assert min(counts[w] for w in words) > max(count for w, count in counts.items() if w not in words)
    assert [len(ids) for ids in sample.accepted] == [5, 4, 3, 2, 1]


def test_samples_are_drawn_by_seed_and_too_short_texts_are_refused(source):
    for task in text_tasks.TASKS.values():
        one, same, other = (task(source, 1500, np.random.default_rng(seed)).tokens for seed in (3, 3, 4))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
    with pytest.raises(DataError, match="do not hold"):
        text_tasks.retrieval(source, 100, np.random.default_rng(0))
    with pytest.raises(DataError, match="list of words"):
        text_tasks.frequent(source, 100, np.random.default_rng(0))
    with pytest.raises(DataError, match="longer text"):
        source.stretch(10**9, np.random.default_rng(0))
    with pytest.raises(AttentionError, match="none before the start"):
        Sample(torch.arange(9), 5, (4,), ((1,),), (0,))


def test_echo_repeats_a_piece_and_both_judge_the_second_half():
    tokens = encode(TEXT)
    echo = byte_tasks.echo(tokens, 64, np.random.default_rng(0))
    assert torch.equal(echo.tokens[:32], echo.tokens[32:])
    assert byte_tasks.plain(tokens, 64, np.random.default_rng(0)).asked == echo.asked == tuple(range(32, 64))
    assert [len(batch) for batch in batches([echo] * 40)] == [32, 8]


ARMS = [
    DenseAttention(),
    VerticalSlashAttention(vertical=9, slash=9, window=16, sinks=2, nearest=3),
    BlockAttention(blocks=4, size=8),
    Quest(budget=16, page=8),
    SnapKV(capacity=24, window=8, kernel=3, local=6, prefix=2),
    LocalAttention(window=20, when="decode"),
]


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.slug)
def test_a_judgement_is_what_the_registered_attention_gives_token_by_token(model, arm):
    """Teacher forcing in one call, from a prompt that was read once, against a step for each token."""
    tokens = torch.randint(256, (70,), generator=torch.Generator().manual_seed(3))
    asked = (60, 61, 65)
    sample = Sample(tokens, 60, asked, tuple((int(tokens[at]),) for at in asked), (0, 0, 1))
    phase = phase_of(arm)
    found = judge(model, [sample], arm, phase)
    names = {
        "dense-attention": "dense",
        "vertical-slash": "vertical_slash",
        "block-attention": "block",
        "local-attention": "local",
    }
    parameters = {k: v for k, v in arm.configuration().items() if k != "method"}
    configure(model, names.get(arm.slug, arm.slug), **parameters)
    split = 60 if phase == "prefill" else 59
    with torch.inference_mode():
        out = model(tokens[None, :split], use_cache=True)
        logits, cache = [out.logits[0, -1]] if split == 60 else [], out.past_key_values
        for at in range(split, 70):
            logits.append(model(tokens[None, at : at + 1], cache=cache, use_cache=True).logits[0, -1])
    configure(model, "dense")
    expected = -sum(float(logits[at - 60].log_softmax(0)[tokens[at]]) for at in asked) / 3
    assert found.nll[0] == pytest.approx(expected, abs=1e-4)
    assert found.tokens == 70
    cells = 60 * 61 // 2 if phase == "prefill" else sum(range(60, 71))
    assert found.counted[0].cells == cells * 4 * 2  # heads, layers
    assert found.density == 1 if arm.kind == "dense" else found.density < 1


def test_an_answer_is_right_when_all_its_tokens_are_the_likeliest(model):
    tokens = torch.randint(256, (40,), generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        best = model(tokens[None]).logits[0].argmax(-1)
    tokens[31] = best[30]
    asked = (30, 31)
    accepted = ((int(best[29]),), (int(tokens[31]), 3))
    with torch.inference_mode():
        right = int(model(tokens[None]).logits[0, 30].argmax()) in accepted[1]
    sample = Sample(tokens, 30, asked, accepted, (0, 1))
    assert judge(model, [sample], DenseAttention(), "prefill").right == [0.5 + 0.5 * right]


def test_running_text_is_prefilled_to_its_end_and_random_twins_draw_anew(model):
    sample = running(torch.arange(48), 24)
    arm = BlockAttention(blocks=3, size=4)
    assert judge(model, [sample], arm, "prefill").counted[0].cells == 48 * 49 // 2 * 8
    twin = BlockAttention(blocks=4, size=4).random_twin()
    one, two, same = (judge(model, [sample], twin.with_seed(seed), "prefill").nll for seed in (0, 1, 0))
    assert one == same != two


def test_flops_count_cells_that_are_kept_and_the_estimator(model):
    sample = running(torch.arange(48), 24)
    dense = judge(model, [sample], DenseAttention(), "prefill").counted[0]
    assert dense.attention_flops == 4 * 8 * dense.cells
    assert dense.scoring_flops == 0
    blocks = judge(model, [sample], BlockAttention(blocks=3, size=4), "prefill").counted[0]
    assert blocks.attention_flops == 4 * 8 * blocks.kept
    assert blocks.scoring_flops == 2 * 2 * 4 * 12 * 12 * 8  # layers, multiply-add, heads, blocks twice, dim
    twin = judge(model, [sample], BlockAttention(blocks=3, size=4).random_twin(), "prefill").counted[0]
    assert twin.scoring_flops == 0
    assert dense_flops(model) == 2 * (2 * (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 48) + 32 * 256)


@pytest.mark.parametrize(
    "arm",
    [
        VerticalSlashAttention(window=16, sinks=2, nearest=3),
        BlockAttention(size=4),
        Quest(budget=16, page=4),
        SnapKV(capacity=100, window=8, kernel=3, local=6, prefix=2),
        LocalAttention(when="prefill"),
    ],
    ids=lambda arm: arm.slug,
)
def test_budgets_are_fitted_to_the_density_that_is_reached(model, arm):
    sample = running(torch.randint(256, (128,), generator=torch.Generator().manual_seed(5)), 96)
    given = calls(model, sample, phase_of(arm))
    sized = fitted(arm, 0.5, given)
    assert density(sized, given) == pytest.approx(0.5, rel=0.08)
    assert judge(model, [sample], sized, phase_of(arm)).density == pytest.approx(0.5, rel=0.1)


def test_the_model_is_given_back_as_it_was_and_padding_is_refused(model):
    before = model.config._attn_implementation
    counted = Counted(DenseAttention(), "prefill")
    with pytest.raises(AttentionError, match="without padding"), studied(model, counted):
        model(torch.arange(6)[None].repeat(2, 1), attention_mask=torch.tensor([[0, 1, 1, 1, 1, 1], [1] * 6]))
    assert model.config._attn_implementation == before
    assert counted.density == 1


def made_up(differences, n=12):
    """An arm at two densities that loses so much to dense, with noise over 3 seeds of n / 3 samples."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(3):
        base = rng.normal(2, 0.3, n // 3)
        rows.append(
            Row(
                "dense", 1.0, seed, {"nll:t": base.mean()}, {"density": 1.0, "flops": 10.0}, {"items": {"nll:t": base.tolist()}}
            )
        )
        for budget, loss in differences.items():
            items = base + loss + rng.normal(0, 0.02, n // 3)
            cost = {"density": budget + 0.01, "flops": 10.0 * budget}
            rows.append(Row("m", budget, seed, {"nll:t": items.mean()}, cost, {"items": {"nll:t": items.tolist()}}))
    arms = {"dense": ArmFacts("dense", "dense"), "m": ArmFacts("method", "m")}
    configuration = {"task": {"model": "some", "length": 64, "recipe": None}}
    return Results("r", "r", "", {"nll:t": "lower"}, arms, list(differences), [0, 1, 2], rows, configuration)


def test_the_highest_tolerable_sparsity_ends_at_the_first_density_that_is_rejected():
    assert tolerable(made_up({0.5: 0.0, 0.25: -0.01, 0.1: 0.3}), "nll:t")[0].sparsity == pytest.approx(0.74)
    assert tolerable(made_up({0.5: 0.3, 0.25: -0.3}), "nll:t")[0].sparsity == 0
    assert tolerable(made_up({0.5: 0.3, 0.25: 0.3}), "nll:t", margin=0.5)[0].sparsity == pytest.approx(0.74)
    assert tolerable(made_up({0.5: 0.3, 0.25: 0.3}, n=3), "nll:t")[0].sparsity is None


def test_p_values_are_those_of_all_sign_flips():
    differences = np.array([0.3, 0.1, -0.2, 0.4, 0.25])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1).T
    assert p_value(differences) == pytest.approx(np.mean((signs * differences).mean(1) >= differences.mean() - 1e-12))
    assert p_value(np.zeros(5)) == 1


def test_the_front_holds_what_no_other_arm_beats_in_quality_and_flops():
    small, large = made_up({0.5: 0.5, 0.25: 0.5}), made_up({0.5: -0.5, 0.25: 1.0})
    small.configuration["task"]["model"] = "small"
    found = {(s.model, s.arm, round(s.density, 2)): s for s in isoflop([small, large], "nll:t")}
    assert found["some", "m", 0.51].front
    assert not found["some", "dense", 1.0].front
    assert found["small", "m", 0.26].front
    assert not found["small", "m", 0.51].front  # the other one is cheaper and as good, to within noise
    assert not isoflop([small], "nll:t", ("m",))[0].density < 1


def test_a_task_measures_every_arm_of_bytes_at_the_density_asked_for():
    task = FrontierTask(
        recipe=EchoRecipe(hidden=16, heads=2, intermediate=16, length=64, steps=21, batch=2, layers=2),
        tasks=("echo", "plain"), length=64, samples=3, text_set="python-topics",
    )  # fmt: skip
    assert "python-topics" in task.data
    assert "state" not in task.configuration()
    arms = for_bytes(64)
    assert {TWINS[name] for name in TWINS} < set(arms)
    for name, arm in arms.items():
        measured = task.measure(arm, Density(1.0 if name == "dense" else 0.75), 0)
        assert set(measured.quality) == set(task.quality)
        assert len(measured.detail["items"]["nll:echo"]) == 3
        if name not in ("dense", "flex-prefill"):
            assert measured.cost["density"] == pytest.approx(0.75, abs=0.09), name
    task.close()
    assert not task.state
    with pytest.raises(MethodError, match="compares attention"):
        task.measure(object.__new__(type("Other", (), {"slug": "x"})), Density(0.5), 0)


def test_studies_of_every_scale_name_their_comparisons():
    for study in STUDIES.values():
        planned = list(study.comparisons())
        assert len(planned) == len(study.models) * len(study.lengths)
        assert all("dense" in c.arms and "random" in c.arms for c in planned)
    assert len(list(STUDIES["paper"].comparisons())) == 16
    assert set(next(Study(arms=("quest",)).comparisons()).arms) == {"dense", "quest"}
    with pytest.raises(AttentionError, match='did you mean "quest"'):
        next(Study(arms=("qest",)).comparisons())
    with pytest.raises(AttentionError, match="bytes-64"):
        next(Study(("bytes-big",)).comparisons())
    assert published()["snapkv"].capacity == 1024
