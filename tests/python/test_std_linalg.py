"""Products of the standard library: every schedule on every target, over odd shapes and types, against NumPy in float64."""

import ml_dtypes
import numpy as np
import pytest
from std_checks import every_schedule, targets, within

import heddle as hd

SHAPES = [(33, 1283, 131), (2, 131, 4101), (9, 130, 1037), (33, 385, 391), (1, 1, 1), (0, 3, 4), (3, 0, 4), (4, 3, 0), (7, 13, 65), (6, 64, 64), (17, 31, 129), (65, 33, 16), (13, 100, 70)]
FLIPS = {"matmul": (False, False), "matmul_nt": (False, True), "matmul_tn": (True, False), "matmul_tt": (True, True)}


def operands(rng, shape, dtype=np.float32):
    if np.issubdtype(dtype, np.floating):
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(-7, 8, shape).astype(dtype)


def flipped(x, flip):
    """The transpose laid out anew, so that strides are plain."""
    return np.ascontiguousarray(x.swapaxes(-1, -2)) if flip else x


def bound(k, size, roundings=2):
    return (k + roundings) * 2.0**-24 * size


@pytest.mark.parametrize("name", FLIPS)
@pytest.mark.parametrize("m,k,n", SHAPES)
def test_matmul(rng, name, m, k, n):
    a, b = operands(rng, (m, k)), operands(rng, (k, n))
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    exact, size = a64 @ b64, np.abs(a64) @ np.abs(b64)
    every_schedule(getattr(hd.std.linalg, name), *map(flipped, (a, b), FLIPS[name]), check=lambda out: within(out, exact, bound(k, size)))


@pytest.mark.parametrize("name", FLIPS)
@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int8, np.uint8, np.int64, ml_dtypes.bfloat16, np.float16])
def test_types(rng, name, dtype):
    """Small integers are exact in every type up to the last conversion, and integers wrap."""
    a, b = (np.abs(rng.integers(-7, 8, s)).astype(dtype) for s in ((9, 21), (21, 35)))
    exact = a.astype(np.int64) @ b.astype(np.int64)
    wanted = exact.astype(dtype) if np.issubdtype(dtype, np.integer) else exact.astype(np.float64).astype(dtype)

    def check(out):
        assert out.dtype == dtype
        np.testing.assert_array_equal(out, wanted)

    every_schedule(getattr(hd.std.linalg, name), *map(flipped, (a, b), FLIPS[name]), check=check)


def test_matmul_of_views(rng):
    """Operands with strides of their own give the same as copies of them."""
    a, b = operands(rng, (40, 66)), operands(rng, (66, 50))
    for x, y in ((a[::2, ::3], b[::3, ::2]), (a.T[:50], b.T), (a[:, ::-1], b)):
        np.testing.assert_array_equal(hd.std.linalg.matmul(x, y[: x.shape[1]]), hd.std.linalg.matmul(x.copy(), y[: x.shape[1]].copy()))


def test_matmul_carries_nan_and_infinity(rng):
    """What is packed past an edge never reaches a result: a row with NaN and a column with infinity stay by themselves."""
    for m, k, n in ((5, 3, 17), (13, 70, 65)):
        a, b = operands(rng, (m, k)), np.abs(operands(rng, (k, n))) + 1
        a[2, 1], b[0, n - 1] = np.nan, np.inf
        out = hd.std.linalg.matmul(a, b)
        assert np.isnan(out[2]).all() and not np.isfinite(out[:, n - 1]).any()
        assert np.isfinite(np.delete(np.delete(out, 2, axis=0), n - 1, axis=1)).all()


@pytest.mark.parametrize("batch,m,k,n", [(0, 2, 3, 4), (1, 1, 1, 1), (3, 7, 13, 65), (5, 17, 33, 16), (2, 3, 0, 5)])
def test_bmm(rng, batch, m, k, n):
    a, b = operands(rng, (batch, m, k)), operands(rng, (batch, k, n))
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    exact, size = a64 @ b64, np.abs(a64) @ np.abs(b64)
    every_schedule(hd.std.linalg.bmm, a, b, check=lambda out: within(out, exact, bound(k, size)))


@pytest.mark.parametrize("m,k", [(1, 1), (0, 3), (3, 0), (7, 13), (8, 16), (17, 129), (65, 1000)])
def test_gemv(rng, m, k):
    a, x = operands(rng, (m, k)), operands(rng, k)
    a64, x64 = a.astype(np.float64), x.astype(np.float64)
    exact, size = a64 @ x64, np.abs(a64) @ np.abs(x64)
    every_schedule(hd.std.linalg.gemv, a, x, check=lambda out: within(out, exact, bound(k, size)))


