"""`./dev bench --suite neuron`: modelled times beside published measurements, errors shown, bad ones included.

Cost parameters were fitted on the five rows `text/..` alone, the ladder written by hand; all others are predicted. Rows of basis `other` are no predictions:
there the schedules of the standard library stand beside what others' kernels took for the same work. Rows that have neither structure nor bytes in
public are else listed without a modelled time. `ok`: the simulator (in random orders) and the second interpreter agree with NumPy, on the
row's own text at a size that runs quickly. No number here was measured on a device by this project.
"""

import json
import os
import sys

import numpy as np

import nki_ladder as ladder

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import nki_interpreter  # noqa: E402

SCHEDULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nki_ladder.hd")
KERNELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "nki")
LAUNCH_US = 50  # of whole-kernel times on trn2: no schedule removes it
PERCENT, MS, US, NS = "% of peak", "ms", "us", "ns"


def row(case, op, shape, dtype, schedule, published, unit, text=None, small=None, target="neuron/trn2", basis="", launch=0, arguments=2, note=""):
    return {"case": case, "op": op, "shape": shape, "dtype": dtype, "target": target, "schedule": schedule, "published": published,
            "published_unit": unit, "text": text, "small": small, "basis": basis, "launch": launch, "arguments": arguments, "note": note}


def square(n, dtype="bf16"):
    return [(dtype, (n, n)), (dtype, (n, n))]


def emitted(op, schedule, target="neuron/trn2"):
    """The text of a schedule of an op of `std.linalg`, or of the ladder, at the shapes that are asked for."""

    def text(shapes):
        import heddle as hd

        chosen = hd.load(SCHEDULES).matmul if op is None else next(getattr(a, op) for a in (hd.std.linalg, hd.std.nn, hd.std.optim) if hasattr(a, op))
        arrays = [hd.spec(*(a[0], *a[1])) for a in shapes if isinstance(a, tuple)]
        return chosen.compile(*arrays, schedule=schedule, target=target, instructions=500_000).nki

    return text


def text_for(case, shapes):
    return case["text"](shapes) if callable(case["text"]) else case["text"]


