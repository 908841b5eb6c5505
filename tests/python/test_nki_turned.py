"""What is reduced over partitions by anything but a sum, and elements that data picks along the free axis: simulator and second interpreter against NumPy."""

import ml_dtypes
import numpy as np
import pytest

import heddle as hd
from reducer_texts import MOMENTS
from test_nki_std import agrees, make, wide  # noqa: F401

OVER_PARTITIONS = hd.parse(MOMENTS + """
op greatest<T: number>(x: T[k, n]) -> y: T[n] { y[j] = max[p] x[p, j] }
schedule greatest.free on neuron {
  split y.p by 128 into po, pi
  reorder y.po, y.pi, y.j
  bind y.pi to partition
  bind y.j to free
}
schedule greatest.partition on neuron {
  split y.p by 128 into po, pi
  split y.j by 128 into jo, ji
  reorder y.jo, y.po, y.ji, y.pi
  bind y.pi, y.ji to partition
}
schedule greatest.alone on neuron {
  split y.p by 128 into po, pi
  reorder y.j, y.po, y.pi
  bind y.pi to partition
}
schedule greatest.both on neuron {
  split y.p by 128 into po, pi
  split y.pi by 8 into pm, pn
  reorder y.j, y.po, y.pm, y.pn
  bind y.pm to partition
  bind y.pn to free
}
op product(x: f32[k, n]) -> y: f32[n] { y[j] = prod[p where p != j] x[p, j] }
schedule product.free on neuron allow reassociate {
  split y.p by 128 into po, pi
  split y.j by 200 into jo, ji
  reorder y.jo, y.po, y.pi, y.ji
  bind y.pi to partition
  bind y.ji to free
}
op place(x: f32[k, n]) -> y: i64[n] {
  require k >= 1, "there is one"
  t[j] = argmax[p] x[p, j]
  y[j] = t[j]
}
schedule place.columns on neuron {
  split y.j by 128 into jo, ji
  compute_at t, t_best at y.jo in sbuf
  split t_best.p by 128 into po, pi
  reorder t_best.po, t_best.j, t_best.pi
  bind y.ji, t.j, t_best.j, t_best.pi to partition
}
op variance(x: f32[k, n]) -> y: f32[n] {
  st[j] = moments[p] (n = 1, mean = x[p, j], m2 = 0)
  y[j] = st[j].m2 / f32(k)
}
schedule variance.columns on neuron allow reassociate {
  split y.j by 128 into jo, ji
  compute_at st at y.jo in sbuf
  split st.p by 128 into po, pi
  reorder st.po, st.j, st.pi
  bind y.ji, st.j, st.pi to partition
}
schedule variance.rows on neuron allow reassociate {
  split y.j by 512 into jo, ji
  compute_at st at y.jo in sbuf
  split st.p by 128 into po, pi
  reorder st.po, st.pi, st.j
  bind st.pi to partition
  bind y.ji, st.j to free
}
op softmax(x: f32[k, n]) -> y: f32[k, n] {
  peak[j]  = max[p] x[p, j]
  total[j] = sum[p] exp(x[p, j] - peak[j])
  y[i, j]  = exp(x[i, j] - peak[j]) / total[j]
}
schedule softmax.columns on neuron allow reassociate {
  split y.i by 128 into io, ii
  split y.j by 512 into jo, ji
  reorder y.jo, y.io, y.ii, y.ji
  compute_at total, peak at y.jo in sbuf
  cache x in sbuf at y.jo as block
  split block.p by 128 into po, pi
  split peak.p by 128 into po, pi
  split total.p by 128 into po, pi
  reorder peak.po, peak.pi, peak.j
  reorder total.po, total.pi, total.j
  bind y.ii, peak.pi, total.pi, block.pi to partition
  bind y.ji, peak.j, total.j, block.j to free
}
""", "turned.hd")


@pytest.mark.parametrize("k,n", [(1, 1), (7, 5), (127, 128), (128, 129), (129, 127), (300, 513)])
def test_reductions_over_partitions(k, n):
    m = OVER_PARTITIONS
    x = np.random.default_rng(k).standard_normal((k, n), np.float32)
    for schedule in ("free", "partition", "alone"):
        if schedule != "alone" or n < 10:
            agrees(m.greatest, x, exact=x.max(0), tolerance=1e-9, schedule=schedule)
    z = np.sign(x) * np.clip(abs(x), 0.9, 1.1)
    ones = wide(z)
    ones[np.arange(min(k, n)), np.arange(min(k, n))] = 1
    agrees(m.product, z, exact=ones.prod(0), tolerance=3e-5)
    agrees(m.place, np.round(x), exact=np.round(x).argmax(0), tolerance=1e-9)  # with many equals
    agrees(m.variance, x, exact=wide(x).var(0), tolerance=3e-5, schedule="columns")
    e = np.exp(wide(x) - x.max(0))
    kernel = agrees(m.softmax, x, exact=e / e.sum(0), tolerance=3e-5)
    assert "nc_transpose" in kernel.nki


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.int8])
def test_reductions_over_partitions_of_other_types(dtype):
    x = (100 * np.random.default_rng(1).standard_normal((130, 140))).astype(dtype)
    for schedule in ("free", "partition"):
        agrees(OVER_PARTITIONS.greatest, x, exact=wide(x).max(0), tolerance=1e-9, schedule=schedule)


