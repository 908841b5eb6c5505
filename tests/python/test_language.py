"""Constructs of the language end to end: compiled on two targets, interpreted with types and with bounds, against NumPy."""

import math

import ml_dtypes
import numpy as np
import pytest

import heddle as hd

SHAPES = [(1, 1), (3, 7), (5, 1), (17, 33), (4, 64), (2, 100)]


def everywhere(op, *args, out, expected, **named):
    """All ways to run the op agree: with each other in every bit, with `expected` within the bound that the interpreter carries."""
    outs = out if isinstance(out, tuple) else (out,)
    want = expected if isinstance(expected, tuple) else (expected,)

    def tried(run):
        fresh = tuple(o.copy() for o in outs)
        run(fresh if isinstance(out, tuple) else fresh[0])
        return fresh

    bounds = op.reference(*args, out=tuple(o.copy() for o in outs), **named)
    typed = tried(lambda o: op.interpret(*args, out=o, **named))
    runs = [typed] + [tried(lambda o: op(*args, out=o, schedule=s, **named)) for s in ["", *op.schedules]]
    for got in runs:
        for one, exact, (_, bound) in zip(got, want, bounds):
            if np.dtype(one.dtype).kind not in "biu":
                one, exact = one.astype(np.float64), np.asarray(exact, np.float64)
                with np.errstate(invalid="ignore"):
                    wrong = ~((np.abs(one - exact) <= bound) | (np.isnan(one) & np.isnan(exact)) | (one == exact))
                assert not wrong.any(), f"{one[wrong][:4]} is not {exact[wrong][:4]} within {bound[wrong][:4]}"
            else:
                np.testing.assert_array_equal(one, exact)
    op.interpret(*args, out=out, **named)
    low = tried(lambda o: op(*args, out=o, schedule="", target="cpu/x86-64-v2", **named))
    for one, exact, (_, bound) in zip(low, want, bounds):
        if np.dtype(one.dtype).kind in "biu":
            np.testing.assert_array_equal(one, exact)
    for one, other in zip(runs[1], typed):  # no schedule, nothing allowed: one answer
        same = (one.view(np.uint8) == other.view(np.uint8)).all() if one.size else True
        assert same or np.array_equal(one, other, equal_nan=True)
    return runs[1] if isinstance(out, tuple) else runs[1][0]


# --- argmax, argmin, any, all ----------------------------------------------------------------------------------------------------

EXTREMA = """
op greatest<T: number>(x: T[n, k]) -> y: i64[n] {
  require k >= 1, "a row holds something"
  y[i] = argmax[j] x[i, j]
}
op least<T: number>(x: T[n, k]) -> y: i64[n] {
  require k >= 1, "a row holds something"
  p[i] = argmin[j] x[i, j]
  y[i] = p[i]
}
schedule greatest.blocks on cpu { rfactor y_best.j by 4 as part; parallel y.i }
schedule least.rows on cpu { compute_at p_best at p.i; parallel p.i }
"""


@pytest.fixture(scope="module")
def extrema():
    return hd.parse(EXTREMA)


