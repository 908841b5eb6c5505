"""How vectors are read and converted: halves by the machine's own conversions, and every other element by two vectors."""

import numpy as np
import pytest

import heddle as hd

HALVES = """
op widened(x: f16[n]) -> y: f32[n] { y[i] = f32(x[i]) }
op narrowed(x: f32[n]) -> y: f16[n] { y[i] = f16(x[i]) }
op from_f64(x: f64[n]) -> y: f16[n] { y[i] = f16(x[i]) }
op copied(x: f16[n]) -> y: f16[n] { y[i] = x[i] }
op halved(x: f16[n]) -> y: f16[n] { y[i] = x[i] * f16(0.5) }
schedule widened.lanes on cpu { vectorize y.i by lanes(f32) }
schedule narrowed.lanes on cpu { vectorize y.i by lanes(f32) }
schedule from_f64.lanes on cpu { vectorize y.i by lanes(f32) }
schedule copied.lanes on cpu { vectorize y.i by lanes(f32) }
schedule halved.lanes on cpu { vectorize y.i by lanes(f32) }
"""


def one_nan(bits):
    """Of what is not a number only the sign counts."""
    return np.where((bits & 0x7FFF) > 0x7C00, (bits & 0x8000) | 0x7E00, bits)


@pytest.mark.parametrize("target", [t for t in hd.targets() if t.startswith("cpu")])
@pytest.mark.parametrize("schedule", ["lanes", ""])
def test_halves_that_were_f64_are_rounded_twice(target, schedule):
    op = hd.parse("op turned(x: f16[n]) -> y: f16[n] { y[i] = cos(x[i]) }\nschedule turned.lanes on cpu { vectorize y.i by 8 }").turned
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    want = np.empty_like(every)
    op.interpret(every, out=want)
    got = op.compile(every, schedule=schedule, target=target)(every)
    assert np.array_equal(one_nan(got.view(np.uint16)), one_nan(want.view(np.uint16)))


@pytest.mark.parametrize("target", [t for t in hd.targets() if t.startswith("cpu")])
@pytest.mark.parametrize("schedule", ["lanes", ""])
def test_halves(rng, target, schedule):
    m = hd.parse(HALVES)

    def run(name, x):
        return getattr(m, name).compile(x, schedule=schedule, target=target)(x)

    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    wide = every.astype(np.float32)
    bits = wide.view(np.uint32)
    assert np.array_equal(run("widened", every).view(np.uint32), np.where(np.isnan(every), bits & 0x80000000 | 0x7FC00000, bits))
    assert np.array_equal(run("copied", every).view(np.uint16), one_nan(every.view(np.uint16)))
    edges = np.float32([65504, 65519.99, 65520, -65520, np.inf, -np.inf, np.nan, 2**-24, 2**-25, 2**-25 * 1.0001, 1e-45])
    finite = wide[np.isfinite(wide)]
    x = np.concatenate([rng.integers(0, 2**32, 100003, dtype=np.uint32).view(np.float32), wide, edges, np.nextafter(finite, np.float32(9e9))])
    with np.errstate(all="ignore"):
        assert np.array_equal(run("narrowed", x).view(np.uint16), one_nan(x.astype(np.float16).view(np.uint16)))
        near = x.astype(np.float64) * (1 + 1e-9)  # another rounding in between would be seen
        assert np.array_equal(run("from_f64", near).view(np.uint16), one_nan(near.astype(np.float16).view(np.uint16)))
        assert np.array_equal(run("halved", every).view(np.uint16), one_nan((every * np.float16(0.5)).view(np.uint16)))


@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("step", [2, 3])
def test_every_other_element(rng, dtype, step):
    """The last lane's element may be the last of the array: nothing is read past it."""
    name = {np.int8: "i8", np.float16: "f16", np.float32: "f32", np.float64: "f64"}[dtype]
    m = hd.parse(f"op every(x: {name}[n]) -> y: {name}[k] {{\n  let k = (n - 1)/{step} + 1\n  y[i in 0 .. k] = x[{step}*i]\n}}\n"
                 f"schedule every.lanes on cpu {{ vectorize y.i by lanes({name}) }}")
    for n in (1, 2, 3, 31, 32, 33, 63, 64, 127, 128, 129, 1000):
        x = (rng.standard_normal(n) * 50).astype(dtype)
        assert np.array_equal(m.every(x, schedule="lanes"), x[::step])
        assert np.array_equal(m.every(x[::-1], schedule="lanes"), x[::-1][::step])


