"""`./dev bench --suite compile`: what stands between a text and its answer, each against its limit.

`us` is the least time of several, `limit_us` what it may be, `of_limit` the limit over the time (1 or more is within). Compiles are
in a warm process with the cache on disk off, each from the text on, its kernel dropped before the next. `cpu_us` is what the
processor spent on one: on a machine that others use, the clock on the wall says little.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import heddle as hd

SPECS = {
    "trivial": ("op add(a: f32[n], b: f32[n]) -> c: f32[n] { c[i] = a[i] + b[i] }\nschedule add.v on cpu { vectorize c.i by lanes(f32) }", "add", "v",
                ("f32 n", "f32 n"), 5e3),
    "softmax": ("nn/softmax", "softmax", "rows", ("f32 r c",), None),
    "layernorm": ("nn/layernorm", "layernorm", None, ("f32 r c", "f32 c", "f32 c"), None),
    "matmul": ("linalg/matmul", "matmul", "blocked", ("f32 m k", "f32 k n"), 40e3),
    "matmul_large": ("linalg/matmul", "matmul", "large", ("f32 m k", "f32 k n"), 40e3),
    "conv2d": ("nn/conv2d", "conv2d", "tiled", ("f32 n c h w", "f32 o c 3 3"), None),
    "attention": ("nn/attention_causal", "attention_causal", "blocked", ("f32 b h n d", "f32 b h t d", "f32 b h t d"), None),
}


def text_of(source):
    if source.startswith("op "):
        return source
    area, name = source.split("/")
    import importlib.resources

    return (importlib.resources.files("heddle") / "stdlib" / area / f"{name}.hd").read_text()


def specs(rows):
    return [hd.spec(t, *(int(d) if d.isdigit() else d for d in dims)) for t, *dims in (row.split() for row in rows)]


def compile_once(text, op, schedule, rows):
    start, spent = time.perf_counter(), time.process_time()
    kernel = hd.parse(text).op(op).compile(*specs(rows), schedule=schedule)
    return time.perf_counter() - start, kernel.times, kernel.cached, time.process_time() - spent


def row(case, us, limit_us=None, **more):
    return {"case": case, "us": us, "limit": None if limit_us is None else f"{limit_us:g} us", "limit_us": limit_us,
            "of_limit": limit_us / us if limit_us else None, "ok": limit_us is None or us <= limit_us, **more}


def cold(case, rounds=7):
    source, op, schedule, rows, limit = SPECS[case]
    text = text_of(source)
    runs = [compile_once(text, op, schedule, rows) for _ in range(rounds)]
    seconds, times, _, _ = min(runs, key=lambda r: r[0])
    return row(f"compile {case}", seconds * 1e6, limit, op=op, cpu_us=min(r[3] for r in runs) * 1e6, stages={k: round(v * 1e3) for k, v in times.items()})


def hit(case, rounds=15):
    """Found on disk: from the text, and from a module that is parsed."""
    source, op, schedule, rows, _ = SPECS[case]
    text = text_of(source)
    compile_once(text, op, schedule, rows)
    hd.cache()  # everything is stored
    both = [compile_once(text, op, schedule, rows) for _ in range(rounds)]
    parsed = hd.parse(text).op(op)
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        kernel = parsed.compile(*specs(rows), schedule=schedule)
        found.append(time.perf_counter() - start)
        assert kernel.cached
        del kernel
    assert both[-1][2], "the kernel is not found on disk"
    return [row(f"cache hit {case}", min(found) * 1e6, 2e3, op=op), row(f"parse and cache hit {case}", min(b[0] for b in both) * 1e6, 2e3, op=op)]


FRESH = """
import time, json
import numpy as np
start = time.perf_counter()
import heddle as hd
imported = time.perf_counter() - start
text = open({path!r}).read()
specs = [hd.spec(t, *d) for t, *d in {specs!r}]
start = time.perf_counter()
kernel = hd.parse(text).op({op!r}).compile(*specs, schedule={schedule!r})
found = time.perf_counter() - start
x = np.ones((64, 1000), np.float32)
start = time.perf_counter()
hd.std.nn.softmax(x)
print(json.dumps([imported, found, time.perf_counter() - start, kernel.cached]))
"""


def fresh(case, rounds=9):
    """In a fresh process with everything on disk: the import, from a text to its kernel, and from `hd.std` to the first answer."""
    source, op, schedule, rows, _ = SPECS[case]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "text.hd")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text_of(source))
        described = [[t, *(int(d) if d.isdigit() else d for d in dims)] for t, *dims in (row.split() for row in rows)]
        program = FRESH.format(path=path, specs=described, op=op, schedule=schedule)
        runs = [json.loads(subprocess.run([sys.executable, "-c", program], env={**os.environ, "HEDDLE_CACHE": os.path.join(folder, "cache")},
                                          stdout=subprocess.PIPE, check=True).stdout) for _ in range(rounds + 1)][1:]
    assert all(r[3] for r in runs), "the kernel is not found on disk"
    imported, found, first = (min(r[i] for r in runs) * 1e6 for i in range(3))
    return imported, first, row(f"fresh process, parse and cache hit {case}", found, 2e3, op=op)


def fresh_all():
    made = [fresh(case) for case in ("trivial", "softmax", "matmul", "conv2d")]
    return [*(m[2] for m in made), row("fresh process, import after NumPy", min(m[0] for m in made)),
            row("fresh process, first std.nn.softmax(x), cached", min(m[1] for m in made), 2e3)]


FIRST = """
import time, json
import numpy as np, heddle as hd
text = open({path!r}).read()
x = np.random.default_rng(0).standard_normal((64, 1000), dtype=np.float32)
start = time.perf_counter()
m = hd.parse(text)
m.softmax(x)
seconds = time.perf_counter() - start
t = m.softmax.compile(x).times
print(json.dumps([seconds, sum(t[k] for k in ("parse", "check", "steps", "lower"))]))
"""


def first_result():
    """In a fresh process, from the parse to the first answer; and Heddle's own stages of it."""
    with tempfile.NamedTemporaryFile("w", suffix=".hd") as file:
        file.write(text_of("nn/softmax"))
        file.flush()
        runs = [json.loads(subprocess.run([sys.executable, "-c", FIRST.format(path=file.name)], env={**os.environ, "HEDDLE_CACHE": "off"},
                                          stdout=subprocess.PIPE, check=True).stdout) for _ in range(5)]
    return [row("first softmax of a process", min(r[0] for r in runs) * 1e6, 150e3), row("first softmax, own stages", min(r[1] for r in runs) * 1e3, 20e3)]


