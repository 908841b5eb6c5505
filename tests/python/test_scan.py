"""Recurrences: forward and reverse scans, several stages, their schedules, against loops of NumPy."""

import numpy as np
import pytest
from test_language import everywhere

import heddle as hd

SHAPES = [(0, 3), (1, 1), (1, 5), (2, 8), (7, 3), (5, 17), (9, 33), (4, 0)]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


LSTM = """
op lstm(x: f32[ns, nb, ni], wx: f32[ni, (4, nu)], wh: f32[nu, (4, nu)], bias: f32[(4, nu)], h0: f32[nb, nu], c0: f32[nb, nu])
  -> (h: f32[ns, nb, nu], c: f32[ns, nb, nu]) {
  gx[t, b, k, j] = sum[i] x[t, b, i] * wx[i, (k, j)]
  scan t {
    gh[t, b in 0..nb, k, j] = sum[m] (h[t - 1, b, m] or h0[b, m]) * wh[m, (k, j)]
    z[t, b, k, j] = gx[t, b, k, j] + gh[t, b, k, j] + bias[(k, j)]
    c[t, b, j] = sigmoid(z[t, b, 1, j]) * (c[t - 1, b, j] or c0[b, j]) + sigmoid(z[t, b, 0, j]) * tanh(z[t, b, 2, j])
    h[t, b, j] = sigmoid(z[t, b, 3, j]) * tanh(c[t, b, j])
  }
}
schedule lstm.lanes on cpu allow reassociate {
  compute_at gx at h.t
  rfactor gh.m by 4 as part
  vectorize part.mv
  inline z
  vectorize h.j, c.j by 8
  parallel h.b, gh.b
}
schedule lstm.gates on cpu {
  reorder gh.b, gh.k, gh.m, gh.j
  compute_at z at h.t in l1
  reorder gx.t, gx.b, gx.i, gx.k, gx.j
  vectorize gx.j, gh.j, z.j by lanes(f32)
  parallel gx.t
  parallel gh.b
}
schedule lstm.peeled on cpu { peel h.t by 2; unroll z.k; vectorize h.j by 4 }
schedule lstm.steps on cpu { split h.t by 3 into outer, inner; vectorize c.j by 4; collapse gh.b, gh.k into bk; parallel gh.bk }
"""


@pytest.mark.parametrize(("ns", "nb", "ni", "nu"), [(1, 1, 1, 1), (3, 2, 4, 5), (0, 2, 3, 4), (5, 3, 7, 16), (2, 1, 3, 9)])
def test_lstm(ns, nb, ni, nu):
    rng = np.random.default_rng(ns * 100 + nu)
    x, h0, c0 = rng.normal(size=(ns, nb, ni)), rng.normal(size=(nb, nu)), rng.normal(size=(nb, nu))
    wx, wh, bias = rng.normal(size=(ni, 4 * nu)), rng.normal(size=(nu, 4 * nu)), rng.normal(size=4 * nu)
    args = [a.astype(np.float32) for a in (x, wx, wh, bias, h0, c0)]
    hs, cs = np.zeros((ns, nb, nu)), np.zeros((ns, nb, nu))
    x, wx, wh, bias, h, c = (a.astype(np.float64) for a in args)
    for t in range(ns):
        z = (x[t] @ wx + h @ wh + bias).reshape(nb, 4, nu)
        c = sigmoid(z[:, 1]) * c + sigmoid(z[:, 0]) * np.tanh(z[:, 2])
        h = sigmoid(z[:, 3]) * np.tanh(c)
        hs[t], cs[t] = h, c
    out = (np.zeros((ns, nb, nu), np.float32), np.zeros((ns, nb, nu), np.float32))
    everywhere(hd.parse(LSTM).lstm, *args, out=out, expected=(hs, cs))


PLAIN = """
op decay(a: f32, x: f32[n, m]) -> y: f32[n, m] { scan i { y[i, j] = a * (y[i - 1, j] or 0) + x[i, j] } }
schedule decay.lanes on cpu { vectorize y.j by 8 }
schedule decay.threads on cpu { parallel y.j }
schedule decay.columns on cpu { split y.j by 4 into jo, ji; reorder y.jo, y.i, y.ji; vectorize y.ji; parallel y.jo }
schedule decay.each on cpu { reorder y.j, y.i; unroll y.i by 2; parallel y.j }
op back(a: f32[n], x: f32[n, m]) -> y: f32[n, m] { scan i reverse { y[i, j] = a[i] * (y[i + 1, j] or 1) + x[i, j] } }
schedule back.lanes on cpu { split y.j by 4 into jo, ji; vectorize y.ji; unroll y.jo by 2 }
op along_the_last(x: f32[n, m]) -> y: f32[n, m] { scan j { y[i, j] = max(y[i, j - 1] or -inf, x[i, j]) } }
schedule along_the_last.lanes on cpu { vectorize y.i by 4 }
"""