def cases():
    out = []
    rungs = [("naive", 16, ladder.naive(), "nothing kept or overlapped"),
             ("hoisted", 58.6, ladder.hoisted(), "loads first, one PSUM tile"),
             ("blocked", 79.05, ladder.partial(1), "blocks 4 x 1 x 8, one PSUM tile for each m block"),
             ("double-buffered", 83.5, ladder.partial(2), "the same with two accumulators"),
             ("fresh", 90.92, ladder.partial(0), "a fresh PSUM tile for each output tile")]
    for name, published, text, what in rungs:
        schedule = name.replace("-", "_")
        out.append(row(f"ladder/{name}", "matmul", square(2048), "bf16", f"schedule `{schedule}`: {what}", published, PERCENT, emitted(None, schedule), square(1024), basis="schedule"))
    for name, published, text, what in rungs:
        out.append(row(f"text/{name}", "matmul", square(2048), "bf16", what, published, PERCENT, text, square(1024), basis="fitted"))
    for op, schedule, what in [("matmul_tn", "neuron_strips", "blocks of 4 banks for all of K"), ("matmul_tn", "neuron", "blocks of 8 banks, operands stream by"),
                               ("matmul", "neuron_strips", "as std.matmul_tn/strips, lhs[m, k] turned on the PE array"),
                               ("matmul_tt", "neuron_panels", "rhs[n, k] turned once, panels of 512"),
                               ("matmul_nt", "neuron_bf16", "rhs[n, k] turned by DMA, lhs[m, k] once on the PE array"),
                               ("linear", "neuron_bf16", "as std.matmul_nt/bf16, with a bias"),
                               ("bmm", "neuron_strips", "two products as std.matmul/strips")]:
        shapes = {"bmm": [("bf16", (2, 2048, 2048))] * 2, "linear": [*square(2048), ("bf16", (2048,))]}.get(op, square(2048))
        small = {"bmm": [("bf16", (2, 300, 500)), ("bf16", (2, 500, 700))], "linear": [*square(1024), ("bf16", (1024,))]}.get(op, square(1024))
        out.append(row(f"std.{op}/{schedule[7:] or 'stream'}", op, shapes, "bf16", what, None, PERCENT, emitted(op, schedule), small, basis="emitted"))
    heads = [("bf16", (1, 1, 2048, 128))] * 3
    out.append(row("std.attention", "attention", [*heads, 128**-0.5], "bf16", "4 x 128 queries, products of weights overlap", 30, PERCENT,
                   emitted("attention", "neuron_blocks"), [("bf16", (1, 2, 300, 64))] * 3 + [0.125], basis="other"))
    out.append(row("std.attention_causal", "attention_causal", [*heads, 128**-0.5], "bf16", "the same, of what each query sees", 13.2, PERCENT,
                   emitted("attention_causal", "neuron_blocks"), [("bf16", (1, 2, 300, 64))] * 3 + [0.125], basis="other"))
    for t, limit in (("f32", 4.596), ("f16", 1.002)):
        out.append(row("std.conv2d", "conv2d", [(t, (1, 256, 224, 224)), (t, (256, 256, 3, 3))], t, "4 rows in SBUF, weights turned once", limit, MS,
                       emitted("conv2d", "neuron_rows"), [(t, (1, 20, 9, 30)), (t, (140, 20, 3, 3))], basis="other"))
    for op, shapes, scalars, small, ms in [
            ("silu", [(4096, 7168)], (), [(200, 300)], 1.33), ("rope", [(1, 64, 4096, 128), (4096, 64), (4096, 64)], (), [(1, 2, 130, 64), (130, 32), (130, 32)], 4.33),
            ("adam", [(10944, 2048)] * 4, (0.01, 0.1, 0.01, 0.9, 0.999, 1e-8), [(200, 300)] * 4, 2.00),
            ("matmul", [(4096, 12288), (12288, 5120)], (), [(300, 500), (500, 700)], 35.2), ("bmm", [(16, 4096, 64), (16, 64, 4096)], (), [(2, 300, 64), (2, 64, 700)], 4.61)]:
        out.append(row(f"std.{op}", op, [*(("f32", a) for a in shapes), *scalars], "f32", "chosen schedule", ms, MS, emitted(op, None, "neuron/trn1"),
                       [*(("f32", a) for a in small), *scalars], "neuron/trn1", "other"))
    out.append(row("matmul/streaming", "matmul", square(2048), "bf16", "streaming loads, two partial reductions", 89.5, PERCENT, ladder.streaming(),
                   square(1024), basis="structure"))
    out.append(row("matmul/packed", "matmul", square(2048), "bf16", "`fresh` with packed buffers", 46.6, PERCENT, ladder.partial(0, packed=True),
                   square(1024), basis="structure"))
    out.append(row("matmul/best", "matmul", square(2048), "bf16", "MNK; k 4, m 4, n 2; 8 banks for all of K", None, PERCENT, ladder.blocks("MNK", 4, 4, 2),
                   square(1024), basis="ours"))
    for n, ms, order, k, m, c in [(512, 0.054, "KNM", 4, 1, 1), (1024, 0.076, "NMK", 4, 2, 1), (2048, 0.269, "MNK", 2, 4, 2), (4096, 1.823, "MNK", 4, 4, 2)]:
        out.append(row(f"matmul/{n}", "matmul", square(n), "bf16", f"{order}; k {k}, m {m}, n {c}", ms, MS, ladder.blocks(order, k, m, c),
                       square(min(n, 1024)), basis="structure", launch=LAUNCH_US))
    out.append(row("nkibench/matmul", "matmul", [("f32", (12288, 4096)), ("f32", (12288, 5120))], "f32", "9.26 GB moved", 35.2, MS, ladder.wide(),
                   [("f32", (256, 256)), ("f32", (256, 1024))], "neuron/trn1", "bytes"))
    out.append(row("nkibench/bmm", "bmm", [("f32", (16, 64, 4096)), ("f32", (16, 64, 4096))], "f32", "1.15 GB moved", 4.61, MS, ladder.BMM,
                   [("f32", (2, 64, 256)), ("f32", (2, 64, 512))], "neuron/trn1", "bytes"))
    out.append(row("nkibench/adamw", "adamw", [("f32", (10944, 2048))] * 3, "f32", "0.448 GB moved, no arithmetic", 2.00, MS, ladder.move(3, 2),
                   [("f32", (200, 64))] * 3, "neuron/trn1", "bytes"))
    one = [("f32", (1, 8192))]
    out.append(row("dma/32 KiB", "dma_copy", one, "f32", "32 KiB by one DMA engine, beyond its start", 1416, NS, ladder.move(1, 1), one, "neuron/trn2", "structure"))
    out.append(row("scalar/chain", "activation", [("f32", (1, 1))], "f32", "each instruction on the last one's result", 189, NS, "chain", None, "neuron/trn1", "documented"))
    for name, shapes, scalars in [("matmul", [("f32", (777, 1000)), ("f32", (777, 1500))], ()), ("softmax", [("f32", (1000, 2048))], ()),
                                  ("layernorm", [("f32", (1000, 2048)), ("f32", (2048,)), ("f32", (2048,))], (1e-5,)), ("transpose", [("f32", (1000, 777))], ()),
                                  ("attention", [("f32", (128, 1000)), ("f32", (128, 1000)), ("f32", (1000, 128))], (128**-0.5,))]:
        with open(os.path.join(KERNELS, name + ".py"), encoding="utf-8") as file:
            out.append(row(f"kernels/{name}", name, [*shapes, *scalars], "f32", "by hand", None, US, file.read(), [*shapes, *scalars], basis="ours"))
    return out


