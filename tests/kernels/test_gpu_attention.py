"""Sparse attention and sparse activations in Triton: on a GPU where there is one, else in Triton's interpreter, in a process of
its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from fewer.errors import KernelError, MeasureError
from fewer.kernels import attention_reference as reference
from fewer.kernels.block_lists import BlockLists

pytest.importorskip("triton", reason="Triton is not installed")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
EVERYTHING = float("inf")
in_triton = pytest.mark.skipif(
    DEVICE == "cpu" and not INTERPRETED, reason="no GPU: runs in the interpreter, in the process that another test starts"
)
PRECISION = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
HALF = [torch.float16] if INTERPRETED else [torch.float16, torch.bfloat16]  # no tl.dot of bfloat16 there (triton issue 11584)


def operands(n, dim, dtype=torch.float32, heads=4, kv_heads=2, keys=None, seed=0):
    """Keys and values are views of a longer cache."""
    generator = torch.Generator().manual_seed(seed)
    make = lambda h, length: torch.randn(2, h, length, dim, generator=generator).to(DEVICE, dtype)  # noqa: E731
    keys = keys or n
    return make(heads, n), make(kv_heads, keys + 5)[:, :, :keys], make(kv_heads, keys + 5)[:, :, :keys]


def exactly(function, *tensors, **more):
    """The reference in float64."""
    return function(*(x.double() if torch.is_tensor(x) and x.is_floating_point() else x for x in tensors), **more)


def close(y, wanted, dtype):
    return y.dtype is dtype and y.shape == wanted.shape and (y.double() - wanted).abs().max().item() < PRECISION[dtype]


@in_triton
@pytest.mark.parametrize(
    ("n", "dim", "block", "step"), [(67, 16, 8, 2), (80, 32, 16, 2), (70, 64, 24, 1), (90, 128, 16, 3), (9, 16, 16, 2)]
)
def test_anchor_attention_with_everything_kept_is_dense(n, dim, block, step):
    from fewer.kernels.gpu.anchor import anchor

    q, k, v = operands(n, dim)
    dense = scaled_dot_product_attention(*(x.double() for x in (q, k, v)), is_causal=True, enable_gqa=True)
    assert (anchor(q, k, v, EVERYTHING, block, step) - dense).abs().max() < 1e-5


@in_triton
@pytest.mark.parametrize(
    ("n", "dim", "kv_heads", "dtype"),
    [(75, 16, 1, torch.float32), *((60, 32, 4, d) for d in HALF)],
)
def test_anchor_attention_is_that_of_the_reference(n, dim, kv_heads, dtype):
    from fewer.kernels.gpu.anchor import anchor, anchor_columns, near, stripes

    q, k, v = operands(n, dim, dtype, kv_heads=kv_heads)
    first = torch.tensor([0, 21], device=DEVICE)
    theta = torch.tensor([-EVERYTHING, 0.0, 1.0, 2.0], device=DEVICE)
    start = near(q, k, v, 16, 8, 8, None, first)
    sums = anchor_columns(q, k, start, theta, 8, 2, None, first, by="sum")
    wanted = exactly(reference.anchor_columns, q, k, theta, 8, 2, first=first, by="sum")
    assert (sums != wanted).float().mean() <= (0 if dtype is torch.float32 else 1e-3)
    found = anchor_columns(q, k, start, theta, 8, 2, None, first)
    assert found.sum() > sums.sum()
    wanted = exactly(reference.anchor_columns, q, k, theta, 8, 2, first=first)
    assert 0.02 < wanted.float().mean() < 0.5
    # A column whose logit is as far from the anchor as theta, to rounding, may fall on either side in half precision.
    assert (found != wanted).float().mean() <= (0 if dtype is torch.float32 else 1e-3)
    out = anchor(q, k, v, theta, 8, 2, first=first)
    assert close(out, exactly(reference.stripes, q, k, v, found, block=8, step=2, first=first), dtype)
    assert not out[1, :, :21].any()
    assert out.transpose(1, 2).is_contiguous()
    noise = torch.rand(found.shape, generator=torch.Generator().manual_seed(1)).to(DEVICE) < 0.3
    noise &= exactly(reference.anchor_columns, q, k, EVERYTHING, 8, 2, first=first)
    twin = stripes(q, k, v, noise, 8, 2, first=first)
    assert close(twin, exactly(reference.stripes, q, k, v, noise, block=8, step=2, first=first), dtype)


@in_triton
@pytest.mark.parametrize(
    ("keys", "dim", "heads", "kv_heads", "dtype"),
    [
        (1, 16, 2, 2, torch.float32),
        (77, 64, 6, 2, torch.float32),
        *((300, 128, 4, 1, d) for d in HALF),
        (200, 32, 3, 3, torch.float32),
    ],
)
@pytest.mark.parametrize("parts", [None, 3])
def test_decoding_over_all_or_listed_keys_is_that_of_the_reference(keys, dim, heads, kv_heads, dtype, parts):
    from fewer.kernels.gpu.decode import dense, gathered

    q, k, v = operands(1, dim, dtype, heads, kv_heads, keys)
    q, place = q[:, :, 0], torch.arange(keys, device=DEVICE)
    first = torch.tensor([0, keys // 3], device=DEVICE)
    real = torch.stack([place.where(place >= f, -1) for f in first])
    assert close(dense(q, k, v, first=first, parts=parts), exactly(reference.gathered, q, k, v, real), dtype)
    whole = scaled_dot_product_attention(q[:, :, None].double(), k.double(), v.double(), enable_gqa=True)[:, :, 0]
    assert close(dense(q, k, v, parts=parts), whole, dtype)
    assert close(gathered(q, k, v, place.expand(2, -1), parts=parts), whole, dtype)
    for lists in ((), (kv_heads,), (heads,)):
        indices = torch.rand(2, *lists, keys, generator=torch.Generator().manual_seed(1)).argsort(-1)[..., : keys // 2 + 1]
        indices[1, ..., 1:3] = -1
        indices = indices.to(DEVICE)
        assert close(gathered(q, k, v, indices, parts=parts), exactly(reference.gathered, q, k, v, indices), dtype)
    assert not gathered(q, k, v, torch.full((2, 200), -1, device=DEVICE), parts=parts).any()


@in_triton
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("n", "dim", "block", "shape", "dtype"),
    [
        (60, 16, 16, (2, 4), torch.float32),
        (83, 64, 32, (1, 1), torch.float32),
        (45, 32, 8, (1, 4), torch.float32),
        *((150, 128, 64, (2, 4), d) for d in HALF),
    ],
)
def test_attention_to_kept_blocks_is_that_of_the_reference(n, dim, block, shape, dtype, causal):
    from fewer.kernels.gpu.block_attention import blocks

    q, k, v = operands(n, dim, dtype, keys=n if causal else n + 40)
    tall, broad = -(-n // block), -(-k.shape[2] // block)
    mask = torch.rand(*shape, tall, broad, generator=torch.Generator().manual_seed(1)).to(DEVICE) < 0.5
    first = torch.tensor([0, 11], device=DEVICE)
    wanted = exactly(reference.blocks, q, k, v, mask, block=block, causal=causal, first=first)
    assert close(blocks(q, k, v, BlockLists.of(mask, block, causal), causal, first=first), wanted, dtype)
    everything = blocks(q, k, v, BlockLists.of(torch.ones_like(mask), block, causal), causal)
    dense = scaled_dot_product_attention(*(x.double() for x in (q, k, v)), is_causal=causal, enable_gqa=True)
    assert close(everything, dense, dtype)


@in_triton
@pytest.mark.parametrize(
    ("rows", "width", "out", "dtype"),
    [
        (1, 100, 70, torch.float32),
        (1, 256, 300, torch.bfloat16),
        (5, 130, 40, torch.float16),
        (20, 64, 129, torch.float32),
        (0, 8, 8, torch.float32),
    ],
)
def test_products_of_large_inputs_are_those_of_the_reference(rows, width, out, dtype):
    from fewer.kernels.gpu.columns import columns

    generator = torch.Generator().manual_seed(0)
    make = lambda *shape: torch.randn(*shape, generator=generator).to(DEVICE, dtype)  # noqa: E731
    x, weight, down, up = make(rows, width), make(width, out), make(width, 9) / 9, make(9, out)
    size = x.double().abs() @ weight.double().abs() + 1
    for threshold in (0.7, torch.tensor(0.7), torch.rand(width, generator=generator).to(DEVICE), -1.0, 100.0):
        for low in ((), (down, up)):
            y = columns(x, weight, threshold, *low)
            wanted = exactly(reference.columns, x, weight, threshold, *low)
            assert y.dtype is dtype and y.shape == (rows, out)
            assert ((y.double() - wanted).abs() <= (2 * torch.finfo(dtype).eps + 1e-6) * size).all()


@in_triton
def test_weights_of_small_inputs_are_not_read():
    from fewer.kernels.gpu.columns import columns

    x, weight = torch.tensor([[2.0, 0.1, 3.0]], device=DEVICE), torch.ones(3, 20, device=DEVICE)
    weight[1] = torch.nan
    assert torch.equal(columns(x, weight, 1.0), torch.full((1, 20), 5.0, device=DEVICE))


@in_triton
def test_keys_that_are_not_kept_are_not_read():
    from fewer.kernels.gpu.anchor import stripes
    from fewer.kernels.gpu.block_attention import blocks
    from fewer.kernels.gpu.decode import dense, gathered

    q, k, v = operands(64, 16)
    nothing = torch.zeros(2, 4, 4, 64, dtype=torch.bool, device=DEVICE)
    last = torch.eye(4, dtype=torch.bool, device=DEVICE)[None, None]
    first = torch.tensor([20, 30], device=DEVICE)
    for x in (k, v):
        x[:, :, 20:30] = torch.nan
    assert stripes(q, k, v, nothing, 16, 1)[:, :, 48:].isfinite().all()
    assert blocks(q, k, v, BlockLists.of(last, 16), first=None)[:, :, 32:].isfinite().all()
    assert gathered(q[:, :, 0], k, v, torch.arange(30, 64, device=DEVICE).expand(2, -1)).isfinite().all()
    assert dense(q[:1, :, 0], k[:1], v[:1], first=first[1:]).isfinite().all()


@in_triton
def test_what_the_kernels_do_not_take_is_refused():
    from fewer.kernels.gpu.anchor import anchor, stripes
    from fewer.kernels.gpu.block_attention import blocks
    from fewer.kernels.gpu.columns import columns
    from fewer.kernels.gpu.decode import gathered

    q, k, v = operands(32, 16)
    with pytest.raises(KernelError, match="give all in float16, bfloat16 or float32"):
        anchor(q.double(), k.double(), v.double(), 1.0)
    with pytest.raises(KernelError, match="heads of 12, 12 and 12; kernels take 16, 32, 64 or 128"):
        anchor(q[..., :12], k[..., :12], v[..., :12], 1.0)
    with pytest.raises(KernelError, match="heads must divide q's"):
        anchor(q[:, :3], k, v, 1.0)
    with pytest.raises(KernelError, match="30 queries, 32 keys"):
        anchor(q[:, :, :30], k, v, 1.0)
    with pytest.raises(KernelError, match="one index for each of the 2 sequences"):
        anchor(q, k, v, 1.0, first=torch.zeros(3))
    with pytest.raises(KernelError, match=r"\(2, 4, 2, 32\) is wanted"):
        stripes(q, k, v, torch.zeros(2, 4, 1, 32, dtype=torch.bool, device=DEVICE), 16, 1)
    with pytest.raises(KernelError, match=r"have \(2, 2\), and as many"):
        blocks(q, k, v, BlockLists.of(torch.ones(1, 1, 3, 3, dtype=torch.bool, device=DEVICE), 16))
    with pytest.raises(KernelError, match=r"indices are \(2, 3, 5\); give \[2, kept\]"):
        gathered(q[:, :, 0], k, v, torch.zeros(2, 3, 5, dtype=torch.long, device=DEVICE))
    with pytest.raises(KernelError, match="gradients are wanted"):
        anchor(q.requires_grad_(), k, v, 1.0)
    with pytest.raises(KernelError, match="down and up come together"):
        columns(q[0, 0], torch.zeros(16, 5, device=DEVICE), 0.5, torch.zeros(16, 2, device=DEVICE))


@pytest.mark.skipif(DEVICE == "cuda" or INTERPRETED, reason="the tests above run in this process")
def test_the_kernels_are_right_in_tritons_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "FEWER_KERNELS": "triton"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


def kernels(dim, q):
    """Every kernel, the types of its pointers, what is fixed in it, and its warps and stages."""
    from fewer.kernels.gpu import anchor, anchor_columns, block_attention, columns, decode
    from fewer.kernels.gpu.operands import Launch

    cut = Launch.of(q, 2048)
    tiles = {"DIM": dim, "ROWS": cut.rows, "WIDE": cut.wide}
    yield anchor.nearest, tiles, cut[2:]
    yield anchor.farther, tiles, cut[2:]
    yield anchor_columns.pool, {"DIM": dim, "ROWS": 32}, (4, 2)
    yield anchor_columns.hits, {"DIM": dim, "STEPS": 16, "WIDE": anchor_columns.WIDE}, (4, 2)
    yield anchor_columns.write, {"WIDE": anchor_columns.LISTED}, (4, 2)
    for block, causal in ((128, False), (32, True)):
        cut = Launch.of(q, block)
        fixed = {"DIM": dim, "BLOCK": block, "CAUSAL": causal, "ROWS": cut.rows, "WIDE": cut.wide}
        yield block_attention.blockwise, fixed, cut[2:]
    for tile, listed in ((1, True), (16, False)):
        yield decode.part, {"DIM": dim, "TILE": tile, "WIDE": 32, "LISTED": listed, "ALONE": False}, (4, 3)
    yield decode.combine, {"DIM": dim, "PARTS": 64}, (4, 2)
    for rows in (1, 16):
        tile, outputs, inputs, _ = columns.Launch.of(rows, 4096, 4096, 528)
        fixed = {"EACH": True, "REST": False, "TILE": tile, "OUTPUTS": outputs, "INPUTS": inputs}
        yield columns.skipping, fixed, (4, 2)


@pytest.mark.skipif(INTERPRETED, reason="the interpreter does not compile")
@pytest.mark.parametrize(
    ("capability", "dim", "dtype"),
    [(80, 128, torch.bfloat16), (90, 128, torch.bfloat16), (80, 64, torch.float16), (80, 32, torch.float32)],
)
def test_the_kernels_compile_for_gpus_and_read_16_bytes_at_once(capability, dim, dtype):
    """Triton compiles without a device: what an interpreter would let pass fails here."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    value = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}[dtype]
    types = dict.fromkeys(("q", "k", "v", "out", "means", "x", "weight"), value) | {"first": "*i32", "starts": "*i64"}
    types |= dict.fromkeys(("peaks", "totals", "anchors", "wanted", "thetas", "sums", "threshold"), "*fp32") | {"scale": "fp32"}
    types |= {"columns": "*i32", "indices": "*i32", "counts": "*i32", "kept": "*i8"}
    for kernel, fixed, (warps, stages) in kernels(dim, torch.empty(1, dim, dtype=dtype)):
        names = kernel.arg_names
        signature = {name: "constexpr" if name in fixed else types.get(name, "i32") for name in names}
        aligned = {(at,): [["tt.divisibility", 16]] for at, name in enumerate(names) if signature[name][0] in "*i"}
        source, options = ASTSource(kernel, signature, fixed, aligned), {"num_warps": warps, "num_stages": stages}
        made = compile(source, target=GPUTarget("cuda", capability, 32), options=options)
        assert made.metadata.shared <= 100 * 2**10, kernel.__name__
        assert "ld.global.v4.b32" in made.asm["ptx"] or "0x10" in made.asm["ptx"], kernel.__name__


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["anchor-prefill-gpu", "tidal-gather-gpu", "sparsed-gpu", "rsparse-gemv-gpu"])
def test_the_benchmarks_of_attention_on_a_gpu_say_that_there_is_none(name):
    from fewer.cli.bench import find

    with pytest.raises(MeasureError, match=f"{name} needs a CUDA device"):
        next(find()[name].run())