@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_recurrences(n, m):
    rng = np.random.default_rng(n * 10 + m)
    x, a = rng.normal(size=(n, m)).astype(np.float32), rng.uniform(-1, 1, size=n).astype(np.float32)
    module = hd.parse(PLAIN)
    y, carried = np.zeros((n, m)), np.zeros(m)
    for i in range(n):
        y[i] = carried = np.float64(np.float32(0.7)) * carried + x[i]
    everywhere(module.decay, 0.7, x, out=np.zeros((n, m), np.float32), expected=y)
    carried = np.ones(m)
    for i in reversed(range(n)):
        y[i] = carried = np.float64(a[i]) * carried + x[i]
    everywhere(module.back, a, x, out=np.zeros((n, m), np.float32), expected=y)
    everywhere(module.along_the_last, x, out=np.zeros((n, m), np.float32), expected=np.maximum.accumulate(x, axis=1))


SEVERAL = """
op mixed(x: f32[n, m]) -> y: f32[n, m] {
  scan t {
    u[t, j] = x[t, j] + (v[t - 1, j] or 0)
    w[t] = max[j] u[t, j]
    v[t, j in 0 .. m] = if w[t] > 1 then u[t, j] * 0.5 else u[t, j]
  }
  y[t, j] = v[t, j]
}
schedule mixed.lanes on cpu { compute_at w at v.j; vectorize u.j by 4; inline v when n < 0 }
op fibonacci(seed: i64[n]) -> y: i64[n] { scan t { y[t] = if t < 2 then seed[t] else y[t - 1] + y[t - 2] } }
op walk(x: f32[n, m], start: i64[]) -> (pos: i64[n], seen: f32[n]) {
  require m >= 1, "there is a place to go"
  scan t {
    seen[t] = x[t, pos[t - 1] or start]
    pos[t] = argmax[j] x[t, j] * seen[t]
  }
}
op markov(p: f64[m, m], start: f64[m], const n: int) -> y: f64[n, m] {
  scan t { y[t, j] = sum[i] (y[t - 1, i] or start[i]) * p[i, j] }
}
schedule markov.lanes on cpu { reorder y_sum.i, y_sum.j; vectorize y_sum.j, y.j by 4 }
op states(x: f32[n, m]) -> y: f32[n] {
  scan t {
    s[t] = spread[j] (lo = x[t, j] + (y[t - 1] or 0), hi = x[t, j])
    y[t] = if s[t].hi > s[t].lo then s[t].hi - s[t].lo else 0
  }
}
reducer spread(lo: f32, hi: f32) commutes exactly {
  identity { lo = inf; hi = -inf }
  combine(a, b) { lo = min(a.lo, b.lo); hi = max(a.hi, b.hi) }
}
""".replace("; inline v when n < 0", "")


@pytest.mark.parametrize(("n", "m"), [(n, m) for n, m in SHAPES if m])
def test_several_stages(n, m):
    rng = np.random.default_rng(n * 10 + m)
    x = rng.normal(size=(n, m)).astype(np.float32)
    module = hd.parse(SEVERAL)
    y, v = np.zeros((n, m), np.float32), np.zeros(m, np.float32)
    for t in range(n):
        u = x[t] + v
        y[t] = v = u * np.float32(0.5) if u.max() > 1 else u
    everywhere(module.mixed, x, out=np.zeros((n, m), np.float32), expected=y)
    seed = np.arange(1, n + 1)
    want = seed.copy()
    for t in range(2, n):
        want[t] = want[t - 1] + want[t - 2]
    everywhere(module.fibonacci, seed, out=np.zeros(n, np.int64), expected=want)
    at, seen, now = np.zeros(n, np.int64), np.zeros(n, np.float32), m - 1
    for t in range(n):
        seen[t] = x[t, now]
        at[t] = now = np.argmax(x[t] * seen[t])
    everywhere(module.walk, x, np.array(m - 1), out=(np.zeros(n, np.int64), np.zeros(n, np.float32)), expected=(at, seen))
    p, start = rng.uniform(size=(m, m)), rng.uniform(size=m)
    want, now = np.zeros((n, m)), start
    for t in range(n):
        want[t] = now = now @ p
    everywhere(module.markov, p, start, n, out=np.zeros((n, m)), expected=want)
    want, last = np.zeros(n), np.float32(0)
    for t in range(n):
        want[t] = last = max(np.float32(0), x[t].max() - (x[t] + last).min())
    everywhere(module.states, x, out=np.zeros(n, np.float32), expected=want)


def test_a_place_outside_stops_the_kernel():
    module = hd.parse(SEVERAL)
    with pytest.raises(hd.Error, match="is inside `x`"):
        module.walk(np.ones((2, 3), np.float32), np.array(3))


