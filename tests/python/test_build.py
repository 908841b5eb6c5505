"""Ops, schedules and steps from Python calls: the text that they make is the text that people write."""
import inspect

import numpy as np
import pytest

import heddle as hd
from heddle import lang

SOFTMAX = """op softmax(x: f32[rows, cols]) -> y: f32[rows, cols] {
  peak[r] = max[c] x[r, c]
  e[r, c] = exp(x[r, c] - peak[r])
  total[r] = sum[c] e[r, c]
  y[r, c] = e[r, c] / total[r]
}
"""


@pytest.fixture(scope="module")
def m():
    return hd.parse(SOFTMAX)


# --- schedules -------------------------------------------------------------------------------------------------------

def mine(op):
    return (hd.schedule(op, "mine", allow="reassociate", where="cols >= 1")
            .tune("block", 4, [1, 2, 4, 8])
            .let("wide", "lanes(f32)")
            .split("y.r", by="block", into=("ro", "ri"))
            .compute_at("total", "e", "peak", at="y.ri")
            .rfactor("total.c", by="wide", as_="part")
            .vectorize("part.cv")
            .vectorize("y.c", "e.c", by="wide")
            .when("block > 1", lambda s: s.unroll("total.cv"), lambda s: s.unroll("total.cv").parallel("y.ri"))
            .parallel("y.ro"))


def test_a_schedule_says_what_text_says(m):
    assert mine(m.softmax).text == """schedule softmax.mine on cpu allow reassociate where cols >= 1 {
  tune block = 4 in [1, 2, 4, 8]
  let wide = lanes(f32)
  split y.r by block into ro, ri
  compute_at total, e, peak at y.ri
  rfactor total.c by wide as part
  vectorize part.cv
  vectorize y.c, e.c by wide
  if block > 1 {
    unroll total.cv
  } else {
    unroll total.cv
    parallel y.ri
  }
  parallel y.ro
}
"""
    assert hd.format(mine(m.softmax).text) == mine(m.softmax).text


def test_it_compiles_runs_and_steps(m, rng):
    s = mine(m.softmax)
    x = rng.standard_normal((13, 37), dtype=np.float32)
    e = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    np.testing.assert_allclose(s(x), e / e.sum(1, keepdims=True), rtol=1e-5)
    k = s.compile(x, tune={"block": 2})
    assert k.schedule == "mine" and "0 .. 2" in k.program
    states = s.states(x)
    assert states[1].step == "split y.r by block into ro, ri" and states[-1].step == "parallel y.ro"
    assert "mine" in s.op.schedules and m.softmax.schedules == []
    assert "back" in s._repr_html_()


def test_builders_are_values(m):
    base = hd.schedule(m.softmax, "b").parallel("y.r")
    one, two = base.unroll("y.c"), base.vectorize("y.c", by=8)
    assert base.lines == ["parallel y.r"] and one.lines != two.lines


def test_refusals_keep_their_place(m):
    s = hd.schedule(m.softmax, "bad").compute_at("e", at="y.r").rfactor("total.c", by=8)
    with pytest.raises(hd.Error) as e:
        s.states(np.ones((2, 3), np.float32))
    assert (e.value.code, e.value.file, e.value.line) == ("HD0312", "<bad>", 3) or e.value.file == "<bad>"
    assert "refused" in s._repr_html_()
    with pytest.raises(hd.Error) as e:
        hd.schedule(m.softmax, "bad").split("y.r", by="(").op
    assert e.value.file == "<bad>" and e.value.line == 2
    assert "refused" in hd.schedule(m.softmax, "bad").split("y.r", by="(")._repr_html_()
    with pytest.raises(TypeError, match="split takes no `at`"):
        hd.schedule(m.softmax, "bad").split("y.r", at="y.c")
    with pytest.raises(ValueError):
        hd.schedule(m.softmax, "two words")


def test_every_step_has_a_method():
    rows = hd._heddle.steps()
    assert len(rows) >= 20
    for name, usage, help in rows:
        method = getattr(hd.build.Steps, name)
        assert method.__doc__.startswith(usage)
        words = [p for p in inspect.signature(method).parameters if p not in ("self", "operands", "equations")]
        for word in words:
            assert f" {word.rstrip('_')} " in f" {usage.replace('[', ' ')} "
    assert list(inspect.signature(hd.build.Steps.cache).parameters)[2:] == ["at", "as_", "in_"]


