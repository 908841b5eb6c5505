"""examples/ops.hd: each op with each of its schedules, compiled and interpreted, against NumPy."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from test_language import everywhere
from test_scan import sigmoid

import heddle as hd

M = hd.load(Path(__file__).resolve().parents[2] / "examples/ops.hd")


def f32(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (3, 5, 7), (0, 2, 3), (4, 0, 5), (17, 33, 9)])
def test_matmul(m, k, n):
    rng = np.random.default_rng(m + k + n)
    a, b = f32(rng, m, k), f32(rng, k, n)
    everywhere(M.matmul, a, b, out=np.zeros((m, n), np.float32), expected=a.astype(np.float64) @ b.astype(np.float64))
    a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((m, k), (k, n)))
    everywhere(M.matmul, a, b, out=np.zeros((m, n), np.int8), expected=(a.astype(np.int64) @ b.astype(np.int64)).astype(np.int8))


@pytest.mark.parametrize(("g", "s", "p", "dil"), [(1, 1, 0, 1), (2, 1, 1, 1), (3, 2, 2, 1), (1, 2, 1, 2)])
def test_conv2d(g, s, p, dil):
    rng = np.random.default_rng(g)
    n, cg, fg, h, w, kh, kw = 2, 2, 3, 7, 6, 3, 2
    x, k = f32(rng, n, g * cg, h, w), f32(rng, g * fg, cg, kh, kw)
    oh, ow = (h + 2 * p - dil * (kh - 1) - 1) // s + 1, (w + 2 * p - dil * (kw - 1) - 1) // s + 1
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (p, p), (p, p)))
    want = np.zeros((n, g * fg, oh, ow))
    for f in range(g * fg):
        part = padded[:, f // fg * cg : (f // fg + 1) * cg]
        for i in range(oh):
            for j in range(ow):
                window = part[:, :, i * s : i * s + dil * (kh - 1) + 1 : dil, j * s : j * s + dil * (kw - 1) + 1 : dil]
                want[:, f, i, j] = (window * k[f].astype(np.float64)).sum(axis=(1, 2, 3))
    everywhere(M.conv2d, x, k, g=g, s=s, p=p, dil=dil, out=np.zeros(want.shape, np.float32), expected=want)


@pytest.mark.parametrize(("n", "t", "d"), [(1, 1, 1), (3, 5, 4), (5, 3, 8), (2, 64, 3), (65, 65, 5), (3, 131, 16), (4, 0, 2), (0, 7, 3)])
def test_attention(n, t, d):
    rng = np.random.default_rng(n * 1000 + t)
    nb, hk, g = 1 + n % 2, 2, 1 + t % 3
    q, k, v = f32(rng, nb, hk * g, n, d), f32(rng, nb, hk, t, d), f32(rng, nb, hk, t, d)
    want = np.zeros((nb, hk * g, n, d))
    for b in range(nb):
        for h in range(hk * g):
            z = q[b, h].astype(np.float64) @ k[b, h // g].astype(np.float64).T * np.float64(np.float32(0.3))
            for i in range(n):
                last = i + t - n + 1
                if last <= 0:
                    continue
                e = np.exp(z[i, :last] - z[i, :last].max())
                want[b, h, i] = e / e.sum() @ v[b, h // g, :last].astype(np.float64)
    everywhere(M.attention, q, k, v, 0.3, out=np.zeros((nb, hk * g, n, d), np.float32), expected=want)


@pytest.mark.parametrize("keys", [16, 32, 128])
def test_attention_in_blocks_of_other_sizes(keys):
    rng = np.random.default_rng(keys)
    q, k, v = f32(rng, 1, 2, 40, 24), f32(rng, 1, 1, 77, 24), f32(rng, 1, 1, 77, 24)
    kernel = M.attention.compile(q, k, v, 0.3, schedule="blocked", tune={"keys": keys})
    np.testing.assert_allclose(kernel(q, k, v, 0.3), M.attention(q, k, v, 0.3, schedule=""), rtol=2e-5, atol=2e-6)


def test_blocked_attention_says_what_it_relies_on():
    q = hd.spec("f32", "nb", "nh", "n", "d")
    states = M.attention.schedule("blocked").states(q, q, q, 0.3)
    said = " ".join(c for s in states for c in s.certificate)
    assert "by its form `of`" in said and "leave `reassociate`" in said
    assert "reduce blk.o[" in states[-1].program and "exp(" in states[-1].program


@pytest.mark.parametrize("shape", [(3, 7), (1, 1), (2, 3, 33), (5,), (0, 4)])
def test_layernorm(shape):
    rng = np.random.default_rng(len(shape))
    x, gain, bias = f32(rng, *shape), f32(rng, shape[-1]), f32(rng, shape[-1])
    wide = x.astype(np.float64)
    want = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5) * gain + bias
    everywhere(M.layernorm, x, gain, bias, out=np.zeros(shape, np.float32), expected=want)


@pytest.mark.parametrize("shape", [(3, 7), (1, 1), (0, 4), (5, 0), (2, 65)])
def test_cumsum(shape):
    x = f32(np.random.default_rng(1), *shape)
    everywhere(M.cumsum, x, out=np.zeros(shape, np.float32), expected=np.cumsum(x.astype(np.float64), axis=1))


def test_lstm():
    rng = np.random.default_rng(5)
    ns, nb, ni, nu = 6, 3, 4, 5
    args = [f32(rng, *s) for s in ((ns, nb, ni), (ni, 4 * nu), (nu, 4 * nu), (4 * nu,), (nb, nu), (nb, nu))]
    x, wx, wh, bias, h, c = (a.astype(np.float64) for a in args)
    hs, cs = np.zeros((ns, nb, nu)), np.zeros((ns, nb, nu))
    for t in range(ns):
        z = (x[t] @ wx + h @ wh + bias).reshape(nb, 4, nu)
        cs[t] = c = sigmoid(z[:, 1]) * c + sigmoid(z[:, 0]) * np.tanh(z[:, 2])
        hs[t] = h = sigmoid(z[:, 3]) * np.tanh(c)
    everywhere(M.lstm, *args, out=(np.zeros(hs.shape, np.float32), np.zeros(hs.shape, np.float32)), expected=(hs, cs))


def test_tables():
    rng = np.random.default_rng(6)
    table, ids = f32(rng, 9, 5), np.array([3, 0, 8, 3, 3], np.int64)
    everywhere(M.embed, table, ids, out=np.zeros((5, 5), np.float32), expected=table[ids])
    dy, want = f32(rng, 5, 4), np.zeros((9, 4))
    np.add.at(want, ids, dy.astype(np.float64))
    everywhere(M.embed_grad, dy, ids, vocab=9, out=np.zeros((9, 4), np.float32), expected=want)
    with pytest.raises(hd.Error, match="is inside"):
        M.embed(table, np.array([9], np.int64))


def test_ragged_and_sparse():
    rng = np.random.default_rng(7)
    x, length = f32(rng, 4, 9), np.array([0, 9, 3, 1], np.int64)
    want = np.array([x[r, :n].astype(np.float64).mean() if n else 0 for r, n in enumerate(length)])
    everywhere(M.ragged_mean, x, length, out=np.zeros(4, np.float32), expected=want)
    off = np.array([0, 2, 2, 5], np.int64)
    val, col, v = f32(rng, 5), np.array([1, 3, 0, 2, 3], np.int64), f32(rng, 4)
    want = np.array([(val[a:b].astype(np.float64) * v[col[a:b]]).sum() for a, b in zip(off, off[1:])])
    everywhere(M.spmv, val, col, off, v, out=np.zeros(3, np.float32), expected=want)
    for bad in ([0, 2, 2, 6], [0, -1, 2, 5]):
        with pytest.raises(hd.Error):
            M.spmv(val, col, np.array(bad, np.int64), v)


@pytest.mark.parametrize(("m", "n"), [(0, 0), (3, 0), (0, 2), (3, 5)])
def test_concat(m, n):
    rng = np.random.default_rng(8)
    for dtype in (np.float32, np.int16, np.bool_, ml_dtypes.bfloat16):
        a, b = (rng.integers(0, 2, (s, 3)).astype(dtype) for s in (m, n))
        everywhere(M.concat0, a, b, out=np.zeros((m + n, 3), dtype), expected=np.concatenate([a, b]))


def test_quantised_matmul():
    rng = np.random.default_rng(9)
    a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((5, 33), (33, 7)))
    sb, bias = np.float32(2.0) ** rng.integers(-6, -2, 7).astype(np.float32), f32(rng, 7)
    acc = (a.astype(np.int64) @ b.astype(np.int64)).astype(np.float32)
    r = (acc * (np.float32(0.125) * sb) + bias) / np.float32(4) + np.float32(3)
    want = np.clip(np.rint(r), -128, 127).astype(np.int8)
    out = everywhere(M.qmatmul, a, b, 0.125, sb, bias, 4.0, 3, out=np.zeros((5, 7), np.int8), expected=want)
    assert out.min() == -128 or out.max() == 127


def test_cache_append():
    rng = np.random.default_rng(10)
    cache, k, pos = f32(rng, 2, 3, 9, 4), f32(rng, 2, 3, 2, 4), np.array([7, 0], np.int64)
    want = cache.copy()
    for b in range(2):
        want[b, :, pos[b] : pos[b] + 2] = k[b]
    for schedule in ["", *M.cache_append.schedules]:
        got = cache.copy()
        M.cache_append(got, k, pos, schedule=schedule)
        np.testing.assert_array_equal(got, want)
    with pytest.raises(hd.Error, match="is inside"):
        M.cache_append(cache.copy(), k, np.array([8, 0], np.int64))