@pytest.mark.parametrize("shape", SHAPES + [(0, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint64, ml_dtypes.bfloat16, np.float16])
def test_argmax(extrema, rng, shape, dtype):
    x = rng.integers(0, 2**64, shape, dtype=np.uint64) if dtype is np.uint64 else (rng.standard_normal(shape) * 3).astype(dtype)
    wide = x if np.dtype(dtype).kind in "iu" else x.astype(np.float64)
    out = np.zeros(shape[0], np.int64)
    everywhere(extrema.greatest, x, out=out, expected=wide.argmax(1))
    everywhere(extrema.least, x, out=out, expected=wide.argmin(1))


@pytest.mark.parametrize("row,greatest,least", [
    ([1, np.nan, 3], 1, 1),
    ([np.nan, np.nan, 9], 0, 0),
    ([np.inf, np.nan, np.inf], 1, 1),
    ([-np.inf] * 3, 0, 0),
    ([np.inf] * 3, 0, 0),
    ([-0.0, 0.0], 0, 0),
    ([0.0, -0.0], 0, 0),
    ([2, 5, 5, 2], 1, 0),
    ([np.inf, -np.inf, np.inf, -np.inf], 0, 1),
])
def test_argmax_of_ties_and_nan(extrema, row, greatest, least):
    x, out = np.array([row] * 3, np.float32), np.zeros(3, np.int64)
    everywhere(extrema.greatest, x, out=out, expected=np.full(3, greatest))
    everywhere(extrema.least, x, out=out, expected=np.full(3, least))


def test_empty_argmax_is_refused(extrema):
    with pytest.raises(hd.Error) as e:
        extrema.greatest(np.zeros((2, 0), np.float32))
    assert "a row holds something" in str(e.value)
    segments = hd.parse("""
op segments(x: f32[n], off: i64[rows + 1]) -> y: i64[rows] { y[r] = argmax[p in off[r] .. off[r + 1]] x[p] }""").segments
    x = np.array([3, 1, 4, 1, 5, 9, 2, 6], np.float32)
    everywhere(segments, x, np.array([0, 3, 4, 8]), out=np.zeros(3, np.int64), expected=np.array([2, 3, 5]))
    for off in ([0, 3, 3, 8], [0, 4, 3, 8], [0, 3, 4, 9], [-1, 3, 4, 8]):
        with pytest.raises(hd.Error):
            segments(x, np.array(off))


def test_argmax_picks(rng):
    pick = hd.parse("""
op pick(x: f32[n, k]) -> y: f32[n] {
  require k >= 2, "two at least"
  p[i] = argmax[j in 1 .. k] abs(x[i, j])
  y[i] = x[i, p[i]]
}""").pick
    x = rng.standard_normal((7, 19), dtype=np.float32)
    everywhere(pick, x, out=np.zeros(7, np.float32), expected=x[np.arange(7), 1 + np.abs(x[:, 1:]).argmax(1)])


@pytest.mark.parametrize("shape", SHAPES + [(0, 3), (3, 0)])
def test_any_all(rng, shape):
    op = hd.parse("""
op both(x: f32[n, k]) -> (a: bool[n], b: bool[n]) {
  a[i] = any[j] x[i, j] > 1.5
  b[i] = all[j] x[i, j] < 1.5
}
schedule both.blocks on cpu { rfactor a.j by 4 as some; rfactor b.j by 4 as every; vectorize some.jv, every.jv }""").both
    x = rng.standard_normal(shape, dtype=np.float32)
    x[:, ::9] = np.nan
    out = (np.zeros(shape[0], bool), np.zeros(shape[0], bool))
    everywhere(op, x, out=out, expected=((x > 1.5).any(1), (x < 1.5).all(1)))


# --- math functions -------------------------------------------------------------------------------------------------------------

MATH = "\n".join(f"op {f}<T: float>(x: T[n]) -> y: T[n] {{ y[i] = {f}(x[i]) }}\nschedule {f}.lanes on cpu {{ vectorize y.i by 16 }}"
                 .replace(f"op {f}<", f"op {f}_<").replace(f"schedule {f}.", f"schedule {f}_.") for f in ("erf", "sin", "cos", "log1p", "expm1"))
MATH += "\nop pow_<T: float>(x: T[n], e: T[n]) -> y: T[n] { y[i] = pow(x[i], e[i]) }\nschedule pow_.lanes on cpu { vectorize y.i by 16 }"
ENDS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -3.0, 1e30, -1e30, np.inf, -np.inf, np.nan, 1e-30, 1.5, 1e7]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16, np.float16])
@pytest.mark.parametrize("name", ["erf", "sin", "cos", "log1p", "expm1", "pow"])
def test_math(rng, name, dtype):
    op = getattr(hd.parse(MATH), name + "_")
    x = np.concatenate([rng.standard_normal(333) * 3, rng.standard_normal(99) * 1e6, 10.0 ** rng.uniform(-30, 4, 99), ENDS])
    with np.errstate(all="ignore"):
        args = [x.astype(dtype)]
        if name == "pow":
            x = np.concatenate([x, np.repeat(ENDS, len(ENDS))])
            args = [x.astype(dtype), np.concatenate([rng.standard_normal(len(x) - len(ENDS) ** 2) * 5, np.tile(ENDS, len(ENDS))]).astype(dtype)]
        wide = [a.astype(np.float64) for a in args]
        exact = np.array([math.erf(v) for v in wide[0]]) if name == "erf" else getattr(np, name if name != "pow" else "power")(*wide)
        exact = np.where(np.abs(exact) > float(ml_dtypes.finfo(dtype).max), np.copysign(np.inf, exact), exact)
        everywhere(op, *args, out=np.zeros(len(args[0]), dtype), expected=exact)