def test_forms_of_a_reduction_over_partitions_that_are_refused():
    for op, schedule, lines in [("greatest", "both", "keep `y.pn` a loop of the text"), ("variance", "rows", "bind `st.j` to `partition`")]:
        with pytest.raises(hd.Error) as e:
            getattr(OVER_PARTITIONS, op).compile(hd.spec("f32", 300, 5), target="neuron/trn2", schedule=schedule)
        assert e.value.code == "HD0603" and lines in e.value.help and "over partitions" in e.value.message


TILES = "on neuron {\n split y.i by 128 into io, ii\n bind y.ii to partition\n bind y.j to free\n}\n"
PICKS = hd.parse(f"""
op columns<T: any>(x: T[n, k], t: i64[m]) -> y: T[n, m] {{ y[i, j] = x[i, t[j]] }}
schedule columns.tiles {TILES}
schedule columns.rows on neuron {{ bind y.j to free }}
op each<T: any>(x: T[n, k], t: i32[n, m]) -> y: T[n, m] {{ y[i, j] = x[i, t[i, j]] }}
schedule each.tiles {TILES}
op vector<T: any>(x: T[k], t: i64[n, m]) -> y: T[n, m] {{ y[i, j] = x[t[i, j]] }}
schedule vector.tiles {TILES}
op rows<T: any>(x: T[k, m], t: i64[m], s: f32[n, m]) -> y: f32[n, m] {{ y[i, j] = f32(x[t[j], j]) * s[i, j] }}
schedule rows.tiles {TILES}
op windows(x: f32[n, k], t: i64[n], const m: int = 5) -> y: f32[n, m] {{ y[i, j] = x[i, t[i] + j] }}
schedule windows.tiles {TILES}
op dot(x: f32[n, k], t: i64[m], w: f32[m]) -> y: f32[n] {{ y[i] = sum[j] x[i, t[j]] * w[j] }}
schedule dot.tiles on neuron allow reassociate {{
 split y.i by 128 into io, ii
 reorder y.io, y.ii, y.j
 bind y.ii to partition
 bind y.j to free
}}
op columns_or(x: f32[n, k], t: i64[m]) -> y: f32[n, m] {{ y[i, j] = x[i, t[j]] or 7.0 }}
schedule columns_or.tiles {TILES}
op rows_or(x: f32[k, n], t: i64[m]) -> y: f32[m, n] {{ y[i, j] = x[t[i], j - 1] or 7.0 }}
schedule rows_or.tiles {TILES}
op one_or(x: f32[k, n], t: i64[m]) -> y: f32[m] {{ y[i] = x[t[i], 0] or 7.0 }}
schedule one_or.tiles on neuron {{
 split y.i by 128 into io, ii
 bind y.ii to partition
}}
op element(x: f32[n, k], t: i64[n]) -> y: f32[n] {{ y[i] = x[i, t[i]] }}
schedule element.rows on neuron {{
 split y.i by 128 into io, ii
 bind y.ii to partition
}}
""", "picks.hd")


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float16, np.int8, np.int32])
@pytest.mark.parametrize("n,k,m", [(1, 1, 1), (5, 7, 3), (130, 70, 129), (129, 513, 40)])
def test_picks_along_the_free_axis(dtype, n, k, m):
    rng = np.random.default_rng(n)
    x, t, each = (50 * rng.standard_normal((n, k))).astype(dtype), rng.integers(0, k, m), rng.integers(0, k, (n, m)).astype(np.int32)
    both = {"profiles": ("full",) if dtype == np.int32 else ("full", "basic"), "tolerance": 1e-9}
    kernel = agrees(PICKS.columns, x, t, exact=wide(x)[:, t], schedule="tiles", **both)
    assert dtype != np.int32 or "nc_n_gather" in kernel.nki
    if n < 9:
        agrees(PICKS.columns, x, t, exact=wide(x)[:, t], schedule="rows", **both)
    agrees(PICKS.each, x, each, exact=np.take_along_axis(wide(x), each.astype(int), 1), **both)
    agrees(PICKS.vector, np.ascontiguousarray(x[0]), each.astype(np.int64), exact=wide(x[0])[each], **both)
    z, s = (50 * rng.standard_normal((k, m))).astype(dtype), rng.standard_normal((n, m), np.float32)
    agrees(PICKS.rows, z, t, s, exact=wide(z)[t, np.arange(m)] * wide(s), profiles=both["profiles"], tolerance=1e-6)


