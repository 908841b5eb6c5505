"""The search over `tune` variables: what it tries, what it throws out, what it gives back."""

import sys

import numpy as np
import pytest

import heddle as hd

search = sys.modules["heddle.tune"]

TEXT = """
op scale(x: f32[n, m], a: f32 = 2.0) -> y: f32[n, m] { y[i, j] = x[i, j] * a }
op other(x: f32[n, m], a: f32 = 2.0) -> y: f32[n, m] { y[i, j] = if j == 37 then 0 else x[i, j] * a }
schedule scale.wide on cpu where m >= 8 {
  tune width = 4 in [4, 8, 16]
  tune rows = 1 in 1 .. 9 by *2 where rows <= 4 // 8 is refused
  split y.i by rows into io, ii
  vectorize y.j by width
}
schedule scale.plain on cpu { parallel y.i }
op total(x: f32[n, m]) -> y: f32[n] { s[i] = sum[j] x[i, j]; y[i] = s[i] }
schedule total.lanes on cpu allow reassociate { tune wide = 4 in [4, 8]; rfactor s.j by wide as part; vectorize part.jv }
"""


@pytest.fixture(scope="module")
def m():
    return hd.parse(TEXT)


def test_words_that_no_search_takes(m):
    with pytest.raises(TypeError, match="the arguments are a list"):
        hd.tune(m.scale, np.ones((2, 2), np.float32))
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError, match="budget_s"):
            hd.tune(m.scale, [np.ones((2, 2), np.float32)], budget_s=seconds)


def test_all_candidates(m, rng):
    x = rng.standard_normal((33, 100), dtype=np.float32)
    r = hd.tune(m.scale, [x], schedule="wide", budget_s=30, progress=False)
    assert r.stopped == "done" and len(r.trials) == 12 and r.trials[0] is r.default
    assert {(t.choices["width"], t.choices["rows"]) for t in r.trials} == {(w, n) for w in (4, 8, 16) for n in (1, 2, 4, 8)}
    assert all((t.state == "refused") == (t.choices["rows"] == 8) for t in r.trials)
    assert all("where" in t.why for t in r.trials if t.state == "refused")
    assert r.best.state == "ok" and r.best.us > 0 and "interpreter" in r.checked
    assert "tried" in repr(r) and "wide" in repr(r.best)


def test_the_best_is_a_schedule(m, rng):
    x = rng.standard_normal((8, 64), dtype=np.float32)
    r = hd.tune(m.scale, (x,), schedule="wide", budget_s=5, progress=False)
    text = r.best.schedule
    assert text.startswith("// ") and " us on x 8x64 float32; 1 thread, cpu/" in text and "processors" in text
    assert "tune " not in text and f"let width = {r.best.choices['width']}" in text and "where m >= 8" in text
    two = m.extend(text)
    assert two.scale.schedules == ["wide", "plain", "wide_tuned"]
    np.testing.assert_array_equal(two.scale(x, schedule="wide_tuned"), 2 * x)
    assert two.scale.compile(x, schedule="wide_tuned").program.replace("wide_tuned", "wide") == m.scale.compile(
        x, schedule="wide", tune=r.best.choices).program


def test_one_candidate_and_no_schedule(m, rng):
    x = rng.standard_normal((4, 8), dtype=np.float32)
    r = hd.tune(m.scale, [x], schedule="plain", progress=False)
    assert len(r.trials) == 1 and r.best is r.default and "schedule scale.plain_tuned on cpu" in r.best.schedule
    assert hd.tune(m.scale, [x], budget_s=2, progress=False).default.name == "wide"  # what a call takes
    with pytest.raises(ValueError, match="no schedule"):
        hd.tune(m.scale, [x], schedule="wrong")
    with pytest.raises(ValueError, match="no schedule"):
        hd.tune(m.other, [x])


def test_sums_within_their_bounds(m, rng):
    r = hd.tune(m.total, [rng.standard_normal((70, 300), dtype=np.float32)], budget_s=10, progress=False)
    assert [t.state for t in r.trials if t.state not in ("ok", "slow")] == []


def test_budget(m, rng):
    r = hd.tune(m.scale, [rng.standard_normal((8, 64), dtype=np.float32)], schedule="wide", budget_s=0, progress=False)
    assert r.stopped == "budget" and len(r.trials) == 1


