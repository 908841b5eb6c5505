"""Ops that call ops: names, shapes, requirements, checks on data, scans, and schedules applied to calls, against NumPy."""

import numpy as np
import pytest
from test_language import everywhere

import heddle as hd

SOFTMAX = """
op softmax<T: float>(x: T[...r, cols]) -> y: T[...r, cols] {
  peak[...r]  = max[c] x[...r, c]
  e[...r, c]  = exp(widen(x[...r, c]) - widen(peak[...r]))
  total[...r] = sum[c] e[...r, c]
  y[...r, c]  = T(e[...r, c] / total[...r])
}
schedule softmax.rows on cpu allow reassociate where cols >= 2 {
  tune block = 4 in [1, 2, 4, 8]
  split y.r by block into ro, ri
  compute_at total, e, peak at y.ri
  rfactor total.c by lanes(f32) as part
  rfactor peak.c by lanes(f32) as top
  vectorize part.cv, top.cv
  vectorize y.c, e.c by lanes(f32)
  parallel ro
}
"""

TWICE = SOFTMAX + """
op twice(x: f32[n, m], w: f32[m, m]) -> y: f32[n, m] {
  p = softmax(x)
  z[i, j] = sum[k] p[i, k] * w[k, j]
  y = softmax(z)
}
schedule twice.both on cpu allow reassociate {
  apply softmax.rows to p
  apply softmax.rows to y
  reorder z.k, z.j
  vectorize z.j by 4
}
schedule twice.one on cpu { parallel y.y.r; unroll p.total.c by 2; inline p.e }
schedule twice.named on cpu { compute_at p at z.i; vectorize p.y.c by 4 }
"""


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 2), (5, 7), (0, 3), (9, 33), (4, 64)])
def test_twice(n, m):
    rng = np.random.default_rng(n * 10 + m)
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((n, m), (m, m)))
    want = softmax(softmax(x.astype(np.float64)) @ w.astype(np.float64))
    module = hd.parse(TWICE.replace(" where cols >= 2", "") if m < 2 else TWICE)
    everywhere(module.twice, x, w, out=np.zeros((n, m), np.float32), expected=want)


def test_names_behind_the_prefix():
    m = hd.parse(TWICE)
    text = m.twice.schedule("named").states(hd.spec("f32", "n", "m"), hd.spec("f32", "m", "m"))[-1].program
    assert "for p.y.co in" in text and "alloc p.total: f32" in text and "into p\n" in text
    assert hd.parse(text + "\n" + SOFTMAX)  # what is printed reads back


def test_the_applied_schedule_requires_its_where():
    m = hd.parse(TWICE)
    x, w = np.ones((2, 1), np.float32), np.ones((1, 1), np.float32)
    with pytest.raises(hd.Error):
        m.twice(x, w, schedule="both")
    np.testing.assert_array_equal(m.twice(x, w), x)


SEVERAL = """
op split2<T: number>(x: T[n], at_most: T, const parts: int = 2) -> (low: T[n], rest: T[n]) {
  require parts >= 1, "there is a part"
  low[i]  = if x[i] < at_most then x[i] else at_most
  rest[i] = if x[i] < at_most then 0 else x[i] - at_most
}
op middle(x: f32[k], a: f32, b: f32 = 2) -> (y: f32[k], cut: f32[k]) {
  low, rest = split2(x, a)
  y, cut = split2(rest, at_most = b, parts = 3)
}
op rows_at(table: f32[rows, cols], id: i64[n]) -> y: f32[n, cols] { y[i, c] = table[id[i], c] }
op running(x: f32[n, m], decay: f32) -> y: f32[n, m] { scan t { y[t, j] = decay * (y[t - 1, j] or 0) + x[t, j] } }
op picked(x: f32[rows, cols], id: i64[n]) -> y: f32[n, cols] {
  s = running(x, 0.5)
  y = rows_at(s, id)
}
op picked_from_a_choice(x: f32[rows, cols], n0: i64[rows]) -> y: f32[rows, cols] {
  id[r] = n0[r] % 7
  y = rows_at(x, id)
}
op blocks(x: f32[n, (h, d)], g: f32[h]) -> y: f32[n, h] { y[i, a] = sum[e] x[i, (a, e)] * x[i, (a, e)] * g[a] }
op norms(q: f32[b, (h, d)], g: f32[h]) -> y: f32[b, h] {
  z[i, (a, e)] = q[i, (a, e)] + g[a]
  y = blocks(z, g)
}
reducer welford(n: f32, mean: f32, m2: f32) commutes {
  identity { n = 0; mean = 0; m2 = 0 }
  combine(a, b) {
    n = a.n + b.n; dl = b.mean - a.mean; f = if n == 0 then 0 else b.n / n
    mean = a.mean + dl*f; m2 = a.m2 + b.m2 + dl*dl*a.n*f
  }
}
op spread(x: f32[n, m]) -> y: f32[n] { st[i] = welford[j] (n = 1, mean = x[i, j], m2 = 0); y[i] = st[i].m2 }
op both(x: f32[n, m], z: f32[n, k]) -> y: f32[n] {
  a = spread(x)
  b = spread(z)
  st[i] = welford[j] (n = 1, mean = x[i, j], m2 = 0)
  y[i] = a[i] + b[i] + st[i].n
}
op first_best(x: f32[n, m]) -> y: i64[n] { require m >= 1, "some"; y[i] = argmax[j] x[i, j] }
op bests(x: f32[n, m], z: f32[n, m]) -> y: i64[n] {
  a = first_best(x)
  b = first_best(z)
  y[i] = a[i] * 100 + b[i]
}
op nested(x: f32[n, m]) -> y: f32[n] {
  a, b = two(x)
  y[i] = a[i] - b[i]
}
op two(x: f32[n, m]) -> (p: f32[n], q: f32[n]) {
  s = spread(x)
  p[i] = s[i]
  q = spread(x)
}
"""


