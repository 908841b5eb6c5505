"""`./dev bench`: every case of cases.py beside its peers, in turns in one process for each number of threads.

A row's ratio is the best peer's time over ours; `of_limit` is the case's roofline over our time: the larger of its arithmetic and its bytes.
The bytes at the speed of a copy of as many; the arithmetic at the measured FMA peak, an exponential counted as 12 vector operations, or for
schedules named amx at what products of tiles reach in the same turns.
"""

import argparse
import importlib
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time


def settle(asleep):
    """Waits until other threads of this process are idle, for 100 ms at most; `asleep`, so that they can work where this one would be."""
    for _ in range(100):
        others = time.process_time() - time.thread_time()
        if asleep:
            time.sleep(0.001)
        else:
            until = time.perf_counter() + 5e-5
            while time.perf_counter() < until:
                pass
        others = time.process_time() - time.thread_time() - others
        if others < (1e-4 if asleep else 1e-5):
            return
        time.sleep(0.001)


def time_in_turns(calls, seconds=0.4, least=9, most=400):
    """Medians in seconds for callables that run one after another, again and again.

    Each round has an order of its own: what a call leaves in the caches helps or hinders the next, which must not always be the same
    one. A turn begins when no thread of the one before works any more: some libraries free their memory after their calls have ended, in
    the time of whoever is next.
    """
    for call in calls:
        call()
    each = [_timed(call) for call in calls]
    once = max(1e-7, each[0])
    inner = max(1, int(2e-4 / once))  # a call shorter than the clock's noise is repeated
    times = [[] for _ in calls]
    order = random.Random(0)
    # On one processor others work only while this thread sleeps; after long calls there is time for it.
    asleep = len(os.sched_getaffinity(0)) == 1 or max(each) > 2e-3
    stop = time.perf_counter() + seconds
    while (len(times[0]) < least or time.perf_counter() < stop) and len(times[0]) < most:
        for i in order.sample(range(len(calls)), len(calls)):
            settle(asleep)
            start = time.perf_counter()
            for _ in range(inner):
                calls[i]()
            times[i].append((time.perf_counter() - start) / inner)
    return [statistics.median(t) for t in times]


def _timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def copy_seconds(moved):
    """What a copy takes that reads and writes `moved` bytes in all."""
    import numpy as np

    a = np.ones(max(16, int(moved / 8)), np.float32)
    b = np.empty_like(a)
    return time_in_turns([lambda: np.copyto(b, a)], 0.05)[0]


FLOPS_OF_EXP = 24  # a polynomial of 12 operations, in a unit that counts an FMA as two


def first_calls(call):
    """Seconds of one of a function's first calls: the very first may compile something, so that a long one is followed by another."""
    seconds = _timed(call)
    return seconds if seconds < 0.2 else _timed(call)


def seconds_of(peer, what):
    """As first_calls; none where a peer does not do the case at all: it is left out, with a line that says so."""
    try:
        return first_calls(peer)
    except Exception as e:  # any library's own kind
        print(f"{what} is left out: {str(e).strip().splitlines()[0]}", file=sys.stderr, flush=True)
        return None


def measure(case, threads, fma_peak):
    from measure import tile_products

    row = {"case": case.name, "family": case.family, "op": case.op, "shape": case.shape, "dtype": case.dtype, "threads": threads,
           "schedule": None, "skipped": None}
    built = case.make()
    row["schedule"], row["skipped"] = built.schedule, built.skipped or None
    if built.skipped:
        return row
    if built.check:
        error, bound = built.check()
        row["max_error"], row["ok"] = error, error <= bound
    first = {n: seconds_of(peer, f"{case.name}: {n}") for n, peer in built.peers.items()}
    # Twenty times as slow as we are, as with types that a library has no instructions for: once is enough.
    hopeless = max(0.2, 20 * first_calls(built.run))
    names = [n for n, seconds in first.items() if seconds is not None and seconds < hopeless]
    # A machine slows down when its tiles work: their limit is what they reach in the same turns.
    in_tiles = built.schedule.startswith("amx")
    products, operations = tile_products(case.dtype, threads, built.flops) if in_tiles else (None, 0)
    calls = [built.run] + [built.peers[n] for n in names] + ([products] if in_tiles else [])
    times = time_in_turns(calls)
    peak = operations / times[-1] if in_tiles else fma_peak
    slow = {n: seconds * 1e6 for n, seconds in first.items() if seconds is not None and seconds >= hopeless}
    compute, memory = (built.flops + FLOPS_OF_EXP * built.exps) / peak, copy_seconds(built.bytes) / threads
    row["us"] = times[0] * 1e6
    row["limit"] = "memory" if memory >= compute else "tiles" if in_tiles else "compute"
    row["of_limit"] = max(compute, memory) / times[0]
    row["peers"] = {n: t * 1e6 for n, t in zip(names, times[1:])} | slow
    row["best_peer"] = min(row["peers"], key=row["peers"].get, default=None)
    row["ratio"] = row["peers"][row["best_peer"]] / row["us"] if row["peers"] else None
    return row


