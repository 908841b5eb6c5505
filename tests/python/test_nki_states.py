"""States of several fields, argmax, updates in place and integers as NKI text: the simulator and the second interpreter against NumPy."""

import ml_dtypes
import numpy as np
import pytest

import heddle as hd
from reducer_texts import MOMENTS
from test_nki_std import agrees, make, nki_interpreter, softmax, wide  # noqa: F401

TEXT = MOMENTS + """
op layernorm<T: float>(x: T[...r, cols], gain: T[cols], bias: T[cols], eps: f32 = 1e-5) -> y: T[...r, cols] {
  st[...r] = moments[c] (n = 1, mean = widen(x[...r, c]), m2 = 0)
  inv[...r] = rsqrt(st[...r].m2 / f32(cols) + eps)
  y[...r, c] = T((widen(x[...r, c]) - st[...r].mean) * inv[...r] * widen(gain[c]) + widen(bias[c]))
}
/// A tree over the columns of 128 rows.
schedule layernorm.tree on neuron allow reassociate, contract {
  split y.r by 128 into ro, ri
  compute_at inv, st at y.ro in sbuf
  cache x in sbuf at y.ro as block
  bind y.ri, inv.r, st.r, block.r to partition
  bind y.c, st.c, block.c to free
}
/// Trees over 64 columns, one after the other.
schedule layernorm.blocks on neuron allow reassociate, contract {
  split y.r by 128 into ro, ri
  compute_at inv, st at y.ro in sbuf
  split st.c by 64 into co, ci
  reorder st.co, st.r, st.ci
  bind y.ri, inv.r, st.r to partition
  bind y.c, st.ci to free
}
reducer online(m: f32, l: f32, o: f32[d]) commutes {
  identity { m = -inf; l = 0; o[e] = 0 }
  combine(a, b) {
    m    = max(a.m, b.m)
    wa   = if a.m == -inf then 0 else exp(a.m - m)
    wb   = if b.m == -inf then 0 else exp(b.m - m)
    l    = a.l*wa + b.l*wb
    o[e] = a.o[e]*wa + b.o[e]*wb
  }
  of[j] x { m = max[j] x[j].m; w[j] = if x[j].m == -inf then 0 else exp(x[j].m - m); l = sum[j] w[j]*x[j].l; o[e] = sum[j] w[j]*x[j].o[e] }
}
op attention<T: float>(q: T[nb, (hk, g), n, d], k: T[nb, hk, t, d], v: T[nb, hk, t, d], scale: f32) -> y: T[nb, (hk, g), n, d] {
  z[b, h, r, i, j] = sum[e] widen(q[b, (h, r), i, e]) * widen(k[b, h, j, e])
  st[b, h, r, i] = online[j where j <= i + t - n] (m = z[b, h, r, i, j]*scale, l = 1, o[e] = widen(v[b, h, j, e]))
  y[b, (h, r), i, e] = if st[b, h, r, i].l > 0 then T(st[b, h, r, i].o[e] / st[b, h, r, i].l) else 0
}
/// 128 queries and 128 keys at a time, a running maximum.
schedule attention.online on neuron allow reassociate, contract {
  split y.i by 128 into io, ii
  reorder y.b, y.h, y.r, y.io, y.ii, y.e
  compute_at st at y.io in sbuf
  split st.j by 128 into jo, ji
  reorder st.jo, st.i, st.ji
  rfactor st.jo as blk with of
  compute_at blk.o, blk.l, blk.w, blk.m at st.jo in sbuf
  compute_at z at st.jo in psum
  split z.e by 128 into eo, ei
  reorder z.eo, z.i, z.j, z.ei
  bind y.ii, st.i, blk.o.ji, blk.o.i, blk.l.i, blk.w.i, blk.m.i, z.i, z.ei to partition
  bind y.e, blk.o.e, blk.l.ji, blk.w.ji, blk.m.ji, z.j to free
}
op places(x: f32[r, c]) -> (y: i64[r], z: i64[r]) {
  require c >= 1, "there is one"
  greatest[i] = argmax[j] x[i, j]
  least[i] = argmin[j] x[i, j]
  y[i] = greatest[i]
  z[i] = least[i]
}
schedule places.rows on neuron {
  split y.i by 128 into io, ii
  split z.i by 128 into io, ii
  compute_at greatest at y.io in sbuf
  compute_at greatest_best at y.io in sbuf
  compute_at least at z.io in sbuf
  compute_at least_best at z.io in sbuf
  bind y.ii, z.ii, greatest.i, least.i, greatest_best.i, least_best.i to partition
  bind greatest_best.j, least_best.j to free
}
op step(inout w: f32[n, m], g: f32[n, m], rate: f32) -> size: f32[n] {
  size[i] = sum[j] w[i, j]
  w[i, j] <- w[i, j] - rate * g[i, j]
}
schedule step.tiles on neuron allow reassociate {
  split w.i by 128 into io, ii
  split size.i by 128 into io, ii
  bind w.ii, size.ii to partition
  bind w.j, size.j to free
}
op append(inout cache: f32[b, cap, d], k: f32[b, n, d]) {
  require n + 1 <= cap, "there is room"
  cache[i, 1 + j, e] <- k[i, j, e]
}
schedule append.tiles on neuron {
  split cache.j by 128 into jo, ji
  bind cache.ji to partition
  bind cache.e to free
}
op least(x: i32[n, m]) -> y: i32[n] { y[i] = min[j] x[i, j] }
op picked(x: i32[n], z: i32[n]) -> y: i32[n] { y[i] = min(x[i], z[i]) }
op total(x: i16[n, m]) -> y: i32[n] { y[i] = sum[j] i32(x[i, j]) }
"""


