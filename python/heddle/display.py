"""HTML for notebooks: self-contained, no network, readable on light and dark; the same as text beside it."""

import difflib
import html
import itertools
import math
import re

from .equations import equations

_numbers = itertools.count(1)

STYLE = """<style>
.hd{font:13px/1.5 ui-monospace,Menlo,Consolas,monospace;overflow-x:auto;margin:4px 0}
.hd .line{white-space:pre;padding-left:.4em;border-left:3px solid transparent}
.hd b{font-weight:600}.hd .dim{opacity:.6}
.hd .parallel{color:#1f6feb}.hd .vector{color:#1a7f37}.hd .unrolled,.hd .pipelined{color:#bc4c00}.hd .reduce{color:#8250df}
.hd .tag{border:1px solid;border-radius:8px;padding:0 .5em;margin-left:.5em;font-size:11px}
.hd .dram{color:#6e7781}.hd .l2{color:#9a6700}.hd .l1{color:#bc4c00}.hd .registers,.hd .tile,.hd .psum,.hd .sbuf{color:#cf222e}
.hd .new{background:rgba(46,160,67,.18);border-left-color:#2ea043}.hd .gone{background:rgba(248,81,73,.15);border-left-color:#f85149}
.hd .word{color:#8250df}.hd .note{opacity:.7;font-style:italic}
.hd .refused{border:1px solid #f85149;border-radius:4px;padding:.3em .6em;white-space:pre;background:rgba(248,81,73,.10)}
.hd .bar button{font:inherit;margin-right:.5em}.hd .bar{margin:.3em 0}
.hd ol{margin:.2em 0;padding-left:2.4em}.hd li{cursor:pointer;white-space:pre}.hd li.no{color:#cf222e}.hd li.on{font-weight:600;background:rgba(84,174,255,.2)}
.hd ul{margin:.2em 0;padding-left:1.6em}.hd ul li{cursor:auto;white-space:normal}
.hd table{font:inherit;border-collapse:collapse;margin:.3em 0}.hd td,.hd th{padding:.1em .8em;text-align:left;background:none;border:none}
.hd table.eq{font:15px/1.7 "STIX Two Text","Cambria Math","Latin Modern Roman",Georgia,serif}.hd table.eq td{padding:.05em .35em;white-space:nowrap;vertical-align:baseline}
.hd table.eq td:first-child{text-align:right}.hd sub{font-size:.75em}.hd table.eq .word{font-size:.9em}
.hd svg text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:currentColor}.hd details>summary{cursor:pointer;opacity:.7}
</style>"""

_WORDS = re.compile(r"\b(op|schedule|reducer|let|require|if|then|else|in|where|or|sum|prod|max|min|argmax|argmin|any|all|scan|const|inout)\b|(//[^\n]*)")
_LOOP = re.compile(r"^( *)for (\S+) in (.*?)( parallel| vector| unrolled| pipelined.*| bound.*)? \{$")
_ALLOC = re.compile(r"^( *)alloc (.*) in (\w+)(.*)$")
_REDUCE = re.compile(r"^( *)reduce (.*) \{$")
_LEAF = re.compile(r"^( *)at (\w+)(?:@\w+)?\((.*?)\)( where .*?)?( recomputed)? \{ (.*) \}$")


def _box(inside):
    return f'<div class="hd">{STYLE}{inside}</div>'


def _text(value):
    return html.escape(str(value), quote=True)


def _code(text):
    """Heddle text with its words and comments marked."""
    out, at = [], 0
    for found in _WORDS.finditer(text):
        kind = "note" if found[2] else "word"
        out.append(f'{_text(text[at:found.start()])}<span class="{kind}">{_text(found[0])}</span>')
        at = found.end()
    return "".join(out) + _text(text[at:])


_BYTES = {"f64": 8, "i64": 8, "u64": 8, "f32": 4, "i32": 4, "u32": 4, "f16": 2, "bf16": 2, "i16": 2, "u16": 2}


def _size(allocation):
    """The size of `part: f32[r in 4*ro .. 4*ro + 4, cv in 0 .. 16]` where its extents are plain numbers, in words; else empty."""
    found = re.fullmatch(r"[\w.@]+: (\w+)\[(.*)\]", allocation)
    if not found:
        return ""
    count = _BYTES.get(found[1], 1)
    for dim in re.split(r",(?![^(]*\))", found[2]):
        low, dots, high = re.sub(r"^\s*\w+ in ", "", dim).strip().partition(" .. ")
        if not dots:
            low, high = "0", low
        extent = high if low == "0" else high.removeprefix(low + " + ")
        if not extent.isdigit():
            return ""
        count *= int(extent)
    for unit in ("B", "KiB", "MiB"):
        if count < 1024 or unit == "MiB":
            return f"{count:.4g} {unit}"
        count /= 1024