def information():
    """Published rows without structure or bytes: no model is held against them."""
    out = []
    for name, op, shape, dtype, published, unit, target in [
            ("matmul/neuronx-cc", "matmul", "2048 x 2048 x 2048", "bf16", 86.65, PERCENT, "neuron/trn2"),
            ("attention/library 16k", "attention", "n 16384, d 128", "bf16", 46, PERCENT, "neuron/trn2"),
            ("nkibench/swiglu", "swiglu", "4096 x 3072 x 1024", "f32", 4.22, MS, "neuron/trn1")]:
        out.append(row(name, op, shape, dtype, "", published, unit, target=target, basis="information", note="neither structure nor bytes are public"))
    return out


DTYPES = {"f32": np.dtype(np.float32), "f16": np.dtype(np.float16)}


def dtype_of(name):
    if name == "bf16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return DTYPES[name]


def exact(case, arguments):
    """NumPy's answer in f64."""
    op = case["op"]
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
    if op in ("matmul_nt", "linear"):
        return (wide[0] @ wide[1].T + (wide[2] if op == "linear" else 0),)
    if op == "matmul_tt":
        return (wide[0].T @ wide[1].T,)
    if op == "silu":
        return (wide[0] / (1 + np.exp(-wide[0])),)
    if op == "rope":
        x, c, s = wide
        a, b = np.split(x, 2, axis=-1)
        return (np.concatenate([a * c - b * s, b * c + a * s], -1),)
    if op == "adam":
        w, g, m, v, rate, correct1, correct2, beta1, beta2, eps = wide
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        return (w - rate * (m / correct1) / (np.sqrt(v / correct2) + eps), m, v)
    if op in ("matmul", "matmul_tn"):
        product = (wide[0] if case["case"].startswith("std.matmul/") or case["case"] == "std.matmul" else wide[0].T) @ wide[1]
        return (np.exp(0.01 * product) if case["case"].startswith("kernels/") else product,)
    if op == "bmm":
        return ((wide[0] if case["case"].startswith("std.") else np.swapaxes(wide[0], 1, 2)) @ wide[1],)
    if op == "softmax":
        e = np.exp(wide[0] - wide[0].max(axis=1, keepdims=True))
        return (e / e.sum(axis=1, keepdims=True),)
    if op == "layernorm":
        x, g, b, eps = wide
        return ((x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps) * g + b,)
    if op == "transpose":
        return (wide[0].T,)
    if op == "conv2d":
        windows = np.lib.stride_tricks.sliding_window_view(wide[0], wide[1].shape[2:], axis=(2, 3))
        return (np.einsum("nqijuv,oquv->noij", windows, wide[1]),)
    if case["case"].startswith("std.attention"):
        q, k, v, scale = wide
        s = np.einsum("bhie,bhje->bhij", q, k) * scale
        if op == "attention_causal":
            s = np.where(np.tril(np.ones(s.shape[-2:], bool)), s, -np.inf)
        p = np.exp(s - s.max(-1, keepdims=True))
        return (p / p.sum(-1, keepdims=True) @ v,)
    if op == "attention":
        q, k, v, scale = wide
        s = np.where(np.tril(np.ones((q.shape[1], k.shape[1]), bool)), q.T @ k * scale, -np.inf)
        p = np.exp(s - s.max(1, keepdims=True))
        return (p / p.sum(1, keepdims=True) @ v,)
    return tuple(wide)