@pytest.fixture(scope="module")
def m():
    return hd.parse(TEXT, "states.hd")


@pytest.mark.parametrize("schedule", ["tree", "blocks"])
@pytest.mark.parametrize("shape", [(1, 1), (200, 300), (130, 17), (3, 130, 64)])
def test_states_of_several_fields(m, make, schedule, shape):  # noqa: F811
    x, w, b = make(*shape), make(shape[-1]), make(shape[-1])
    y = wide(x)
    exact = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5) * wide(w) + wide(b)
    agrees(m.layernorm, x, w, b, exact=exact, tolerance=make.tolerance, schedule=schedule)


def moments(combine, commutes="commutes"):
    return hd.parse(f"""reducer moments(m2: f32, count: f32, mean: f32) {commutes} {{
      identity {{ m2 = 0; count = 0; mean = 0 }}
      combine(a, b) {{ {combine} }}
    }}
    op variance<T: float>(x: T[r, c]) -> (v: f32[r], m: f32[r]) {{
      st[i] = moments[j] (m2 = 0, count = 1, mean = widen(x[i, j]))
      v[i] = st[i].m2 / st[i].count
      m[i] = st[i].mean
    }}
    schedule variance.rows on neuron allow reassociate {{
      split st.i by 128 into io, ii
      split v.i by 128 into io, ii
      split m.i by 128 into io, ii
      fuse v.io, m.io into o
      fuse st.io, v.o into o
      store_at st at st.o in sbuf
      bind st.ii, v.ii, m.ii to partition
      bind st.j to free
    }}
    schedule variance.blocks on neuron allow reassociate {{
      split st.i by 128 into io, ii
      split st.j by 65 into jo, ji
      split v.i by 128 into io, ii
      split m.i by 128 into io, ii
      reorder st.io, st.jo, st.ii, st.ji
      fuse v.io, m.io into o
      fuse st.io, v.o into o
      store_at st at st.o in sbuf
      bind st.ii, v.ii, m.ii to partition
      bind st.ji to free
    }}""").variance


# The same states by other formulas; and what looks like them.
CHAN = """count = a.count + b.count; d = b.mean - a.mean; w = if count > 0 then 1 / count else 0
          mean = (a.mean*a.count + b.count*b.mean)*w; m2 = d*d*a.count*b.count*w + (a.m2 + b.m2)"""
RIGHT = """count = b.count + a.count; d = a.mean - b.mean; f = if 0 != count then a.count / count else 0
           mean = b.mean + d*f; m2 = b.m2 + a.m2 + (d*f)*(d*b.count)"""
WRONG = [CHAN.replace("(a.m2 + b.m2)", "(a.m2 + b.m2)*1.0000001"), CHAN.replace("d*d*a", "d*d*d*a"), CHAN.replace("count > 0", "count > 1"), CHAN + "*1.5",
         CHAN.replace("a.count*b.count*w", "max(a.count*b.count*w, 0.25)"), CHAN.replace("count > 0", "a.mean != 0")]


@pytest.mark.parametrize("combine", [CHAN, RIGHT])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (130, 65), (129, 131), (5, 512), (7, 513), (2, 1025)])
def test_counts_means_and_spreads(make, combine, shape):  # noqa: F811
    """Whatever formula combines them is bn_stats and bn_aggr in `full`; a last piece of one element has none at an odd place."""
    x, op = make(*shape), moments(combine)
    y = wide(x)
    for schedule in ("rows", "blocks"):
        agrees(op, x, exact=(y.var(1), y.mean(1)), tolerance=make.tolerance, schedule=schedule)
        text = op.compile(x, target="neuron/trn2", schedule=schedule).nki
        assert "bn_stats" in text and "bn_aggr" in text


