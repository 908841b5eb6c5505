"""Constructs of the language end to end: compiled on two targets, interpreted with types and with bounds, against NumPy."""

import math

import ml_dtypes
import numpy as np
import pytest

import heddle as hd
from reducer_texts import MOMENTS

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


def test_ranges_of_data_over_no_rows():
    """Where nothing runs every fact holds: what is concluded from checks on data ends all the same."""
    ragged = hd.parse("""
op ragged(val: f32[k], off: i64[m + 1]) -> y: f32[m] {
  s[r in 0 .. m] = sum[p in off[r] .. off[r + 1]] val[p]
  y[r] = (s[2*r] or 2.0)
}
schedule ragged.none on cpu { fix m = 0 }""").ragged
    assert ragged(np.ones(5, np.float32), np.zeros(1, np.int64)).shape == (0,)


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


# --- the bound under another order, near the ends of the type and past them ------------------------------------------------------

ORDERS = MOMENTS + """
reducer online(m: f32, l: f32) commutes {
  identity { m = -inf; l = 0 }
  combine(a, b) {
    m  = max(a.m, b.m)
    wa = if a.m == -inf then 0 else exp(a.m - m)
    wb = if b.m == -inf then 0 else exp(b.m - m)
    l  = a.l*wa + b.l*wb
  }
}
op variance(x: f32[n]) -> (y: f32[], z: f32[]) {
  st = moments[i] (n = 1, mean = x[i], m2 = 0)
  y = st.mean
  z = st.m2
}
op partition(x: f32[n]) -> (y: f32[], z: f32[]) {
  st = online[i] (m = x[i], l = 1)
  y = st.m
  z = st.l
}
op product(x: f32[n]) -> y: f32[] { st = prod[i] x[i]; y = st }
reducer total(top: f32, sum: f32) commutes {
  identity { top = -inf; sum = 0 }
  combine(a, b) { top = max(a.top, b.top); sum = a.sum + b.sum }
}
op totals(x: f32[n]) -> (y: f32[], z: f32[]) {
  st = total[i] (top = x[i], sum = x[i])
  y = st.top
  z = st.sum
}
"""
for _op in ("variance", "partition", "product", "totals"):
    ORDERS += f"schedule {_op}.turn on cpu allow reassociate {{ unroll st.i by 2 }}\n"
    for _n in (2, 3, 8, 64):
        ORDERS += f"schedule {_op}.lanes{_n} on cpu allow reassociate {{ rfactor st.i by {_n} }}\n"
        ORDERS += f"schedule {_op}.blocks{_n} on cpu allow reassociate {{ split st.i by {_n} into io, ii; rfactor st.io }}\n"


@pytest.mark.parametrize("name", ["variance", "partition", "product", "totals"])
def test_bounds_hold_for_every_order(name, rng):
    op = getattr(hd.parse(ORDERS), name)
    special = np.array([np.inf, -np.inf, 3e38, -3e38, 2e19, -2e19, 1e30, 1e-30, 1e-38, 1e-44, 0, 1, 2], np.float32)
    claimed = 0
    with np.errstate(all="ignore"):
        for n in (0, 1, 2, 3, 5, 7, 8, 17):
            for _ in range(40):
                x = rng.standard_normal(n).astype(np.float32)
                at = rng.random(n) < rng.random()
                x[at] = rng.choice(special, at.sum())
                outs = tuple(np.zeros((), np.float32) for _ in range(1 if name == "product" else 2))
                out = lambda: tuple(o.copy() for o in outs) if len(outs) > 1 else outs[0].copy()
                bounds = op.reference(x, out=out(), schedule="turn")
                for s in op.schedules:
                    got = op(x, out=out(), schedule=s)
                    for one, (value, bound) in zip(got if len(outs) > 1 else (got,), bounds):
                        value, bound, one = float(value), float(bound), float(one)
                        claimed += np.isfinite(bound)
                        assert bound == np.inf or abs(one - value) <= bound or one == value or (np.isnan(one) and np.isnan(value)), (s, x, one, value, bound)
    assert claimed > 1000


