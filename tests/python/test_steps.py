"""Steps that change how stores and loads run, and nothing that a call can see."""

import numpy as np
import pytest

import heddle as hd

STREAM = """
op axpy<T: any>(x: T[n, m], y: T[n, m]) -> z: T[n, m] { z[i, j] = if i % 2 == 0 then x[i, j] else y[i, j] }
schedule axpy.lanes on cpu {
  vectorize z.j by lanes(T)
  nontemporal z
  parallel z.i
}
schedule axpy.wide on cpu {
  vectorize z.j by 64
  nontemporal z
}
schedule axpy.odd on cpu {
  vectorize z.j by 12
  nontemporal z
}
"""


def rows_at(offset, shape, dtype, pitch=0):
    """An array whose first element lies `offset` elements behind a multiple of 64 bytes, with `pitch` elements between rows."""
    size = np.dtype(dtype).itemsize
    columns = shape[1] + pitch
    raw = np.zeros((shape[0] * columns + offset) * size + 192, np.uint8)
    start = -raw.ctypes.data % 64 + 64 + offset * size
    whole = raw[start:start + shape[0] * columns * size].view(dtype).reshape(shape[0], columns)
    return raw, whole[:, :shape[1]]


@pytest.mark.parametrize("target", [t for t in hd.targets() if t.startswith("cpu/")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int16])
@pytest.mark.parametrize("schedule", ["lanes", "wide", "odd"])
def test_nontemporal_stores_at_every_alignment(target, dtype, schedule, rng):
    text = STREAM.replace("lanes(T)", f"lanes({dict(float32='f32', float64='f64', int8='i8', int16='i16')[np.dtype(dtype).name]})")
    op = hd.parse(text).axpy
    for shape in ((1, 1), (3, 17), (4, 128), (5, 259)):
        x = rng.integers(-100, 100, shape).astype(dtype)
        y = rng.integers(-100, 100, shape).astype(dtype)
        k = op.compile(x, y, schedule=schedule, target=target, threads=2)
        want = np.where(np.arange(shape[0])[:, None] % 2 == 0, x, y)
        for offset in (0, 1, 2, 4, 8, 16, 31):
            for pitch in (0, 3, 16):
                raw, out = rows_at(offset, shape, dtype, pitch)
                k(x, y, out=out)
                np.testing.assert_array_equal(out, want)
                # Nothing beside the rows is touched.
                out[:] = 0
                assert not raw.any()


def test_nontemporal_code_is_what_it_says():
    op = hd.parse("op copy(x: f32[n]) -> y: f32[n] { y[i] = x[i] }\n"
                  "schedule copy.past on cpu { vectorize y.i by lanes(f32)\n nontemporal y }\n"
                  "schedule copy.plain on cpu { vectorize y.i by lanes(f32) }").copy
    past = op.compile(hd.spec("f32", "n"), schedule="past", threads=1)
    plain = op.compile(hd.spec("f32", "n"), schedule="plain", threads=1)
    assert "movnt" in past.asm and "sfence" in past.asm
    assert "movnt" not in plain.asm and "sfence" not in plain.asm