def agrees(case):
    """The text on small arrays: simulator in two orders, second interpreter, NumPy."""
    from heddle import neuron

    rng = np.random.default_rng(7)
    arrays = [(abs if case["op"] == "adam" else np.asarray)(rng.standard_normal(a[1])).astype(np.float32).astype(dtype_of(a[0])) if isinstance(a, tuple) else a for a in case["small"]]
    as_tuple = lambda y: y if isinstance(y, tuple) else (y,)
    text = text_for(case, case["small"])
    runs = [as_tuple(neuron.simulate(text, *arrays, target=case["target"], seed=s)[0]) for s in (1, 2)]
    runs.append(as_tuple(nki_interpreter.run(text, *arrays)))
    good = all(a.tobytes() == b.tobytes() for a, b in zip(runs[0], runs[1]))
    steps = {"bf16": 2e-2, "f16": 2e-3}.get(case["dtype"], 1e-5)
    for r in runs:
        for got, want in zip(r, exact(case, arrays)):
            good &= bool(np.abs(got.astype(np.float64) - want).max() <= steps * np.abs(want).max())
    return good


def chain(n):
    return f"""import nki
import nki.language as nl
import nki.isa as nisa


@nki.jit
def chain(x):
    y = nl.ndarray((1, 1), dtype=nl.float32, buffer=nl.shared_hbm)
    t = nl.ndarray((1, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=t, src=x)
    for i in range({n}):
        nisa.activation(dst=t, op=nl.copy, data=t)
    nisa.dma_copy(dst=y, src=t)
    return y
"""


def modelled(case):
    """(us, value in the published unit, report)"""
    from heddle import neuron

    def run(text, shapes):
        return neuron.simulate(text, *shapes, target=case["target"], data=False, max_instructions=500_000)[1]

    if case["text"] == "chain":
        a, b = run(chain(100), case["shape"]), run(chain(200), case["shape"])
        return b.modelled_us, (b.modelled_us - a.modelled_us) * 10, b
    report = run(text_for(case, case["shape"]), case["shape"])
    if case["op"] == "dma_copy":
        none = run(case["text"], [("f32", (1, 1))])
        return report.modelled_us, (report.modelled_us - none.modelled_us) * 500, report
    us = report.modelled_us + case["launch"]
    if case["published_unit"] in (MS, US):
        return us, us / 1000 if case["published_unit"] == MS else us, report
    return us, 100 * report.utilisation, report


def measure(case):
    shape = case["shape"] if isinstance(case["shape"], str) else " . ".join("x".join(map(str, a[1])) for a in case["shape"] if isinstance(a, tuple))
    out = {k: case[k] for k in ("case", "op", "dtype", "target", "schedule", "published", "published_unit", "basis", "note")}
    out |= {"shape": shape, "modelled_us": None, "modelled": None, "utilisation": None, "error": None, "engines": None, "ok": None}
    if case["text"] is None:
        return out
    us, value, report = modelled(case)
    out |= {"modelled_us": us, "modelled": value, "utilisation": report.utilisation, "engines": report.engines, "dma_bytes": report.dma_bytes,
            "critical": report.critical}
    if case["published"] is not None:
        # Of rates the difference in points, of times the relative one in percent.
        out["error"] = value - case["published"] if case["published_unit"] == PERCENT else 100 * (value / case["published"] - 1)
    out["ok"] = agrees(case) if case["small"] else True
    return out


def line(r):
    value = "-" if r["modelled"] is None else f"{r['modelled']:.3g}"
    published = "-" if r["published"] is None else f"{r['published']:g}"
    error = "" if r["error"] is None else f"{r['error']:+.1f} {'points' if r['published_unit'] == PERCENT else '%'}"
    time = "" if r["modelled_us"] is None else f"{r['modelled_us']:.1f} us"
    wrong = "" if r["ok"] in (True, None) else "  WRONG"
    return f"{r['case']:24} {r['dtype']:5} {r['target'][7:]:5} {time:>12}  modelled {value:>6}  published {published:>6} {r['published_unit'] or '':10} {error:>13}  {r['basis']}{wrong}"


def run(options):
    rows = []
    for case in cases():
        if options.only and options.only not in case["case"]:
            continue
        rows.append(measure(case))
        print(line(rows[-1]), flush=True)
    listed = [measure(case) for case in information() if not options.only or options.only in case["case"]]
    for r in listed:
        print(line(r))
    predicted = [abs(r["error"]) for r in rows if r["error"] is not None and r["basis"] in ("structure", "bytes")]
    if predicted:
        print(f"\npredicted rows: {len(predicted)}, error at most {max(predicted):.1f}, on average {sum(predicted) / len(predicted):.1f} (% or points)")
    if options.json:
        from measure import machine

        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine(1), "rows": rows, "information": listed, "summary": {"rows": len(rows), "ok": sum(r["ok"] is True for r in rows)}}, file, indent=1)
    return 1 if any(r["ok"] is False for r in rows) else 0