def test_sums_in_lanes_of_their_layout(rng):
    """They begin as vectors of zeros, as they lie, not cell by cell along their last dim."""
    m = hd.parse("""
op product(a: f32[m, k], b: f32[k, n]) -> c: f32[m, n] {
  acc[j in 0 .. n, i in 0 .. m] = sum[p] a[i, p] * b[p, j]
  c[i, j] = acc[j, i]
}
schedule product.lanes on cpu allow reassociate, contract {
  split c.j by 4*lanes(f32) into jo, ji
  split c.i by 3 into io, ii
  reorder c.io, c.jo, c.ii, c.ji
  compute_at acc at c.jo in registers
  layout acc[j, i] to (i, j)
  reorder acc.p, acc.i, acc.j
  vectorize acc.j, c.ji by lanes(f32)
  unroll acc.i, acc.jo, c.ii, c.jio
}
""").product
    for sizes in ((1, 1, 1), (3, 0, 5), (7, 9, 65), (6, 17, 128), (13, 5, 63)):
        a, b = rng.standard_normal(sizes[:2], dtype=np.float32), rng.standard_normal(sizes[1:], dtype=np.float32)
        assert np.allclose(m(a, b, schedule="lanes"), a.astype(np.float64) @ b, rtol=1e-4, atol=1e-5)
    text = m.compile(a, b, schedule="lanes").llvm
    assert "masked.scatter" not in text


AHEAD = """
op product(a: f32[k, m], b: f32[k, n]) -> c: f32[m, n] {
  acc[i, j] = sum[p] a[p, i] * b[p, j]
  c[i, j] = acc[i, j]
}
schedule product.tiles on cpu/avx512 allow contract {
  split c.i by 6 into io, ii
  split c.j by 64 into jo, ji
  reorder c.io, c.jo, c.ii, c.ji
  compute_at acc at c.jo in registers
  reorder acc.p, acc.i, acc.j
  prefetch a at acc.p by 8
  vectorize acc.j, c.ji by 16
  unroll acc.i, acc.jo, c.ii, c.jio
}
"""


@pytest.mark.skipif("cpu/avx512" not in hd.targets(), reason="this machine has no AVX-512")
def test_what_is_asked_for_ahead_leaves_registers_to_the_sums(rng):
    """Two requests for six neighbours, after the loads of the block: 24 sums stay in registers, none is copied or spilled."""
    a, b = rng.standard_normal((37, 13), dtype=np.float32), rng.standard_normal((37, 130), dtype=np.float32)
    kernel = hd.parse(AHEAD).product.compile(hd.spec("f32", None, None), hd.spec("f32", None, None), target="cpu/avx512")
    blocks = kernel.asm.split("\n.LBB")
    hot = next(block for block in blocks if block.count("vfmadd") == 24 and "prefetch" in block)
    assert hot.count("prefetcht0") == 2 and "vmovaps" not in hot and "%rsp), %zmm" not in hot
    np.testing.assert_allclose(kernel(a, b), a.T @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif("cpu/avx512" not in hd.targets(), reason="this machine has no AVX-512")
@pytest.mark.parametrize("name, schedule", [("matmul_nt", "blocked"), ("matmul_nt", "blocked_80"), ("matmul_tt", "blocked_64"), ("matmul_tt", "turned"), ("linear", "blocked")])
def test_panels_of_rows_are_turned_in_registers(name, schedule):
    """Squares of 16 by 64 exchanges; lanes that each read an element of a line of their own are left to edges."""
    matrix, vector = hd.spec("f32", None, None), hd.spec("f32", None)
    operands = (matrix, matrix, vector) if name == "linear" else (matrix, matrix)
    kernel = getattr(hd.std.linalg, name).compile(*operands, target="cpu/avx512", schedule=schedule)
    assert kernel.llvm.count("shufflevector <16 x float>") >= 64
