"""Activations, norms and losses of the standard library: every schedule on every target, over odd shapes and types."""

import math

import ml_dtypes
import numpy as np
import pytest
from std_checks import agrees, every_schedule

import heddle as hd

nn = hd.std.nn
SHAPES = [(1,), (5,), (0, 4), (1, 1), (3, 17), (13, 64), (2, 3, 33), (5, 129), (9, 1000), (1, 2, 3, 4)]
BF16 = ml_dtypes.bfloat16


def normal(rng, *shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ELEMENTWISE = {
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(math.erf, otypes=[np.float64])(x * 0.5**0.5)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x**3))),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, BF16, np.float16])
def test_elementwise(rng, name, shape, dtype):
    x = (normal(rng, *shape) * 3).astype(dtype)
    exact = ELEMENTWISE[name](x.astype(np.float64)) if dtype in (np.float32, np.float64) else None
    if dtype == np.float32 and name in ("gelu", "gelu_tanh"):
        exact = None  # its constants are rounded to f32
    agrees(getattr(nn, name), x, exact=exact)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_special(name):
    x = np.array([[np.inf, np.nan, 0.0, -0.0, 1e30, -1e30, 1e-40]], np.float32)
    with np.errstate(all="ignore"):
        exact = ELEMENTWISE[name](x.astype(np.float64))

    def check(out):
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(out, np.where(np.isnan(exact) & ~np.isnan(x), 0, exact).astype(np.float32), rtol=1e-5, atol=1e-38)

    every_schedule(getattr(nn, name), x, check=check)


def test_elementwise_longer_than_a_block(rng):
    x = normal(rng, 16384 * 2 + 5)
    for name, exact in ELEMENTWISE.items():
        np.testing.assert_allclose(getattr(nn, name)(x), exact(x.astype(np.float64)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, BF16])
def test_swiglu(rng, shape, dtype):
    a, b = normal(rng, *shape, dtype=dtype), normal(rng, *shape, dtype=dtype)
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    agrees(nn.swiglu, a, b, exact=a64 * sigmoid(a64) * b64 if dtype != BF16 else None)


@pytest.mark.parametrize("shape", [s for s in SHAPES if 0 not in s])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, BF16])
def test_softmax(rng, shape, dtype):
    x = (normal(rng, *shape) * 5).astype(dtype)
    x64 = x.astype(np.float64)
    agrees(nn.softmax, x, exact=softmax(x64) if dtype != BF16 else None)
    agrees(nn.log_softmax, x, exact=np.log(softmax(x64)) if dtype != BF16 else None)


def test_softmax_of_nothing():
    for op in (nn.softmax, nn.log_softmax):
        for shape in ((0, 4), (4, 0)):
            every_schedule(op, np.empty(shape, np.float32), check=lambda out: out.shape == shape)


def test_softmax_special():
    x = np.array([[1e30, -1e30, 0], [np.nan, 0, 1], [-np.inf, 0, 0], [88, -104, -87.5]], np.float32)

    def check(out):
        np.testing.assert_array_equal(out[0], [1, 0, 0])
        assert np.isnan(out[1]).all()
        np.testing.assert_array_equal(out[2], [0, 0.5, 0.5])
        assert np.isfinite(out[3]).all() and out[3, 0] == 1

    every_schedule(nn.softmax, x, check=check)

    def check_log(out):
        np.testing.assert_array_equal(out[0], np.float32([0, -2e30, -1e30]))
        assert np.isnan(out[1]).all() and out[2, 0] == -np.inf

    every_schedule(nn.log_softmax, x, check=check_log)


