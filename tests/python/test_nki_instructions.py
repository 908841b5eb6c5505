"""Instructions asked for by `replace`, recurrences, rows picked by data, and `target="auto"` where a device is: against NumPy."""

import ml_dtypes
import numpy as np
import pytest

import heddle as hd
from heddle import device, neuron_kernel
from test_nki_std import agrees, make, softmax, wide  # noqa: F401

TEXT = """
op mm(a: bf16[k, m], b: bf16[k, n]) -> c: bf16[m, n] {
  acc[i, j] = sum[p] widen(a[p, i]) * widen(b[p, j])
  c[i, j] = bf16(acc[i, j])
}
schedule mm.n on neuron allow reassociate, contract {
  split c.i by 128 into io, ii
  split c.j by 512 into jo, ji
  reorder c.io, c.jo, c.ii, c.ji
  compute_at acc at c.jo in psum
  split acc.p by 128 into po, pi
  reorder acc.po, acc.i, acc.j, acc.pi
  cache a in sbuf at c.jo as left
  cache b in sbuf at c.jo as right
  split left.p by 128 into po, pi
  split right.p by 128 into po, pi
  replace acc.i by nc_matmul_bf16
  bind c.ii, left.pi, right.pi to partition
  bind c.ji, left.i, right.j to free
}
op turned(a: bf16[m, k], b: bf16[k, n]) -> c: bf16[m, n] {
  acc[i, j] = sum[p] widen(a[i, p]) * widen(b[p, j])
  c[i, j] = bf16(acc[i, j])
}
schedule turned.dma on neuron allow reassociate, contract {
  split c.i by 128 into io, ii
  split c.j by 512 into jo, ji
  reorder c.io, c.jo, c.ii, c.ji
  compute_at acc at c.jo in psum
  split acc.p by 128 into po, pi
  reorder acc.po, acc.i, acc.j, acc.pi
  cache a in sbuf at acc.po as left
  layout left[i, p] to (p, i)
  replace left.i by dma_transpose_bf16
  bind c.ii, acc.i, acc.pi to partition
  bind c.ji, acc.j to free
}
op softmax(x: f32[rows, cols]) -> y: f32[rows, cols] {
  peak[r]  = max[c] x[r, c]
  total[r] = sum[c] exp(x[r, c] - peak[r])
  y[r, c]  = exp(x[r, c] - peak[r]) / total[r]
}
schedule softmax.fused on neuron allow reassociate {
  split y.r by 128 into ro, ri
  compute_at total, peak at y.ro in sbuf
  cache x in sbuf at y.ro as block
  split total.c by 4096 into co, ci
  reorder total.co, total.r, total.ci
  replace total.r by activation_exp_sum_f32
  bind y.ri, peak.r, block.r to partition
  bind y.c, peak.c, block.c to free
}
op fma(x: f32[r, c], s: f32[r], z: f32[r, c]) -> y: f32[r, c] {
  t[i, j] = x[i, j] * s[i] + z[i, j]
  y[i, j] = t[i, j]
}
schedule fma.one on neuron {
  split y.i by 128 into io, ii
  compute_at t at y.io in sbuf
  cache x in sbuf at y.io as a
  cache s in sbuf at y.io as b
  cache z in sbuf at y.io as d
  replace t.i by scalar_tensor_tensor_f32
  bind y.ii, a.i, b.i, d.i to partition
  bind y.j, a.j, d.j to free
}

op recurrence(a: f32[r, c], b: f32[r, c]) -> y: f32[r, c] {
  scan j { s[i, j] = (s[i, j - 1] or 0.5) * a[i, j] + b[i, j] }
  y[i, j] = s[i, j]
}
schedule recurrence.rows on neuron {
  split y.i by 128 into io, ii
  split s.i by 128 into io, ii
  reorder s.io, s.ii, s.j
  fuse s.io, y.io into o
  store_at s at s.o in sbuf
  bind s.ii, y.ii to partition
  bind y.j to free
}
"""


@pytest.fixture(scope="module")
def m():
    return hd.parse(TEXT, "instructions.hd")


@pytest.mark.parametrize("rows,k,n", [(1, 1, 1), (200, 300, 700), (129, 128, 513)])
def test_products_and_turned_loads(m, rows, k, n):
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((k, rows)).astype(ml_dtypes.bfloat16), rng.standard_normal((k, n)).astype(ml_dtypes.bfloat16)
    exact = wide(a).T @ wide(b)
    agrees(m.mm, a, b, exact=exact, tolerance=1.6e-2)
    kernel = agrees(m.turned, np.ascontiguousarray(a.T), b, exact=exact, tolerance=1.6e-2, profiles=("full",))
    assert "dma_transpose" in kernel.nki and "nc_transpose" not in kernel.nki
    agrees(m.turned, np.ascontiguousarray(a.T), b, exact=exact, tolerance=1.6e-2, profiles=("basic",))
    for target, profile in [("neuron/trn1", "full"), ("neuron/trn2", "basic")]:  # neither has it: the PE array turns
        kernel = m.turned.compile(np.ascontiguousarray(a.T), b, target=target, profile=profile)
        assert "dma_transpose" not in kernel.nki and "nc_transpose" in kernel.nki
        assert np.abs(wide(kernel.simulate(np.ascontiguousarray(a.T), b)) - exact).max() < 1.6e-2 * (1e-3 + np.abs(exact).max())


