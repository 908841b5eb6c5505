"""Reductions, data movement, optimisers and integer products of the standard library, on every schedule and target."""

import math

import ml_dtypes
import numpy as np
import pytest
from std_checks import agrees, every_schedule

import heddle as hd

MATRICES = [(300, 70), (1, 1), (0, 3), (3, 0), (7, 13), (17, 64), (9, 129), (33, 1000), (130, 31)]


def normal(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", MATRICES + [(1024, 131), (1537, 17), (2049, 1)])
def test_sums(rng, shape):
    x = normal(rng, *shape)
    agrees(hd.std.reduce.sum_rows, x, exact=x.astype(np.float64).sum(axis=1))
    agrees(hd.std.reduce.sum_cols, x, exact=x.astype(np.float64).sum(axis=0))


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int8, np.uint64, ml_dtypes.bfloat16])
def test_sums_of_types(rng, dtype):
    x = np.abs(rng.integers(-4, 5, (11, 37))).astype(dtype)
    for op, axis in ((hd.std.reduce.sum_rows, 1), (hd.std.reduce.sum_cols, 0)):
        wanted = x.astype(np.int64).sum(axis=axis).astype(np.float64).astype(dtype)
        every_schedule(op, x, check=lambda out: np.testing.assert_array_equal(out, wanted))


@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (17, 64), (9, 129), (2, 3, 1000), (40,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint8, np.int64, ml_dtypes.bfloat16])
def test_argmax(rng, shape, dtype):
    x = rng.integers(0, 90, shape).astype(dtype)
    every_schedule(hd.std.reduce.argmax, x, check=lambda out: np.testing.assert_array_equal(out, x.astype(np.float64).argmax(axis=-1)))


def test_argmax_of_nan_and_infinity():
    x = np.zeros((5, 70), np.float32)
    x[0, 66], x[1, :], x[2, 3], x[2, 65], x[3, 68], x[3, 69], x[4, 1], x[4, 69] = np.inf, -np.inf, np.inf, np.nan, np.nan, np.nan, 5, 5
    every_schedule(hd.std.reduce.argmax, x, check=lambda out: np.testing.assert_array_equal(out, [66, 0, 65, 68, 1]))


def test_argmax_of_nothing_is_refused():
    with pytest.raises(hd.Error, match="no greatest one"):
        hd.std.reduce.argmax(np.zeros((3, 0), np.float32))


def test_sums_carry_nan_and_infinity():
    x = np.ones((3, 40), np.float32)
    x[0, 3], x[1, 5], x[2, 1], x[2, 30] = np.nan, np.inf, np.inf, -np.inf
    every_schedule(hd.std.reduce.sum_rows, x, check=lambda out: np.testing.assert_array_equal(out, [np.nan, np.inf, np.nan]))


@pytest.mark.parametrize("shape", MATRICES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.bool_, ml_dtypes.bfloat16])
def test_transpose(rng, shape, dtype):
    x = rng.integers(0, 100, shape).astype(dtype)
    every_schedule(hd.std.data.transpose, x, check=lambda out: np.testing.assert_array_equal(out, x.T))


@pytest.mark.parametrize("rows,d,n", [(1, 1, 1), (5, 17, 9), (100, 64, 33), (3, 0, 4), (3, 4, 0)])
def test_gather(rng, rows, d, n):
    table, index = normal(rng, rows, d), rng.integers(0, rows, n)
    every_schedule(hd.std.data.gather, table, index, check=lambda out: np.testing.assert_array_equal(out, table[index]))


@pytest.mark.parametrize("bad", [-1, 5, 2**62])
def test_gather_checks_its_index(rng, bad):
    table, index = normal(rng, 5, 3), np.array([0, bad, 2])
    for schedule in ["", *hd.std.data.gather.schedules]:
        with pytest.raises(hd.Error):
            hd.std.data.gather(table, index, schedule=schedule)


@pytest.mark.parametrize("m,n,d", [(1, 1, 1), (0, 5, 17), (5, 0, 17), (7, 9, 33), (0, 0, 4)])
def test_concat(rng, m, n, d):
    a, b = normal(rng, m, d), normal(rng, n, d)
    every_schedule(hd.std.data.concat, a, b, check=lambda out: np.testing.assert_array_equal(out, np.concatenate([a, b])))