def test_the_bound_of_a_sum_that_cancels_in_one_order_only(rng):
    """In its own order the sum is small from the second term on; others pass through the size of the terms."""
    op = hd.parse(ORDERS).totals
    out = lambda: (np.zeros((), np.float32), np.zeros((), np.float32))
    for _ in range(50):
        a, b = rng.standard_normal(2).astype(np.float32)
        x = np.array([a, -a, b * np.float32(1e-3)], np.float32)
        (_, top_bound), (value, bound) = op.reference(x, out=out(), schedule="turn")
        got = float(op(x, out=out(), schedule="lanes2")[1])  # (x[0] + x[2]) + x[1]
        assert abs(got - float(value)) <= float(bound) < 1e-5 and float(top_bound) == 0


def test_states_that_stay_infinite_are_known():
    """Rows of a mask that hold nothing: their maximum is -inf whatever the order, and known to be."""
    op = hd.parse(ORDERS).partition
    (m, bm), (l, bl) = op.reference(np.full(9, -np.inf, np.float32), out=(np.zeros((), np.float32),) * 2, schedule="turn")
    assert (float(m), float(bm), float(l), float(bl)) == (-np.inf, 0, 0, 0)


# --- what an op requires of run-time scalars ---------------------------------------------------------------------------------------

REQUIRES = """
op piece(x: f32[n], lo: i64, const m: int = 2) -> y: f32[m] {
  require 0 <= lo && lo + m <= n, "the piece lies in the array"
  y[i] = x[lo + i]
}
op narrow(x: f32[n], lo: i32, step: i32) -> y: f32[] {
  require lo >= 0 && step >= 1 && lo + step <= n, "inside"
  y = x[lo + step - 1]
}
op keep(x: f32[n], p: f32, on: bool = true) -> y: f32[n] {
  require on && p >= 0 && p / 2 < 0.5, "a probability"
  y[i] = x[i] * p
}
schedule piece.four on cpu { split y.i by 4 }
"""


def test_requirements_of_scalars_are_facts_and_checks():
    m = hd.parse(REQUIRES)
    x = np.arange(7, dtype=np.float32)
    for lo in range(6):
        for s in ("", "four"):
            np.testing.assert_array_equal(m.piece(x, lo, schedule=s), x[lo:lo + 2])
        y = np.zeros(2, np.float32)
        m.piece.interpret(x, lo, out=y)
        np.testing.assert_array_equal(y, x[lo:lo + 2])
    for lo in (-1, 6, 2**40 + 1, 2**62, 2**63 - 1, -2**63):
        with pytest.raises(hd.Error) as e:
            m.piece(x, lo)
        assert e.value.code == "HD0504" and ("the piece lies in" in str(e.value) or "below 2^40" in str(e.value))
        with pytest.raises(hd.Error):
            m.piece.interpret(x, lo, out=np.zeros(2, np.float32))
    assert m.narrow(x, 3, 4) == 6
    for args in ((3, 5), (-1, 3), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)):  # sums of indices do not wrap at 32 bits
        with pytest.raises(hd.Error, match="inside"):
            m.narrow(x, *args)
    np.testing.assert_array_equal(m.keep(x, 0.5), x / 2)
    for args in ((1.0,), (-1e-45,), (float("nan"),), (0.5, False)):
        with pytest.raises(hd.Error, match="a probability"):
            m.keep(x, *args)


def test_a_tried_read_does_not_wrap_around_into_its_tensor():
    m = hd.parse("""
op scaled(x: f32[n], q: i64) -> y: f32[n] { y[i] = x[q*2 + i] or -1 }
op twice(x: f32[n], id: i64[n]) -> y: f32[n] { y[i] = if i < 3 then x[id[i] + id[i]] or -1 else 0 }
op bare(x: f32[n], id: i64[n]) -> y: f32[n] { y[i] = x[id[i]] or -1 }
""")
    x = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(m.scaled(x, 1), [2, 3, 4, -1, -1])
    np.testing.assert_array_equal(m.scaled(x, -2), [-1, -1, -1, -1, 0])
    for at in (2**63 - 1, -2**63, 2**62):
        with pytest.raises(hd.Error, match="2\\^40"):
            m.scaled(x, at)
    far = np.array([1, 7, 2, -2**63, -2**63])
    np.testing.assert_array_equal(m.twice(x, far), [2, -1, 4, 0, 0])
    with pytest.raises(hd.Error, match="2\\^40"):
        m.twice(x, far[::-1].copy())
    np.testing.assert_array_equal(m.bare(x, np.array([4, -1, -2**63, 2**63 - 1, 0])), [4, -1, -1, -1, 0])