@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (13, 64), (2, 3, 33), (5, 1000), (0, 4), (9,)])
@pytest.mark.parametrize("dtype", [np.float32, BF16])
def test_norms(rng, shape, dtype):
    x, w, b = normal(rng, *shape, dtype=dtype), normal(rng, shape[-1], dtype=dtype), normal(rng, shape[-1], dtype=dtype)
    x64, w64, b64 = (v.astype(np.float64) for v in (x, w, b))
    eps = np.float64(np.float32(1e-3))
    d = x64 - x64.mean(axis=-1, keepdims=True)
    layer = d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + eps) * w64 + b64
    root = x64 / np.sqrt((x64 * x64).mean(axis=-1, keepdims=True) + eps) * w64
    agrees(nn.layernorm, x, w, b, eps=1e-3, exact=layer if dtype != BF16 else None)
    agrees(nn.rmsnorm, x, w, eps=1e-3, exact=root if dtype != BF16 else None)


@pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 3)])
@pytest.mark.parametrize("n,half", [(1, 1), (5, 8), (7, 17), (0, 4)])
def test_rope(rng, lead, n, half):
    x, angle = normal(rng, *lead, n, 2 * half), normal(rng, n, half)
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = x[..., :half].astype(np.float64), x[..., half:].astype(np.float64)
    agrees(nn.rope, x, cos, sin, exact=np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1))


@pytest.mark.parametrize("rows,classes", [(1, 1), (3, 17), (8, 100), (5, 1000)])
def test_cross_entropy(rng, rows, classes):
    x, target = normal(rng, rows, classes) * 4, rng.integers(0, classes, rows)
    exact = -np.log(softmax(x.astype(np.float64)))[np.arange(rows), target].mean()
    agrees(nn.cross_entropy, x, target, exact=exact)


def test_cross_entropy_checks_its_target(rng):
    for bad in (-1, 7):
        with pytest.raises(hd.Error):
            nn.cross_entropy(normal(rng, 3, 7), np.array([0, bad, 2]))


# batches, key heads, query heads of each, queries, keys, head size, value size
HEADS = [(1, 1, 1, 1, 1, 1, 1), (2, 2, 1, 3, 5, 4, 7), (1, 2, 3, 17, 33, 16, 16), (1, 1, 2, 70, 70, 64, 64), (2, 1, 1, 9, 100, 8, 65),
         (1, 1, 1, 10, 4, 8, 8), (1, 2, 1, 0, 3, 4, 4)]


@pytest.mark.parametrize("b,hk,g,n,t,d,dv", HEADS)
@pytest.mark.parametrize("causal", [False, True])
def test_attention(rng, b, hk, g, n, t, d, dv, causal):
    q, k, v = normal(rng, b, hk * g, n, d), normal(rng, b, hk, t, d), normal(rng, b, hk, t, dv)
    keys, values = (np.repeat(x.astype(np.float64), g, axis=1) for x in (k, v))
    z = q.astype(np.float64) @ keys.swapaxes(-1, -2) * np.float64(np.float32(d**-0.5))
    seen = np.arange(t) <= np.arange(n)[:, None] + t - n if causal else np.ones((n, t), bool)
    z = np.where(seen, z, -np.inf)
    e = np.exp(z - np.where(seen.any(axis=-1, keepdims=True), z.max(axis=-1, keepdims=True), 0))
    total = e.sum(axis=-1, keepdims=True)
    exact = e / np.where(total == 0, 1, total) @ values
    agrees(nn.attention_causal if causal else nn.attention, q, k, v, d**-0.5, exact=exact)


@pytest.mark.parametrize("hk,g,n,t,d", [(2, 1, 20, 20, 16), (1, 2, 67, 35, 40), (1, 1, 1, 3, 7), (1, 1, 9, 100, 65)])
@pytest.mark.parametrize("op", [nn.attention, nn.attention_causal])
def test_attention_of_bf16(rng, op, hk, g, n, t, d):
    q, k, v = normal(rng, 1, hk * g, n, d, dtype=BF16), normal(rng, 1, hk, t, d, dtype=BF16), normal(rng, 1, hk, t, d, dtype=BF16)
    agrees(op, q, k, v, 0.25)