@pytest.mark.parametrize("shape", [(1, 1), (0, 3), (7, 13), (5, 64)])
@pytest.mark.parametrize("sides", [(0, 0, 0, 0), (1, 2, 3, 4), (0, 0, 17, 0)])
def test_pad(rng, shape, sides):
    x = normal(rng, *shape)
    named = dict(zip(("top", "bottom", "left", "right"), sides), value=1.5)
    wanted = np.pad(x, ((sides[0], sides[1]), (sides[2], sides[3])), constant_values=1.5)
    every_schedule(hd.std.data.pad, x, check=lambda out: np.testing.assert_array_equal(out, wanted), **named)


@pytest.mark.parametrize("shape", [(5,), (16384 + 3,), (3, 17), (2, 3, 4), (0, 4)])
def test_optimisers(rng, shape):
    w, g, m = (normal(rng, *shape) for _ in range(3))
    v = np.abs(normal(rng, *shape))
    w64, g64, m64, v64 = (x.astype(np.float64) for x in (w, g, m, v))
    lr, mu, b1, b2, eps, c1, c2 = (np.float64(np.float32(x)) for x in (0.01, 0.9, 0.9, 0.999, 1e-8, 0.1, 0.001))
    step = mu * m64 + g64
    agrees(hd.std.optim.sgd, w, g, m, lr=0.01, momentum=0.9, exact=(w64 - lr * step, step))
    m1, v1 = b1 * m64 + (1 - b1) * g64, b2 * v64 + (1 - b2) * g64 * g64
    agrees(hd.std.optim.adam, w, g, m, v, lr=0.01, correct1=0.1, correct2=0.001,
           exact=(w64 - lr * (m1 / c1) / (np.sqrt(v1 / c2) + eps), m1, v1))


@pytest.mark.parametrize("m,k,n", [(1, 1, 1), (0, 3, 4), (3, 0, 4), (7, 13, 65), (17, 300, 129), (65, 33, 16)])
def test_matmul_i8(rng, m, k, n):
    a, b = rng.integers(-128, 128, (m, k)).astype(np.int8), rng.integers(-128, 128, (k, n)).astype(np.int8)
    wanted = a.astype(np.int32) @ b.astype(np.int32)
    every_schedule(hd.std.quant.matmul_i8, a, b, check=lambda out: np.testing.assert_array_equal(out, wanted))


@pytest.mark.parametrize("shape", [(0,), (1,), (9,), (3, 17), (2, 3, 33), (5, 0)])
def test_cumsum(rng, shape):
    x = rng.standard_normal(shape, dtype=np.float32)
    agrees(hd.std.reduce.cumsum, x, exact=np.cumsum(x.astype(np.float64), axis=-1))
    n = rng.integers(-100, 100, shape).astype(np.int32)
    every_schedule(hd.std.reduce.cumsum, n, check=lambda out: np.testing.assert_array_equal(out, np.cumsum(n, axis=-1)))
    low = x.astype(ml_dtypes.bfloat16)  # summed in f32
    wanted = np.cumsum(low.astype(np.float32), axis=-1).astype(ml_dtypes.bfloat16)
    every_schedule(hd.std.reduce.cumsum, low, check=lambda out: np.testing.assert_array_equal(out, wanted))


@pytest.mark.parametrize("shape", [(1,), (9,), (3, 17), (2, 3, 33), (0, 4)])
def test_gelu(rng, shape):
    x = (rng.standard_normal(shape) * 3).astype(np.float32)
    root = float(np.float32(math.sqrt(0.5)))  # the op's constant is an f32
    exact = np.array([v / 2 * (1 + math.erf(v * root)) for v in x.astype(np.float64).ravel()]).reshape(shape)
    agrees(hd.std.nn.gelu, x, exact=exact)


GUARDED = """
op turned(x: f32[m, n]) -> y: f32[n, m] { y[j, i] = x[i, j] }
schedule turned.blocks on cpu {
  split y.j by 16 into jo, ji
  split y.i by 16 into io, ii
  reorder y.jo, y.io, y.ji, y.ii
  vectorize y.ii
}
"""


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (15, 16), (16, 16), (17, 31), (33, 64), (50, 16), (16, 50), (100, 77)], ids=str)
def test_blocks_with_conditions_are_turned(rng, shape):
    """Whole squares in registers, what the conditions keep some of an element at a time."""
    x = rng.standard_normal(shape).astype(np.float32)
    kernel = hd.parse(GUARDED).turned.compile(x, schedule="blocks")
    np.testing.assert_array_equal(kernel(x), x.T)
    assert "shufflevector" in kernel.llvm