def test_what_is_computed_of_wild_ranges_of_data_does_not_wrap():
    """Checks of the ends of a range come before those that run over it, and the ends leave room for subscripts of its index."""
    m = hd.parse("""
op back(x: f32[n], off: i64[m + 1], val: f32[k]) -> y: f32[m] {
  require n >= k, "room"
  y[i in 0 .. m] = sum[p in off[i] .. off[i + 1]] x[k - 1 - p] * val[p]
}
op tried(x: f32[n], off: i64[m + 1]) -> y: f32[m] { y[i in 0 .. m] = sum[p in off[i] .. off[i + 1]] (x[4*p] or 1) }
op twice(x: f32[n], off: i64[m + 1]) -> y: f32[m] { y[i in 0 .. m] = sum[p in 2*off[i] .. 2*off[i + 1]] (x[p] or 1) }
""")
    x = np.arange(9, dtype=np.float32)
    ops = {"back": (np.ones(3, np.float32),), "tried": (), "twice": ()}
    for name, more in ops.items():
        op, off = getattr(m, name), np.array([0, 1, 2])
        y = np.zeros(2, np.float32)
        op.interpret(x, off, *more, out=y)
        np.testing.assert_array_equal(op(x, off, *more), y)
        for low in (-2**63, -2**62, 2**40 + 1, 2**61, 2**62, 2**63 - 3):  # four times 2^62 is 0 in 64 bits
            wild = np.array([low, low + 1, low + 2])
            for run in (op, lambda *args: op.interpret(*args, out=np.zeros(2, np.float32))):
                with pytest.raises(hd.Error, match="2\\^40|inside `val`"):
                    run(x, wild, *more)


def test_seeds_of_64_bits_reach_the_interpreter_whole():
    op = hd.parse("op f(x: u64[n], seed: u64) -> y: u64[n] { y[i] = random_bits(seed, x[i]) ^ seed }").f
    x, seed = np.arange(5, dtype=np.uint64), 2**64 - 3
    y = np.zeros_like(x)
    op.interpret(x, seed, out=y)
    np.testing.assert_array_equal(op(x, seed), y)
    for wrong in (-1, 2**64):
        with pytest.raises(hd.Error, match="does not fit"):
            op(x, wrong)


# --- reducers with generic types ---------------------------------------------------------------------------------------------------

GENERIC = """
reducer span<T: float>(low: T, high: T, o: T[d], n: i32) commutes exactly {
  identity { low = T(64); high = T(-64); o[e] = T(-64); n = 0 }
  combine(a, b) { low = min(a.low, b.low); high = max(a.high, b.high); o[e] = max(a.o[e], b.o[e]); n = a.n + b.n }
}
reducer tally<T: int, U: number>(sum: T, bits: T, last: U, some: bool) {
  identity { sum = 0; bits = 0; last = U(0); some = false }
  combine(a, b) { sum = a.sum + b.sum; bits = a.bits ^ b.bits; last = if b.some then b.last else a.last; some = a.some || b.some }
}
op both(x: f32[m, k], w: f64[m, k]) -> (y: f32[m], z: f64[m], c: i32[m], t: f32[m, 3]) {
  s[i] = span[j] (low = x[i, j], high = x[i, j], o[e in 0 .. 3] = x[i, j] * f32(e), n = 1)
  u[i] = span[j] (n = 1, low = 0, high = w[i, j], o[e in 0 .. 2] = 0)
  y[i] = s[i].high - s[i].low
  z[i] = u[i].high - u[i].low
  c[i] = s[i].n + u[i].n
  t[i, e] = s[i].o[e]
}
op spread<T: float>(x: T[m, k]) -> y: T[m] {
  s[i] = span[j] (low = x[i, j], high = x[i, j], o[e in 0 .. 1] = 0, n = 0)
  y[i] = s[i].high - s[i].low
}
op count<T: int>(x: T[m, k], w: f32[m, k]) -> (a: T[m], b: T[m], c: f32[m]) {
  s[i] = tally[j] (sum = x[i, j], bits = x[i, j], last = w[i, j], some = true)
  a[i] = s[i].sum
  b[i] = s[i].bits
  c[i] = s[i].last
}
schedule both.lanes on cpu { rfactor s.j by 4; rfactor u.j by 4 }
schedule spread.rows on cpu { compute_at s at y.i; parallel y.i }
schedule count.halves on cpu allow reassociate { split s.j by 4; rfactor s.jo as blk; parallel blk.jo }
"""


