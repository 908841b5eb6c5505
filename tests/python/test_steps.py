"""Steps that change how stores and loads run, and nothing that a call can see."""

import subprocess
import time

import numpy as np
import pytest

import heddle as hd
from reducer_texts import MOMENTS

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
    op = hd.parse(STREAM).axpy
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


def test_the_memory_plan_is_printed(tmp_path):
    text = ("op chain(x: f32[n, m]) -> y: f32[n, m] {\n  a[i, j] = x[i, j] + 1\n  b[i, j] = 2 * a[i, j]\n  c[i, j] = b[i, j] - 3\n"
            "  t[i] = sum[j] c[i, j]\n  y[i, j] = c[i, j] / t[i]\n}\n"
            "schedule chain.rows on cpu { compute_at t at y.i\n parallel y.i }\n")
    k = hd.parse(text).chain.compile(hd.spec("f32", "n", "m"), schedule="rows")
    lines = k.memory.splitlines()
    assert lines[0].startswith("arena of each thread: ") and lines[0].endswith(" bytes")
    row = {line.split()[0]: line for line in lines[1:]}
    assert set(row) == {"a", "b", "c", "t"}
    # `a` is dead when `c` begins, and hands its bytes on.
    assert "dram at byte 0," in row["a"] and "dram at byte 0," in row["c"] and "at byte 0," not in row["b"]
    assert "a.i to b.i" in row["a"] and "c.i to y.i" in row["c"]
    assert "registers, 4 bytes" in row["t"] and "in y.i, " in row["t"]
    path = tmp_path / "chain.hd"
    path.write_text(text)
    printed = subprocess.run(["heddle", "emit", str(path), "--op", "chain", "--schedule", "rows", "--as", "memory"],
                             capture_output=True, text=True, check=True).stdout
    assert printed == k.memory


@pytest.mark.parametrize("r, c", [(0, 3), (1, 1), (5, 7), (9, 2)])
def test_copies_of_states(r, c, rng):
    m = hd.parse("""
reducer mixed(top: f32, o: f32[d], n: i32) commutes {
  identity { top = -inf; o[e] = 0; n = 0 }
  combine(a, b) { top = max(a.top, b.top); o[e] = a.o[e] + b.o[e]; n = a.n + b.n }
}
op f(x: f32[r, c], w: f32[c, 3]) -> y: f32[r, c] {
  st[i] = mixed[j] (top = x[i, j], o[e] = x[i, j] * w[j, e], n = 1)
  y[i, j] = st[i].top + st[i].o[0] * st[i].o[2] * x[i, j]
}
schedule f.blocks on cpu { split y.i by 4; cache st in l1 at y.io as s }
schedule f.lanes on cpu { split y.i by 4; reorder y.io, y.j, y.ii; cache st in registers at y.j; vectorize y.ii }
schedule f.threads on cpu { split y.i by 4; reorder y.io, y.j, y.ii; cache st in l1 at y.io; vectorize y.ii, st_tile.top.i; parallel y.io }
schedule f.back on cpu { split st.i by 4; cache st in l1 at st.io as s; parallel st.io }
schedule f.back_in_lanes on cpu { split st.i by 4; cache st in registers at st.io as s; reorder s.j, s.ii; vectorize s.ii, st.i }
schedule f.back_one_by_one on cpu { cache st in registers at st.i as s }
schedule f.back_and_read on cpu { split st.i by 2; cache st in l1 at st.io as s; split y.i by 4; cache st in l1 at y.io as t }
""")
    x, w = rng.standard_normal((r, c), dtype=np.float32), rng.standard_normal((c, 3), dtype=np.float32)
    want = m.f(x, w, schedule="")
    sums = x.astype(np.float64) @ w
    if r:
        np.testing.assert_allclose(want, x.max(1, keepdims=True) + (sums[:, :1] * sums[:, 2:]) * x, rtol=1e-4, atol=1e-4)
    for s in m.f.schedules:
        np.testing.assert_array_equal(m.f(x, w, schedule=s), want)
        y = np.zeros_like(x)
        m.f.interpret(x, w, out=y, schedule=s)
        np.testing.assert_array_equal(y, want)


def test_steps_on_a_state_that_comes_from_a_copy(rng):
    """Its row reduces nothing any more: it is placed, split and read as any stage, and the copy factored as any reduction."""
    m = hd.parse(MOMENTS + """
op variance(x: f32[...r, c]) -> y: f32[...r] {
  st[...r] = moments[j] (n = 1, mean = x[...r, j], m2 = 0)
  y[...r] = if st[...r].n > 0 then st[...r].m2 / st[...r].n else 0
}
schedule variance.blocks on cpu allow reassociate {
  split st.r by 3
  cache st in l1 at st.ro as s
  rfactor s.j by 4 as part
  split st.r by 2 into so, si
  unroll st.si
}
schedule variance.near on cpu {
  split y.r by 4
  compute_at st at y.ro
  split st.r by 2
  cache st in registers at st.ro as s
  unroll st.r
}
""")
    for shape in [(0, 3), (1, 1), (7, 5), (2, 3, 17), (9, 0)]:
        x = rng.standard_normal(shape, dtype=np.float32)
        want = x.astype(np.float64).var(-1) if shape[-1] else np.zeros(shape[:-1])
        for s in m.variance.schedules:
            np.testing.assert_allclose(m.variance(x, schedule=s), want, rtol=1e-5, atol=1e-6)
        y = np.zeros(shape[:-1], np.float32)
        m.variance.interpret(x, out=y, schedule="near")
        np.testing.assert_array_equal(m.variance(x, schedule="near"), y)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 17])
