"""hd.numerics says what holds: against what compiled kernels and the interpreter give."""
import numpy as np
import pytest

import heddle as hd


def kernel(op, *arrays, **how):
    return op.compile(*arrays, **how)(*arrays)


def test_one_answer_holds_for_every_schedule_without_leave(rng):
    m = hd.parse("""op f(x: f32[n, m]) -> y: f32[n] { e[i, j] = exp(x[i, j])  
      y[i] = sum[j] e[i, j] }
    schedule f.a on cpu { compute_at e at y.i
      vectorize e.j by 8 }
    schedule f.b on cpu allow reassociate { rfactor y.j by 8 as p
      vectorize p.jv }
    schedule f.c on cpu allow reassociate, contract { split y.i by 4 }
    """)
    n = hd.numerics(m.f, schedule="a")
    assert n.one_answer and not n.portable and not n.exact and n.reassociates == []
    assert [(s.name, s.reducer, s.rounds) for s in n.stages] == [("e", None, True), ("y", "sum", True)]
    (f,) = n.stages[0].functions
    assert (f.name, f.type, f.ulp, f.exact) == ("exp", "f32", 2, False)
    b = hd.numerics(m.f, schedule="b")
    assert not b.one_answer and b.reassociates == ["p", "y"] and "p" in str(b) and "any order" in str(b)
    assert not hd.numerics(m.f, schedule="c").one_answer
    x = rng.standard_normal((9, 101), dtype=np.float32)
    assert np.array_equal(kernel(m.f, x, schedule="a"), kernel(m.f, x, schedule=""))
    assert not np.array_equal(kernel(m.f, x, schedule="b"), kernel(m.f, x, schedule=""))


@pytest.mark.parametrize("text, exact, portable", [
    ("op f(x: i32[n]) -> y: i32[n] { y[i] = x[i] * 3 }", True, True),
    ("op f(x: f32[n, m]) -> y: f32[n] { y[i] = max[j] (-x[i, j]) }", True, True),
    ("op f(x: f32[n]) -> y: f32[n] { y[i] = if x[i] > 0 then x[i] else 0 }", True, True),
    ("op f(x: f32[n]) -> y: f64[n] { y[i] = f64(x[i]) }", True, True),
    ("op f(x: f16[n]) -> y: f32[n] { y[i] = widen(x[i]) }", True, True),
    ("op f(x: f8e4m3[n]) -> y: bf16[n] { y[i] = bf16(x[i]) }", True, True),
    ("op f(x: f16[n]) -> y: bf16[n] { y[i] = bf16(x[i]) }", False, True),
    ("op f(x: i32[n]) -> y: f32[n] { y[i] = f32(x[i]) }", False, True),
    ("op f(x: i16[n]) -> y: f32[n] { y[i] = f32(x[i]) }", True, True),
    ("op f(x: f32[n]) -> y: f32[n] { y[i] = x[i] / 3 }", False, True),
    ("op f(x: f32[n]) -> y: f32[n] { y[i] = sqrt(x[i]) }", False, True),
    ("op f(x: f32[n]) -> y: f32[n] { y[i] = floor(abs(x[i])) }", True, True),
    ("op f(x: f32[n]) -> y: f32[n] { y[i] = tanh(x[i]) }", False, False),
    ("op f(x: i8[n, m]) -> y: i32[n] { y[i] = sum[j] widen(x[i, j]) }", True, True),
])
def test_words(text, exact, portable):
    n = hd.numerics(hd.parse(text).f)
    assert (n.exact, n.portable, n.one_answer) == (exact, portable, True), str(n)


def test_exact_is_exact(rng):
    """What is said to round nothing gives the values of NumPy, in every bit."""
    x = rng.standard_normal((7, 33), dtype=np.float32)
    m = hd.parse("op f(x: f32[n, m]) -> y: f32[n] { y[i] = max[j] (-x[i, j]) }\nschedule f.v on cpu { rfactor y.j by 8 as p\n vectorize p.jv }")
    assert hd.numerics(m.f, schedule="v").exact and hd.numerics(m.f, schedule="v").reassociates == []
    assert np.array_equal(kernel(m.f, x, schedule="v"), (-x).max(1))


def test_user_reducers_and_types():
    m = hd.std.nn.layernorm
    n = hd.numerics(m, schedule="")
    assert any(f.name == "rsqrt" and f.ulp == 1.5 for s in n.stages for f in s.functions)
    half = hd.spec("f16", "rows", "cols"), hd.spec("f16", "cols"), hd.spec("f16", "cols")
    assert n.one_answer and hd.numerics(m, *half, schedule="").stages[-1].type == "f16"


def test_every_schedule_of_the_library_has_its_numerics():
    """Without arrays: for types and a target that the schedule is for."""
    for op in (hd.std.nn.softmax, hd.std.nn.layernorm, hd.std.linalg.matmul, hd.std.linalg.linear):
        for schedule in op.schedules:
            n = hd.numerics(op, schedule=schedule)
            assert n.stages or n.instructions, (op.name, schedule)


def test_refusals_and_display():
    with pytest.raises(hd.Error):
        hd.numerics(hd.std.nn.softmax, schedule="none")
    html = hd.numerics(hd.std.nn.softmax, schedule="rows")._repr_html_()
    assert "exp f32 2 ulp" in html and "http" not in html