def test_words_that_python_keeps_and_windows():
    op = hd.std.linalg.matmul
    s = (hd.schedule(op, "mine", allow=("reassociate", "contract"))
         .split("c.i", by=4, into=("io", "ii")).split("c.j", by=16, into=("jo", "ji")).reorder("c.io", "c.jo", "c.ii", "c.ji")
         .compute_at("acc", at="c.jo", in_="registers").reorder("acc.p", "acc.i", "acc.j").cache("b", in_="l1", at="c.jo", as_="panel")
         .layout("panel[p, j]", to="(p, j)", with_=0).fix(k=8))
    assert "cache b in l1 at c.jo as panel" in s.text and "fix k = 8" in s.text and "layout panel[p, j] to (p, j) with 0" in s.text
    a, b = np.arange(40, dtype=np.float32).reshape(5, 8), np.arange(136, dtype=np.float32).reshape(8, 17)
    np.testing.assert_array_equal(s(a, b), a @ b)


def test_derived_steps(m):
    wide = hd.step("wide", l="loop", n="int").split("l", by="n", into=("o", "v")).vectorize("v")
    assert wide.text == "step wide(l: loop, n: int) {\n  split l by n into o, v\n  vectorize v\n}\n"
    more = m.extend(wide)
    s = hd.schedule(more.softmax, "mine").step("wide", "y.c", 8).vectorize("e.c", by=8)
    assert s.lines == ["wide y.c, 8", "vectorize e.c by 8"]
    x = np.ones((3, 5), np.float32)
    np.testing.assert_allclose(s(x), 0.2, rtol=1e-6)


# --- ops -------------------------------------------------------------------------------------------------------------

def softmax():
    op = lang.op("softmax")
    x = op.input("x", "f32", "rows", "cols")
    op.output("y", "f32", "rows", "cols")
    r, c = lang.index("r", "c")
    op.peak[r] = lang.max[c](x[r, c])
    op.e[r, c] = lang.exp(x[r, c] - op.peak[r])
    op.total[r] = lang.sum[c](op.e[r, c])
    op.y[r, c] = op.e[r, c] / op.total[r]
    return op


def test_an_op_is_the_op_of_the_text(m, rng):
    built = softmax().parse().softmax
    assert built.signature == m.softmax.signature
    x = rng.standard_normal((4, 9), dtype=np.float32)
    spec = hd.spec("f32", "a", "b")
    assert built.compile(spec).program == m.softmax.compile(spec).program
    np.testing.assert_array_equal(built(x), m.softmax(x))
    assert mine(built)(x).shape == (4, 9)


