"""The main job: ops of the standard library with their schedules, on arrays of realistic size, checked against NumPy and timed.

Each thread count runs in a process of its own (NumPy's BLAS fixes its threads when it is loaded); within it, Heddle and NumPy take
turns. A row is right when every element is within the bound of docs/numerics.md of a float64 result.
"""

import argparse
import json
import os
import subprocess
import sys

UNIT = 2.0**-24  # half an ulp of f32, relative


def rows(threads):
    import numpy as np

    import heddle as hd
    from measure import copy_bandwidth, fma_peak, interleaved

    rng = np.random.default_rng(7)

    def normal(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    def matmul(m, k, n):
        a, b = normal(m, k), normal(k, n)
        out, peer = np.empty((m, n), np.float32), np.empty((m, n), np.float32)
        exact = a.astype(np.float64) @ b.astype(np.float64)
        bound = (k + 2) * UNIT * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64))
        return dict(op="matmul", shape=f"{m}x{k}x{n}", kernel=hd.std.linalg.matmul.compile(a, b, threads=threads), args=(a, b), out=out,
                    peer=lambda: np.matmul(a, b, out=peer), peer_name="numpy (OpenBLAS)", exact=exact, bound=bound,
                    work=2.0 * m * k * n, unit="GFLOP/s")

    def softmax(r, c):
        x = normal(r, c)
        out, peer = np.empty_like(x), np.empty_like(x)

        def reference():
            np.subtract(x, x.max(axis=1, keepdims=True), out=peer)
            np.exp(peer, out=peer)
            np.divide(peer, peer.sum(axis=1, keepdims=True), out=peer)

        d = x.astype(np.float64) - x.max(axis=1, keepdims=True)
        e = np.exp(d)
        exact = e / e.sum(axis=1, keepdims=True)
        # exp: its argument's rounding |d| u and 2 ulp; the sum: that of each term and c roundings; the quotient: one more.
        bound = exact * (np.abs(d) + np.abs(d).max(axis=1, keepdims=True) + 4 + 4 + c + 2) * UNIT
        return dict(op="softmax", shape=f"{r}x{c}", kernel=hd.std.nn.softmax.compile(x, threads=threads), args=(x,), out=out,
                    peer=reference, peer_name="numpy", exact=exact, bound=bound, work=8.0 * r * c, unit="GB/s")

    def layernorm(r, c):
        x, w, b = normal(r, c), normal(c), normal(c)
        out, peer, tmp = np.empty_like(x), np.empty_like(x), np.empty_like(x)

        def reference():
            np.subtract(x, x.mean(axis=1, keepdims=True), out=peer)
            np.multiply(peer, peer, out=tmp)
            inv = 1 / np.sqrt(tmp.mean(axis=1, keepdims=True) + np.float32(1e-5))
            np.multiply(peer, inv, out=peer)
            np.multiply(peer, w, out=peer)
            np.add(peer, b, out=peer)

        x64 = x.astype(np.float64)
        mean = x64.mean(axis=1, keepdims=True)
        d = x64 - mean
        inv = 1 / np.sqrt((d * d).mean(axis=1, keepdims=True) + 1e-5)
        exact = d * inv * w + b
        # The mean: c roundings of sum |x|; the variance: c + 2 roundings and twice the error of d; then six operations.
        e_mean = (c + 1) * UNIT * np.abs(x64).mean(axis=1, keepdims=True)
        e_d = e_mean + UNIT * np.abs(d)
        e_inv = (c + 8) * UNIT + 2 * (e_d * np.abs(d)).mean(axis=1, keepdims=True) * inv**2
        bound = (e_d * inv + np.abs(d) * inv * (e_inv + 6 * UNIT)) * np.abs(w) + 2 * UNIT * (np.abs(exact) + np.abs(b))
        return dict(op="layernorm", shape=f"{r}x{c}", kernel=hd.std.nn.layernorm.compile(x, w, b, threads=threads), args=(x, w, b), out=out,
                    peer=reference, peer_name="numpy", exact=exact, bound=bound, work=8.0 * r * c, unit="GB/s")

    def conv2d(size, cin, cout, stride):
        x, w = normal(1, cin, size, size), normal(cout, cin, 3, 3)
        o = (size - 1) // stride + 1
        out, peer = np.empty((1, cout, o, o), np.float32), np.empty((cout, o * o), np.float32)
        padded = np.zeros((cin, size + 2, size + 2), np.float32)

        def columns(image):
            windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
            return windows.transpose(0, 3, 4, 1, 2).reshape(cin * 9, o * o)

        def reference():
            padded[:, 1:-1, 1:-1] = x[0]
            np.matmul(w.reshape(cout, -1), columns(padded), out=peer)

        padded[:, 1:-1, 1:-1] = x[0]
        col = columns(padded).astype(np.float64)
        w64 = w.reshape(cout, -1).astype(np.float64)
        exact = (w64 @ col).reshape(out.shape)
        bound = ((cin * 9 + 2) * UNIT * (np.abs(w64) @ np.abs(col))).reshape(out.shape)
        kernel = hd.std.nn.conv2d.compile(x, w, stride=stride, padding=1, threads=threads)
        return dict(op="conv2d", shape=f"{size}x{size} {cin}->{cout} 3x3 s{stride}", kernel=kernel, args=(x, w), out=out,
                    peer=reference, peer_name="numpy (im2col + OpenBLAS)", exact=exact, bound=bound,
                    work=2.0 * cout * o * o * cin * 9, unit="GFLOP/s")

    limits = {"GFLOP/s": fma_peak(threads) / 1e9, "GB/s": copy_bandwidth() / 1e9}
    cases = [matmul(1024, 1024, 1024), softmax(1024, 1024), layernorm(1024, 1024), conv2d(56, 64, 64, 1), conv2d(56, 64, 64, 2)]
    made = []
    for case in cases:
        kernel, args, out = case["kernel"], case["args"], case["out"]
        kernel(*args, out=out)
        error = np.abs(out.astype(np.float64) - case["exact"])
        ours, peer = interleaved(lambda: kernel(*args, out=out), case["peer"])
        rate = case["work"] / ours / 1e9
        worst = np.unravel_index(np.argmax(error / np.maximum(case["bound"], 1e-300)), error.shape)
        made.append({
            "op": case["op"], "shape": case["shape"], "schedule": kernel.schedule, "threads": threads, "ms": ours * 1e3, "rate": rate,
            "unit": case["unit"], "of_limit": rate / limits[case["unit"]], "peer": case["peer_name"], "peer_ms": peer * 1e3,
            "ratio": peer / ours, "max_error": float(error[worst]), "tolerance": float(case["bound"][worst]),
            "ok": bool(np.isfinite(out).all() and (error <= case["bound"]).all()),
        })
    return {"rows": made, "limits": limits}