@pytest.mark.parametrize("shape", [(1, 1), (200, 30), (130, 17)])
def test_two_operations_in_one(m, shape):
    rng = np.random.default_rng(2)
    x, z, s = rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32), rng.standard_normal(shape[0], np.float32)
    agrees(m.softmax, x, exact=softmax(wide(x)), tolerance=3e-5)  # `basic` in its own words
    assert "reduce_cmd=nisa.reduce_cmd.reset_reduce" in m.softmax.compile(x, target="neuron/trn2").nki
    agrees(m.fma, x, s, z, exact=wide(x) * wide(s)[:, None] + wide(z), tolerance=3e-5)
    assert "scalar_tensor_tensor" in m.fma.compile(x, s, z, target="neuron/trn2").nki


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float16])
@pytest.mark.parametrize("shape", [(1, 1), (200, 513), (130, 1025), (5, 512), (129, 2)])
def test_spreads(dtype, shape):
    """Around any number of each row, not its mean alone; of what is far from 0 as well."""
    op = hd.parse("""op spread<T: float>(x: T[r, c], point: f32[r]) -> (y: f32[r], z: f32[r]) {
      total[i] = sum[j] widen(x[i, j])
      away[i]  = sum[j] (widen(x[i, j]) - point[i]) * (widen(x[i, j]) - point[i])
      z[i] = total[i]
      y[i] = away[i]
    }
    schedule spread.rows on neuron allow reassociate {
      split y.i by 128 into io, ii
      split z.i by 128 into io, ii
      compute_at away at y.io in sbuf
      compute_at total at z.io in sbuf
      cache x in sbuf at y.io as block
      cache x in sbuf at z.io as again
      cache point in sbuf at y.io as near
      split away.j by 4096 into jo, ji
      split total.j by 4096 into jo, ji
      reorder away.jo, away.i, away.ji
      reorder total.jo, total.i, total.ji
      replace away.i by bn_spread_TYPE
      replace total.i by activation_sum_TYPE
      bind y.ii, z.ii, block.i, again.i, near.i to partition
      bind block.j, again.j to free
    }""".replace("TYPE", {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[np.dtype(dtype).name])).spread
    rng = np.random.default_rng(shape[1])
    for offset in (0, 100):
        x = (rng.standard_normal(shape) + offset).astype(dtype)
        point = (wide(x).mean(1) + 0.01 * rng.standard_normal(shape[0])).astype(np.float32)
        exact = ((wide(x) - wide(point)[:, None]) ** 2).sum(1), wide(x).sum(1)
        agrees(op, x, point, exact=exact, tolerance=1e-4 if offset else 3e-5)
    text = op.compile(x, point, target="neuron/trn2").nki
    assert "bn_stats" in text and "bn_aggr" in text and "nisa.reduce_cmd.reset_reduce" in text


@pytest.mark.parametrize("shape", [(1, 1), (200, 300), (130, 17), (3, 5, 33), (2, 2, 3, 129), (50,)])
def test_running_sums(make, shape):  # noqa: F811
    x = make(*shape)
    kernel = agrees(hd.std.reduce.cumsum, x, exact=wide(x).cumsum(-1), tolerance=make.tolerance)
    assert "tensor_tensor_scan" not in kernel.nki  # in `basic`, which is compiled last
    assert shape == (1, 1) or "tensor_tensor_scan" in hd.std.reduce.cumsum.compile(x, target="neuron/trn2").nki or len(shape) == 1


@pytest.mark.parametrize("shape", [(1, 1), (200, 30), (130, 17)])
def test_recurrences(m, shape):
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal(shape, np.float32) / 2, rng.standard_normal(shape, np.float32)
    exact, now = np.zeros(shape), np.full(shape[0], 0.5)
    for j in range(shape[1]):
        exact[:, j] = now = now * a[:, j] + b[:, j]
    agrees(m.recurrence, a, b, exact=exact, tolerance=3e-5)


@pytest.mark.parametrize("rows,d,n", [(1, 1, 1), (50, 70, 20), (300, 700, 130)])
def test_rows_picked_by_data(make, rows, d, n):  # noqa: F811
    table, index = make(rows, d), make.rng.integers(0, rows, n)
    agrees(hd.std.data.gather, table, index, exact=wide(table)[index], tolerance=1e-9)


def test_auto_takes_the_device_that_is_there(monkeypatch, caplog):
    """What a device would answer is played by the simulator; an op that cannot run there runs on the host, and the log says why."""
    from heddle import neuron

    monkeypatch.setattr(neuron_kernel, "_lacks", [])
    monkeypatch.setattr(neuron_kernel, "_told", set())
    ran = []

    def run(text, arguments, outputs, target, **_):
        ran.append(target)
        made = neuron.simulate(text, *arguments)[0]
        return made if isinstance(made, tuple) else (made,)

    monkeypatch.setattr(device, "run", run)
    x = np.random.default_rng(1).standard_normal((20, 30), np.float32)
    k = hd.std.nn.softmax.compile(x)
    np.testing.assert_allclose(k(x), softmax(wide(x)), rtol=1e-5)
    assert ran == ["neuron/trn2"] and isinstance(k, hd.module.NeuronKernel)
    text = "op double(x: i32[n]) -> y: i32[n] { y[i] = x[i] + x[i] }"
    with caplog.at_level("INFO", "heddle"):
        k = hd.parse(text).double.compile(np.arange(3, dtype=np.int32), target="auto")
    assert list(k(np.arange(3, dtype=np.int32))) == [0, 2, 4] and len(caplog.records) == 1 and "integer" in caplog.text