@pytest.mark.parametrize("m, k", [(1, 1), (3, 7), (5, 13)])
def test_generic_reducers(m, k, rng):
    ops = hd.parse(GENERIC)
    ops.check()
    x, w = rng.standard_normal((m, k), dtype=np.float32), rng.standard_normal((m, k))
    outs = (np.zeros(m, np.float32), np.zeros(m), np.zeros(m, np.int32), np.zeros((m, 3), np.float32))
    want = (x.max(1) - x.min(1), w.max(1), np.full(m, 2 * k, np.int32), (x[:, :, None] * np.arange(3, dtype=np.float32)).max(1))
    everywhere(ops.both, x, w, out=outs, expected=want)
    for dtype in (np.float64, np.float16, ml_dtypes.bfloat16):
        v = x.astype(dtype)
        everywhere(ops.spread, v, out=np.zeros(m, dtype), expected=v.max(1) - v.min(1))
    for dtype in (np.int8, np.uint64):
        v = rng.integers(0, 100, (m, k)).astype(dtype)
        want = (v.sum(1, dtype=dtype), np.bitwise_xor.reduce(v, axis=1), x[:, -1])
        everywhere(ops.count, v, x, out=(np.zeros(m, dtype), np.zeros(m, dtype), np.zeros(m, np.float32)), expected=want)


def test_states_without_axes_have_fields_with_axes():
    op = hd.parse("""
reducer outer(o: f32[d, e], n: i32) commutes { identity { o[i, j] = 0; n = 0 } combine(a, b) { o[i, j] = a.o[i, j] + b.o[i, j]; n = a.n + b.n } }
op covariance(x: f32[n, d], z: f32[n, e]) -> y: f32[d, e] {
  s = outer[q] (o[i, j] = x[q, i] * z[q, j], n = 1)
  y[i, j] = s.o[i, j] / f32(max(s.n, 1))
}
schedule covariance.blocks on cpu allow reassociate { rfactor s.q by 4 }
""").covariance
    x, z = np.arange(15, dtype=np.float32).reshape(5, 3), np.ones((5, 2), np.float32)
    everywhere(op, x, z, out=np.zeros((3, 2), np.float32), expected=x.T @ z / 5)


def test_saturating_conversions_to_floats():
    for name, dtype in [("f8e4m3fn", ml_dtypes.float8_e4m3fn), ("f8e5m2", ml_dtypes.float8_e5m2), ("f16", np.float16), ("bf16", ml_dtypes.bfloat16)]:
        op = hd.parse(f"op f(x: f32[n]) -> y: {name}[n] {{ y[i] = saturate({name}, x[i]) }}").f
        most = float(ml_dtypes.finfo(dtype).max)
        x = np.array([0, 1.06, -2, 447, 449, 1e30, -1e30, np.inf, -np.inf, np.nan, most, -most, most * 1.001], np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            want = np.where(np.isnan(x), x, np.clip(x, -most, most)).astype(dtype)
        everywhere(op, x, out=np.zeros(len(x), dtype), expected=want)