def adversarial():
    """The slowest answer to the texts of tests/python/test_adversarial.py, up to 1 MiB each."""
    import importlib.util

    path = os.path.join(os.path.dirname(__file__), "..", "tests", "python", "test_adversarial.py")
    spec = importlib.util.spec_from_file_location("test_adversarial", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    slowest, name = 0.0, ""
    for title, text in module.TEXTS.items():
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            try:
                hd.parse(text[: 1 << 20]).check()
            except hd.Error as e:
                str(e)
            best = min(best, time.perf_counter() - start)
        if best > slowest:
            slowest, name = best, title
    return row("slowest of the adversarial texts", slowest * 1e6, 1e6, text=name)


def call():
    """A warm call with three small arrays and `out=`."""
    import numpy as np

    kernel = hd.parse(SPECS["trivial"][0]).add.compile(*specs(SPECS["trivial"][3]))
    a, b, c = (np.ones(8, np.float32) for _ in range(3))
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(10_000):
            kernel(a, b, out=c)
        best = min(best, (time.perf_counter() - start) / 10_000)
    return row("call of three arrays", best * 1e6, 0.4)


# Enough work to be shared (backend/host/effort.h), and no more than a cache holds.
FORKED = """
op work(x: f32[n]) -> y: f32[n] { y[i] = exp(x[i]) }
schedule work.blocks on cpu {
  split y.i by 4096 into io, ii
  vectorize y.ii by lanes(f32)
  parallel y.io
}
"""


def fork_join():
    """45 us after the last region: what two threads take longer than half of what one takes. From sleep: how late the other thread begins,
    which is twice that, as the caller works for it meanwhile."""
    import numpy as np

    if len(os.sched_getaffinity(0)) < 2:
        return []
    x = np.zeros(1 << 17, np.float32)
    y = x.copy()
    kernels = [hd.parse(FORKED).work.compile(x, schedule="blocks", threads=n) for n in (1, 2)]

    def after(pause, calls, kernel):
        times = []
        for _ in range(calls):
            pause()
            start = time.perf_counter()
            kernel(x, out=y)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def busy():
        end = time.perf_counter() + 45e-6
        while time.perf_counter() < end:
            pass

    soon = [after(busy, 3000, k) for k in kernels]
    late = [after(lambda: time.sleep(2e-3), 300, k) for k in kernels]
    return [row("fork and join, 45 us after the last", (soon[1] - soon[0] / 2) * 1e6, 5), row("fork and join from sleep", (2 * late[1] - late[0]) * 1e6, 60)]


def growing():
    """A dim that grows from 1 to 4096: one compile for each schedule chosen."""
    import numpy as np

    op = hd.parse(text_of("nn/softmax")).softmax
    x = np.ones((2, 4096), np.float32)
    start = time.perf_counter()
    for n in range(1, 4097):
        op(x[:, :n].copy())
    chosen = {op.compile(x[:, :n]).schedule for n in (1, 50, 96, 97, 4096)}
    made = len(op._kernels)
    return row("growing dim, 4096 calls", (time.perf_counter() - start) * 1e6, compiles=made, schedules=len(chosen)) | {"ok": made == len(chosen)}


def mappings():
    with open("/proc/self/maps") as file:
        return sum(1 for _ in file)


def dropped(cycles=20_000):
    """Kernels that are loaded and dropped leave no mapping behind."""
    text, op, schedule, rows, _ = SPECS["trivial"]
    parsed = hd.parse(text).op(op)
    compile_once(text, op, schedule, rows)
    hd.cache()
    for _ in range(200):
        parsed.compile(*specs(rows), schedule=schedule)
    before, start = mappings(), time.perf_counter()
    for _ in range(cycles):
        parsed.compile(*specs(rows), schedule=schedule)
    grown = mappings() - before
    return row(f"{cycles} kernels loaded and dropped", (time.perf_counter() - start) / cycles * 1e6, mappings_grown=grown) | {"ok": grown < 100}


def line(r):
    limit = f"{r['of_limit']:6.2f} of {r['limit']:>10}" if r["limit"] else " " * 20
    more = f"  cpu {r['cpu_us']:.0f}" if "cpu_us" in r else ""
    more += "".join(f"  {k} {v}" for k, v in r.items() if k in ("stages", "compiles", "schedules", "mappings_grown", "text"))
    return f"{r['case']:48} {r['us']:12.2f} us  {limit}{'' if r['ok'] else '  TOO LONG' if r['limit'] else '  WRONG'}{more}"


def run(options):
    from measure import machine

    jobs = [lambda case=case: [cold(case)] for case in SPECS] + [lambda case=case: hit(case) for case in ("trivial", "softmax", "matmul")]
    jobs += [fresh_all, first_result, lambda: [adversarial()], lambda: [call()], fork_join, lambda: [growing()], lambda: [dropped()]]
    names = [f"compile {c}" for c in SPECS] + [f"cache hit {c}" for c in ("trivial", "softmax", "matmul")] + ["fresh process", "first", "adversarial", "call", "fork and join", "growing", "dropped"]
    hd.set_cache(None)
    cold("trivial", 2)  # LLVM's own start
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, job in zip(names, jobs):
            if options.only and options.only not in name:
                continue
            hd.set_cache(folder if name.startswith(("cache hit", "dropped")) else None)
            for made in job():
                rows.append({"op": "", "shape": "", "dtype": "f32", "threads": 1, "peers": {}, "best_peer": None, "ratio": None, "schedule": None,
                             "skipped": None} | made)
                print(line(made), flush=True)
        hd.set_cache(None)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine(1), "rows": rows, "summary": {"all": {"cases": len(rows), "too_long": sum(not r["ok"] for r in rows)}}}, file, indent=1)
    return 0
