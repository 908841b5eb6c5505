"""Instructions put together, and loads left out, in NKI text of the profile `full`: random programs of several results against `basic` and the host."""

import ml_dtypes
import numpy as np
import pytest

import heddle as hd
from test_nki_device_loops import answers

bf16 = ml_dtypes.bfloat16


def expression(rng, names, depth):
    """A random expression over elements, whose parts stay within reach of f32."""
    kind = rng.integers(0, 9) if depth else 0
    if kind <= 1:
        return f"widen({rng.choice(names)}[r, i])"
    if kind == 2:
        return f"({expression(rng, names, depth - 1)} * {rng.choice([0.5, 2.0, -1.25, 's'])})"
    if kind == 3:
        return f"({expression(rng, names, depth - 1)} {rng.choice(['+', '-'])} {rng.choice([0.75, 's'])})"
    if kind == 4:
        return f"({rng.choice([1.5, 's'])} - {expression(rng, names, depth - 1)})"
    if kind == 5:
        return f"exp(min({expression(rng, names, depth - 1)} * 0.25, 2.0))"
    if kind == 6:
        return f"{rng.choice(['max', 'min'])}({expression(rng, names, depth - 1)}, {expression(rng, names, depth - 1)})"
    return f"({expression(rng, names, depth - 1)} {rng.choice(['+', '-', '*'])} {expression(rng, names, depth - 1)})"


def program(rng):
    inputs, outputs = ["a", "b", "c"], ["u", "v", "w"]
    lines, known = [], list(inputs)
    for name in outputs:
        lines.append(f"  {name}[r, i] = T({expression(rng, known, 4)})")
        known.append(name)
    text = "op random<T: float>(" + ", ".join(f"{n}: T[n, m]" for n in inputs) + ", s: f32) -> (" + ", ".join(f"{n}: T[n, m]" for n in outputs) + ") {\n" + "\n".join(lines) + "\n}\n"
    text += "schedule random.together on neuron allow contract {\n"
    for name in outputs:
        text += f"  split {name}.r by 64 into ro, ri\n"
    text += "  fuse u.ro, v.ro\n  fuse u.ro, w.ro\n"
    text += "  bind u.ri, v.ri, w.ri to partition\n  bind u.i, v.i, w.i to free\n}\n"
    return text


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed):
    rng = np.random.default_rng(seed)
    text = program(rng)
    op = hd.parse(text).random
    dtype = [np.float32, bf16][seed % 2]
    arrays = [rng.standard_normal((150, 37)).astype(dtype) for _ in range(3)]
    host, simulated, second, full = answers(op, *arrays, s=0.375)
    _, plain, _, basic = answers(op, *arrays, profile="basic", s=0.375)
    assert full.instructions <= basic.instructions
    for h, a, b, c in zip(host, simulated, second, plain):
        h, a, b, c = (np.asarray(x, np.float64) for x in (h, a, b, c))
        tolerance = (2e-5 if dtype == np.float32 else 2e-2) * (1 + np.abs(h).max())
        assert np.abs(a - h).max() < tolerance, text
        assert np.array_equal(a, b), text
        assert np.abs(a - c).max() < tolerance, text


def calls(text, name):
    return sum(f"nisa.{name}(" in line for line in text.splitlines())


def test_a_step_of_adam_reads_each_array_once():
    k = hd.std.optim.adam.compile(*[hd.spec("f32", 128, 2048)] * 4, target="neuron/trn2")
    assert calls(k.nki, "dma_copy") == 7
    assert calls(k.nki, "scalar_tensor_tensor") == 3 and "op1=nl.multiply, operand1=lr" in k.nki and "op=nl.sqrt" in k.nki and "scale=(1.0/correct2)" in k.nki


HAZARDS = hd.parse("""
op kept(x: f32[n, m]) -> (y: f32[n, m], z: f32[n, m]) {
  t[i, j] = x[i, j] * 2.0
  y[i, j] = t[i, j] + x[i, j]
  z[i, j] = t[i, j] * t[i, j]
}
schedule kept.tiles on neuron {
  split y.i by 64 into io, ii
  split z.i by 64 into io, ii
  fuse y.io, z.io
  compute_at t at y.io in sbuf
  bind y.ii, z.ii, t.i to partition
  bind y.j, z.j, t.j to free
}
op twice(inout w: f32[n, m], g: f32[n, m]) -> size: f32[n, m] {
  size[i, j] = w[i, j] * 3.0
  w[i, j] <- w[i, j] * 0.5 - g[i, j]
  w[i, j] <- w[i, j] * 2.0 + g[i, j]
}
schedule twice.tiles on neuron {
  split size.i by 64 into io, ii
  split w.i by 64 into io, ii
  split w_2.i by 64 into io, ii
  fuse size.io, w.io
  fuse size.io, w_2.io
  bind size.ii, w.ii, w_2.ii to partition
  bind size.j, w.j, w_2.j to free
}
""")


def test_what_is_read_again_stays():
    rng = np.random.default_rng(5)
    x, g = rng.standard_normal((150, 33), dtype=np.float32), rng.standard_normal((150, 33), dtype=np.float32)
    for op, arrays in ((HAZARDS.kept, [x]), (HAZARDS.twice, [x, g])):
        host, simulated, second, k = answers(op, *arrays)
        assert "nisa" in k.nki
        for h, a, b in zip(host, simulated, second):
            assert np.array_equal(h, np.asarray(a).reshape(h.shape)) and np.array_equal(h, np.asarray(b).reshape(h.shape))


def test_names_that_are_words_of_python():
    """Parameters, scalars and ops may be called as the text's own words are."""
    m = hd.parse("""op range(from: f32[n, m], nl: f32[m], lambda: f32, nisa: f32) -> class: f32[n, m] {
      pass[i, j] = from[i, j] * nl[j]
      class[i, j] = pass[i, j] * lambda + nisa
    }
    schedule range.rows on neuron {
      split class.i by 128 into io, ii
      compute_at pass at class.io in sbuf
      bind class.ii, pass.i to partition
      bind class.j, pass.j to free
    }""")
    x, y = np.random.default_rng(1).standard_normal((130, 7), np.float32), np.arange(7, dtype=np.float32)
    for profile in ("full", "basic"):
        k = m.range.compile(x, y, target="neuron/trn2", profile=profile)
        compile(k.nki, "kernel.py", "exec")  # Python reads it
        np.testing.assert_allclose(k.simulate(x, y, **{"lambda": 2.0, "nisa": 0.5}), x * y * 2 + np.float32(0.5), rtol=1e-6)
