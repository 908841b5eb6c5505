"""Random ops of two stages under random loops, tiles and places: what has an NKI text gives the host's answer, in simulator and second interpreter; what has none is refused in
the op's own words."""

import numpy as np
import pytest

import heddle as hd
from test_nki_device_loops import answers

FIRST = [
    "a[i, j]*c[i] + d[j]",
    "b[j, i] - a[i, j]",
    "(a[i - 1, j] or 0) + a[i, j]",
    "(a[i, j + 2] or 1.5) * 0.5",
    "if i <= j then a[i, j] else -1.0",
    "if j < 3 then a[i, j] else d[j]",
    "exp(min(a[i, j] - c[i], 3))",
    "sum[p] a[i, p] * g[p, j]",
    "max[p where p <= i] a[i, p] + g[p, j]",
    "a[i, j] / (1 + abs(d[j]))",
    "if a[i, j] > c[i] then a[i, j] else d[j]",
    "a[n - 1 - i, j] + c[i]",
    "sum[p where p < i] a[i, p] * g[p, j]",
    "sum[p where p < len[i]] a[i, p] * g[p, j]",
    "max[p where p < len[i] + 1] a[i, p]",
    "g[len[i], j] + a[i, j]",
    "g[j, len[i]] - a[i, j]",
    "(g[len[i] + 1, j] or 0.25) * a[i, j]",
    "a[i, j] + (g[j, len[i] - 1] or c[i])",
]
SECOND = [  # the equation, its loops, its reduced loops, its type
    ("y[i, j] = t[i, j]*2 - c[i]", "ij", "", "n, m"),
    ("y[j, i] = t[i, j] + d[j]", "ji", "", "m, n"),
    ("y[i] = sum[j] t[i, j]", "i", "j", "n"),
    ("y[j] = sum[i] t[i, j]", "j", "i", "m"),
    ("y[i] = max[j where j <= i] t[i, j]", "i", "j", "n"),
    ("y[i, j] = t[i, j] + (t[i, j - 1] or 0)", "ij", "", "n, m"),
    ("y[i, j] = t[i, j] - (t[i - 1, j] or 0.5)", "ij", "", "n, m"),
    ("y[i] = min[j] t[i, j] * d[j]", "i", "j", "n"),
    ("y[j] = max[i] t[i, j] - c[i]", "j", "i", "m"),
    ("y[j] = min[i where i <= j] t[i, j]", "j", "i", "m"),
    ("y[i, k] = sum[j] t[i, j] * g[j, k]", "ik", "j", "n, m"),
]


def loops(rng, stage, names, steps):
    """Some loops split, up to two bound, the others around them; the names of the outer ones."""
    outer, middle, bound = [], [], []
    for name in rng.permutation(list(names)):
        loop = f"{stage}.{name}"
        how = rng.integers(0, 4)
        if how < 2:
            steps.append(f"split {loop} by {rng.choice([2, 3, 5, 32, 128])} into {name}o, {name}i")
            outer.append(loop + "o")
            (bound if len(bound) < 2 else middle).append(loop + "i")
        elif how == 2 and len(bound) < 2:
            bound.append(loop)
        else:
            outer.append(loop)
    if len(outer + middle + bound) > 1:
        steps.append("reorder " + ", ".join(outer + middle + bound))
    steps += [f"bind {loop} to {axis}" for loop, axis in zip(bound, rng.permutation(["partition", "free"]))]
    return outer


def program(rng):
    first, (second, maps, reduced, type_) = FIRST[rng.integers(len(FIRST))], SECOND[rng.integers(len(SECOND))]
    steps = []
    how = rng.integers(0, 4)
    if how == 0:
        steps.append("inline t")
    outer = loops(rng, "y", maps + reduced, steps)
    if how == 1 and outer:
        steps.append(f"compute_at t at {rng.choice(outer)} in sbuf")
    if how >= 1:
        loops(rng, "t", "ijp" if "[p" in first else "ij", steps)
    body = "\n".join("  " + s for s in steps)
    return f"""op f(a: f32[n, m], b: f32[m, n], c: f32[n], d: f32[m], g: f32[m, m], len: i64[n]) -> y: f32[{type_}] {{
  t[i in 0 .. n, j in 0 .. m] = {first}
  {second}
}}
schedule f.s on neuron allow reassociate, contract {{
{body}
}}
"""


@pytest.mark.parametrize("block", range(8))
def test_random_schedules(block):
    ran = 0
    for seed in range(60 * block, 60 * block + 60):
        rng = np.random.default_rng(seed)
        text = program(rng)
        n, m = int(rng.choice([1, 2, 3, 7, 33])), int(rng.choice([1, 2, 5, 8, 31]))
        arrays = [rng.standard_normal(s).astype(np.float32) for s in ((n, m), (m, n), (n,), (m,), (m, m))] + [rng.integers(0, m, n)]
        op = hd.parse(text).f
        for profile in ("full", "basic"):
            try:
                host, simulated, second, _ = answers(op, *arrays, profile=profile, schedule="s", instructions=int(rng.choice([50_000, 60])))
            except hd.Error as e:
                assert e.code in ("HD0603", "HD0604", "HD0606", "HD0610", "HD0611", "HD0612", "HD0304", "HD0306", "HD0316", "HD0317"), f"{seed}\n{text}\n{n} {m}\n{e}"
                continue
            h, a, b = (np.clip(np.asarray(x[0], np.float64).reshape(host[0].shape), -3.4e38, 3.4e38) for x in (host, simulated, second))
            assert (np.abs(h - a) <= 1e-4 * (1 + np.abs(h))).all() and (np.abs(a - b) <= 1e-4 * (1 + np.abs(a))).all(), f"{seed} {profile}\n{text}\n{n} {m}"
            ran += 1
    assert ran > 30