def child(threads):
    from measure import pin

    pin(threads)
    print(json.dumps(rows(threads)))


def table(all_rows):
    head = ("op", "shape", "schedule", "threads", "ms", "rate", "", "numpy ms", "ratio", "max error", "bound", "")
    lines = [head]
    for r in all_rows:
        lines.append((r["op"], r["shape"], r["schedule"] or "-", str(r["threads"]), f"{r['ms']:.3f}", f"{r['rate']:.1f}", r["unit"],
                      f"{r['peer_ms']:.3f}", f"{r['ratio']:.2f}x", f"{r['max_error']:.1e}", f"{r['tolerance']:.1e}", "ok" if r["ok"] else "WRONG"))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(cell.rjust(w) if 3 <= i <= 10 and i != 6 else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths))).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="write the rows to this file")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child)
    from measure import machine

    counts = [n for n in (1, 2) if n <= len(os.sched_getaffinity(0))]
    all_rows, limits = [], {}
    for threads in counts:
        print(f"running on {threads} thread{'s' if threads > 1 else ''} ...", file=sys.stderr, flush=True)
        # A thread of OpenBLAS that spins after its turn would take a processor from whoever is next.
        env = dict(os.environ, OPENBLAS_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads), OPENBLAS_THREAD_TIMEOUT="4")
        done = subprocess.run([sys.executable, os.path.abspath(__file__), "--child", str(threads)], env=env, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            return done.returncode
        result = json.loads(done.stdout)
        all_rows += result["rows"]
        limits[threads] = result["limits"]
    table(all_rows)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine(max(counts)) | {"measured": limits}, "rows": all_rows}, file, indent=1)
    wrong = [r for r in all_rows if not r["ok"]]
    print(f"{len(all_rows)} rows, {len(wrong)} wrong; ratio = NumPy's time / ours, measured in turns in one process")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