def test_picks_along_the_free_axis_within_expressions():
    rng = np.random.default_rng(1)
    x, t, w = rng.standard_normal((130, 75), np.float32), rng.integers(0, 70, 130), rng.standard_normal(600, np.float32)
    agrees(PICKS.windows, x, t, exact=np.stack([x[i, t[i] : t[i] + 5] for i in range(130)]), tolerance=1e-9)
    places = rng.integers(0, 75, 600)
    agrees(PICKS.dot, x, places, w, exact=wide(x)[:, places] @ wide(w), tolerance=3e-5)


INTEGERS = hd.parse(f"""
op row(x: i32[m], z: i32[n]) -> y: i32[n, m] {{ y[i, j] = x[j] }}
schedule row.tiles {TILES}
op column(x: i32[n], z: i32[m]) -> y: i32[n, m] {{ y[i, j] = x[i] }}
schedule column.tiles {TILES}
op inner(x: i32[b, m, k], z: i32[n]) -> y: i32[b, n, m] {{ require k >= 3, "a third"; y[q, i, j] = x[q, j, 2] }}
schedule inner.tiles {TILES}
op floats(x: i32[m], z: i32[n]) -> y: f32[n, m] {{ y[i, j] = f32(x[j]) + f32(z[i]) }}
schedule floats.tiles {TILES}
op small(x: i32[m], z: i32[n]) -> y: f32[n, m] {{ y[i, j] = if x[j] > 16777215 || z[i] == -100 then 1 else 0 }}
schedule small.tiles {TILES}
op equal(x: i32[m], z: i32[n]) -> y: f32[n, m] {{ y[i, j] = if x[j] == z[i] then 1 else 0 }}
schedule equal.tiles {TILES}
""", "integers.hd")


@pytest.mark.parametrize("n,m", [(1, 1), (5, 3), (130, 129)])
def test_integers_that_f32_would_round(n, m):
    """Copied to all partitions or along them they keep their bits, or are refused; comparisons round where that is no harm."""
    rng = np.random.default_rng(n)
    x, z = rng.integers(-(2**31), 2**31, m).astype(np.int32), rng.integers(-(2**31), 2**31, n).astype(np.int32)
    x[0], z[-1] = 2**24 + 1, -100
    full = {"profiles": ("full",), "tolerance": 1e-12}
    agrees(INTEGERS.row, x, z, exact=np.tile(x, (n, 1)), **full)
    agrees(INTEGERS.column, z, x, exact=np.tile(z[:, None], (1, m)), **full)
    y = rng.integers(-(2**31), 2**31, (2, m, 3)).astype(np.int32)
    agrees(INTEGERS.inner, y, z, exact=np.tile(y[:, None, :, 2], (1, n, 1)), **full)
    agrees(INTEGERS.floats, x, z, exact=wide(x)[None] + wide(z)[:, None], tolerance=3e-7)
    agrees(INTEGERS.small, x, z, exact=(x[None] > 16777215) | (z[:, None] == -100), tolerance=1e-9)
    for op, arrays, profile in [("equal", (x, z), "full"), ("equal", (x, z), "basic"), ("row", (x, z), "basic")]:
        with pytest.raises(hd.Error) as e:
            getattr(INTEGERS, op).compile(*arrays, target="neuron/trn2", profile=profile)
        assert e.value.code == "HD0604"


def test_reads_by_data_that_may_be_outside():
    """`or`: the other value, and no access outside."""
    rng = np.random.default_rng(1)
    for n, k, m in [(1, 1, 3), (5, 7, 9), (130, 70, 129)]:
        x, t = rng.standard_normal((n, k), np.float32), rng.integers(-2, k + 3, m)
        inside, near = (t >= 0) & (t < k), np.clip(t, 0, k - 1)
        agrees(PICKS.columns_or, x, t, exact=np.where(inside, x[:, near], 7), tolerance=1e-6)
        rows = np.ascontiguousarray(x.T)
        before = np.pad(rows[near][:, : n - 1], ((0, 0), (1, 0)), constant_values=7)
        agrees(PICKS.rows_or, rows, t, exact=np.where(inside[:, None], before, 7), tolerance=1e-6)
        agrees(PICKS.one_or, rows, t, exact=np.where(inside, rows[near, 0], 7), tolerance=1e-6)


@pytest.mark.parametrize("k", [4096, 4097, 9000])
def test_an_element_of_a_long_row(k):
    rng = np.random.default_rng(k)
    x, t = rng.standard_normal((130, k), np.float32), rng.integers(0, k, 130)
    t[:3] = [0, k - 1, min(4096, k - 1)]
    agrees(PICKS.element, x, t, exact=x[np.arange(130), t], tolerance=1e-9)
    x[5, :] = np.inf
    x[5, t[5]] = -1
    for profile in ("full", "basic"):
        k_ = PICKS.element.compile(x, t, target="neuron/trn2", profile=profile)
        assert np.array_equal(k_.simulate(x, t), x[np.arange(130), t])