CARRIED = """
op sums<T: number>(x: T[n, m]) -> y: T[n, m] { scan j { y[i, j] = (y[i, j - 1] or T(1)) + x[i, j] } }
schedule sums.rows on cpu { split y.i by 4; reorder y.io, y.j, y.ii; unroll y.ii }
schedule sums.plain on cpu { reorder y.i, y.j }
schedule sums.lanes on cpu { split y.i by 8; reorder y.io, y.j, y.ii; vectorize y.ii }
schedule sums.pieces on cpu { reorder y.i, y.j; split y.j by 3; unroll y.ji }
schedule sums.peeled on cpu { reorder y.i, y.j; peel y.j by 2; split y.j by 4 with peel; parallel y.i }
op back<T: number>(x: T[n, m]) -> y: T[n, m] { scan j reverse { y[i, j] = max(y[i, j + 1] or x[i, 0], x[i, j]) + x[i, j] } }
schedule back.rows on cpu { split y.i by 4; reorder y.io, y.j, y.ii; unroll y.ii }
schedule back.lanes on cpu { split y.i by 8; reorder y.io, y.j, y.ii; vectorize y.ii }
schedule back.pieces on cpu { reorder y.i, y.j; split y.j by 5 with peel }
op parity(x: bool[n, m]) -> y: bool[n, m] { scan j { y[i, j] = (y[i, j - 1] or false) != x[i, j] } }
schedule parity.rows on cpu { split y.i by 2; reorder y.io, y.j, y.ii; unroll y.ii }
op swap(x: f32[n, m]) -> (a: f32[n, m], b: f32[n, m]) {
  scan j {
    a[i, j] = (b[i, j - 1] or 1) + x[i, j]
    b[i, j] = (a[i, j - 1] or 2) - (b[i, j - 1] or 3)
  }
}
op within(x: f32[n, m]) -> y: f32[n, m] {
  scan j { y[i, j] = if j < 2 then x[i, j] else if x[i, j] > 0 then y[i, j - 1] + x[i, j] else x[i, j] }
}
schedule within.rows on cpu { split y.i by 4; reorder y.io, y.j, y.ii; unroll y.ii }
schedule within.lanes on cpu { split y.i by 8; reorder y.io, y.j, y.ii; vectorize y.ii }
"""


@pytest.mark.parametrize(("n", "m"), SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, "bfloat16", "float8_e4m3fn", "float8_e5m2", np.int8, np.uint16, np.int64])
def test_carried_values_are_rounded_as_stored_ones(n, m, dtype):
    import ml_dtypes

    t = np.dtype(getattr(ml_dtypes, dtype) if isinstance(dtype, str) else dtype)
    x = np.random.default_rng(n * 10 + m).integers(0, 5, size=(n, m)) * (1 if t.kind in "iu" else 0.37)
    x = x.astype(t)
    module = hd.parse(CARRIED)
    for op, args in ((module.sums, [x]), (module.back, [x])):
        want = np.zeros_like(x)
        op.interpret(*args, out=want)
        for schedule in ["", *op.schedules]:
            for target in ("auto", "cpu/x86-64-v2"):
                got = np.zeros_like(x)
                op(*args, out=got, schedule=schedule, target=target)
                np.testing.assert_array_equal(got.view(np.uint8), want.view(np.uint8), err_msg=f"{schedule} {target}")


@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_carried_values_of_other_leaves(n, m):
    rng = np.random.default_rng(n * 10 + m)
    module = hd.parse(CARRIED)
    flags = rng.integers(0, 2, size=(n, m)).astype(bool)
    everywhere(module.parity, flags, out=np.zeros((n, m), bool), expected=np.logical_xor.accumulate(flags, axis=1) if m else flags)
    x = rng.integers(-4, 5, size=(n, m)).astype(np.float32)
    a, b = np.zeros_like(x), np.zeros_like(x)
    for j in range(m):
        a[:, j] = (b[:, j - 1] if j else 1) + x[:, j]
        b[:, j] = (a[:, j - 1] - b[:, j - 1]) if j else -1
    everywhere(module.swap, x, out=(np.zeros_like(x), np.zeros_like(x)), expected=(a, b))
    y = x.copy()
    for j in range(2, m):
        y[:, j] += np.where(x[:, j] > 0, y[:, j - 1], 0)
    everywhere(module.within, x, out=np.zeros_like(x), expected=y)


def test_a_carried_value_is_not_read_back():
    module = hd.parse(CARRIED)
    x = np.zeros((4, 9), np.float32)
    # `rows` has a loop without guards and one with them; one read of x for each row in each.
    for schedule, reads in (("plain", 1), ("rows", 8)):
        body = module.sums.compile(x, schedule=schedule).llvm.split("define", 1)[1]
        assert 0 < body.count("load float") <= reads, body


def test_carried_values_in_lanes_of_unrolled_loops(rng):
    """Each copy of an unrolled loop's body has vector loops of its own."""
    m = hd.parse("""
op f(x: f32[m, n, k]) -> h: f32[m, n, k] {
  scan t { h[t, b in 0 .. n, j in 0 .. k] = 0.5*(h[t - 1, b, j] or 1) + x[t, b, j] }
}
schedule f.whole on cpu { fix n = 3, k = 4
  vectorize h.j
  unroll h.b
}
schedule f.parts on cpu { fix n = 3, k = 8
  vectorize h.j by 4
  unroll h.b, h.jo
}
""")
    for schedule, k in (("whole", 4), ("parts", 8)):
        x, h, expected = rng.standard_normal((9, 3, k), dtype=np.float32), np.ones((3, k), np.float32), []
        for t in range(9):
            h = np.float32(0.5) * h + x[t]
            expected.append(h)
        assert np.array_equal(m.f(x, schedule=schedule), expected)