def _line(text, mark=""):
    """One line of a printed program as part of a loop tree: what closes a bracket is left out."""
    if text.strip() in ("}", ""):
        return ""
    if found := _LOOP.match(text):
        indent, loop, extent, kind = found[1], found[2], found[3], (found[4] or "").strip()
        word = kind.split()[0] if kind else ""
        tag = f'<span class="tag {_text(word)}">{_text(kind)}</span>' if kind else ""
        inside = f'{indent}<span class="{_text(word)}"><b>{_text(loop)}</b></span> <span class="dim">{_text(extent)}</span>{tag}'
    elif found := _ALLOC.match(text):
        size = _size(found[2])
        inside = (f'{found[1]}{_text(found[2])}<span class="tag {_text(found[3])}">{_text(found[3])}{f" {size}" if size else ""}</span>'
                  f"{_text(found[4])}")
    elif found := _REDUCE.match(text):
        inside = f'{found[1]}<span class="reduce">reduce {_text(found[2])}</span>'
    elif found := _LEAF.match(text):
        guard = f'<span class="dim">{_text((found[4] or "") + (found[5] or ""))}</span>'
        inside = f"{found[1]}{_text(found[6])} {guard}"
    elif text.lstrip().startswith("stage "):
        inside = f'<span class="dim">{_text(text)}</span>'
    else:
        inside = _text(text.removesuffix(" {"))
    return f'<div class="line {mark}">{inside}</div>'


def _tree(program, before=None):
    """The loop tree; against the program before, lines that are new and lines that went."""
    lines = program.rstrip("\n").split("\n")
    if before is None:
        return "".join(map(_line, lines))
    old, out = before.rstrip("\n").split("\n"), []
    for tag, i, i2, j, j2 in difflib.SequenceMatcher(None, old, lines, autojunk=False).get_opcodes():
        if tag == "equal":
            out += map(_line, lines[j:j2])
        else:
            out += [_line(one, "gone") for one in old[i:i2]] + [_line(one, "new") for one in lines[j:j2]]
    return "".join(out)


def error_html(error):
    return _box(f'<div class="refused">{_text(error)}</div>')


def program_html(text):
    return _box(_tree(text))


def kernel_html(kernel):
    times = ", ".join(f"{name} {ms:.1f}" for name, ms in kernel.times.items())
    head = f'<div><b>{_text(kernel.name)}</b> on {_text(kernel.target)} <span class="dim">compiled in ms: {_text(times)}</span></div>'
    return _box(head + _tree(kernel.program))


def op_html(op):
    doc = f'<div class="note">{_text(op.__doc__)}</div>' if op.__doc__ else ""
    names = ", ".join(op.schedules) or "none"
    rows = "".join(f"<tr><td>{left}</td><td>{sign}</td><td>{right}</td></tr>" for left, sign, right in equations(op.text))
    text = f'<details><summary>text</summary><div class="line">{_code(op.text)}</div></details>'
    return _box(f'{doc}<div><b>{_text(op.signature)}</b></div><table class="eq">{rows}</table>{text}'
                f'<div class="dim">schedules: {_text(names)}</div>')


# --- states ----------------------------------------------------------------------------------------------------------

# The steps stand in a list; the state of the chosen one below. `n` is the state that is shown.
SCRIPT = """<script>(function(){
var r=document.getElementById("ID"),p=r.querySelectorAll(".state"),l=r.querySelectorAll("ol>li"),n=0;
function go(i){n=Math.max(0,Math.min(p.length-1,i));p.forEach(function(e,k){e.style.display=k==n?"":"none"});
l.forEach(function(e,k){e.classList.toggle("on",k==n)});r.querySelector(".at").textContent=n+" / "+(p.length-1)}
l.forEach(function(e,k){e.onclick=function(){go(k)}});
r.querySelector(".back").onclick=function(){go(n-1)};r.querySelector(".next").onclick=function(){go(n+1)};go(FIRST)})()</script>"""


def states_html(states):
    steps, panels, before = [], [], None
    for state in states:
        steps.append(f"<li>{_text(state.step or 'the canonical program')}</li>")
        why = "".join(f"<li>{_text(line)}</li>" for line in state.certificate)
        panels.append(f'<div class="state">{f"<ul>{why}</ul>" if why else ""}{_tree(state.program, before)}</div>')
        before = state.program
    if states.refusal is not None:
        steps.append(f'<li class="no">refused: {_text(states.refusal.message)}</li>')
        panels.append(f'<div class="state"><div class="refused">{_text(states.refusal)}</div>{_tree(before)}</div>' if before else
                      f'<div class="state"><div class="refused">{_text(states.refusal)}</div></div>')
    first = len(panels) - 1 if states.refusal is not None else 0  # a refusal is what the reader came for
    name = f"hd{next(_numbers)}x{id(states):x}"
    bar = '<div class="bar"><button class="back">back</button><button class="next">next</button><span class="at"></span></div>'
    return _box(f'<div id="{name}"><div><b>{_text(states.title)}</b></div><ol start="0">{"".join(steps)}</ol>{bar}{"".join(panels)}'
                f'{SCRIPT.replace("ID", name).replace("FIRST", str(first))}</div>')