def test_what_only_looks_like_counts_means_and_spreads():
    for op in [*map(moments, WRONG), moments(CHAN.replace("count > 0", "count > 3"))]:
        assert "bn_stats" not in op.compile(hd.spec("f32", 200, 300), target="neuron/trn2", schedule="rows").nki


@pytest.mark.parametrize("nb,hk,g,n,t,d", [(1, 1, 2, 200, 200, 64), (1, 1, 1, 5, 150, 32), (1, 1, 1, 300, 280, 130), (1, 1, 1, 1, 1, 1)])
def test_attention_with_a_running_maximum(m, make, nb, hk, g, n, t, d):  # noqa: F811
    q, k, v = make(nb, hk * g, n, d), make(nb, hk, t, d), make(nb, hk, t, d)
    z = np.einsum("bhid,bhjd->bhij", wide(q), np.repeat(wide(k), g, 1)) / d**0.5
    seen = np.arange(t)[None, :] <= np.arange(n)[:, None] + t - n
    e = np.exp(np.where(seen, z - np.where(seen, z, -np.inf).max(-1, keepdims=True, initial=-1e30), -np.inf))
    exact = e / np.maximum(e.sum(-1, keepdims=True), 1e-30) @ np.repeat(wide(v), g, 1)
    agrees(m.attention, q, k, v, scale=d**-0.5, exact=exact, tolerance=make.tolerance, schedule="online")


@pytest.mark.parametrize("shape", [(1, 1), (200, 300), (130, 17)])
def test_places_of_the_extrema(m, shape):
    x = np.round(np.random.default_rng(5).standard_normal(shape) * 3).astype(np.float32)  # with many equals
    k = agrees(m.places, x, exact=(x.argmax(1), x.argmin(1)), tolerance=1e-9)
    assert all(y.dtype == np.int64 for y in k.simulate(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.int8])
@pytest.mark.parametrize("shape", [(1, 1), (200, 300), (3, 130, 7), (50,)])
def test_argmax(dtype, shape):
    x = np.round(np.random.default_rng(5).standard_normal(shape) * 3).astype(dtype)
    agrees(hd.std.reduce.argmax, x, exact=wide(x).argmax(-1), tolerance=1e-9)


@pytest.mark.parametrize("op", ["argmax", "cumsum", "sum_rows"])
def test_without_a_schedule(op):
    """One element after the other, accumulators of integers and of floats in tiles of one cell."""
    x = np.round(np.random.default_rng(5).standard_normal((3, 7)) * 3).astype(np.float32)
    exact = {"argmax": x.argmax(1), "cumsum": x.cumsum(1), "sum_rows": x.sum(1)}[op]
    agrees(getattr(hd.std.reduce, op), x, exact=exact, tolerance=3e-5, schedule="")


def test_argmax_of_numbers_that_are_none():
    x = np.zeros((3, 5), np.float32)
    x[1, 3] = x[2, 1] = np.nan
    x[2, 4] = 9
    assert list(hd.std.reduce.argmax.compile(x, target="neuron/trn2").simulate(x)) == [0, 3, 1]


SOME = """
op f(x: f32[m, n]) -> y: TYPE[m] { y[i] = REDUCER[j where x[i, j] > 1] TYPE(j + 1) }
schedule f.rows on neuron { bind y.i to partition }
schedule f.tile on neuron {
  bind y.i to partition
  bind y.j to free
}
schedule f.flat on neuron { bind y.j to free }
"""


@pytest.mark.parametrize("profile", ["full", "basic"])
@pytest.mark.parametrize("type, schedule", [("i32", ""), ("i32", "flat"), ("f32", ""), ("f32", "rows"), ("f32", "tile"), ("f32", "flat")])
@pytest.mark.parametrize("reducer", ["min", "max"])
def test_reductions_under_a_condition_on_data(reducer, type, schedule, profile):
    """Where no term is let in, the result is what the reduction begins from, of integers too; loops of the text ask for it as masks do."""
    op = hd.parse(SOME.replace("REDUCER", reducer).replace("TYPE", type)).f
    none = (2**31 - 1 if type == "i32" else np.inf) if reducer == "min" else (-(2**31) if type == "i32" else -np.inf)
    x = np.random.default_rng(3).standard_normal((40, 6), dtype=np.float32)
    k = op.compile(x, target="neuron/trn2", profile=profile, schedule=schedule)
    some = x > 1
    want = np.where(some.any(1), some.argmax(1) + 1 if reducer == "min" else 6 - some[:, ::-1].argmax(1), none)
    np.testing.assert_array_equal(op(x), want)
    if type == "f32":  # the engines begin from the greatest number
        want = np.clip(want, -np.finfo(np.float32).max, np.finfo(np.float32).max)
    np.testing.assert_allclose(k.simulate(x), want, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(nki_interpreter.run(k.nki, x, *k.tables.values())), want, rtol=1e-6)


