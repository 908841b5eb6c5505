"""Cells that data or an affine place says: updates of `inout` tensors, and reductions into computed cells."""

import ml_dtypes
import numpy as np
import pytest

import heddle as hd
from test_language import everywhere

# --- updates of inout tensors ---------------------------------------------------------------------------------------------------

UPDATES = """
op cache_append<T: any>(inout cache: T[b, h, cap, d], k: T[b, h, n, d], pos: i64[b]) { cache[i, g, pos[i] + j, e] <- k[i, g, j, e] }
op sgd(inout w: f32[n], g: f32[n], lr: f32) -> old: f32[n] {
  old[i] = w[i]
  w[i] <- w[i] - lr * g[i]
}
op twice(inout w: f32[n]) -> (mid: f32[n], end: f32[n]) {
  w[i] <- w[i] + 1
  mid[i] = w[i]
  w[i] <- w[i] * 2
  end[i] = w[i]
}
op tiles(inout w: f32[4*n], g: f32[n, 4]) { w[4*i + j] <- g[i, j] }
op tail(inout w: f32[n], g: f32[m]) {
  require m <= n, "the tail fits"
  w[n - 1 - i] <- g[i]
}
op blocks(inout w: f32[n, (h, 4)], g: f32[h]) { w[i, (a, e)] <- w[i, (a, e)] * g[a] }
schedule cache_append.lanes on cpu { vectorize cache.e by 8; parallel cache.i }
schedule sgd.lanes on cpu { vectorize w.i by 8; parallel w.io }
schedule twice.lanes on cpu { vectorize w.i by 8; vectorize w_2.i by 4 }
schedule tiles.lanes on cpu { vectorize w.j; parallel w.i }
schedule blocks.lanes on cpu { vectorize w.e; parallel w.i }
"""


@pytest.fixture(scope="module")
def updates():
    return hd.parse(UPDATES)


def updated(op, tensor, *args, want, outs=(), **named):
    """The op on a copy of `tensor`, by every schedule, on a plain target and interpreted."""
    def held(given):
        return tuple(o.copy() for o in outs) if given else ()

    for schedule in ["", *op.schedules]:
        for target in ("auto", "cpu/x86-64-v2"):
            w = tensor.copy()
            got = op(w, *args, schedule=schedule, target=target, **named)
            np.testing.assert_array_equal(w, want)
    w, out = tensor.copy(), held(True)
    op.interpret(w, *args, out=out, **named)
    np.testing.assert_array_equal(w, want)
    return got, out