def test_expressions_keep_their_shape():
    i, j, n = lang.index("i, j, n")
    x, st = lang.op("f").x, lang.op("f").st
    for made, text in [
        (i + j * 2, "i + j * 2"), ((i + j) * 2, "(i + j) * 2"), (i - (j - 1), "i - (j - 1)"), (i - j - 1, "i - j - 1"), (2 - i, "2 - i"),
        (i / (j / 2), "i / (j / 2)"), (-(i + 1), "-(i + 1)"), (-i * j, "-i * j"), (1 / (i % 2), "1 / (i % 2)"), (i // 2, "i / 2"),
        ((i < j) & (j < n), "i < j && j < n"), ((i < j) | (j < n) & (i > 0), "i < j || j < n && i > 0"), (((i < j) | (j < n)) & (i > 0), "(i < j || j < n) && i > 0"),
        (~(i < j), "!(i < j)"), (i & j, "i & j"), ((i & j) | n, "(i & j) | n"), ((i ^ j) << 2, "(i ^ j) << 2"), ((i + 1) & j, "i + 1 & j"),
        (lang.where(i < j, x[i], lang.where(i == j, 0, -1.5)), "if i < j then x[i] else if i == j then 0 else -1.5"),
        (lang.where(i < j, 1, 2) + 1, "(if i < j then 1 else 2) + 1"), (x[i - 1].otherwise(0) * 2, "x[i - 1] or 0 * 2"), (x[i].otherwise(i + 1), "x[i] or (i + 1)"),
        (x[i, (j, n), 3], "x[i, (j, n), 3]"), (x[i, 0:n], "x[i, 0 .. n]"), (st[i].mean + st[i].o[j], "st[i].mean + st[i].o[j]"),
        (lang.cast("f32", i) * 1e-5, "f32(i) * 1e-05"), (lang.saturate("i8", x[i]), "saturate(i8, x[i])"), (abs(x[i]), "abs(x[i])"),
        (lang.max(x[i], 0), "max(x[i], 0)"), (lang.sum[j.over(0, i + 1)](x[j]), "sum[j in 0 .. i + 1] (x[j])"),
        (lang.max[j](x[j], where=j <= i), "max[j where j <= i] (x[j])"), (lang.reducer("w")[j](n=1, m=x[j]), "w[j] (n = 1, m = x[j])"),
        (lang.expression(float("-inf")), "-inf"), (lang.expression(np.float32(0.5)), "0.5"), (x["...r", i], "x[...r, i]"),
    ]:
        assert str(made) == text
    with pytest.raises(TypeError, match="lang.where"):
        1 if i < j else 2
    with pytest.raises(TypeError):
        list(i)
    with pytest.raises(TypeError):
        lang.sum(1, 2)
    with pytest.raises(TypeError):
        lang.expression(object())


def values(text, i, j, x):
    """What Python and the language make of one expression."""
    return eval(text, {"i": i, "j": j, "x": x, "lang": lang})


@pytest.mark.parametrize("text", [
    "i - (j - 3) * 2 - 1", "(i + j) * (i - j) / 3", "i % 5 - j % 3 * 2", "-(i - j) * 2", "((i + 1) * 2 - (j + 1)) % 7", "2 - (3 - i) - (j - (4 - i))", "i // 2 * 2 - j",
])
def test_precedence_is_pythons(text):
    op = lang.op("f")
    op.input("x", "i64", "n")
    op.output("y", "i64", "n", "m")
    i, j = lang.index("i", "j")
    op.input("z", "i64", "m")
    op.y[i, j] = lang.cast("i64", values(text, i, j, None))
    x, z = np.zeros(6, np.int64), np.zeros(7, np.int64)
    want = np.array([[values(text.replace("/ 3", "// 3"), a, b, None) for b in range(7)] for a in range(6)])
    np.testing.assert_array_equal(op.parse().f(x, z), want)


def test_everything_an_op_may_have(rng):
    op = lang.op("norm", "Rows of mean 0\nand variance 1.", T="float")
    op.add("""reducer welford(n: f32, mean: f32, m2: f32) commutes {
      identity { n = 0; mean = 0; m2 = 0 }
      combine(a, b) {
        n = a.n + b.n
        dl = b.mean - a.mean
        f = if n == 0 then 0 else b.n / n
        mean = a.mean + dl*f
        m2 = a.m2 + b.m2 + dl*dl*a.n*f
      }
    }""")
    x = op.input("x", "T", "...r", "cols")
    eps = op.scalar("eps", "f32", 1e-5)
    k = op.const("k", default=1)
    op.output("y", "T", "...r", "cols")
    c, cols = lang.index("c", "cols")
    op.require((cols >= 1) & (k >= 1), 'at least one "column"')
    st, inv = op.stage("st"), op.stage("inv")
    st["...r"] = lang.reducer("welford")[c](n=1, mean=lang.widen(x["...r", c]), m2=0)
    inv["...r"] = lang.rsqrt(st["...r"].m2 / lang.cast("f32", cols) + eps)
    op.y["...r", c] = lang.cast("T", (lang.widen(x["...r", c]) - st["...r"].mean) * inv["...r"])
    m = op.parse()
    assert m.norm.__doc__ == "Rows of mean 0\nand variance 1."
    a = rng.standard_normal((2, 3, 50), dtype=np.float32)
    np.testing.assert_allclose(m.norm(a), (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5), atol=1e-5)
    assert m.norm(a.astype(np.float16)).dtype == np.float16
    with pytest.raises(hd.Error, match='at least one "column"'):
        m.norm(a[:, :, :0])


def test_updates_lets_and_refusals():
    op = lang.op("append")
    cache, k = op.input("cache", "f32", "cap", inout=True), op.input("k", "f32", "n")
    i = lang.index("i")
    op.require(lang.dim("n") <= lang.dim("cap"), "it fits")
    cache.update(i.over(0, lang.dim("n")), k[i])
    a = np.zeros(5, np.float32)
    op.parse().append(a, np.ones(3, np.float32))
    np.testing.assert_array_equal(a, [1, 1, 1, 0, 0])

    op = lang.op("pairs")
    x = op.input("x", "f32", "n")
    h = op.let("h", lang.dim("n") / 2)
    op.output("y", "f32", "h")
    op.y[i.over(0, h)] = x[i * 2] + x[2 * i + 1]
    np.testing.assert_array_equal(op.parse().pairs(np.arange(7, dtype=np.float32)), [1, 5, 9])

    bad = lang.op("bad")
    x = bad.input("x", "f32", "n")
    bad.output("y", "f32", "n")
    bad.y[i] = x[i + 1]
    with pytest.raises(hd.Error) as e:
        bad.parse()
    assert e.value.code == "HD0107" and e.value.line == 2 and e.value.file == "<bad>"
