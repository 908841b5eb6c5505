"""Operands with a layout: packed once by `k.pack`, or in each call; both give what NumPy gives."""

import threading

import numpy as np
import pytest

import heddle as hd

TEXT = """
op matmul(a: f32[m, k], b: f32[k, n]) -> c: f32[m, n] {
  acc[i, j] = sum[p] a[i, p] * b[p, j]
  c[i, j] = acc[i, j]
}
schedule matmul.panels on cpu allow contract {
  layout b[p, j] to (j/8, p, j%8) with 0
  split c.j by 8
  reorder c.jo, c.i, c.ji
  compute_at acc at c.i in registers
  reorder acc.p, acc.j
  vectorize acc.j, c.ji
}
schedule matmul.wide on cpu { layout b[p, j] to (j/16, p, j%16) }
schedule matmul.pairs on cpu { layout b[p, j] to (j/16, p/2, j%16, p%2) with 7 }
schedule matmul.turned on cpu { layout b[p, j] to (j, p) }
schedule matmul.both on cpu {
  layout a[i, p] to (i/6, p, i%6)
  layout b[p, j] to (j/8, p, j%8) with 0
}
op scale<T: any>(x: T[n, m], w: T[m]) -> y: T[n, m] { y[i, j] = if i % 2 == 0 then x[i, j] else w[j] }
schedule scale.rows on cpu { layout w[j] to (j%4, j/4) }
op grouped(x: f32[n, (g, c)], w: f32[(g, c), k], const g: int = 3) -> y: f32[n, g, k] { y[i, q, j] = sum[u] x[i, (q, u)] * w[(q, u), j] }
schedule grouped.packed on cpu { layout w[q, u, j] to (q, j/4, u, j%4) with 0 }
"""
SHAPES = [(1, 1, 1), (0, 3, 4), (3, 0, 4), (3, 4, 0), (5, 7, 13), (2, 16, 8), (17, 31, 33), (6, 64, 65)]


@pytest.fixture(scope="module")
def m():
    return hd.parse(TEXT, "pack.hd")


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("schedule", ["panels", "wide", "pairs", "turned", "both"])
def test_packed_once_and_in_each_call(m, schedule, rng):
    k = m.matmul.compile(hd.spec("f32", "m", "k"), hd.spec("f32", "k", "n"), schedule=schedule)
    for rows, inner, cols in SHAPES:
        a = rng.standard_normal((rows, inner)).astype(np.float32)
        b = rng.standard_normal((inner, cols)).astype(np.float32)
        want = a @ b
        p = k.pack(b=b)
        assert p.shape == b.shape
        close(k(a, b), want)
        close(k(a, p), want)
        close(k(a, b=p), want)
        out = np.full((rows, cols), np.nan, np.float32)
        assert k(a, p, out=out) is out
        close(out, want)
        if schedule == "both":
            pa, pb = k.pack(a=a, b=b)
            close(k(pa, pb), want)
            close(k(pa, b), want)
        # The interpreter knows the operand by its indices alone.
        m.matmul.interpret(a, b, schedule=schedule, out=out)
        close(out, want)


@pytest.mark.parametrize("order", [lambda b: b[:, ::-1], lambda b: b[::2, 1::3], lambda b: np.asfortranarray(b), lambda b: b.T])
def test_operands_of_any_strides(m, order, rng):
    k = m.matmul.compile(hd.spec("f32", "m", "k"), hd.spec("f32", "k", "n"), schedule="panels")
    b = order(rng.standard_normal((36, 36)).astype(np.float32))
    a = rng.standard_normal((4, b.shape[0])).astype(np.float32)
    close(k(a, k.pack(b=b)), a @ b)
    close(k(a, b), a @ b)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "float16", "int64", "float64", "bool"])
def test_every_width_of_element(m, dtype, rng):
    x = rng.integers(0, 2 if dtype == "bool" else 100, (3, 11)).astype(dtype)
    w = rng.integers(0, 2 if dtype == "bool" else 100, 11).astype(dtype)
    k = m.scale.compile(x, w, schedule="rows")
    want = np.where(np.arange(3)[:, None] % 2 == 0, x, w)
    np.testing.assert_array_equal(k(x, k.pack(w=w)), want)
    np.testing.assert_array_equal(k(x, w), want)