def states_text(states):
    out, before = [], None
    for i, state in enumerate(states):
        out.append(f"{i}. {state.step or 'the canonical program'}")
        out += [f"     {line}" for line in state.certificate]
        if before is not None:
            out += [f"   {line}" for line in list(difflib.unified_diff(before, state.program.split("\n"), n=0, lineterm=""))[2:] if line[:2] != "@@"]
        before = state.program.split("\n")
    if states.refusal is not None:
        out.append(f"{len(states)}. refused\n{states.refusal}")
    return "\n".join(out)


def numerics_html(numerics):
    rows = "".join(f"<tr><td><b>{_text(s.name)}</b></td><td>{_text(s.type)}</td><td>{_text(s.words)}</td></tr>" for s in numerics.stages)
    rows += "".join(f'<tr><td colspan="2">instruction</td><td>{_text(text)}</td></tr>' for text in numerics.instructions)
    flush = '<div class="dim">denormals may count as 0</div>' if numerics.flushes_denormals else ""
    return _box(f"<div><b>{_text(numerics.title)}</b>: {_text(numerics.promise)}</div><table>{rows}</table>{flush}")


# --- tuning ----------------------------------------------------------------------------------------------------------

def _ticks(low, high):
    """A few round numbers between two: as few digits as it takes to have three of them."""
    step = 10.0 ** math.ceil(math.log10(high))
    while True:
        for part in (1, 2, 5):
            marks = [n * step / part for n in range(math.ceil(low * part / step), math.floor(high * part / step) + 1)]
            if len(marks) >= 3:
                return marks
        step /= 10


def _plot(result):
    """Each candidate's time in the order of the search, and the best so far. Times by powers, so that halves look alike."""
    timed = [(i, t) for i, t in enumerate(result.trials) if t.us]
    if not timed:
        return ""
    wide, tall, left, low = 560, 200, 64, 24
    least, most = min(t.us for _, t in timed) * 0.95, max(t.us for _, t in timed) * 1.05

    def x(i):
        return left + (wide - left - 10) * (i + 0.5) / len(result.trials)

    def y(us):
        return 8 + (tall - low - 8) * (math.log(most) - math.log(us)) / (math.log(most) - math.log(least))

    parts = []
    for mark in _ticks(least, most):
        parts.append(f'<line x1="{left}" x2="{wide - 10}" y1="{y(mark):.1f}" y2="{y(mark):.1f}" stroke="currentColor" stroke-opacity=".15"/>'
                     f'<text x="{left - 6}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:g} us</text>')
    best, path = math.inf, []
    for i, t in timed:
        if t.state == "ok" and t.us < best:
            path += [f"{x(i):.1f},{y(best):.1f}"] if best < math.inf else []
            best = t.us
            path.append(f"{x(i):.1f},{y(best):.1f}")
    path.append(f"{wide - 10},{y(best):.1f}")
    parts.append(f'<polyline points="{" ".join(path)}" fill="none" stroke="#1f6feb" stroke-width="1.5"/>')
    for i, t in timed:
        colour = "#2ea043" if t is result.best else "#1f6feb" if t.state == "ok" else "#8c959f"
        values = ", ".join(f"{k}={v}" for k, v in t.choices.items())
        parts.append(f'<circle cx="{x(i):.1f}" cy="{y(t.us):.1f}" r="{5 if t is result.best else 3}" fill="{colour}">'
                     f"<title>{_text(values)}: {t.us:.1f} us, {_text(t.state)}</title></circle>")
    for i, t in enumerate(result.trials):
        if not t.us:
            parts.append(f'<text x="{x(i):.1f}" y="{tall - low + 2}" text-anchor="middle" fill-opacity=".6">\u00d7<title>{_text(t.state)}</title></text>')
    parts.append(f'<text x="{(left + wide) / 2:.0f}" y="{tall - 4}" text-anchor="middle">candidates in the order of the search</text>')
    return f'<svg width="{wide}" height="{tall}" viewBox="0 0 {wide} {tall}" role="img">{"".join(parts)}</svg>'


def tune_html(result):
    rows = "".join(
        f"<tr><td>{_text(', '.join(f'{k}={v}' for k, v in t.choices.items()) or 'no variables')}</td><td>{_text(t.state)}</td>"
        f"<td>{'' if t.us is None else f'{t.us:.1f}'}</td><td>{_text(t.why.splitlines()[0] if t.why else '')}</td></tr>"
        for t in sorted(result.trials, key=lambda t: (t.us is None, t.us or 0))[:20])
    return _box(f'<div><b>{_text(result)}</b></div><div class="dim">checked against {_text(result.checked)}</div>{_plot(result)}'
                f'<table><tr><th>values</th><th></th><th>us</th><th></th></tr>{rows}</table><div class="line">{_code(result.best.schedule)}</div>')
