"""Imports: files beside the importing one, the standard library, what goes wrong; constants of modules."""

import re
import time

import numpy as np
import pytest

import heddle as hd


def write(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.hd").write_text(text)
    return folder / f"{next(iter(texts))}.hd"


def test_files_import_each_other(tmp_path):
    top = write(
        tmp_path,
        top='import "base.hd"\nimport "more.hd" as m\nop f(x: f32[n]) -> y: f32[n] { a = base.double(x); y = m.shifted(a) }\n'
        "schedule f.s on cpu { apply base.double.blocks to a; base.lanes_of y.y.i, 4 }",
        more='import "base.hd"\nop shifted(x: f32[n]) -> y: f32[n] { t = base.double(x); y[i] = t[i] + base.step }',
        base="let step = f32(0.5)\nlet two = 2\nstep lanes_of(l: loop, n: int) { split l by n into o, v; vectorize v }\n"
        "op double(x: f32[n]) -> y: f32[n] { y[i] = x[i] * f32(two) }\nschedule double.blocks on cpu { lanes_of y.i, 8 }",
    )
    m = hd.load(top)
    assert list(m.ops) == ["f"]
    x = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(m.f(x), 4 * x + 0.5)
    text = m.f.compile(x, schedule="s").program
    assert re.search(r"for a\.y\.\w*v in 0 \.\. 8 vector", text) and re.search(r"for y\.y\.\w*v in 0 \.\. 4 vector", text)


def test_steps_of_what_an_imported_module_imports(tmp_path):
    """They serve its steps and its schedules, and are not the importing text's to name."""
    texts = dict(
        lanes="step lanes_of(l: loop, n: int) { split l by n into o, v; vectorize v }",
        tiles='import "lanes.hd" as la\nstep tile(l: loop, n: int) { split l by 4*n into t, ti; la.lanes_of ti, n }',
        base='import "tiles.hd"\nop double(x: f32[n]) -> y: f32[n] { y[i] = x[i] * 2 }\nschedule double.tiled on cpu { tiles.tile y.i, 8 }')
    top = 'import "base.hd"\nimport "tiles.hd" as t\nop f(x: f32[n]) -> y: f32[n] {{ a = base.double(x); y[i] = a[i] + 1 }}\n' \
          "schedule f.s on cpu {{ {} }}"
    x = np.arange(37, dtype=np.float32)
    f = hd.load(write(tmp_path, top=top.format("apply base.double.tiled to a; t.tile y.i, 4"), **texts)).f
    np.testing.assert_array_equal(f(x, schedule="s"), 2 * x + 1)
    text = f.compile(x, schedule="s").program
    assert "in 0 .. 8 vector" in text and "in 0 .. 4 vector" in text
    f = hd.load(write(tmp_path, top=top.format("t.la.lanes_of y.i, 4"), **texts)).f
    with pytest.raises(hd.Error, match="there is no step `t.la.lanes_of`"):
        f.compile(x, schedule="s")


def test_importing_each_way_has_a_limit(tmp_path):
    """Each file imports the two before it: the ways to the first grow as Fibonacci's numbers, and so would errors told for each."""
    texts = {"m0": "step s(l: loop) { unroll l }", "m1": 'import "m0.hd"\nstep s(l: loop) { m0.s l }'}
    for i in range(2, 34):
        texts[f"m{i}"] = f'import "m{i - 1}.hd"\nimport "m{i - 2}.hd"\nstep s(l: loop) {{ m{i - 1}.s l }}'
    for last, said in ((33, "imports are nested past 32 levels"), (30, "more than 5000 steps are imported")):
        start = time.perf_counter()
        with pytest.raises(hd.Error, match=said):
            hd.load(write(tmp_path, top=f'import "m{last}.hd"\nop f(x: f32[n]) -> y: f32[n] {{ y[i] = x[i] }}', **texts))
        assert time.perf_counter() - start < 5


def test_the_standard_library(rng):
    m = hd.parse("""
import "std/nn"
import "std/linalg/matmul" as mm
op block(x: f32[n, k], w: f32[k, k]) -> y: f32[n, k] {
  h = nn.layernorm(x, g, g)
  p = mm.matmul(h, w)
  y = nn.softmax(p)
  g[i in 0 .. k] = f32(1)
}
""".replace("  h = nn.layernorm(x, g, g)\n", "").replace("  g[i in 0 .. k] = f32(1)\n", "").replace("(h, w)", "(x, w)"))
    x, w = rng.standard_normal((5, 7), dtype=np.float32), rng.standard_normal((7, 7), dtype=np.float32)
    z = x.astype(np.float64) @ w
    e = np.exp(z - z.max(axis=1, keepdims=True))
    np.testing.assert_allclose(m.block(x, w), e / e.sum(axis=1, keepdims=True), rtol=1e-5)
    s = m.extend("schedule block.s on cpu allow reassociate, contract { apply nn.softmax.rows to y }") if "rows" in hd.std.nn.softmax.schedules else None
    if s:
        np.testing.assert_allclose(s.block(x, w, schedule="s"), m.block(x, w), rtol=1e-5)


@pytest.mark.parametrize(("texts", "said"), [
    ({"a": 'import "b.hd"'}, "there is no file `b.hd`"),
    ({"a": 'import "a.hd"'}, "`a.hd` imports `a.hd`"),
    ({"a": 'import "b.hd"', "b": 'import "c.hd"', "c": 'import "b.hd"'}, "`b.hd` imports `c.hd` imports `b.hd`"),
    ({"a": 'import "b.hd"\nimport "b.hd"', "b": "let n = 1"}, "`b` is defined twice"),
    ({"a": 'import "b.txt"'}, "is no `.hd` file"),
    ({"a": 'import "std/nothing"'}, "there is no file"),
    ({"a": 'import "std/../../etc/passwd"'}, "is not in the standard library"),
    ({"a": 'import "b.hd"', "b": "op f("}, "expected"),
    ({"a": 'import "."'}, "is no `.hd` file"),
    ({"a": 'import "b-c.hd"', "b-c": "let n = 1"}, "gives the import no name"),
    ({"a": 'import "b.hd"\nop f(x: f32[n]) -> y: f32[n] { y = b.g(x) }', "b": "let n = 1"}, "there is no op `b.g`"),
])
def test_what_goes_wrong(tmp_path, texts, said):
    with pytest.raises(hd.Error) as e:
        hd.load(write(tmp_path, **texts))
    assert said in str(e.value)


def test_a_text_without_a_file_has_no_folder():
    with pytest.raises(hd.Error, match="no folder to start from"):
        hd.parse('import "b.hd"')


def test_lets():
    m = hd.parse("let wide = 4\nlet twice = 2 * wide - 1\nlet eps = f64(1e-3)\nlet low = i8(-3)\n"
                 "op f(x: f64[n], q: i8[n]) -> (y: f64[n], z: i8[n]) { y[i] = (sum0[i]) * eps; sum0x[i] = x[i]; z[i] = q[i] + low }"
                 .replace("(sum0[i]) * eps; sum0x[i] = x[i]", "x[i] * eps + f64(twice)"))
    y, z = m.f(np.array([1.0, 2.0]), np.array([5, 6], np.int8))
    np.testing.assert_array_equal(y, np.array([1.0, 2.0]) * 1e-3 + 7)
    np.testing.assert_array_equal(z, [2, 3])
    with pytest.raises(hd.Error, match="is a constant"):
        hd.parse("let eps = 1e-3")