def test_a_clipped_window_in_circular_storage(n):
    m = hd.parse("""
op f(x: f32[n], y: f32[n]) -> z: f32[n] {
  a[i] = x[i] * 2
  z[i] = sum[j in max(0, i - 2) .. min(n, i + 3)] a[j] * y[j]
}
schedule f.folded on cpu { compute_at a at z.i; store_at a at z; fold_storage a by 5 }
schedule f.blocks on cpu { split z.i by 4; compute_at a at z.ii; store_at a at z.io; fold_storage a by 8 }
""")
    x, y = np.arange(n, dtype=np.float32), np.arange(n, dtype=np.float32) % 3 + 1
    want = np.array([sum(np.float32(2 * x[j] * y[j]) for j in range(max(0, i - 2), min(n, i + 3))) for i in range(n)], np.float32)
    for s in ("", "folded", "blocks"):
        np.testing.assert_array_equal(m.f(x, y, schedule=s), want)
        z = np.zeros(n, np.float32)
        m.f.interpret(x, y, out=z, schedule=s)
        np.testing.assert_array_equal(z, want)


def test_lanes_of_a_generic_type():
    """As many as the type that an op is compiled for has, also where the op is called by another one."""
    m = hd.parse("""
op twice<T: float>(x: T[n]) -> y: T[n] { y[i] = x[i] * 2 }
schedule twice.wide on cpu where type(x) != f64 { vectorize y.i by lanes(T) }
schedule twice.double on cpu where type(x) == f64 { tune some = 2 in [2, 4, 8]; split y.i by some * lanes(T) }
op four<U: float>(x: U[n]) -> y: U[n] { p = twice(x); y = twice(p) }
schedule four.wide on cpu { apply twice.wide to p; vectorize y.y.i by 2 * lanes(U) }
op mixed(x: f32[n]) -> y: f64[n] { z[i] = f64(x[i]); y = twice(z) }
schedule mixed.wide on cpu { apply twice.double to y; vectorize z.i by lanes(f64) }
""")
    m.check()
    for dtype in (np.float32, np.float64, np.float16):
        x = np.arange(11).astype(dtype)
        lanes = 32 // x.itemsize
        np.testing.assert_array_equal(m.twice(x), 2 * x)
        program = m.twice.compile(x, target="cpu/avx2").program
        assert f"for y.i{'i' if dtype == np.float64 else 'v'} in 0 .. {2 * lanes if dtype == np.float64 else lanes}" in program
        if dtype != np.float64:
            np.testing.assert_array_equal(m.four(x), 4 * x)
            assert f"for y.y.iv in 0 .. {2 * lanes} vector" in m.four.compile(x, target="cpu/avx2").program
    x = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(m.mixed(x), 2.0 * x)
    assert "for y.y.ii in 0 .. 8" in m.mixed.compile(x, target="cpu/avx2").program


def test_a_case_is_compiled_under_its_condition():
    """What decides whether the case runs is known to the check of machine code too: its blocks are whole."""
    m = hd.parse("""op scale(x: f32[rows, cols]) -> y: f32[rows, cols] { y[r, c] = 2*x[r, c] + 1 }
schedule scale.eights on cpu { split y.c by 8; specialize y when cols % 8 == 0; vectorize y@case.ci }""")
    for shape in ((2, 16), (3, 0), (2, 13)):
        x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        np.testing.assert_array_equal(m.scale(x, schedule="eights"), 2 * x + 1)


