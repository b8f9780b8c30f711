"""Block-sparse products in Triton: on a GPU where there is one, else in Triton's interpreter, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.errors import FewerError, KernelError
from fewer.kernels.dispatch import cpu_path, gpu_path, path_on
from fewer.kernels.forms import Blocks, pack
from fewer.kernels.forms.blocks import side

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
SIDES = [(64, (70, 200)), (32, (1, 33)), (32, (100, 96)), (16, (16, 16)), (16, (33, 40)), (16, (130, 300))]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
in_triton = pytest.mark.skipif(
    DEVICE == "cpu" and not INTERPRETED, reason="no GPU: runs in the interpreter, in the process that another test starts"
)


@pytest.fixture(autouse=True)
def blocks_on_this_device(monkeypatch):
    """Where there is no GPU the form takes matrices of the CPU."""
    monkeypatch.setattr(Blocks, "devices", (DEVICE,))
    gpu_path.cache_clear()
    yield
    gpu_path.cache_clear()


def blocky(tile, shape, dtype, density=0.4, seed=0):
    """Some tiles of that side, and at least one row of tiles without any where there are several."""
    generator = torch.Generator().manual_seed(seed)
    down, right = (-(-length // tile) for length in shape)
    tiles = torch.rand(down, right, generator=generator) < density
    tiles[1:2] = False
    mask = tiles.repeat_interleave(tile, 0).repeat_interleave(tile, 1)[: shape[0], : shape[1]]
    return (torch.randn(shape, generator=generator) * mask).to(DEVICE, dtype)


def close(y, x, matrix):
    """To the rounding of the result, and of sums in float32."""
    exact = x.double() @ matrix.double().t()
    scale = x.double().abs() @ matrix.double().abs().t() + 1e-30
    return y.shape == exact.shape and bool(((y.double() - exact).abs() <= (torch.finfo(x.dtype).eps + 1e-6) * scale).all())


@in_triton
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("tile", "shape"), SIDES)
@pytest.mark.parametrize("batch", [1, 3, 16, 20, 40])
def test_products_equal_the_dense_ones(dtype, tile, shape, batch):
    if INTERPRETED and dtype is torch.bfloat16 and batch > 1:
        pytest.skip("Triton's interpreter has no tl.dot of bfloat16 (triton issue 11584)")
    matrix = blocky(tile, shape, dtype)
    packed = Blocks.pack(matrix)
    x = torch.randn(batch, shape[1], generator=torch.Generator().manual_seed(1)).to(DEVICE, dtype)
    assert gpu_path() == "triton"
    y = packed.multiply(x)
    assert y.dtype is dtype
    assert close(y, x, matrix)


@in_triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_inputs_of_another_type_are_multiplied_in_float32(dtype, batch):
    matrix = blocky(16, (50, 90), dtype)
    x = torch.randn(batch, 90, device=DEVICE)
    y = Blocks.pack(matrix).multiply(x)
    assert y.dtype is torch.float32
    assert close(y, x, matrix)


@in_triton
def test_inputs_may_be_strided_of_any_rank_or_none_at_all():
    matrix = blocky(16, (50, 90), torch.float32)
    packed = Blocks.pack(matrix)
    strided = torch.randn(90, 4, device=DEVICE).t()
    assert close(packed.multiply(strided), strided, matrix)
    assert close(packed.multiply(strided[0]), strided[0], matrix)
    assert close(packed.multiply(strided[:, None]), strided[:, None], matrix)
    assert packed.multiply(strided[:0]).shape == (0, 50)


@in_triton
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_a_matrix_of_zeros_gives_zeros(batch):
    packed = Blocks.pack(torch.zeros(40, 50, device=DEVICE))
    assert not packed.multiply(torch.randn(batch, 50, device=DEVICE)).any()


@in_triton
def test_nothing_is_read_beyond_the_input():
    """Weights beyond a remainder are zeros: NaN beside the input would show."""
    matrix = blocky(16, (20, 20), torch.float32, density=1)
    flat = torch.full((128,), torch.nan, device=DEVICE)
    flat[:60] = 1.0
    for x in (flat[40:60], flat[:60].view(3, 20)):
        assert close(Blocks.pack(matrix).multiply(x), x, matrix)


@pytest.mark.skipif(DEVICE == "cuda" or INTERPRETED, reason="the tests above run in this process")
def test_the_kernel_is_right_in_tritons_interpreter():
    pytest.importorskip("triton", reason="Triton is not installed")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "FEWER_KERNELS": "triton"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


@pytest.mark.skipif(INTERPRETED, reason="the interpreter does not compile")
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("types", ["fp32 fp32", "fp16 fp16", "bf16 bf16", "bf16 fp32"])
@pytest.mark.parametrize("batch", [1, 16, 64])
def test_the_kernel_compiles_for_gpus_and_reads_16_bytes_at_once(capability, types, batch):
    """Triton compiles without a device: what an interpreter would let pass fails here."""
    pytest.importorskip("triton", reason="Triton is not installed")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from fewer.kernels.gpu.blocks import Launch, product

    blocks, x = types.split()
    tile, rows, wide, warps = Launch.of(batch, 16)
    signature = {"x": f"*{x}", "blocks": f"*{blocks}", "columns": "*i32", "starts": "*i32", "y": f"*{x}"}
    signature |= dict.fromkeys(("batch", "width", "out"), "i32") | dict.fromkeys(("SIDE", "ROWS", "WIDE", "TILE"), "constexpr")
    aligned = {(place,): [["tt.divisibility", 16]] for place in (0, 1, 2, 3, 4, 6, 7)}
    constants = {"SIDE": 16, "ROWS": rows, "WIDE": wide, "TILE": tile}
    target, options = GPUTarget("cuda", capability, 32), {"num_warps": warps}
    made = compile(ASTSource(product, signature, constants, aligned), target=target, options=options)
    assert made.metadata.shared <= 100 * 2**10
    assert "ld.global.v4.b32" in made.asm["ptx"] or "0x10" in made.asm["ptx"]


@given(
    tile=st.sampled_from([16, 32, 64]),
    shape=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_what_is_packed_unpacks_bit_for_bit(tile, shape, density, seed):
    matrix = blocky(tile, shape, torch.float16, density, seed)
    assert torch.equal(Blocks.pack(matrix).unpack(), matrix)


@pytest.mark.parametrize("tile", [16, 32, 64])
def test_blocks_are_as_large_as_those_of_the_matrix(tile):
    matrix = blocky(tile, (1024, 1024), torch.float32, 0.3)
    assert side(matrix) == tile
    assert Blocks.pack(matrix).nbytes < 1.01 * 4 * int(matrix.count_nonzero())


def test_larger_blocks_are_taken_while_they_hold_a_tenth_more_at_most():
    matrix = torch.zeros(64, 640)
    matrix[:, ::64] = 1
    assert side(matrix) == 16
    dense = torch.ones(640, 640)
    dense[:16, :16] = 0
    assert side(dense) == 64


def test_the_reference_multiplies_where_triton_does_not(monkeypatch):
    monkeypatch.setenv("FEWER_KERNELS", "reference")
    matrix = blocky(32, (70, 100), torch.float32)
    x = torch.randn(2, 3, 100, device=DEVICE)
    assert gpu_path() == "reference"
    assert close(Blocks.pack(matrix).multiply(x), x, matrix)


def test_a_matrix_on_another_device_or_of_another_type_is_refused(monkeypatch):
    with pytest.raises(KernelError, match=r'"blocks" holds matrices of float32 or float16 or bfloat16 on .*not .*float64'):
        pack(torch.zeros(16, 16, dtype=torch.float64), "blocks")
    monkeypatch.setattr(Blocks, "devices", ("cuda",))
    with pytest.raises(KernelError, match=r"on cuda, not \(16, 16\) of torch.float32 on cpu"):
        pack(torch.zeros(16, 16), "blocks")


@pytest.mark.skipif(DEVICE == "cuda", reason="this machine has a GPU")
def test_the_path_can_be_forced_where_the_machine_can_take_it(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delenv("FEWER_KERNELS", raising=False)
    assert gpu_path() == path_on("cuda") == "reference"
    gpu_path.cache_clear()
    monkeypatch.setenv("FEWER_KERNELS", "triton")
    with pytest.raises(FewerError, match="torch finds no CUDA device; allowed here: reference"):
        gpu_path()
    cpu_path.cache_clear()
    assert cpu_path() in ("portable", "avx512")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(FewerError, match=r"cannot be imported .*fewer\[gpu\]"):
        gpu_path()


def test_forms_import_neither_triton_nor_start_cuda():
    code = (
        "import sys, torch, fewer.kernels.forms, fewer.weights.accelerate\n"
        "assert 'triton' not in sys.modules and not torch.cuda.is_initialized()"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