@pytest.mark.parametrize("b,h,cap,n,d", [(1, 1, 1, 1, 1), (2, 3, 17, 5, 9), (3, 1, 8, 0, 4), (2, 2, 33, 33, 16), (0, 2, 4, 1, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.int8, ml_dtypes.bfloat16])
def test_cache_append(updates, rng, b, h, cap, n, d, dtype):
    cache, k = (rng.standard_normal(s).astype(dtype) for s in ((b, h, cap, d), (b, h, n, d)))
    pos = rng.integers(0, cap - n + 1, b)
    want = cache.copy()
    for i in range(b):
        want[i, :, pos[i]:pos[i] + n] = k[i]
    updated(updates.cache_append, cache, k, pos, want=want)


def test_updates_outside_write_nothing(updates, rng):
    cache, k = rng.standard_normal((2, 1, 8, 4)).astype(np.float32), np.ones((2, 1, 3, 4), np.float32)
    for bad in (-1, 6, 2**62, -2**63, 2**63 - 1):
        w = cache.copy()
        with pytest.raises(hd.Error) as e:
            updates.cache_append(w, k, np.array([0, bad]))
        assert "pos[i] + j" in str(e.value)
        np.testing.assert_array_equal(w, cache)
    updates.cache_append(cache.copy(), k[:, :, :0], np.array([0, 99]))  # nothing is appended


@pytest.mark.parametrize("n", [0, 1, 7, 8, 33])
def test_update_reads_old_then_new(updates, rng, n):
    w, g = rng.standard_normal((2, n), dtype=np.float32)
    w[::5] = np.nan
    old, _ = updated(updates.sgd, w, g, np.float32(0.5), want=w - np.float32(0.5) * g, outs=(w,))
    np.testing.assert_array_equal(old, w)
    (mid, end), _ = updated(updates.twice, w, want=(w + 1) * 2, outs=(w, w))
    np.testing.assert_array_equal(mid, w + 1)
    np.testing.assert_array_equal(end, (w + 1) * 2)


def test_update_of_composite_places(updates, rng):
    w, g = rng.standard_normal(28).astype(np.float32), rng.standard_normal((7, 4)).astype(np.float32)
    updated(updates.tiles, w, g, want=g.ravel())
    want = w.copy()
    want[:-8:-1] = g[:, 0]
    updated(updates.tail, w, g[:, 0].copy(), want=want)
    w, g = rng.standard_normal((3, 20)).astype(np.float32), rng.standard_normal(5).astype(np.float32)
    updated(updates.blocks, w, g, want=w * np.repeat(g, 4))


def test_an_updated_tensor_overlaps_nothing(updates, rng):
    w = rng.standard_normal(16).astype(np.float32)
    for other in (w, w[::-1]):
        with pytest.raises(hd.Error) as e:
            updates.sgd(w, other, np.float32(1))
        assert e.value.code == "HD0506"
    with pytest.raises(hd.Error):
        updates.sgd(w[:8], w[4:12], np.float32(1))
    updates.sgd(w[:8], w[8:], np.float32(1))


@pytest.mark.parametrize("steps,word", [("inline old", "updated in place"), ("compute_at old at y.i", "updated in place"), ("compute_at w at y.i", "")])
def test_steps_keep_reads_on_their_side_of_an_update(steps, word):
    op = hd.parse("op f(inout w: f32[n]) -> y: f32[n] {\n  old[i] = w[i] * 2\n  w[i] <- 0\n  y[i] = old[i]\n}\n"
                  f"schedule f.s on cpu {{ {steps} }}").f
    with pytest.raises(hd.Error) as e:
        op(np.ones(3, np.float32), schedule="s")
    assert word in str(e.value)


# --- reductions into computed cells ---------------------------------------------------------------------------------------------

SCATTER = """
op embed_grad(dy: f32[n, d], id: i64[n], const vocab: int) -> dt: f32[vocab, d] { dt[id[i], e] = sum[i] dy[i, e] }
op histogram(x: i32[b, n], const bins: int) -> h: i64[b, bins] { h[r, x[r, i]] = sum[i] 1 }
op convolve(a: f32[n], b: f32[m]) -> c: f32[n + m] { c[i + j] = sum[i, j] a[i] * b[j] }
op greatest(v: f32[n], id: i64[n], const k: int) -> m: f32[k] {
  m[id[i]] = max[i where id[i] >= 0 && id[i] < k] v[i]
}
op seen(id: u8[n], const k: int) -> s: bool[k] { s[i32(id[i]) % k] = any[i] id[i] > 0 }
schedule embed_grad.lanes on cpu { vectorize dt.e by 8 }
schedule embed_grad.columns on cpu allow reassociate { reorder dt.e, dt.i; parallel dt.e }
schedule histogram.rows on cpu { parallel h.r }
schedule convolve.blocks on cpu allow reassociate { split c.i by 4 into io, ii; reorder c.j, c.ii }
schedule greatest.blocks on cpu { split m.i by 4; unroll m.ii }
"""


@pytest.fixture(scope="module")
def scatter():
    return hd.parse(SCATTER)


@pytest.mark.parametrize("n,d,vocab", [(1, 1, 1), (7, 9, 5), (33, 16, 3), (0, 4, 6), (5, 0, 2), (100, 17, 1)])
def test_scatter_sum(scatter, rng, n, d, vocab):
    dy, id = rng.standard_normal((n, d), dtype=np.float32), rng.integers(0, vocab, n)
    dy[::7] = np.inf
    dy[3::7] = np.nan
    want = np.zeros((vocab, d))
    with np.errstate(invalid="ignore"):
        np.add.at(want, id, dy.astype(np.float64))
    everywhere(scatter.embed_grad, dy, id, vocab=vocab, out=np.zeros((vocab, d), np.float32), expected=want)


@pytest.mark.parametrize("b,n", [(1, 1), (3, 50), (0, 4), (4, 0)])
def test_scatter_counts(scatter, rng, b, n):
    x = rng.integers(0, 9, (b, n)).astype(np.int32)
    want = np.stack([np.bincount(row, minlength=9) for row in x]) if b else np.zeros((0, 9))
    everywhere(scatter.histogram, x, bins=9, out=np.zeros((b, 9), np.int64), expected=want.astype(np.int64))


def test_scatter_into_affine_cells(scatter, rng):
    a, b = rng.standard_normal(9, dtype=np.float32), rng.standard_normal(17, dtype=np.float32)
    want = np.append(np.convolve(a.astype(np.float64), b), 0)
    everywhere(scatter.convolve, a, b, out=np.zeros(26, np.float32), expected=want)


def test_cells_not_hit_hold_the_identity(scatter, rng):
    v, id = rng.standard_normal(40, dtype=np.float32), rng.integers(-3, 9, 40)
    id[id == 2] = 3
    want = np.array([v[id == c].max(initial=-np.inf) for c in range(6)])
    everywhere(scatter.greatest, v, id, k=6, out=np.zeros(6, np.float32), expected=want)
    assert want[2] == -np.inf
    flags = np.array([0, 3, 8, 255], np.uint8)
    everywhere(scatter.seen, flags, k=5, out=np.zeros(5, bool), expected=np.array([True, False, False, True, False]))


def test_scatter_outside_writes_nothing(scatter):
    dy = np.ones((3, 4), np.float32)
    for bad in (-1, 5, 2**63 - 1, -2**63):
        out = np.full((5, 4), 7, np.float32)
        with pytest.raises(hd.Error) as e:
            scatter.embed_grad(dy, np.array([0, bad, 1]), vocab=5, out=out)
        assert e.value.code == "HD0509" and "id[i]" in str(e.value) and (out == 7).all()


def test_ranges_of_data_are_read_for_points_of_the_domain(rng):
    """Beyond the last row a block of rows is not made, as data does not say how far its sums go."""
    m = hd.parse("""
op f(off: i64[m + 1], val: f64[k]) -> y: f64[m] {
  y[a] = sum[p in off[a] .. off[a + 1]] 2.0 * val[p]
}
schedule f.s on cpu allow reassociate {
  cache y in l1 at y.a as t
  cache t in registers at t.p
  split y.a by 2 into o, i with shift
}
""")
    for rows in (0, 1, 2, 3, 7):
        off = np.concatenate([[0], np.cumsum(rng.integers(0, 4, rows))])
        val = rng.integers(0, 9, off[-1]).astype(np.float64)
        want = np.array([2 * val[a:b].sum() for a, b in zip(off[:-1], off[1:])])
        assert np.array_equal(m.f(off, val, schedule="s"), want)