def test_what_the_padding_holds_does_not_count(m):
    k = m.matmul.compile(hd.spec("f32", "m", "k"), hd.spec("f32", "k", "n"), schedule="pairs")
    a = np.full((3, 5), np.inf, np.float32)
    b = np.ones((5, 3), np.float32)
    np.testing.assert_array_equal(k(a, k.pack(b=b)), np.full((3, 3), np.inf, np.float32))


def test_composite_axes(m, rng):
    x = rng.standard_normal((4, 15)).astype(np.float32)
    w = rng.standard_normal((15, 6)).astype(np.float32)
    k = m.grouped.compile(x, w, schedule="packed")
    want = np.einsum("iqu,quj->iqj", x.reshape(4, 3, 5), w.reshape(3, 5, 6))
    close(k(x, k.pack(w=w)), want)
    close(k(x, w), want)


def test_a_pack_serves_kernels_with_its_layout(m, rng):
    a, b = rng.standard_normal((3, 8)).astype(np.float32), rng.standard_normal((8, 20)).astype(np.float32)
    spec = hd.spec("f32", "m", "k"), hd.spec("f32", "k", "n")
    panels, both, wide = (m.matmul.compile(*spec, schedule=s) for s in ("panels", "both", "wide"))
    plain = m.matmul.compile(*spec, schedule="")
    p = panels.pack(b=b)
    close(both(a, p), a @ b)
    for k, code, words in ((wide, "HD0515", "i1/8"), (plain, "HD0515", "as it is")):
        with pytest.raises(hd.Error) as e:
            k(a, p)
        assert e.value.code == code and words in str(e.value)


def test_what_is_refused(m, rng):
    a, b = np.zeros((3, 8), np.float32), np.zeros((8, 20), np.float32)
    k = m.matmul.compile(a, b, schedule="panels")
    p = k.pack(b=b)
    cases = [
        (lambda: k.pack(a=a), "HD0515", "no layout"),
        (lambda: k.pack(q=b), "HD0515", "no parameter `q`"),
        (lambda: k.pack(b=b.astype(np.float64)), "HD0502", "f64"),
        (lambda: k.pack(b=b[0]), "HD0501", "1 axis"),
        (lambda: k(np.zeros((3, 9), np.float32), p), "HD0503", "axis 0 of the argument `b`"),
        (lambda: k(p, b), "HD0515", "as it is"),
        (lambda: k(a, b, out=p), "HD0515", "as it is"),
    ]
    for call, code, words in cases:
        with pytest.raises(hd.Error) as e:
            call()
        assert (e.value.code, words in str(e.value)) == (code, True), str(e.value)
    for call in (lambda: k.pack(b), lambda: k.pack()):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(hd.Error):
        m.matmul.compile(a, b, schedule="both").pack(b="no array")


def test_a_pack_outlives_its_kernel_and_its_array(m, rng):
    a, b = rng.standard_normal((3, 40)).astype(np.float32), rng.standard_normal((40, 50)).astype(np.float32)
    want = a @ b
    p = m.matmul.compile(a, b, schedule="panels").pack(b=b)
    b[:] = np.nan
    close(m.matmul.compile(a, b, schedule="panels")(a, p), want)


def test_threads_share_a_pack(m, rng):
    a, b = rng.standard_normal((64, 200)).astype(np.float32), rng.standard_normal((200, 300)).astype(np.float32)
    k = m.matmul.compile(a, b, schedule="panels")
    p, want, seen = k.pack(b=b), a @ b, []
    workers = [threading.Thread(target=lambda: seen.append(k(a, p)) or seen.append(k(a, b))) for _ in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert len(seen) == 8
    for c in seen:
        close(c, want)


def test_printed_program_packs_too(m, rng):
    a, b = rng.standard_normal((3, 8)).astype(np.float32), rng.standard_normal((8, 20)).astype(np.float32)
    k = m.matmul.compile(a, b, schedule="pairs")
    again = hd.parse(k.program).program("matmul.pairs")
    assert again.text == k.program
    k2 = again.compile()
    close(k2(a, k.pack(b=b)), a @ b)
    close(k2(a, b), a @ b)