@pytest.mark.parametrize("lead", [(1,), (0,), (13,), (2, 7), (2, 1, 5)])
@pytest.mark.parametrize("k,n", [(1, 1), (31, 70), (64, 33)])
def test_linear(rng, lead, k, n):
    x, w, b = operands(rng, (*lead, k)), operands(rng, (n, k)), operands(rng, n)
    x64, w64, b64 = (v.astype(np.float64) for v in (x, w, b))
    exact, size = x64 @ w64.T + b64, np.abs(x64) @ np.abs(w64).T + np.abs(b64)
    every_schedule(hd.std.linalg.linear, x, w, b, check=lambda out: within(out, exact, bound(k, size, 3)))


@pytest.mark.parametrize("lead", [(1,), (40,), (3, 33), (33, 1), (2, 2, 17)])
@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_linear_of_halves(rng, lead, dtype):
    """Over one, two and three axes of rows. Each schedule that serves the sizes serves the rank."""
    k, n = 34, 70
    x, w, b = (operands(rng, s, dtype) for s in ((*lead, k), (n, k), (n,)))
    x64, w64, b64 = (v.astype(np.float64) for v in (x, w, b))
    exact, size = x64 @ w64.T + b64, np.abs(x64) @ np.abs(w64).T + np.abs(b64)
    most = 2 * bound(k, size, 3) + np.abs(exact) * 2.0**-8
    served = every_schedule(hd.std.linalg.linear, x, w, b, check=lambda out: within(out, exact, most))
    assert served >= {"widened_4", "widened", "blocked"}


def test_linear_is_chosen_by_all_rows():
    linear = hd.std.linalg.linear
    w, b = hd.spec("f32", 64, 64), hd.spec("f32", 64)
    leads = [(1,), (16,), (2, 2, 1), (17,), (2, 33), (1, 1)]
    chosen = {lead: linear.compile(hd.spec("f32", *lead, 64), w, b).schedule for lead in leads}
    blocked = "blocked_128" if "cpu/avx512" in targets() else "blocked"
    assert chosen == {(1,): "one_row", (1, 1): "one_row", (16,): "few_rows", (2, 2, 1): "few_rows", (17,): blocked, (2, 33): "batches"}


@pytest.mark.parametrize("schedule, rows, k, n", [("columns", (3, 131), 131, 7), ("blocked_16", (131,), 31, 13), ("blocked_32", (2, 67), 31, 29),
                                                  ("blocked_48", (67,), 31, 47), ("blocked_80", (67,), 31, 79), ("blocked_112", (67,), 31, 111),
                                                  ("blocked_128", (5, 67), 31, 127), ("blocked_8", (1001,), 101, 1030), ("blocked_4", (901,), 301, 1030)])
def test_linear_by_width(rng, schedule, rows, k, n):
    x, w, b = rng.standard_normal((*rows, k), dtype=np.float32), rng.standard_normal((n, k), dtype=np.float32), operands(rng, n)
    try:
        out = hd.std.linalg.linear(x, w, b, schedule=schedule)
    except hd.Error as error:
        assert error.code == "HD0552" and "cpu/avx512" not in targets(), error
        return
    size = np.abs(x).astype(np.float64) @ np.abs(w.T) + np.abs(b)
    within(out, x.astype(np.float64) @ w.T + b, bound(k + 1, size))


@pytest.mark.parametrize("m, k, n", [(259, 131, 7), (301, 257, 1), (133, 67, 13)])
def test_bmm_of_few_columns(rng, m, k, n):
    x, y = rng.standard_normal((3, m, k), dtype=np.float32), rng.standard_normal((3, k, n), dtype=np.float32)
    kernel = hd.std.linalg.bmm.compile(x, y)
    assert kernel.schedule == "columns" or n > 8
    within(kernel(x, y), x.astype(np.float64) @ y, bound(k, np.abs(x).astype(np.float64) @ np.abs(y)))


@pytest.mark.parametrize("schedule, m, k, n", [("one_row", 1, 131, 1037), ("one_row", 1, 3, 5), ("few_rows", 3, 523, 521), ("few_rows", 7, 301, 1031)])
def test_bmm_of_few_rows(rng, schedule, m, k, n):
    x, y = rng.standard_normal((3, m, k), dtype=np.float32), rng.standard_normal((3, k, n), dtype=np.float32)
    for target in targets():
        within(hd.std.linalg.bmm(x, y, schedule=schedule, target=target), x.astype(np.float64) @ y, bound(k, np.abs(x).astype(np.float64) @ np.abs(y)))


def test_linear_of_one_vector(rng):
    x, w, b = operands(rng, 9), operands(rng, (5, 9)), operands(rng, 5)
    np.testing.assert_allclose(hd.std.linalg.linear(x, w, b), w @ x + b, rtol=1e-5, atol=1e-5)