def child(threads, options):
    from measure import fma_peak, pin

    pin(threads)  # before the peers are loaded: JAX takes as many threads as there are processors
    from cases import Maker
    from random_cases import RandomMaker

    peak = fma_peak(threads)
    made = []
    maker = RandomMaker(threads, options.random, options.seed) if options.random else Maker(threads)
    for case in maker.all():
        if options.only and not any(word in f"{case.family} {case.name}" for word in options.only.split(",")):
            continue
        row = measure(case, threads, peak)
        made.append(row)
        print(line(row), file=sys.stderr, flush=True)
    print(json.dumps({"rows": made, "peak": peak}))


def line(row):
    if row["skipped"]:
        return f"{row['case']:44} {row['threads']}  skipped: {row['skipped']}"
    peers = "  ".join(f"{n} {t:.1f}" for n, t in row["peers"].items())
    ratio = f"{row['ratio']:.2f}x" if row["ratio"] else "-"
    wrong = "" if row.get("ok", True) else "  WRONG"
    return f"{row['case']:44} {row['threads']}  {row['us']:10.1f} us  {row['of_limit']:4.0%} of {row['limit']:7}  {ratio:>7}   {peers}{wrong}"


def summary(rows):
    out = {}
    for family in sorted({r["family"] for r in rows}) + ["all"]:
        ratios = [r["ratio"] for r in rows if r.get("ratio") and family in (r["family"], "all")]
        if ratios:
            out[family] = {"cases": len(ratios), "geometric_mean": math.exp(sum(map(math.log, ratios)) / len(ratios)), "minimum": min(ratios)}
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="host", choices=["host", "neuron", "compile", "tune"])
    parser.add_argument("--only", help="cases whose family or name contains this word, or one of several between commas")
    parser.add_argument("--random", type=int, help="so many cases of random shapes instead, beside torch")
    parser.add_argument("--seed", type=int, default=1, help="of the random shapes")
    parser.add_argument("--threads", type=int, help="1 or 2; both without")
    parser.add_argument("--json", help="write the rows to this file")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.suite == "neuron":
        import neuron_suite

        return neuron_suite.run(options)
    if options.suite in ("compile", "tune"):
        return importlib.import_module(f"{options.suite}_suite").run(options)
    if options.child:
        return child(options.child, options)
    from measure import machine

    counts = [options.threads] if options.threads else [n for n in (1, 2) if n <= len(os.sched_getaffinity(0))]
    rows, peaks = [], {}
    for threads in counts:
        # Peers' threads that spin after their turn would take the other processor from whoever is next. OpenBLAS is left to find out
        # itself what this processor is.
        n = str(threads)
        env = dict(os.environ, OPENBLAS_NUM_THREADS=n, OMP_NUM_THREADS=n, MKL_NUM_THREADS=n, HL_NUM_THREADS=n, OMP_WAIT_POLICY="passive",
                   KMP_BLOCKTIME="0", OPENBLAS_THREAD_TIMEOUT="4", JAX_PLATFORMS="cpu")
        for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
            env.pop(name, None)
        command = [sys.executable, os.path.abspath(__file__), "--child", str(threads)] + (["--only", options.only] if options.only else [])
        command += ["--random", str(options.random), "--seed", str(options.seed)] if options.random else []
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            return done.returncode
        result = json.loads(done.stdout)
        rows += result["rows"]
        peaks[threads] = result["peak"]
    total = summary(rows)
    print(f"\n{'family':16} cases  mean   least   (ratio to the best peer; mean is geometric)")
    for family, s in total.items():
        print(f"{family:16} {s['cases']:5}  {s['geometric_mean']:.2f}   {s['minimum']:.2f}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine(max(counts)) | {"fma_peak": peaks}, "rows": rows, "summary": total}, file, indent=1)
    return 1 if any(not r.get("ok", True) for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