@pytest.mark.parametrize("profile", ["full", "basic"])
def test_updates_in_place(m, profile):
    rng = np.random.default_rng(6)
    w, g = rng.standard_normal((200, 30), np.float32), rng.standard_normal((200, 30), np.float32)
    k = m.step.compile(w, g, target="neuron/trn2", profile=profile)
    assert k.nki.startswith("# w: updated in place by the op, returned here")
    second = nki_interpreter.run(k.nki, w, g, 0.5, *k.tables.values())
    now = w.copy()
    sums = k.simulate(now, g, rate=0.5)
    for got in (now, second[0]):
        np.testing.assert_allclose(got, w - np.float32(0.5) * g, rtol=1e-6, atol=1e-6)
    for got in (sums, second[1]):
        np.testing.assert_allclose(got, w.sum(1, dtype=np.float64), rtol=1e-4, atol=1e-4)
    cache, new = rng.standard_normal((2, 300, 30), np.float32), rng.standard_normal((2, 290, 30), np.float32)
    want = cache.copy()
    want[:, 1:291] = new
    k = m.append.compile(cache, new, target="neuron/trn2", profile=profile)
    assert np.array_equal(nki_interpreter.run(k.nki, cache, new, *k.tables.values()), want)
    assert k.simulate(cache, new) is None and np.array_equal(cache, want)


@pytest.mark.parametrize("op", ["least", "picked", "total"])
def test_integers_that_f32_would_round_are_refused(m, op):
    shapes = {"least": [("i32", 3, 4)], "picked": [("i32", 3)] * 2, "total": [("i16", 3, 4)]}[op]
    with pytest.raises(hd.Error) as e:
        getattr(m, op).compile(*[hd.spec(*s) for s in shapes], target="neuron/trn2")
    assert e.value.code == "HD0604"


def test_a_tile_of_a_list_takes_what_another_one_holds():
    op = hd.parse("""op hold(x: f32[b, n, r, c]) -> y: f32[b, n, r, c] {
  scan t { h[q in 0 .. b, t in 0 .. n, i in 0 .. r, j in 0 .. c] = if t < 2 then x[q, t, i, j] else h[q, t - 1, i, j] }
  y[q, t, i, j] = 2*h[q, t, i, j]
}
schedule hold.lists on neuron {
  reorder h.q, h.t
  fuse h.q, y.q into q
  store_at h at h.q in sbuf
  bind h.i, y.i to partition
  bind h.j, y.j to free
}""").hold
    x = np.random.default_rng(3).standard_normal((2, 5, 8, 16), dtype=np.float32)
    held = x.copy()
    held[:, 2:] = x[:, 1:2]
    k = agrees(op, x, exact=2 * held, tolerance=1e-7)
    assert "tensor_copy(dst=h[t][0:8, 0:16], src=h[t - 1][0:8, 0:16])" in k.nki


def test_tiles_of_a_list_are_named_by_it():
    from heddle import neuron

    text = """
import nki
import nki.isa as nisa
import nki.language as nl

@nki.jit
def first(x):
    y = nl.ndarray((8, 16), dtype=nl.float32, buffer=nl.shared_hbm)
    tiles = []
    for _ in range(2):
        tiles.append(nl.ndarray((8, 16), dtype=nl.float32, buffer=nl.sbuf))
    nisa.dma_copy(dst=tiles[0], src=x)
    nisa.dma_copy(dst=y, src=tiles[1])
    return y
"""
    with pytest.raises(hd.Error, match=r"`tiles` is read at \[0, 0\], which nothing has written"):
        neuron.simulate(text, np.ones((8, 16), np.float32))


def test_several_results_are_a_named_tuple_and_words_of_the_host_are_its_own():
    op = hd.parse("op two(x: f32[n, m]) -> (a: f32[n, m], b: f32[n, m]) { a[i, j] = 2*x[i, j]; b[i, j] = x[i, j] - 1 }").two
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    k = op.compile(x, target="neuron/trn2")
    y = k.simulate(x)
    assert y._fields == op(x)._fields == ("a", "b") and np.array_equal(y.a, 2 * x) and np.array_equal(y.b, x - 1)
    for word in ("llvm", "asm", "memory"):
        with pytest.raises(AttributeError, match=f"no `{word}`; one of the host has"):
            getattr(k, word)
    with pytest.raises(AttributeError, match="has no attribute 'nkii'"):
        k.nkii
