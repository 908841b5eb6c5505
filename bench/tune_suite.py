"""`./dev bench --suite tune`: what a search of some seconds gains over the defaults of the standard library, and what it costs.

`us` is the best candidate's time, `peers` has the default's; their ratio is the gain, 1 where the default is the best. Candidates are
checked before they are timed; a wrong one fails the row.
"""

import json

import numpy as np

import heddle as hd

# case, op, schedule, shapes
CASES = [
    ("matmul 512", "linalg.matmul", "blocked", ((512, 512), (512, 512))),
    ("matmul 1024", "linalg.matmul", "blocked", ((1024, 1024), (1024, 1024))),
    ("matmul 37x1000x65", "linalg.matmul", "blocked", ((37, 1000), (1000, 65))),
    ("softmax short rows", "nn.softmax", "short_rows", ((4096, 64),)),
    ("conv2d 56x56x64", "nn.conv2d", "tiled", ((1, 64, 56, 56), (64, 64, 3, 3))),
    ("attention 512x64", "nn.attention_causal", "blocked", ((1, 4, 512, 64),) * 3),
]
SECONDS = 8


def measure(case, op, schedule, shapes, threads):
    area, name = op.split(".")
    op = getattr(getattr(hd.std, area), name)
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(s, dtype=np.float32) for s in shapes]
    more = {"scale": 0.125} if name.startswith("attention") else {}
    r = hd.tune(op, arrays, schedule=schedule, budget_s=SECONDS, threads=threads, progress=False, **more)
    states = [t.state for t in r.trials]
    return {"case": case, "op": name, "shape": " ".join("x".join(map(str, s)) for s in shapes), "dtype": "f32", "threads": threads, "us": r.best.us,
            "of_limit": None, "limit": None, "peers": {"default": r.default.us}, "best_peer": "default", "ratio": 1 / r.best.ratio if r.best.ratio else None,
            "schedule": schedule, "skipped": None, "trials": len(r.trials), "refused": states.count("refused"), "wrong": states.count("wrong"),
            "seconds": r.seconds, "stopped": r.stopped, "best": r.best.choices, "ok": "wrong" not in states}


def run(options):
    from measure import machine

    rows = []
    for case, op, schedule, shapes in CASES:
        if options.only and options.only not in case:
            continue
        row = measure(case, op, schedule, shapes, options.threads or 1)
        rows.append(row)
        print(f"{case:24} {row['us']:10.1f} us  {row['ratio']:5.2f}x the default  {row['trials']:3} tried, {row['refused']} refused in {row['seconds']:.1f} s"
              f"  {row['best']}{'' if row['ok'] else '  WRONG'}", flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine(options.threads or 1), "rows": rows, "summary": {}}, file, indent=1)
    return 1 if any(not r["ok"] for r in rows) else 0
