"""Loops on the device and data as an index in NKI text: simulator and second interpreter against the host, bit for bit where nothing is computed."""

import ml_dtypes
import numpy as np
import pytest

import heddle as hd
from test_nki_std import nki_interpreter

std = hd.std
rng = np.random.default_rng(11)


def f(*shape):
    return rng.standard_normal(shape, dtype=np.float32)


def answers(op, *arrays, profile="full", instructions=50_000, schedule=None, **named):
    """The host's results, the simulator's, the interpreter's, and the kernel."""
    scalars = {p["name"] for p in op.parameters if p["kind"] == "scalar"}
    fixed = {n: v for n, v in named.items() if n not in scalars}
    k = op.compile(*arrays, target="neuron/trn2", profile=profile, instructions=instructions, schedule=schedule, **fixed)
    updated = [p["name"] for p in op.parameters if p["inout"]]

    def run(call):
        given = [a.copy() for a in arrays]
        out = call(*given, **named)
        return given[: len(updated)] if updated else list(out) if isinstance(out, tuple) else [out]

    numbers = [float(np.float32(v)) for v in op._scalar_list({n: v for n, v in named.items() if n in scalars})]
    as_text = [a.astype(np.int32) if a.dtype == np.int64 else a for a in arrays]
    second = nki_interpreter.run(k.nki, *as_text, *numbers, *k.tables.values())
    host = run(op)
    return host, run(k.simulate), list(second) if isinstance(second, tuple) else [second], k


