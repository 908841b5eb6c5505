"""What notebooks show: self-contained HTML, the same facts as text, and the cell magic."""

import html.parser
import pickle
import re
import types

import numpy as np
import pytest

import heddle as hd

TEXT = """
/// Rows that sum to <one> & no more.
op softmax(x: f32[rows, cols]) -> y: f32[rows, cols] {
  peak[r]  = max[c] x[r, c]
  e[r, c]  = exp(x[r, c] - peak[r]) // the <exponentials>
  total[r] = sum[c] e[r, c]
  y[r, c]  = if total[r] < 0 then 0 else e[r, c] / total[r]
}
schedule softmax.rows on cpu allow reassociate {
  compute_at total, e, peak at y.r
  rfactor total.c by 8 as part
  vectorize part.cv
  parallel y.r
}
schedule softmax.strict on cpu { compute_at total, e, peak at y.r; rfactor total.c by 8; parallel y.r }
op count<T: int>(x: T[n], const step: int) -> y: T[n] { y[i] = x[i] + T(step) }
schedule count.wide on cpu { tune width = 4 in [4, 8]; vectorize y.i by width }
"""


@pytest.fixture(scope="module")
def m():
    return hd.parse(TEXT)


class Page(html.parser.HTMLParser):
    """Checks that tags are balanced, and gathers the text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.tags = [], "", []
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        assert all(name not in ("src", "href", "srcdoc") for name, _ in attrs)
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


def page_of(value):
    text = value._repr_html_()
    assert not re.search(r"https?:|//cdn|@import|url\(", text)
    return Page(text)


def classes(page):
    return [word for _, attrs in page.tags for word in attrs.get("class", "").split()]


def test_ops(m):
    page = page_of(m.softmax)
    assert "Rows that sum to <one> & no more." in page.text and m.softmax.signature in page.text
    assert m.softmax.text in page.text and "schedules: rows, strict" in page.text
    assert m.softmax.text.startswith("op softmax(") and m.softmax.text.endswith("}")
    assert "word" in classes(page) and "note" in classes(page)
    # The same as equations: indices below, signs for words.
    assert "peakr" in page.text and "\u2211c ec" not in page.text and "\u2211c er, c" in page.text
    assert [tag for tag, _ in page.tags].count("tr") == 4
    assert "op count" in page_of(m).text and "op softmax" in page_of(m).text


def test_kernels_and_programs(m):
    kernel = m.softmax.compile(hd.spec("f32", "r", "c"), schedule="rows")
    page = page_of(kernel)
    assert kernel.name in page.text and kernel.target in page.text
    for word in ("y.r", "0 .. rows", "parallel", "vector", "dram", "registers", "part[r, cv] sum= e[r, 8*co + cv]", "ceildiv(cols, 8)"):
        assert word in page.text
    assert {"parallel", "vector", "dram", "registers", "reduce"} <= set(classes(page))
    # Every loop, allocation and equation of the program is a line of the tree.
    lines = [line for line in kernel.program.splitlines() if line.strip() not in ("}", "")]
    assert classes(page).count("line") == len(lines)
    program = hd.parse(kernel.program).program("softmax.rows")
    assert "y.r" in page_of(program).text


def test_states(m):
    states = m.softmax.schedule("rows").states(np.ones((3, 4), np.float32))
    page = page_of(states)
    assert isinstance(states, list) and states.refusal is None and len(states) == 5
    assert classes(page).count("state") == 5 and classes(page).count("new") > 3 and classes(page).count("gone") > 3
    text = str(states)
    for state in states:
        for line in [state.step, *state.certificate]:
            assert line in page.text and line in text
    assert [line for line in text.splitlines() if re.match(r"\d", line)] == [f"{i}. {s.step or 'the canonical program'}" for i, s in enumerate(states)]
    ids = [attrs["id"] for tag, attrs in page.tags + page_of(states).tags if "id" in attrs]
    assert len(ids) == len(set(ids)) == 2  # two outputs of one notebook do not meet
    assert "y.r" in page_of(states[-1]).text
    assert str(pickle.loads(pickle.dumps(states))) == text


def test_a_refusal_is_shown_where_it_happened(m):
    schedule = m.softmax.schedule("strict")
    states = schedule.show()
    assert len(states) == 2 and states.refusal.code == "HD0312"
    page = page_of(schedule)
    assert str(states.refusal) in page.text and "allow reassociate" in page.text and classes(page).count("state") == 3
    assert str(states).endswith(f"2. refused\n{states.refusal}")
    with pytest.raises(hd.Error) as e:
        schedule.states(np.ones((3, 4), np.float32))
    assert len(e.value.states) == 2 and e.value.states.refusal is e.value


def test_show_without_arrays_takes_any_op(m):
    assert len(m.count.schedule("wide").show()) == 2  # no f32 for an integer class; a const without default
    for op in (hd.std.nn.softmax, hd.std.nn.layernorm, hd.std.linalg.matmul):
        for name in op.schedules:
            states = op.schedule(name).show()
            assert states.refusal is None and len(states) > 1
            page_of(states)
    with pytest.raises(hd.Error):
        m.softmax.schedule("rows").show(np.ones(3, np.float32))


def test_tuning(m):
    r = hd.tune(m.count, [np.ones(100, np.int32), 1], budget_s=1, progress=False)
    page = page_of(r)
    assert "width=4" in page.text and "width=8" in page.text and r.best.schedule in page.text
    assert [tag for tag, _ in page.tags].count("circle") == sum(t.us is not None for t in r.trials)


def test_equations():
    from heddle.equations import equations

    def plain(text):
        return ["".join(Page(part).text for part in row) for row in equations(text)]

    assert plain("""op f(x: f32[n], const k: int) -> y: f32[n] {
      require n >= 1 && k != 0, "not empty, not 0"
      let h = (n + k - 1)/k   // rounded up
      s[...r, i] = max[j in 0 .. i + 1 where j < k] (-x[...r, j])
      a[i] = if x[i] > 0
        then sqrt(x[i]) * abs(x[i])
        else -inf
      scan t { z[t] = (z[t - 1] or 0) + st[t].m; y[t] <- z[t] }
    }""") == [
        "require n \u2265 1 \u2227 k \u2260 0", "let h=(n + k \u2212 1) / k", "s\u2026r, i=maxj in 0 \u2025 i + 1 where j < k (\u2212x\u2026r, j)",
        "ai= if xi > 0 then \u221a(xi)\u00b7|xi| else \u2212\u221e", "scan t", "zt=(zt \u2212 1 or 0) + stt.m", "yt\u2190zt"]
    for area in dir(hd.std):  # every op of the library: one row for each equation, tags balanced
        for name in dir(getattr(hd.std, area)):
            op = getattr(getattr(hd.std, area), name)
            rows = equations(op.text)
            assert len(rows) >= 1 and all(right for _, _, right in rows)
            page_of(op)


def test_sizes_of_buffers():
    from heddle.display import _size

    assert _size("part: f32[r in 4*ro + ri .. 4*ro + ri + 1, cv in 0 .. 16]") == "64 B"
    assert _size("panel: bf16[p in 0 .. 256, j in 0 .. 64]") == "32 KiB"
    assert _size("e: f32[r in 0 .. rows, c in 0 .. 8]") == "" and _size("x: f32[8, 4]") == "128 B"
    assert _size("a: f64[i in min(m, 4) .. min(m, 4) + 2048, j in 0 .. 2048]") == "32 MiB"


class Shell:
    def __init__(self):
        self.user_ns, self.magics = {}, {}

    def register_magic_function(self, function, kind, name):
        self.magics[kind, name] = function


def test_programs_have_names():
    text = hd.parse("op twice(x: f32[n]) -> y: f32[n] { y[i] = 2*x[i] }").twice.compile(hd.spec("f32", "n")).program
    m = hd.parse(text)
    assert repr(m) == "<heddle.Module twice>" and repr(m.program("twice")) == "<heddle.Program twice>"


def test_cell_magic(m):
    shell = Shell()
    hd.load_ipython_extension(shell)
    run = shell.magics["cell", "heddle"]
    x = np.ones((2, 3), np.float32)
    assert run("", "op twice(x: f32[a, b]) -> y: f32[a, b] { y[i, j] = 2 * x[i, j] }").ops == ["twice"]
    np.testing.assert_array_equal(shell.user_ns["twice"](x), 2 * x)
    run("mine", TEXT)
    assert shell.user_ns["mine"].ops == ["softmax", "count"] and "softmax" not in shell.user_ns
    run("more --extend mine", "schedule softmax.threads on cpu { parallel y.r }")
    assert shell.user_ns["more"].softmax.schedules == ["rows", "strict", "threads"]
    for line in ("two names", "3x", "--extend", "more --extend nothing"):
        with pytest.raises(ValueError):
            run(line, TEXT)
    with pytest.raises(hd.Error) as e:
        run("", "op f(")
    assert e.value.file == "<cell>" and e.value._render_traceback_() == str(e.value).splitlines()


def test_in_ipython():
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    assert shell.run_cell("%load_ext heddle").success
    result = shell.run_cell("%%heddle\nop twice(x: f32[n]) -> y: f32[n] { y[i] = 2 * x[i] }")
    assert result.success and types.SimpleNamespace(**shell.user_ns).twice.name == "twice"
