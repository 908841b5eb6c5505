"""The simulator of NKI texts against NumPy and against the second interpreter (tools/nki_interpreter.py), which shares nothing with it."""

import json
import pathlib
import re
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import heddle as hd
import nki_texts as texts
from heddle import neuron
from nki_texts import kernel

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
import nki_interpreter  # noqa: E402

BF16 = np.dtype(ml_dtypes.bfloat16)
F32 = np.dtype(np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(shape, dtype=F32, seed=0):
    return rng(seed).standard_normal(shape).astype(np.float32).astype(dtype)


def both(text, *arguments, seeds=(1, 2, 3), exact=True, **options):
    """The outputs of the simulator, equal in all orders, and near those of the second interpreter."""
    outs = [neuron.simulate(text, *arguments, seed=s, **options)[0] for s in seeds]
    outs.append(neuron.simulate(text, *arguments, shuffle=False, **options)[0])
    outs = [o if isinstance(o, tuple) else (o,) for o in outs]
    second = nki_interpreter.run(text, *arguments)
    second = second if isinstance(second, tuple) else (second,)
    for o in outs:
        for a, b, c in zip(o, outs[0], second, strict=True):
            assert a.tobytes() == b.tobytes(), "an order changes the answer"
            assert a.dtype == c.dtype and a.shape == c.shape
            wide = [v.astype(np.float64) for v in (a, c)]
            steps = {4: 2e-5, 2: 1e-2, 1: 0.2}[a.dtype.itemsize] if a.dtype.kind not in "iub" else 0
            np.testing.assert_allclose(*wide, rtol=steps, atol=steps * 1e-1)
    return outs[0][0] if len(outs[0]) == 1 else outs[0]


@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("m, k, n", [(1, 1, 1), (100, 77, 150), (129, 128, 513), (127, 257, 511), (300, 131, 700)])
def test_matmul(m, k, n, dtype):
    a, b = normal((k, m), dtype), normal((k, n), dtype, 1)
    y = both(texts.MATMUL, a, b)
    exact = np.exp(0.01 * (a.astype(np.float64).T @ b.astype(np.float64)))
    np.testing.assert_allclose(y, exact, rtol=2e-6)


@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("r, c", [(1, 1), (128, 512), (130, 77), (257, 1000)])
def test_softmax(r, c, dtype):
    x = normal((r, c), dtype)
    y = both(texts.SOFTMAX, x).astype(np.float64)
    e = np.exp(x.astype(np.float64) - x.astype(np.float64).max(axis=1, keepdims=True))
    np.testing.assert_allclose(y, e / e.sum(axis=1, keepdims=True), rtol=2e-6 if dtype == F32 else 5e-3, atol=1e-7)


@pytest.mark.parametrize("r, c", [(1, 2), (128, 512), (130, 77), (200, 1111)])
def test_layernorm(r, c):
    x, g, b = normal((r, c)), normal((c,), seed=1), normal((c,), seed=2)
    y = both(texts.LAYERNORM, x, g, b, 1e-5)
    w = x.astype(np.float64)
    exact = (w - w.mean(1, keepdims=True)) / np.sqrt(w.var(1, keepdims=True) + 1e-5) * g + b
    np.testing.assert_allclose(y, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [F32, BF16, np.dtype(np.float16)], ids=str)
@pytest.mark.parametrize("r, c", [(1, 1), (128, 128), (129, 255)])
def test_transpose(r, c, dtype):
    x = normal((r, c), dtype)
    assert both(texts.TRANSPOSE, x).tobytes() == np.ascontiguousarray(x.T).tobytes()


@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("n, d", [(1, 1), (128, 64), (200, 128), (300, 40)])
def test_attention(n, d, dtype):
    q, k, v = (normal((n, d), dtype, s) for s in range(3))
    y = both(texts.ATTENTION, np.ascontiguousarray(q.T), np.ascontiguousarray(k.T), v, d**-0.5)
    s = q.astype(np.float64) @ k.astype(np.float64).T * d**-0.5
    s[np.triu_indices(n, 1)] = -np.inf
    p = np.exp(s - s.max(1, keepdims=True))
    tolerance = 2e-5 if dtype == F32 else 1e-2
    np.testing.assert_allclose(y, p / p.sum(1, keepdims=True) @ v.astype(np.float64), rtol=tolerance, atol=tolerance)


# --- instructions, one after the other -------------------------------------------------------------------------------------

def elementwise(lines, dtype="nl.float32", rows=100, cols=37):
    return kernel(f"""
R, C = x.shape
y = nl.ndarray((R, C), dtype={dtype}, buffer=nl.shared_hbm)
a = nl.ndarray((R, C), dtype=x.dtype, buffer=nl.sbuf)
b = nl.ndarray((R, C), dtype=z.dtype, buffer=nl.sbuf)
o = nl.ndarray((R, C), dtype={dtype}, buffer=nl.sbuf)
nisa.dma_copy(dst=a, src=x)
nisa.dma_copy(dst=b, src=z)
{lines}
nisa.dma_copy(dst=y, src=o)
return y""", "x, z")


ALU = ["add", "subtract", "multiply", "maximum", "minimum", "equal", "not_equal", "greater_equal", "greater", "less_equal", "less",
       "logical_and", "logical_or", "logical_xor", "abs_max", "abs_min"]


@pytest.mark.parametrize("op", ALU)
def test_alu(op):
    x, z = np.rint(normal((100, 37)) * 2), np.rint(normal((100, 37), seed=1) * 2)
    for line in (f"nisa.tensor_tensor(dst=o, data1=a, data2=b, op=nl.{op})",
                 f"nisa.tensor_scalar(dst=o, data=a, op0=nl.{op}, operand0=b[:, 3:4], op1=nl.add, operand1=1.5, reverse1=True)",
                 f"nisa.tensor_scalar(dst=o, data=a, op0=nl.{op}, operand0=2.0, reverse0=True)",
                 f"nisa.scalar_tensor_tensor(dst=o, data=a, op0=nl.{op}, operand0=0.5, op1=nl.multiply, operand1=b)",
                 f"nisa.tensor_tensor_scan(dst=o, data0=a, data1=b, initial=1.0, op0=nl.{op}, op1=nl.maximum)"):
        both(elementwise(line), x.astype(F32), z.astype(F32), seeds=(1,))


@pytest.mark.parametrize("op", ["bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "add", "subtract", "multiply", "maximum"])
@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_integers(op, dtype):
    info = np.iinfo(dtype)
    x = rng().integers(info.min, info.max, (100, 37), dtype=dtype)
    z = rng(1).integers(0, 7, (100, 37), dtype=dtype)
    y = both(elementwise(f"nisa.tensor_tensor(dst=o, data1=a, data2=b, op=nl.{op})", f"nl.{dtype}"), x, z, seeds=(1,))
    if dtype == "int32" and op == "add":
        assert np.array_equal(y, x + z)  # exact: GpSimd has integers
    if op.startswith(("bit", "left", "right")):
        both(elementwise(f"nisa.tensor_scalar(dst=o, data=a, op0=nl.{op}, operand0=3)", f"nl.{dtype}"), x, z, seeds=(1,))


FUNCTIONS = ["copy", "square", "abs", "sign", "relu", "sigmoid", "tanh", "silu", "silu_dx", "gelu", "gelu_dx", "gelu_apprx_tanh",
             "gelu_apprx_sigmoid", "softplus", "mish", "erf", "exp"]


@pytest.mark.parametrize("name", FUNCTIONS + ["log", "sqrt", "rsqrt", "reciprocal", "sin", "arctan"])
def test_activation(name):
    x = normal((100, 37))
    x = np.clip(x, -1.5, 1.5) if name not in ("log", "sqrt", "rsqrt", "reciprocal") else np.abs(x) + np.float32(0.1)
    both(elementwise(f"nisa.activation(dst=o, op=nl.{name}, data=a, scale=0.75, bias=0.125)"), x, x, seeds=(1,))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3", "float8_e5m2", "int8", "int32", "uint16", "float32"])
def test_rounding(dtype):
    """One rounding at the destination: nearest even, integers and fp8 saturate."""
    x = np.concatenate([normal((64, 37)) * 100, normal((64, 37), seed=1) * np.float32(1e5)])
    x[0, :8] = [0.5, 1.5, 2.5, -0.5, 1e9, -1e9, 3e38, 65504]
    y = both(elementwise("nisa.tensor_copy(dst=o, src=a)", f"nl.{dtype}"), x, x, seeds=(1,))
    if dtype == "int8":
        assert list(y[0, :6]) == [0, 2, 2, 0, 127, -128]
    if dtype == "bfloat16":
        assert y.tobytes() == x.astype(BF16).tobytes()


REST = {
    "reduce": ("r = nl.ndarray((100, 1), dtype=nl.float32, buffer=nl.sbuf)\nnisa.tensor_reduce(dst=r, op=nl.{op}, data=a, axis=1)\n"
               "nisa.tensor_scalar(dst=o, data=b, op0=nl.add, operand0=r)", ["add", "multiply", "maximum", "minimum"]),
    "reduce3": ("nisa.tensor_copy(dst=o, src=b)\nnisa.tensor_reduce(dst=o[:, 0:6], op=nl.{op}, data=a[:, 0:36].reshape((100, 2, 3, 6)), axis=(3,))",
                ["add", "maximum"]),
    "select": ("nisa.affine_select(dst=o, pattern=[[1, 37]], offset=-5, channel_multiplier=-1, on_true_tile=a, on_false_value=7.0, "
               "cmp_op=nl.{op})", ["greater", "less_equal", "equal"]),
    "iota": ("nisa.iota(dst=o, pattern=[[3, 37]], offset=-20, channel_multiplier={op})", ["0", "2", "-1"]),
    "max8": ("nisa.tensor_copy(dst=o, src=b)\nnisa.max8(dst=o[:, 0:8], src={op})", ["a", "b"]),
    "accumulate": ("nisa.activation(dst=o, op=nl.{op}, data=a, reduce_op=nl.add, reduce_cmd=nisa.reduce_cmd.reset_reduce)\n"
                   "nisa.activation(dst=o, op=nl.{op}, data=b, reduce_op=nl.add, reduce_cmd=nisa.reduce_cmd.reduce, reduce_res=o[:, 0:1])",
                   ["copy", "sigmoid"]),
    "predicated": ("m = nl.ndarray((100, 37), dtype=nl.uint8, buffer=nl.sbuf)\nnisa.tensor_scalar(dst=m, data=a, op0=nl.greater, operand0=0.0)\n"
                   "nisa.memset(dst=o, value=-1.0)\nnisa.tensor_copy_predicated(dst=o, src={op}, predicate=m)", ["b", "3.5"]),
    "gather": ("nisa.tensor_copy(dst=o, src=b)\nw = nl.ndarray((100, 37), dtype=nl.uint32, buffer=nl.sbuf)\n"
               "nisa.iota(dst=w, pattern=[[1, 37]], offset=0, channel_multiplier=0)\nnisa.tensor_scalar(dst=w, data=w, op0=nl.bitwise_xor, operand0=1)\n"
               "nisa.memset(dst=w[:, 36:37], value=5)\nnisa.nc_n_gather(dst=o[:, 0:37:2], data={op}, indices=w[:, 18:37])", ["a", "b"]),
    "partitions": ("nisa.tensor_copy(dst=o, src=b)\nnisa.tensor_partition_reduce(dst=o[0:1, :], op=nl.{op}, data=a)", ["add", "maximum"]),
    "shuffle": ("nisa.tensor_copy(dst=o, src=b)\nm = (3, 1, 255, 0) * 8\nnisa.nc_stream_shuffle(dst=o{op}, src=a, shuffle_mask=m)", ["", "[0:32, :]"]),
    "scalar_reduce": ("nisa.tensor_copy(dst=o, src=b)\nr = nl.ndarray((100, 1), dtype=nl.float32, buffer=nl.sbuf)\n"
                      "nisa.tensor_scalar_reduce(dst=o, data=a, op0=nl.multiply, operand0=0.5, reduce_op=nl.{op}, reduce_res=r)\n"
                      "nisa.tensor_copy(dst=o[:, 0:1], src=r)", ["add", "maximum"]),
}


@pytest.mark.parametrize("what, op", [(w, o) for w, (_, ops) in REST.items() for o in ops])
def test_the_rest(what, op):
    both(elementwise(REST[what][0].replace("{op}", op)), normal((100, 37)), normal((100, 37), seed=1))


def test_reciprocal_and_rows_from_numbers():
    text = kernel("""
y = nl.ndarray((8, 3, 5), dtype=nl.float32, buffer=nl.shared_hbm)
i = nl.ndarray((8, 1), dtype=nl.int32, buffer=nl.sbuf)
nisa.dma_copy(dst=i, src=rows.reshape((8, 1)))
t = nl.ndarray((8, 3, 5), dtype=nl.float32, buffer=nl.sbuf)
nisa.dma_copy(dst=t, src=x.ap(pattern=[[15, 8], [5, 3], [1, 5]], vector_offset=i, indirect_dim=0))
nisa.reciprocal(dst=t, data=t)
nisa.dma_copy(dst=y, src=t)
return y""", "x, rows")
    x, rows = normal((20, 15)) + 5, rng().integers(0, 20, 8).astype(np.int32)
    assert np.array_equal(both(text, x, rows).reshape(8, 15), 1 / x[rows])


def test_steps_and_windows():
    text = kernel("""
y = nl.ndarray((3, 64, 5), dtype=nl.float32, buffer=nl.shared_hbm)
t = nl.ndarray((64, 31), dtype=nl.float32, buffer=nl.sbuf)
nisa.dma_copy(dst=t, src=x)
for c in range(3):
    nisa.dma_copy(dst=y[c], src=t[:, c:c+25:5+c]) if c == 0 else nisa.dma_copy(dst=y[c, :, 0:4], src=t[:, c:c+20:5])
    if c:
        nisa.dma_copy(dst=y[c, :, 4:5], src=t.ap(pattern=[[31, 64], [1, 1]], offset=30 - c))
return y""")
    x = normal((64, 31))
    y = both(text, x)
    assert np.array_equal(y[0], x[:, 0:25:5]) and np.array_equal(y[2], np.c_[x[:, 2:22:5], x[:, 28]])


def test_double_row():
    text = kernel("""
y = nl.ndarray((64, 100), dtype=nl.float32, buffer=nl.shared_hbm)
s = nl.ndarray((128, 2, 64), dtype=x.dtype, buffer=nl.sbuf)
m = nl.ndarray((128, 2, 100), dtype=z.dtype, buffer=nl.sbuf)
nisa.dma_copy(dst=s, src=x)
nisa.dma_copy(dst=m, src=z)
p = nl.ndarray((64, 100), dtype=nl.float32, buffer=nl.psum)
nisa.nc_matmul(dst=p, stationary=s, moving=m, perf_mode=nisa.matmul_perf_mode.double_row)
o = nl.ndarray((64, 100), dtype=nl.float32, buffer=nl.sbuf)
nisa.tensor_copy(dst=o, src=p)
nisa.dma_copy(dst=y, src=o)
return y""", "x, z")
    f8 = np.dtype(ml_dtypes.float8_e4m3)
    x, z = normal((128, 2, 64), f8), normal((128, 2, 100), f8, 1)
    exact = np.einsum("ptm,ptn->mn", x.astype(np.float64), z.astype(np.float64))
    np.testing.assert_allclose(both(text, x, z), exact, rtol=1e-5, atol=1e-4)


# --- orders and time -------------------------------------------------------------------------------------------------------

CHAIN = kernel("""
y = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.shared_hbm)
t = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
nisa.dma_copy(dst=t, src=x)
for i in range(20):
    nisa.activation(dst=t, op=nl.copy, data=t, bias=1.0)
    nisa.tensor_scalar(dst=t, data=t, op0=nl.multiply, operand0=0.5)
nisa.dma_copy(dst=y, src=t)
return y""")


def test_streams_wait_for_each_other():
    x = normal((128, 64))
    want = x.copy()
    for _ in range(20):
        want = (want + np.float32(1)) * np.float32(0.5)
    for seed in range(20):
        assert np.array_equal(neuron.simulate(CHAIN, x, seed=seed)[0], want)


def test_time_grows_with_work_and_names_the_critical_engine():
    times = [neuron.simulate(texts.MATMUL, ("bf16", (n, n)), ("bf16", (n, n)), data=False)[1] for n in (256, 512, 1024)]
    assert times[0].modelled_us < times[1].modelled_us < times[2].modelled_us
    assert times[2].critical == "dma"  # it loads both tiles for each product
    assert all(0 <= f <= 1 for r in times for f in r.engines.values())
    assert times[2].hbm_read_bytes == (1024 // 512 * 1024 + 1024 // 128 * 1024) * 1024 * 2
    assert times[2].hbm_written_bytes == 4 * 1024 * 1024
    assert times[2].flops == 2 * 1024**3


def test_a_dependent_chain_takes_the_published_latency():
    """One element, each instruction on the last one's result: 264 cycles of ScalarE (nki/deep-dives/nki_perf_guide.rst)."""
    def chain(n):
        return kernel(f"""
y = nl.ndarray((1, 1), dtype=nl.float32, buffer=nl.shared_hbm)
t = nl.ndarray((1, 1), dtype=nl.float32, buffer=nl.sbuf)
nisa.dma_copy(dst=t, src=x)
for i in range({n}):
    nisa.activation(dst=t, op=nl.copy, data=t)
nisa.dma_copy(dst=y, src=t)
return y""")
    a, b = (neuron.simulate(chain(n), ("f32", (1, 1)), data=False, target="neuron/trn1")[1].modelled_us for n in (100, 200))
    assert abs((b - a) * 10 - 189) < 1


def test_dynamic_loops_count_once():
    text = kernel("""
y = nl.ndarray((512, 64), dtype=nl.float32, buffer=nl.shared_hbm)
def rows(i):
    t = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=t, src=x[i:i+128, :])
    nisa.tensor_scalar(dst=t, data=t, op0=nl.multiply, operand0=2.0)
    nisa.dma_copy(dst=y[i:i+128, :], src=t)
nl.fori_loop(0, 512, rows, 128)
return y""")
    x = normal((512, 64))
    assert np.array_equal(both(text, x), 2 * x)
    assert neuron.simulate(text, x)[1].static_instructions == 3


def test_registers_move_addresses():
    """The documented form: the loop's number as the scalar offset of an access pattern, in rows of the tensor or of another shape of it."""
    text = kernel("""
y = nl.ndarray((512, 64), dtype=nl.float32, buffer=nl.shared_hbm)
def rows(i):
    t = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=t, src=x.ap(pattern=[[64, 128], [1, 64]], offset=0, scalar_offset=i, indirect_dim=0))
    nisa.tensor_scalar(dst=t, data=t, op0=nl.multiply, operand0=2.0)
    nisa.dma_copy(dst=y.reshape((4, 8192)).ap(pattern=[[64, 128], [1, 64]], scalar_offset=i, indirect_dim=1), src=t)
nl.fori_loop(0, 512, rows, step=128)
return y""")
    x = normal((512, 64))
    with pytest.raises(hd.Error, match="not written"):  # windows one element apart leave most of it as it was
        neuron.simulate(text, x)
    text = text.replace("indirect_dim=1", "indirect_dim=0").replace("y.reshape((4, 8192))", "y.reshape((512, 64))")
    assert np.array_equal(both(text, x), 2 * x)
    assert neuron.simulate(text, x)[1].static_instructions == 3
    with pytest.raises(hd.Error, match="reaches elements"):
        neuron.simulate(text.replace("offset=0", "offset=64"), x)


def test_timeline(tmp_path):
    _, report = neuron.simulate(texts.SOFTMAX, normal((256, 100)), timeline=True)
    events = [e for e in json.loads(report.timeline)["traceEvents"] if e["ph"] == "X"]
    assert len(events) == sum(report.instructions.values())
    assert max(e["ts"] + e["dur"] for e in events) == pytest.approx(report.modelled_us, abs=1e-3)
    for lane in {e["tid"] for e in events if e["tid"] < 5}:  # engines run one instruction at a time
        spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e["tid"] == lane)
        assert all(a[1] <= b[0] + 1e-3 for a, b in zip(spans, spans[1:]))
    report.save_timeline(tmp_path / "t.svg")
    assert (tmp_path / "t.svg").read_text().startswith("<svg")
    assert report.text.splitlines()[0].endswith("critical: " + report.critical)


# --- any bytes are safe ----------------------------------------------------------------------------------------------------

WORDS = re.findall(r"\w+|\s+|[^\w\s]", texts.ATTENTION + texts.LAYERNORM + texts.MATMUL)


@pytest.mark.parametrize("seed", range(8))
def test_damaged_texts_end_in_a_diagnostic(seed):
    random = rng(seed)
    for _ in range(60):
        words = re.findall(r"\w+|\s+|[^\w\s]", [texts.MATMUL, texts.SOFTMAX, texts.ATTENTION, texts.LAYERNORM][seed % 4])
        for _ in range(random.integers(1, 4)):
            at = random.integers(len(words))
            words[at:at + random.integers(0, 3)] = [WORDS[random.integers(len(WORDS))] for _ in range(random.integers(0, 3))]
        arguments = [("f32", (130, 70)), ("f32", (130, 70)), ("f32", (130, 70)), 0.5][: 2 + seed % 4 if seed % 4 else 2]
        try:
            neuron.simulate("".join(words), *arguments[:4], data=False)
        except hd.Error as error:
            assert error.code.startswith("HD06"), str(error)


@pytest.mark.parametrize("text", [
    "", "\0", "(" * 100_000, "x = " + "-" * 50_000 + "1", "if 1:\n" * 200, "a" * 2_000_000, "x = 9" + "9" * 400, "\xff", "x=1" * 1000,
    kernel("t = (1,)\nfor i in range(60):\n    t = t + t\nreturn x"), kernel("for i in range(2000000000):\n    pass"),
    kernel("def f(i):\n    return f(i)\nf(1)"), kernel("u = nl.ndarray((100000, 1000000, 100000), dtype=nl.float32, buffer=nl.hbm)"),
    kernel("u = 2 ** 62 * 4"), kernel("u = 1 // 0"), kernel("u = (1 << 60) << 60"), kernel("x[99999999999]"), kernel("u = (1, 2)[5]"),
    kernel("l = []\nfor i in range(10000000):\n    l.append(i)"), kernel("u = -9223372036854775807 - 2"),
], ids=str.__len__)
def test_hostile_texts_end_in_a_diagnostic(text):
    with pytest.raises(hd.Error) as error:
        neuron.simulate(text, np.ones((4, 4), np.float32))
    assert error.value.code.startswith("HD06")


def test_arguments_are_checked():
    for arguments in [(), (np.ones((4, 4)),), (np.ones((4, 4), F32),) * 3, (np.ones((4, 4), np.complex64),)]:
        with pytest.raises((hd.Error, TypeError)):
            neuron.simulate(texts.MATMUL, *arguments)
    with pytest.raises(hd.Error, match="no NeuronCore"):
        neuron.simulate(texts.MATMUL, np.ones((4, 4), F32), np.ones((4, 4), F32), target="neuron/trn9")


# --- the command -----------------------------------------------------------------------------------------------------------

HEDDLE = next((p for p in [pathlib.Path(hd.__path__[0]).parents[1] / "bin/heddle"] if p.exists()), None)


@pytest.mark.skipif(HEDDLE is None, reason="the command is not built")
def test_the_command_simulates_texts_and_ops(tmp_path):
    x = normal((130, 77))
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "softmax.py").write_text(texts.SOFTMAX)
    (tmp_path / "softmax.hd").write_text((TOP / "stdlib/nn/softmax.hd").read_text())
    outs = []
    for words in (["softmax.py"], ["softmax.hd", "--op", "softmax"], ["softmax.hd", "--profile", "basic", "--op", "softmax"]):
        done = subprocess.run([HEDDLE, "simulate", *words, "--in", "x.npy", "--out", "y.npy", "--json", "--timeline", "t.json"], cwd=tmp_path,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["kernel"] == "softmax" and report["modelled_us"] > 0 and report["target"] == "neuron/trn2"
        assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]
        outs.append(np.load(tmp_path / "y.npy"))
    for y in outs:
        np.testing.assert_allclose(y, outs[0], rtol=1e-5, atol=1e-7)
    refused = subprocess.run([HEDDLE, "simulate", "softmax.py"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 1 and "HD0657" in refused.stderr


def test_tiles_find_room_where_rotation_leaves_none():
    """What is alive at one moment fits, but not behind what was handed out last: then the largest tiles choose first."""
    tiles = "\n".join(f"{t} = nl.ndarray((128, {n}), dtype=nl.float32, buffer=nl.sbuf)" for t, n in [("a", 15000), ("b", 20000), ("c", 17500), ("d", 20000)])
    text = kernel(f"""
y = nl.ndarray((128, 20000), dtype=nl.float32, buffer=nl.shared_hbm)
{tiles}
nisa.memset(dst=a, value=1.0)
nisa.memset(dst=b, value=2.0)
nisa.tensor_tensor(dst=b[:, 0:15000], data1=b[:, 0:15000], data2=a, op=nl.add)
nisa.memset(dst=c, value=3.0)
nisa.tensor_tensor(dst=b[:, 0:17500], data1=b[:, 0:17500], data2=c, op=nl.add)
nisa.memset(dst=d, value=4.0)
nisa.tensor_tensor(dst=d, data1=d, data2=b, op=nl.add)
nisa.dma_copy(dst=y, src=d)
return y""")
    y, report = neuron.simulate(text, np.ones((128, 1), np.float32))
    assert np.array_equal(y[7], np.repeat(np.float32([10, 9, 6]), [15000, 2500, 2500]))
    assert report.sbuf_peak_bytes == 160000