CASES = {
    "softmax": (std.nn.softmax, [f(1000, 70)], {}),
    "layernorm": (std.nn.layernorm, [f(700, 70), f(70), f(70)], {}),
    "gelu": (std.nn.gelu, [f(3000, 70)], {}),
    "bmm": (std.linalg.bmm, [f(6, 100, 70), f(6, 70, 90)], {}),
    "matmul": (std.linalg.matmul, [f(2100, 140), f(140, 60)], {}),
    "attention": (std.nn.attention, [f(4, 2, 130, 64), f(4, 2, 130, 64), f(4, 2, 130, 64)], {"scale": 0.1}),
    "attention_causal": (std.nn.attention_causal, [f(4, 2, 130, 64), f(4, 2, 130, 64), f(4, 2, 130, 64)], {"scale": 0.1}),
    "conv2d": (std.nn.conv2d, [f(3, 20, 12, 12), f(30, 20, 3, 3)], {"padding": 1}),
    "transpose": (std.data.transpose, [f(1000, 700)], {}),
    "rope": (std.nn.rope, [f(2, 3, 300, 64), f(300, 32), f(300, 32)], {}),
    "gather": (std.data.gather, [f(1000, 64), rng.integers(0, 1000, 900)], {}),
    "adam": (std.optim.adam, [f(900, 70), f(900, 70), f(900, 70), abs(f(900, 70))], {"lr": 0.01, "correct1": 0.1, "correct2": 0.01}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_budget_brings_loops_to_the_device(name):
    """Half of the instructions that unrolling takes: a loop stays a loop, with ragged ends beside it."""
    op, arrays, named = CASES[name]
    whole = answers(op, *arrays, **named)[3]
    assert "fori_loop" not in whole.nki
    host, simulated, second, k = answers(op, *arrays, instructions=whole.instructions // 2 + 1, **named)
    assert "nl.fori_loop(0, " in k.nki and "scalar_offset=" in k.nki
    assert k.instructions <= whole.instructions // 2 + 1
    assert k.report.static_instructions == k.instructions and sum(k.report.instructions.values()) > k.instructions
    for h, a, b in zip(host, simulated, second):
        for y in (a, b):
            assert np.abs(y.reshape(h.shape) - h).max() <= 3e-6 * (1e-3 + np.abs(h).max())


def test_more_than_the_vendor_takes():
    k = std.nn.softmax.compile(hd.spec("f32", 2_000_000, 1000), target="neuron/trn2")
    assert k.instructions < 100 and "nl.fori_loop(0, 2000000, " in k.nki
    with pytest.raises(hd.Error) as e:  # `basic` has Python's loops alone
        std.nn.softmax.compile(hd.spec("f32", 2_000_000, 1000), target="neuron/trn2", profile="basic")
    assert e.value.code == "HD0611"
    with pytest.raises(hd.Error) as e:
        std.reduce.sum_cols.compile(f(1000, 64), target="neuron/trn2", instructions=6)
    assert "the sums in `total` go on from one iteration of `total.ro` to the next" in str(e.value)


BOUND = hd.parse("""
op scale(x: f32[n, m]) -> y: f32[n, m] { y[i, j] = x[i, j] * 2 }
schedule scale.device on neuron {
  split y.i by 128 into io, ii
  bind y.io to device
  bind y.ii to partition
  bind y.j to free
}
op places(x: f32[n, m]) -> y: f32[n, m] { y[i, j] = x[i, j] + f32(i) }
schedule places.device on neuron {
  split y.i by 128 into io, ii
  bind y.io to device
  bind y.ii to partition
  bind y.j to free
}
""")


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 256, 300, 384, 900])
def test_a_schedule_binds_a_loop_to_the_device(rows):
    x = f(rows, 33)
    for profile in ("full", "basic"):
        host, simulated, second, k = answers(BOUND.scale, x, profile=profile)
        assert ("fori_loop" in k.nki) == (profile == "full" and rows > 256)
        assert np.array_equal(host[0], simulated[0]) and np.array_equal(host[0], second[0])
    assert np.array_equal(BOUND.scale(x), 2 * x)


def test_a_number_on_the_device_moves_addresses_alone():
    with pytest.raises(hd.Error) as e:
        BOUND.places.compile(f(900, 33), target="neuron/trn2")
    assert e.value.code == "HD0603" and "cannot run on the device" in str(e.value) and "differs between iterations" in str(e.value)


PICKS = hd.parse("""
op pick(x: i32[n, m], t: i64[n]) -> y: i32[n] { y[i] = x[i, t[i]] }
schedule pick.rows on neuron { split y.i by 128 into io, ii
 bind y.ii to partition }
op pick_float<T: float>(x: T[n, m], t: i64[n]) -> y: T[n] { y[i] = x[i, t[i]] }
schedule pick_float.rows on neuron { split y.i by 128 into io, ii
 bind y.ii to partition }
op elements(x: f32[m], t: i64[n]) -> y: f32[n] { y[i] = x[t[i]] }
schedule elements.rows on neuron { split y.i by 128 into io, ii
 bind y.ii to partition }
op rows<T: any>(x: T[b, n, m], t: i64[b, k]) -> y: T[b, k, m] { y[q, i, j] = x[q, t[q, i], j] }
schedule rows.tiles on neuron { split y.i by 128 into io, ii
 bind y.ii to partition
 bind y.j to free }
op append<T: any>(inout cache: T[b, h, cap, d], k: T[b, h, n, d], pos: i64[b]) {
  cache[i, g, pos[i] + j, e] <- k[i, g, j, e]
}
schedule append.rows on neuron { split cache.j by 128 into jo, ji
 bind cache.ji to partition
 bind cache.e to free }
""")


def same_bits(host, *others):
    for other in others:
        for h, y in zip(host, other):
            assert np.asarray(y).reshape(h.shape).astype(h.dtype).tobytes() == h.tobytes()


def test_integers_picked_by_data():
    x = rng.integers(-(2**31), 2**31 - 1, (300, 7)).astype(np.int32)
    host, simulated, second, _ = answers(PICKS.pick, x, rng.integers(0, 7, 300))
    same_bits(host, simulated, second)
    for dtype in (np.int32, np.int8, np.uint16):
        x = rng.integers(0, 2**31 - 1, (3, 140, 20)).astype(dtype)
        host, simulated, second, k = answers(PICKS.rows, x, rng.integers(0, 140, (3, 130)))
        assert "vector_offset=" in k.nki
        same_bits(host, simulated, second)
        with pytest.raises(hd.Error) as e:
            PICKS.rows.compile(x, rng.integers(0, 140, (3, 130)), target="neuron/trn2", profile="basic")
        assert e.value.code == "HD0603"


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float16])
def test_what_is_not_picked_does_not_matter(dtype):
    """Infinities and numbers that are none in other rows and columns: the host's bits; of infinities in `basic` too."""
    for profile, odd in [("full", [np.inf, -np.inf, np.nan]), ("basic", [np.inf, -np.inf])]:
        x = f(2, 150, 20).astype(dtype)
        x[0, 3, 5], x[1, 149, :], x[0, 77, 19] = odd[0], odd[1], odd[-1]
        t = rng.integers(0, 150, (2, 40))
        t[0, :3], t[1, 0] = [3, 77, 4], 149
        host, simulated, second, _ = answers(PICKS.rows, x, t, profile=profile)
        same_bits(host, simulated, second)
        z = f(130, 30).astype(dtype)
        z[::2, 7], z[1::4, 3], z[5, 9] = odd[0], odd[1], odd[-1]
        t = rng.integers(0, 30, 130)
        t[:2] = 7
        host, simulated, second, _ = answers(PICKS.pick_float, z, t, profile=profile)
        same_bits(host, simulated, second)