def test_several_results_and_values():
    m = hd.parse(SEVERAL)
    x = np.array([-1, 0.5, 3, 9], np.float32)
    rest = np.where(x < 1.5, 0, x - np.float32(1.5))
    want = (np.minimum(rest, 2), np.where(rest < 2, 0, rest - 2))
    everywhere(m.middle, x, 1.5, out=(np.zeros(4, np.float32), np.zeros(4, np.float32)), expected=want)


def test_checks_on_data_go_with_the_call():
    m = hd.parse(SEVERAL)
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    s = np.zeros((4, 3))
    for t in range(4):
        s[t] = 0.5 * (s[t - 1] if t else 0) + x[t]
    ids = np.array([3, 0, 3], np.int64)
    everywhere(m.picked, x, ids, out=np.zeros((3, 3), np.float32), expected=s[ids])
    with pytest.raises(hd.Error, match="is inside"):
        m.picked(x, np.array([0, 4], np.int64))
    everywhere(m.picked_from_a_choice, x, np.array([7, 1, 2, 3]), out=np.zeros((4, 3), np.float32), expected=x[[0, 1, 2, 3]])
    with pytest.raises(hd.Error, match="is inside"):
        m.picked_from_a_choice(x, np.array([4, 0, 0, 0]))


def test_composite_dims_reducers_and_nests():
    m = hd.parse(SEVERAL)
    rng = np.random.default_rng(3)
    q = rng.normal(size=(3, 8)).astype(np.float32)
    g = np.ones(2, np.float32)
    z = (q.astype(np.float64) + 1).reshape(3, 2, 4)
    everywhere(m.norms, q, g, out=np.zeros((3, 2), np.float32), expected=(z * z).sum(-1))
    x, w = rng.normal(size=(4, 5)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    m2 = lambda a: (a.astype(np.float64).var(-1) * a.shape[1])
    everywhere(m.both, x, w, out=np.zeros(4, np.float32), expected=m2(x) + m2(w) + 5)
    everywhere(m.bests, x, x[:, ::-1].copy(), out=np.zeros(4, np.int64), expected=x.argmax(1) * 100 + x[:, ::-1].argmax(1))
    everywhere(m.nested, x, out=np.zeros(4, np.float32), expected=np.zeros(4))


def test_requirements_reach_the_caller():
    m = hd.parse(SEVERAL)
    with pytest.raises(hd.Error, match="some"):
        m.bests(np.zeros((2, 0), np.float32), np.zeros((2, 0), np.float32))


def test_many_calls_are_refused_in_time():
    doubled = "op f0(x: f32[n]) -> y: f32[n] { y[i] = x[i] }\n" + "".join(
        f"op f{i}(x: f32[n]) -> y: f32[n] {{ a = f{i - 1}(x); y = f{i - 1}(a) }}\n" for i in range(1, 60))
    with pytest.raises(hd.Error, match="stages"):
        hd.parse(doubled)
    deep = "".join(f"op f{i}(x: f32[n]) -> y: f32[n] {{ y = f{i + 1}(x) }}\n" for i in range(2000)) + "op f2000(x: f32[n]) -> y: f32[n] { y[i] = x[i] }"
    with pytest.raises(hd.Error, match="nested past"):
        hd.parse(deep)
    round_ = "".join(f"op f{i}(x: f32[n]) -> y: f32[n] {{ y = f{(i + 1) % 500}(x) }}\n" for i in range(500))
    with pytest.raises(hd.Error):
        hd.parse(round_)
    flat = "op f0(x: f32[n]) -> y: f32[n] { a0[i] = x[i]\n" + "".join(f" a{i}[i] = a{i - 1}[i]\n" for i in range(1, 900)) + " y[i] = a899[i] }\n"
    flat += "".join(f"op g{i}(x: f32[n]) -> y: f32[n] {{ y = f0(x) }}\n" for i in range(200))
    with pytest.raises(hd.Error, match="calls of a text"):
        hd.parse(flat)
