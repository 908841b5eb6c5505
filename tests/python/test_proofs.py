"""The three programs that the tree was proved on, run by the interpreter against NumPy: ragged sizes, random orders."""

import pathlib

import ml_dtypes
import numpy as np
import pytest

import heddle as hd

CASES = pathlib.Path(__file__).parent.parent / "golden" / "cases" / "proofs"
BF16 = ml_dtypes.bfloat16


def program(case, name):
    text = (CASES / f"{case}.hd").read_text().split("\n----\n")[0]
    return hd.parse(text, case).program(name)


@pytest.mark.parametrize("m,k,n", [(16, 64, 16), (17, 65, 33), (1, 1, 1), (33, 130, 15), (5, 0, 3)])
def test_amx_matmul(rng, m, k, n):
    a, b = rng.standard_normal((m, k)).astype(BF16), rng.standard_normal((k, n)).astype(BF16)
    c = np.empty((m, n), np.float32)
    program("amx_matmul", "matmul.amx").interpret([a, b, c], seed=int(rng.integers(1000)))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert (np.abs(c - exact) <= (k + 2) * 2.0**-24 * (np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64)))).all()


@pytest.mark.parametrize("m,k,n", [(128, 128, 64), (130, 129, 5), (3, 257, 513), (1, 1, 1)])
def test_neuron_matmul(rng, m, k, n):
    lhs_t, rhs = rng.standard_normal((k, m)).astype(BF16), rng.standard_normal((k, n)).astype(BF16)
    c = np.empty((m, n), BF16)
    program("neuron_matmul", "matmul.neuron").interpret([lhs_t, rhs, c])
    exact = lhs_t.astype(np.float64).T @ rhs.astype(np.float64)
    bound = np.abs(exact) * 2.0**-8 + (k + 2) * 2.0**-24 * (np.abs(lhs_t.astype(np.float64)).T @ np.abs(rhs.astype(np.float64)))
    assert (np.abs(c.astype(np.float64) - exact) <= bound).all()


@pytest.mark.parametrize("n,t,d", [(4, 4, 8), (5, 7, 3), (1, 9, 1), (6, 6, 2)])
def test_blocked_attention(rng, n, t, d):
    q, k, v = (rng.standard_normal(s, dtype=np.float32) for s in ((n, d), (t, d), (t, d)))
    y = np.empty((n, d), np.float32)
    scale = np.float32(1 / np.sqrt(d))
    program("blocked_attention", "attention.blocked").interpret([q, k, v, y], [float(scale)])
    z = q.astype(np.float64) @ k.astype(np.float64).T * scale
    z = np.where(np.arange(t)[None, :] <= np.arange(n)[:, None] + t - n, z, -np.inf)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    np.testing.assert_allclose(y, (p / p.sum(axis=1, keepdims=True)) @ v, rtol=1e-5, atol=1e-5)