LARGE = [
    ("matmul", "stream_row", (1, 2051, 2053)),
    ("matmul", "stream_row", (1, 515, 8209)),
    ("matmul", "stream_4", (2, 515, 8209)),
    ("matmul", "stream_4", (2, 2053, 2051)),
    ("matmul", "stream_4", (3, 2051, 2053)),
    ("matmul", "stream_4", (4, 4099, 1027)),
    ("matmul", "stream_8", (5, 1027, 4099)),
    ("matmul", "stream_8", (8, 2051, 2049)),
    ("matmul", "few_rows", (7, 2051, 2053)),
    ("matmul", "stream", (9, 2051, 2053)),
    ("matmul", "stream", (23, 2500, 1700)),
    ("matmul", "large", (37, 3075, 67)),
    ("matmul", "large", (1040, 3072, 130)),
    ("matmul", "blocked", (45, 1500, 200)),
    ("matmul", "blocked_48", (45, 2100, 141)),
    ("matmul", "blocked_32", (45, 1301, 223)),
    ("matmul_nt", "large", (33, 2051, 67)),
    ("matmul_tn", "strips", (800, 1025, 70)),
    ("matmul_tn", "large", (531, 1603, 131)),
    ("matmul_tt", "strips", (800, 1025, 70)),
    ("matmul_tt", "large", (33, 2051, 131)),
    ("matmul", "blocked_8", (1001, 101, 1030)),
    ("matmul", "blocked_4", (1201, 301, 517)),
    ("matmul", "columns", (259, 131, 7)),
    ("matmul", "columns", (301, 257, 1)),
    ("matmul", "columns", (17, 257, 3)),
    ("matmul_nt", "blocked_8", (1001, 101, 1030)),
    ("matmul_nt", "blocked_4", (1201, 301, 1030)),
    ("matmul_nt", "columns", (259, 131, 7)),
    ("matmul_nt", "blocked_16", (259, 131, 13)),
    ("matmul_tn", "columns", (259, 131, 7)),
    ("matmul_tn", "rows_2", (2, 131, 259)),
    ("matmul_tn", "turned_48", (517, 401, 271)),
    ("matmul_tn", "turned", (101, 1021, 1030)),
    ("matmul_tn", "turned", (303, 1025, 4201)),
    ("matmul_tt", "columns", (259, 131, 7)),
    ("matmul_tt", "few_rows", (3, 131, 259)),
    ("matmul_tt", "few_rows", (7, 131, 259)),
    ("matmul_tt", "turned_48", (517, 401, 271)),
    ("matmul_tt", "turned", (101, 1021, 1030)),
    ("matmul_tt", "turned", (303, 1025, 523)),
]


@pytest.mark.parametrize("name, schedule, shape", LARGE, ids=str)
def test_schedules_for_large_products(rng, name, schedule, shape):
    """Those that a `where` keeps from the shapes above, at sizes that fill no block: beside NumPy in f64, within the bound of a sum in f32."""
    m, k, n = shape
    a, b = rng.standard_normal((m, k), dtype=np.float32), rng.standard_normal((k, n), dtype=np.float32)
    exact, size = a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b)
    args = list(map(flipped, (a, b), FLIPS[name]))
    served = 0
    for target in targets():
        try:
            out = getattr(hd.std.linalg, name)(*args, schedule=schedule, target=target)
        except hd.Error as error:
            assert error.code == "HD0552", error  # for another target
            continue
        served += 1
        within(out, exact, bound(k, size))
    assert served or "cpu/avx512" not in targets()


@pytest.mark.parametrize(
    "schedule, shape",
    [("bf16_rows", (3, 2051, 2053)), ("bf16_rows", (7, 4099, 1027)), ("one_row", (5, 2051, 2053)), ("bf16_stream", (23, 1700, 2500))],
    ids=str,
)
def test_a_large_matrix_of_bf16_streams(rng, schedule, shape):
    m, k, n = shape
    a, b = (rng.standard_normal(s).astype(ml_dtypes.bfloat16) for s in ((m, k), (k, n)))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    size = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    if "cpu/avx512" not in targets():
        pytest.skip("this machine has no AVX-512")
    within(hd.std.linalg.matmul(a, b, schedule=schedule, target="cpu/avx512"), exact, np.abs(exact) * 2.0**-8 + 2 * bound(k, size))


@pytest.mark.parametrize("shape", [(1, 2051, 2053), (23, 1700, 2500), (9, 8200, 515)], ids=str)
def test_a_large_matrix_of_bytes_streams(rng, shape):
    m, k, n = shape
    a, b = (rng.integers(-128, 128, s, dtype=np.int8) for s in ((m, k), (k, n)))
    if "cpu/avx512" not in targets():
        pytest.skip("this machine has no AVX-512")
    out = hd.std.quant.matmul_i8(a, b, schedule="vnni_wide", target="cpu/avx512")
    np.testing.assert_array_equal(out, a.astype(np.float64) @ b.astype(np.float64))