@pytest.mark.parametrize("shape", [(5, 50), (900, 3000)])  # the interpreter on all of it; on the front
def test_a_wrong_answer_is_thrown_out(m, rng, monkeypatch, shape):
    """A compiler that is wrong in one column for one value of a variable: never the best, however fast."""
    x = rng.standard_normal(shape, dtype=np.float32)
    wrong = m.other.compile(x, schedule="")
    real = hd.Op.compile

    def compile(op, *args, tune=None, **named):
        return wrong if (tune or {}).get("width") == 8 else real(op, *args, tune=tune, **named)

    monkeypatch.setattr(hd.Op, "compile", compile)
    r = hd.tune(m.scale, [x], schedule="wide", budget_s=20, progress=False)
    eights = [t for t in r.trials if t.choices["width"] == 8]
    assert eights and all(t.state == "wrong" and t.us is None for t in eights)
    assert r.best.choices["width"] != 8


def test_a_wrong_default_is_an_error(m, rng, monkeypatch):
    x = rng.standard_normal((5, 50), dtype=np.float32)
    wrong = m.other.compile(x, schedule="")
    real = hd.Op.compile
    monkeypatch.setattr(hd.Op, "compile", lambda op, *a, schedule=None, **n: wrong if schedule == "wide" else real(op, *a, schedule=schedule, **n))
    with pytest.raises(RuntimeError, match="wrong answer"):
        hd.tune(m.scale, [x], schedule="wide", progress=False)


def test_cells_left_unwritten_are_seen(m, rng):
    class Lazy:
        schedule = "wide"

        def __init__(self, kernel):
            self.kernel = kernel

        def __call__(self, x, out=None, **named):
            if out is None:
                return self.kernel(x, **named)
            out[:-1] = self.kernel(x, **named)[:-1]

    x = rng.standard_normal((600, 700), dtype=np.float32)
    s = search._Search(m.scale, [x], {}, "wide", 5.0, "auto", 1, None, 0, False)
    kernel = s._compile("wide", {})
    checker = search._Checker(s, kernel)
    assert checker.fault(kernel, {}) == ""
    assert "whole" in checker.fault(lambda **named: Lazy(kernel)(**named), {})


def test_ctrl_c_keeps_what_is_known(m, rng, monkeypatch):
    calls = []

    def interrupted(self, choices):
        calls.append(choices)
        raise KeyboardInterrupt

    monkeypatch.setattr(search._Search, "_try", interrupted)
    r = hd.tune(m.scale, [rng.standard_normal((4, 16), dtype=np.float32)], schedule="wide", progress=False)
    assert r.stopped == "interrupted" and len(calls) == 1 and r.best is r.default


def test_progress(m, rng, monkeypatch, capsys):
    x = rng.standard_normal((4, 16), dtype=np.float32)
    now = [0.0]

    def clock():
        now[0] += 0.4
        return now[0]

    monkeypatch.setattr(search.time, "perf_counter", clock)
    hd.tune(m.scale, [x], schedule="wide", budget_s=1000)
    err = capsys.readouterr().err
    assert "tune scale.wide: 2 tried" in err and "of 1000 s" in err
    hd.tune(m.scale, [x], schedule="wide", budget_s=1000, progress=False)
    assert capsys.readouterr().err == ""


def test_other_libraries(m):
    torch = pytest.importorskip("torch")
    r = hd.tune(m.scale, [torch.ones(4, 16)], schedule="wide", budget_s=2, a=3.0, progress=False)
    assert r.best.us > 0


def test_choices_of_types_and_consts(rng):
    """What `lanes(T)` and a const stand for follows from the arguments that the search is for."""
    m = hd.parse("""
op f<T: float>(x: T[n], const w: int = 2) -> y: T[n] { y[i] = x[i] + x[i] }
schedule f.s on cpu { tune v = w*lanes(T) in [lanes(T), w*lanes(T)]; vectorize y.i by v }
op g(x: f32[n]) -> y: f32[n] { y[i] = x[i] + x[i] }
schedule g.s on cpu { tune v = lanes(f32) in [lanes(f32), 2*lanes(f32)]; vectorize y.i by v }
""")
    for dtype, wide in [(np.float32, 8), (np.float64, 4), (np.float16, 16)]:
        x = rng.standard_normal(33).astype(dtype)
        for w in (2, 3):
            r = hd.tune(m.f, [x], w=w, budget_s=5, target="cpu/avx2", progress=False)
            assert sorted(t.choices["v"] for t in r.trials) == [wide, w * wide] and all(t.state == "ok" for t in r.trials)
            assert r.default.choices == {"v": w * wide}
    r = hd.tune(m.g, [x.astype(np.float32)], budget_s=5, target="cpu/avx2", progress=False)
    assert sorted(t.choices["v"] for t in r.trials) == [8, 16]
