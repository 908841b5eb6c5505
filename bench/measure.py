"""Timing two functions against each other, and what this machine can do at most."""

import os
import statistics
import time

import numpy as np


def interleaved(ours, peer, seconds=1.0, least=5, most=200):
    """Runs A/B/A/B until `seconds` are used; the medians in seconds. Both run once before."""
    ours(), peer()
    a, b = [], []
    stop = time.perf_counter() + seconds
    while (len(a) < least or time.perf_counter() < stop) and len(a) < most:
        t0 = time.perf_counter()
        ours()
        t1 = time.perf_counter()
        peer()
        t2 = time.perf_counter()
        a.append(t1 - t0)
        b.append(t2 - t1)
    return statistics.median(a), statistics.median(b)


def cpu_features():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        flags = next((line for line in file if line.startswith("flags")), "").split()
    return [f for f in ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile") if f in flags]


def machine(threads):
    return {"features": cpu_features(), "processors": len(os.sched_getaffinity(0)), "threads": threads, "numpy": np.__version__}


def copy_bandwidth():
    """Bytes per second that a NumPy copy of 64 MiB reads and writes, best of five."""
    a = np.ones(1 << 24, np.float32)
    b = np.empty_like(a)
    best = min(_timed(lambda: np.copyto(b, a)) for _ in range(5))
    return 2 * a.nbytes / best


def fma_peak(threads):
    """FLOP per second that independent f32 FMAs reach on `threads` processors, the best of 25: a kernel of our own, 24 sums in registers, or
    12 where there are 16 registers."""
    import heddle as hd

    rows, columns = 256 * threads, 64 if "avx512f" in cpu_features() else 16
    op = hd.parse(_PEAK.replace("COLUMNS", str(columns))).peak
    w = np.full((_PEAK_DEPTH, 6), 0.5, np.float32)
    x, y = np.full((rows, columns), 0.5, np.float32), np.empty((rows, 6, columns), np.float32)
    kernel = op.compile(w, x, schedule="registers", threads=threads)
    best = min(_timed(lambda: kernel(w, x, out=y)) for _ in range(25))
    return 2.0 * rows * 6 * columns * _PEAK_DEPTH / best


_PEAK_DEPTH = 1024
# One broadcast of w for each four sums, or two: everything it reads stays in L1.
_PEAK = """
op peak(w: f32[depth, 6], x: f32[rows, COLUMNS]) -> y: f32[rows, 6, COLUMNS] {
  s[i, u, j] = sum[k] w[k, u] * x[i, j]
  y[i, u, j] = s[i, u, j]
}
schedule peak.registers on cpu allow reassociate, contract {
  compute_at s at y.i in registers
  reorder s.k, s.u, s.j
  vectorize s.j by lanes(f32)
  unroll s.u
  vectorize y.j by lanes(f32)
  parallel y.i
}
"""


def tile_products(dtype, threads, operations):
    """A call of about so many `operations` on `threads` processors, and how many they are: products of tiles, of bf16 or i8, that stay in tile
    registers. Operands are random numbers: zeros are multiplied faster."""
    import heddle as hd
    import ml_dtypes

    narrow = dtype == "i8"
    depth = 64 if narrow else 32
    words = {"DEPTH": depth, "GROUP": 4 if narrow else 2, "TYPE": "i8" if narrow else "bf16", "SUM": "i32" if narrow else "f32",
             "WIDE": "i32" if narrow else "widen", "ROWS": 64 * threads, "TURNED": "fours" if narrow else "pairs",
             "ALLOW": "" if narrow else "allow reassociate, flush_denormals"}
    text = _TILE_PRODUCTS
    for word, value in words.items():
        text = text.replace(word, str(value))
    rng = np.random.default_rng(5)
    shapes = (64 * threads, depth), (depth, 32)
    a, b = (rng.integers(-128, 128, s).astype(np.int8) if narrow else rng.standard_normal(s).astype(ml_dtypes.bfloat16) for s in shapes)
    each = 2.0 * 64 * threads * 32 * depth
    times = max(64, round(operations / each))
    kernel = hd.parse(text).products.compile(a, b, times=times, schedule="tiles", target="cpu/amx", threads=threads)
    c = kernel(a, b)
    return lambda: kernel(a, b, out=c), each * times


# Four products of tiles at a time, of tiles that were loaded once.
_TILE_PRODUCTS = """
import "std/steps/tiles" as tiles
op products(a: TYPE[ROWS, DEPTH], b: TYPE[DEPTH, 32], const times: int = 1) -> c: SUM[ROWS, 32] {
  acc[i, j] = sum[t in 0 .. times, p] WIDE(a[i, p]) * WIDE(b[p, j])
  c[i, j] = acc[i, j]
}
schedule products.tiles on cpu/amx ALLOW {
  split c.i by 32 into io, ir with exact
  split c.ir by 32 into ig, ii with exact
  compute_at acc at c.io in tile
  split acc.t by times into once, t with exact
  split acc.p by DEPTH into po, pi with exact
  split acc.i by 16 into it, dot with exact
  split acc.j by 16 into jt, jn with exact
  reorder acc.once, acc.t, acc.po, acc.it, acc.jt, acc.dot, acc.jn, acc.pi
  cache b in l1 at c.io as panel
  layout panel[p, j] to (j/16, p/GROUP, j%16, p%GROUP)
  tiles.tiles_of panel, acc.once, GROUP, amx_load_TURNED
  cache a in l1 at c.io as block
  cache block in tile at acc.once as ta
  tiles.load ta.i, amx_load_TYPE
  tiles.sums acc, c.ig, amx_store_SUM
  replace acc.dot by amx_dot_TYPE
  unroll c.ig, acc.it, acc.jt
  parallel c.io
}
"""


def _timed(f):
    t = time.perf_counter()
    f()
    return time.perf_counter() - t


def pin(threads):
    """Keeps this process on its first `threads` processors, so that peers do not move about."""
    cpus = sorted(os.sched_getaffinity(0))[:threads]
    os.sched_setaffinity(0, cpus)