def test_consts_in_schedules():
    """A `where` over consts chooses before anything is compiled; lines of the schedule know them as numbers."""
    m = hd.parse("""
let taps = 2
op f(x: f32[n], const s: int = taps, const flag: bool = false, const u: int = 2*s) -> y: f32[n] { y[i] = x[i] * f32(s) + (if flag then 1 else 0) }
schedule f.one on cpu where s == 1 { vectorize y.i by 4 }
schedule f.two on cpu where s == 2 && flag { split y.i by s*4 }
schedule f.three on cpu where !flag && u >= 4 && u % 4 == 0 && n >= s { if s == 2 { split y.i by 16 } else { unroll y.i by u } }
op g(x: f32[n], const s: int) -> y: f32[n] { y = f(x, s = s) }
schedule g.three on cpu where s == 3 { split y.y.i by 8 }
schedule g.first on cpu { apply f.one to y }
schedule g.rest on cpu { apply f.three to y }
op h(x: f32[n]) -> y: f32[n] { p = g(x, s = 2); y = g(p, s = 1) }
schedule h.all on cpu { apply g.rest to p; apply g.first to y }
""")
    m.check()
    x = np.arange(11, dtype=np.float32)
    for consts, name, loop in [({}, "three", "y.ii in 0 .. 16"), ({"s": 1}, "one", "y.iv in 0 .. 4"), ({"s": 2, "flag": True}, "two", "y.ii in 0 .. 8"),
                               ({"s": 4}, "three", "y.iu in 0 .. 8"), ({"s": 3}, "", "y.i in 0 .. n"), ({"s": 3, "u": 8}, "three", "y.iu in 0 .. 8"),
                               ({"flag": True, "s": 4}, "", "y.i in 0 .. n")]:
        k = m.f.compile(x, **consts)
        assert (k.schedule, loop in k.program) == (name, True), (consts, k.schedule, k.program)
        np.testing.assert_array_equal(m.f(x, **consts), x * consts.get("s", 2) + consts.get("flag", False))
    assert m.f.compile(x[:1]).schedule == "" and m.f(x[:1], s=2) == 0  # too short for its `where`: the canonical program runs
    for s, name in [(1, "first"), (2, "rest"), (3, "three"), (4, "rest"), (5, "")]:
        assert m.g.compile(x, s=s).schedule == name, s
        np.testing.assert_array_equal(m.g(x, s=s), x * s)
    assert "p.y.y.ii in 0 .. 16" in m.h.compile(x).program and "y.y.y.iv in 0 .. 4" in m.h.compile(x).program
    np.testing.assert_array_equal(m.h(x), x * 2)
    with pytest.raises(hd.Error, match="not for these types and consts"):
        m.f(x, s=3, schedule="one")
    with pytest.raises(hd.Error, match="not for these types and consts"):
        m.g(x, s=3, schedule="first")


@pytest.mark.parametrize("inner, most", [(False, 40), (True, 47)])
def test_many_splits_of_one_loop(inner, most):
    """Each compiles, or is refused at its own line."""
    for count in (16, 31, most, most + 1, 80):
        lines, name = [], "i"
        for k in range(count):
            lines.append(f"  split y.{name} by 2 into a{k}, b{k}")
            name = f"{'b' if inner else 'a'}{k}"
        m = hd.parse("op f(x: f32[n]) -> y: f32[n] { y[i] = x[i] + 1 }\nschedule f.s on cpu {\n" + "\n".join(lines) + "\n}")
        began = time.perf_counter()
        if count <= most:
            x = np.arange(11, dtype=np.float32)
            np.testing.assert_array_equal(m.f(x), x + 1)
        else:
            with pytest.raises(hd.Error) as e:
                m.f.compile(hd.spec("f32", "n"))
            assert e.value.code == ("HD0319" if inner else "HD0308") and e.value.line == 3 + most, e.value
        assert time.perf_counter() - began < 5


@pytest.mark.parametrize("shape", [(3, 5), (0, 5), (2, 3, 5), (5, 0, 3), (1, 1, 1), (2, 3, 4, 5), (2, 0, 4, 5), (2, 1, 2, 3, 4)])
def test_collapse_of_the_axes_of_a_pack(shape, rng):
    """The inner one is fixed; a `where` that names a dim of the pack serves the ranks that have it."""
    m = hd.parse("""
op center(x: f32[...r, c]) -> y: f32[...r, c] {
  s[...r] = max[j] x[...r, j]
  y[...r, j] = x[...r, j] - s[...r]
}
schedule center.four on cpu where r_3 >= 0 { fix r_3 = 3; collapse y.r2, y.r into q; parallel y.q }
schedule center.three on cpu where r_2 >= 0 {
  fix r_2 = 4, r_1 = 3
  collapse y.r0, y.r1 into q
  collapse y.q, y.r into z
  compute_at s at y.z
  parallel y.z
}
schedule center.wide on cpu where r_2 >= 0 { collapse y.r1, y.r into q }
schedule center.two on cpu where r_1 >= 0 { fix r_1 = 3; collapse y.r0, y.r into q; split y.q by 4; vectorize y.j by 8; parallel y.qo }
schedule center.one on cpu { parallel y.r }
""")
    x = rng.standard_normal(shape, dtype=np.float32)
    want = x - x.max(-1, keepdims=True) if x.size else x
    name = {(3, 5): "one", (0, 5): "one", (2, 3, 5): "two", (2, 3, 4, 5): "three", (2, 1, 2, 3, 4): "four"}.get(shape)
    if name:
        assert m.center.compile(x).schedule == name and ("z" if name == "three" else "r" if name == "one" else "q") in m.center.compile(x).program
        np.testing.assert_array_equal(m.center(x), want)
        y = np.zeros_like(x)
        m.center.interpret(x, out=y, schedule=name)
        np.testing.assert_array_equal(y, want)
    if len(shape) == 4:
        with pytest.raises(hd.Error, match="`r_2` iterations, not a constant number"):
            m.center(x, schedule="wide")
