"""Each op of the standard library against NumPy in float64, within the bound that the interpreter carries, on odd shapes."""

import ml_dtypes
import numpy as np
import pytest

import heddle as hd

SIZES = [0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 65]


def within(out, exact, bound):
    out = np.asarray(out, np.float64)
    wrong = ~((np.abs(out - exact) <= bound) | (np.isnan(out) & np.isnan(exact)) | (out == exact))
    assert not wrong.any(), f"{np.count_nonzero(wrong)} of {out.size} outside, first at {np.argwhere(wrong)[0]}"


def reference(op, *args, out, **named):
    return op.reference(*args, out=out.copy(), **named)[0]


@pytest.mark.parametrize("m,k,n", [(1, 1, 1), (0, 3, 4), (3, 0, 4), (7, 13, 65), (6, 64, 64), (17, 31, 129), (65, 33, 16), (13, 100, 70)])
@pytest.mark.parametrize("schedule", ["", None])
def test_matmul(rng, m, k, n, schedule):
    a, b = rng.standard_normal((m, k), dtype=np.float32), rng.standard_normal((k, n), dtype=np.float32)
    out = hd.std.linalg.matmul(a, b, schedule=schedule)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    within(out, exact, (k + 2) * 2.0**-24 * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)))


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int8, ml_dtypes.bfloat16])
def test_matmul_types(rng, dtype):
    a, b = (rng.integers(-7, 8, s).astype(dtype) for s in ((9, 21), (21, 35)))
    out = hd.std.linalg.matmul(a, b)
    assert out.dtype == dtype
    exact = a.astype(np.int64) @ b.astype(np.int64)
    if dtype == np.int8:
        exact = exact.astype(np.int8)
    within(out, exact, np.abs(exact) * 2.0**-8 if dtype == ml_dtypes.bfloat16 else 0)


@pytest.mark.parametrize("rows", [0, 1, 3, 8, 13])
@pytest.mark.parametrize("cols", [1, 2, 15, 16, 17, 33, 64, 127, 1000])
def test_softmax(rng, rows, cols):
    x = (rng.standard_normal((rows, cols)) * 5).astype(np.float32)
    out = hd.std.nn.softmax(x)
    exact, bound = reference(hd.std.nn.softmax, x, out=out)
    within(out, exact, bound)
    e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True, initial=-np.inf))
    np.testing.assert_allclose(exact, e / e.sum(axis=1, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 17), (1, 2, 3, 4)])
def test_softmax_any_rank(rng, shape):
    x = rng.standard_normal(shape, dtype=np.float32)
    out = hd.std.nn.softmax(x)
    e = np.exp(x.astype(np.float64) - x.max(axis=-1, keepdims=True))
    np.testing.assert_allclose(out, e / e.sum(axis=-1, keepdims=True), rtol=1e-5)


def test_softmax_special():
    x = np.array([[1e30, -1e30, 0], [np.nan, 0, 1], [-np.inf, 0, 0], [88, -104, -87.5]], np.float32)
    out = hd.std.nn.softmax(x)
    np.testing.assert_array_equal(out[0], [1, 0, 0])
    assert np.isnan(out[1]).all()
    np.testing.assert_array_equal(out[2], [0, 0.5, 0.5])
    assert np.isfinite(out[3]).all() and out[3, 0] == 1


@pytest.mark.parametrize("rows,cols", [(1, 1), (3, 17), (13, 64), (5, 1000), (0, 4)])
def test_layernorm(rng, rows, cols):
    x = rng.standard_normal((rows, cols), dtype=np.float32)
    w, b = rng.standard_normal(cols, dtype=np.float32), rng.standard_normal(cols, dtype=np.float32)
    out = hd.std.nn.layernorm(x, w, b, eps=1e-3)
    x64 = x.astype(np.float64)
    d = x64 - x64.mean(axis=1, keepdims=True)
    exact = d / np.sqrt((d * d).mean(axis=1, keepdims=True) + np.float64(np.float32(1e-3))) * w + b
    np.testing.assert_allclose(out, exact, rtol=2e-4, atol=2e-5)
    value, bound = reference(hd.std.nn.layernorm, x, w, b, out=out, eps=1e-3)
    within(out, value, bound)


def test_schedules_agree_with_the_interpreter(rng):
    """Every schedule of every op of the standard library, interpreted after its last step, against the canonical program."""
    a, b = rng.standard_normal((7, 9), dtype=np.float32), rng.standard_normal((9, 70), dtype=np.float32)
    for op, args, shape in ((hd.std.linalg.matmul, (a, b), (7, 70)), (hd.std.nn.softmax, (a,), a.shape)):
        assert op.schedules
        for schedule in op.schedules:
            plain = op.interpret(*args, out=np.empty(shape, np.float32), schedule="")
            try:
                scheduled = op.interpret(*args, out=np.empty(shape, np.float32), schedule=schedule)
            except hd.Error as error:
                assert error.code in ("HD0256", "HD0504")  # made for other sizes, for other types
                continue
            np.testing.assert_allclose(scheduled, plain, rtol=1e-5, atol=1e-5)