def test_masked_classes():
    """A class that is minus infinity: its weight is 0."""
    x, t = f(130, 40), rng.integers(0, 20, 130)
    x[:, 20:] = -np.inf
    for profile in ("full", "basic"):
        host, simulated, second, _ = answers(std.nn.cross_entropy, x, t, profile=profile)
        for y in (simulated, second):
            assert abs(float(np.asarray(y[0]).reshape(())) - float(host[0])) < 1e-5 * float(host[0])


def test_elements_of_a_vector():
    host, simulated, second, _ = answers(PICKS.elements, f(1000), rng.integers(0, 1000, 300))
    same_bits(host, simulated, second)


@pytest.mark.parametrize("n,positions", [(5, (7, 120)), (150, (0, 150)), (1, (299, 3))])
def test_rows_stored_where_data_says(n, positions):
    for dtype in (np.float32, np.int32):
        cache, k = (100 * f(2, 3, 300, 16)).astype(dtype), (100 * f(2, 3, n, 16)).astype(dtype)
        host, simulated, second, _ = answers(PICKS.append, cache, k, np.array(positions))
        same_bits(host, simulated, second)
    with pytest.raises(hd.Error) as e:
        PICKS.append.compile(cache, k, np.array(positions), target="neuron/trn2", profile="basic")
    assert e.value.code == "HD0603" and "where to store" in str(e.value)


CELLS = hd.parse("""
op embed_grad(dy: f32[n, d], id: i64[n], const vocab: int = 20) -> dt: f32[vocab, d] { dt[id[i], e] = sum[i] dy[i, e] }
schedule embed_grad.rows on neuron { bind dt.e to free }
op batches<T: float>(dy: T[b, n, d], id: i64[b, n], const vocab: int = 30) -> dt: T[b, vocab, d] { dt[q, id[q, i], e] = sum[i] dy[q, i, e] }
schedule batches.rows on neuron { bind dt.e to free }
op histogram(id: i64[n], const vocab: int = 20) -> c: f32[vocab] { c[id[i]] = sum[i] 1.0 }
op convolve(a: f32[n, d], b: f32[m]) -> c: f32[n + m, d] { c[i + j, e] = sum[i, j] a[i, e] * b[j] }
schedule convolve.rows on neuron { bind c.e to free }
schedule convolve.lanes on neuron {
  reorder c.e, c.i, c.j
  bind c.e to partition
}
""")


def test_sums_in_computed_cells():
    """In the host's order, so with its bits; cells that nothing hits keep the identity."""
    cases = [(CELLS.embed_grad, [f(50, 7), rng.integers(0, 20, 50)]), (CELLS.batches, [f(2, 40, 50), rng.integers(0, 30, (2, 40))]),
             (CELLS.histogram, [rng.integers(0, 20, 60)]), (CELLS.convolve, [f(5, 9), f(7)]), (CELLS.embed_grad, [f(1, 3000), np.array([3])])]
    for op, arrays in cases:
        host, simulated, second, k = answers(op, *arrays, schedule="rows" if op.schedules else None)
        same_bits(host, simulated, second)
        with pytest.raises(hd.Error) as e:
            op.compile(*arrays, target="neuron/trn2", profile="basic")
        assert e.value.code == "HD0603" and "computed cells" in str(e.value)
    with pytest.raises(hd.Error) as e:
        CELLS.convolve.compile(f(5, 9), f(7), target="neuron/trn2", schedule="lanes")
    assert e.value.code == "HD0603"


def test_an_index_outside_is_an_error_of_the_transfer():
    x, t = f(100, 8), np.array([4, 100])
    k = std.data.gather.compile(x, t, target="neuron/trn2")
    with pytest.raises(hd.Error) as e:
        k.simulate(x, t)
    assert "row 100 of 100" in str(e.value)
    with pytest.raises(nki_interpreter.NkiError):
        nki_interpreter.run(k.nki, x, t.astype(np.int32))
