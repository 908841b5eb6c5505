"""Ops of the standard library as NKI text, both profiles: the simulator and the second interpreter of the text against NumPy."""

import math
import pathlib
import re
import sys

import ml_dtypes
import numpy as np
import pytest

import heddle as hd

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import nki_interpreter  # noqa: E402

bf16 = ml_dtypes.bfloat16
BASIC = {"dma_copy", "nc_matmul", "nc_transpose", "tensor_copy", "tensor_tensor", "tensor_scalar", "tensor_reduce", "activation", "reciprocal"}


BASIC_WORDS = {
    "dma_copy": {"dst", "src"}, "nc_matmul": {"dst", "stationary", "moving"}, "nc_transpose": {"dst", "data"}, "tensor_copy": {"dst", "src"},
    "tensor_tensor": {"dst", "data1", "data2", "op"}, "tensor_scalar": {"dst", "data", "op0", "operand0"}, "tensor_reduce": {"dst", "op", "data", "axis"},
    "activation": {"dst", "op", "data"}, "reciprocal": {"dst", "data"},
}
BASIC_NL = {"add", "subtract", "multiply", "maximum", "minimum", "exp", "sqrt", "rsqrt", "reciprocal", "copy", "ndarray", "float32", "bfloat16", "float16",
            "int8", "int32", "sbuf", "psum", "hbm", "shared_hbm"}


def beyond_basic(text):
    """Words of a text that the profile `basic` has not."""
    out = set(re.findall(r"nl\.(\w+)", text)) - BASIC_NL
    for name, arguments in re.findall(r"^\s*nisa\.(\w+)\((.*)\)$", text, re.M):
        out |= {f"{name} {word}" for word in re.findall(r"(?:^|, )(\w+)=", arguments)} - {f"{name} {word}" for word in BASIC_WORDS.get(name, ())}
    return out


def wide(x):
    return np.asarray(x, np.float64)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def agrees(op, *arrays, exact, tolerance, profiles=("full", "basic"), schedule=None, **named):
    """Simulator and interpreter within `tolerance` of the largest number that NumPy gives."""
    scalars = {p["name"] for p in op.parameters if p["kind"] == "scalar"}
    for profile in profiles:
        k = op.compile(*arrays, target="neuron/trn2", profile=profile, schedule=schedule, **{n: v for n, v in named.items() if n not in scalars})
        if profile == "basic":
            used = {line.split("nisa.")[1].split("(")[0] for line in k.nki.splitlines() if line.strip().startswith("nisa.")}
            assert used <= BASIC
            assert not beyond_basic(k.nki)
        out = k.simulate(*arrays, **named)
        given = [a.astype(np.int32) if a.dtype == np.int64 else a for a in arrays]
        values = [float(np.float32(v)) for v in op._scalar_list({n: v for n, v in named.items() if n in scalars})]
        packed = {op.parameters[i]["name"]: i for i in range(len(given)) if op.parameters[i]["name"] in k._packings}
        for name, i in packed.items():
            given[i] = k.pack(**{name: given[i]}).array
        second = nki_interpreter.run(k.nki, *given, *values, *k.tables.values())
        for results in (out, second):
            results = results if isinstance(results, tuple) else (results,)
            for y, e in zip(results, exact if isinstance(exact, tuple) else (exact,)):
                e = wide(e)
                error = np.abs(wide(y).reshape(e.shape) - e).max(initial=0) / (1e-3 + np.abs(e).max(initial=0))
                assert error < tolerance, f"{op.name} {profile}: {error}"
    return k


@pytest.fixture(params=[np.float32, bf16], ids=["f32", "bf16"])
def make(request):
    rng = np.random.default_rng(7)

    def one(*shape, scale=1):
        return (scale * rng.standard_normal(shape)).astype(request.param)

    one.tolerance = 3e-5 if request.param == np.float32 else 1.6e-2
    one.rng = rng
    return one


@pytest.mark.parametrize("schedule", ["neuron_strips", "neuron"])
@pytest.mark.parametrize("m,k,n", [(1, 1, 1), (200, 300, 700), (129, 128, 513), (7, 257, 33), (600, 1100, 1030)])
def test_matmul(make, m, k, n, schedule):
    a, b = make(m, k), make(k, n)
    agrees(hd.std.linalg.matmul, a, b, exact=wide(a) @ wide(b), tolerance=make.tolerance, schedule=schedule)


def test_overlapping_iterations(make):
    op = hd.parse("""op matmul<T: number>(a: T[m, k], b: T[k, n]) -> c: T[m, n] {
  acc[i, j] = sum[p] widen(a[i, p]) * widen(b[p, j])
  c[i, j] = T(acc[i, j])
}
schedule matmul.overlapped on neuron allow reassociate, contract {
  split c.i by 128 into io, ii
  split c.j by 512 into jo, ji
  reorder c.io, c.jo, c.ii, c.ji
  compute_at acc at c.jo in psum
  split acc.p by 128 into po, pi
  reorder acc.po, acc.i, acc.j, acc.pi
  cache a in sbuf at acc.po as strip
  reorder strip.p, strip.i
  pipeline acc.po by 2
  bind c.ii, acc.i, acc.pi, strip.p to partition
  bind c.ji, acc.j, strip.i to free
}""").matmul
    for m, k, n in [(1, 1, 1), (200, 300, 700), (129, 128, 513)]:
        a, b = make(m, k), make(k, n)
        agrees(op, a, b, exact=wide(a) @ wide(b), tolerance=make.tolerance)


def test_schedules_of_later_cores():
    """A schedule for a core serves later ones, and no earlier one."""
    a, b = hd.spec("bf16", 300, 200), hd.spec("bf16", 530, 200)
    chosen = {t: hd.std.linalg.matmul_nt.compile(a, b, target=t).schedule for t in ("neuron/trn1", "neuron/trn2", "neuron/trn3")}
    assert chosen == {"neuron/trn1": "neuron_tall", "neuron/trn2": "neuron_bf16", "neuron/trn3": "neuron_bf16"}
    with pytest.raises(hd.Error) as e:
        hd.std.linalg.matmul_nt.compile(a, b, target="neuron/trn1", schedule="neuron_bf16")
    assert e.value.code == "HD0552"


@pytest.mark.parametrize("schedule", [None, "neuron"])
@pytest.mark.parametrize("m,k,n", [(1, 1, 1), (130, 200, 530), (700, 257, 33), (129, 1100, 513)])
def test_transposed_matmuls(make, schedule, m, k, n):
    a, b = make(m, k), make(k, n)
    exact, at, bt = wide(a) @ wide(b), np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
    agrees(hd.std.linalg.matmul_nt, a, bt, exact=exact, tolerance=make.tolerance, schedule=schedule)
    agrees(hd.std.linalg.matmul_tn, at, b, exact=exact, tolerance=make.tolerance, schedule=schedule)
    agrees(hd.std.linalg.matmul_tt, at, bt, exact=exact, tolerance=make.tolerance, schedule=schedule)


PACKED = hd.parse("""op product<T: number>(a: T[m, k], b: T[k, n]) -> c: T[m, n] {
  acc[i, j] = sum[p] widen(a[i, p]) * widen(b[p, j])
  c[i, j] = T(acc[i, j])
}
schedule product.turned on neuron allow reassociate, contract {
  layout a[i, p] to (p, i)
  layout b[p, j] to (j/512, p, j%512) with 0
  split c.i by 128 into io, ii
  split c.j by 512 into jo, ji
  reorder c.io, c.jo, c.ii, c.ji
  compute_at acc at c.jo in psum
  split acc.p by 128 into po, pi
  reorder acc.po, acc.i, acc.j, acc.pi
  bind c.ii, acc.i, acc.pi to partition
  bind c.ji, acc.j to free
}
op heads(x: f32[n, (g, c)], w: f32[(g, c), k], const g: int = 3) -> y: f32[n, g, k] { y[i, q, j] = sum[u] x[i, (q, u)] * w[(q, u), j] }
schedule heads.packed on neuron allow reassociate, contract {
  layout w[q, u, j] to (u, q, j)
  reorder y.q, y.i, y.j, y.u
  split y.i by 128 into io, ii
  split y.u by 128 into uo, ui
  reorder y.q, y.io, y.uo, y.ii, y.j, y.ui
  bind y.ii, y.ui to partition
  bind y.j to free
}""")


def test_operands_packed_outside(make):
    """A layout of an input: the text takes the array in that order and need not turn it."""
    for m, k, n in [(1, 1, 1), (200, 300, 700), (129, 128, 513)]:
        a, b = make(m, k), make(k, n)
        kernel = agrees(PACKED.product, a, b, exact=wide(a) @ wide(b), tolerance=make.tolerance, schedule="turned")
        assert "nc_transpose" not in kernel.nki and "b: packed outside of the call" in kernel.nki
        packed = kernel.pack(a=a)
        assert packed.array.shape == (k, m) and packed.shape == (m, k)
        assert np.array_equal(kernel.simulate(packed, b), kernel.simulate(a, b))
        with pytest.raises(TypeError):
            kernel.pack(c=b)
    x, w = np.float32(make(130, 21)), np.float32(make(21, 40))
    exact = np.einsum("igc,gck->igk", wide(x).reshape(130, 3, 7), wide(w).reshape(3, 7, 40))
    agrees(PACKED.heads, x, w, exact=exact, tolerance=3e-5, schedule="packed")


LADDER = hd.load(pathlib.Path(__file__).resolve().parents[2] / "bench/nki_ladder.hd")
STAGED = [(LADDER.matmul, name) for name in LADDER.matmul.schedules] + [(hd.std.linalg.matmul_tn, name) for name in ("neuron_strips", "neuron")]


@pytest.mark.parametrize("op,schedule", STAGED, ids=lambda x: x if isinstance(x, str) else x.name)
@pytest.mark.parametrize("m,k,n", [(1, 1, 1), (129, 128, 513), (7, 1300, 33), (600, 300, 1030)])
def test_matmuls_in_lists_of_tiles(make, op, schedule, m, k, n):
    a, b = make(k, m), make(k, n)
    agrees(op, a, b, exact=wide(a).T @ wide(b), tolerance=make.tolerance, schedule=schedule)


def test_batched_and_layers(make):
    a, b = make(3, 130, 70), make(3, 70, 140)
    x, w, bias = make(2, 130, 70), make(140, 70), make(140)
    for schedule in (None, "neuron", "neuron_strips"):
        agrees(hd.std.linalg.bmm, a, b, exact=wide(a) @ wide(b), tolerance=make.tolerance, schedule=schedule)
    for schedule in (None, "neuron"):
        agrees(hd.std.linalg.linear, x, w, bias, exact=wide(x) @ wide(w).T + wide(bias), tolerance=make.tolerance, schedule=schedule)
    a, v = make(130, 70), make(70)
    agrees(hd.std.linalg.gemv, a, v, exact=wide(a) @ wide(v), tolerance=make.tolerance)


@pytest.mark.parametrize("shape", [(1, 1), (200, 300), (3, 130, 17)])
def test_rows(make, shape):
    x, w, b = make(*shape), make(shape[-1]), make(shape[-1])
    y = wide(x)
    agrees(hd.std.nn.softmax, x, exact=softmax(y), tolerance=make.tolerance)
    agrees(hd.std.nn.log_softmax, x, exact=np.log(softmax(y)), tolerance=make.tolerance)
    off = y - y.mean(-1, keepdims=True)
    agrees(hd.std.nn.layernorm, x, w, b, exact=off / np.sqrt(y.var(-1, keepdims=True) + 1e-5) * wide(w) + wide(b), tolerance=make.tolerance)
    agrees(hd.std.nn.rmsnorm, x, w, exact=y / np.sqrt((y * y).mean(-1, keepdims=True) + 1e-6) * wide(w), tolerance=make.tolerance)


@pytest.mark.parametrize("shape", [(200, 300), (5000,), (2, 3, 2100)])
def test_elementwise(make, shape):
    x, z = make(*shape, scale=3), make(*shape)
    y = wide(x)
    agrees(hd.std.nn.silu, x, exact=y / (1 + np.exp(-y)), tolerance=make.tolerance)
    agrees(hd.std.nn.relu, x, exact=np.maximum(y, 0), tolerance=make.tolerance)
    agrees(hd.std.nn.swiglu, x, z, exact=y / (1 + np.exp(-y)) * wide(z), tolerance=make.tolerance)
    inner = 0.7978845608028654 * (y + 0.044715 * y**3)
    erf = np.vectorize(math.erf, otypes=[np.float64])
    agrees(hd.std.nn.gelu, x, exact=0.5 * y * (1 + erf(y / 2**0.5)), tolerance=make.tolerance)
    agrees(hd.std.nn.gelu_tanh, x, exact=0.5 * y * (1 + np.tanh(inner)), tolerance=make.tolerance)


def test_data(make):
    x, y = make(200, 70), make(90, 70)
    agrees(hd.std.data.transpose, x, exact=x.T, tolerance=1e-9)
    agrees(hd.std.data.concat, x, y, exact=np.concatenate([x, y]), tolerance=1e-9)
    agrees(hd.std.data.pad, x, top=1, bottom=2, left=3, right=4, value=0.5, exact=np.pad(wide(x), ((1, 2), (3, 4)), constant_values=0.5), tolerance=1e-9)


def test_sums(make):
    x = make(300, 700)
    agrees(hd.std.reduce.sum_rows, x, exact=wide(x).sum(1), tolerance=make.tolerance)
    agrees(hd.std.reduce.sum_cols, x, exact=wide(x).sum(0), tolerance=make.tolerance)


def test_rope(make):
    x, c, s = make(2, 3, 130, 64), make(130, 32), make(130, 32)
    a, b = wide(x)[..., :32], wide(x)[..., 32:]
    exact = np.concatenate([a * wide(c) - b * wide(s), b * wide(c) + a * wide(s)], -1)
    agrees(hd.std.nn.rope, x, c, s, exact=exact, tolerance=make.tolerance)
    agrees(hd.std.nn.rope, x[0, 0], c, s, exact=exact[0, 0], tolerance=make.tolerance)


@pytest.mark.parametrize("rows,classes", [(1, 3), (200, 300), (5, 1000)])
def test_cross_entropy(make, rows, classes):
    x, t = make(rows, classes), make.rng.integers(0, classes, rows)
    exact = -np.log(softmax(wide(x)))[np.arange(rows), t].mean()
    agrees(hd.std.nn.cross_entropy, x, t, exact=exact, tolerance=make.tolerance)


@pytest.mark.parametrize("nb,hk,g,n,t,d", [(1, 2, 2, 200, 200, 64), (1, 1, 1, 5, 150, 32), (1, 1, 1, 140, 700, 130), (1, 1, 1, 1, 1, 1)])
def test_attention(make, nb, hk, g, n, t, d):
    q, k, v = make(nb, hk * g, n, d), make(nb, hk, t, d), make(nb, hk, t, d)
    z = np.einsum("bhid,bhjd->bhij", wide(q), np.repeat(wide(k), g, 1)) / d**0.5
    values = np.repeat(wide(v), g, 1)
    for schedule in (None, "neuron"):
        agrees(hd.std.nn.attention, q, k, v, scale=d**-0.5, exact=softmax(z) @ values, tolerance=make.tolerance, schedule=schedule)
    seen = np.arange(t)[None, :] <= np.arange(n)[:, None] + t - n
    exact = softmax(np.where(seen, z, -1e30)) @ values
    for schedule in (None, "neuron"):
        agrees(hd.std.nn.attention_causal, q, k, v, scale=d**-0.5, exact=exact, tolerance=make.tolerance, schedule=schedule)


def convolution(x, k, stride, padding, dilation, groups):
    x = np.pad(wide(x), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    k = wide(k)
    n, c, h, w = x.shape
    f, cg, kh, kw = k.shape
    oh, ow, fg = (h - dilation * (kh - 1) - 1) // stride + 1, (w - dilation * (kw - 1) - 1) // stride + 1, f // groups
    y = np.zeros((n, f, oh, ow))
    for g in range(groups):
        for u in range(kh):
            for v in range(kw):
                part = x[:, g * cg : (g + 1) * cg, u * dilation :, v * dilation :][:, :, : (oh - 1) * stride + 1 : stride, : (ow - 1) * stride + 1 : stride]
                y[:, g * fg : (g + 1) * fg] += np.einsum("nchw,fc->nfhw", part, k[g * fg : (g + 1) * fg, :, u, v])
    return y


@pytest.mark.parametrize("n,groups,cg,fg,h,w,stride,padding,dilation", [(1, 1, 130, 140, 5, 11, 1, 1, 1), (2, 2, 3, 4, 8, 7, 2, 1, 1), (1, 1, 4, 8, 12, 12, 1, 0, 2)])
def test_conv2d(make, n, groups, cg, fg, h, w, stride, padding, dilation):
    x, k = make(n, groups * cg, h, w), make(groups * fg, cg, 3, 3)
    how = {"groups": groups, "stride": stride, "padding": padding, "dilation": dilation}
    exact = convolution(x, k, **how)
    for schedule in (None, "neuron"):
        agrees(hd.std.nn.conv2d, x, k, exact=exact, tolerance=make.tolerance, schedule=schedule, **how)
    x, k = np.ascontiguousarray(x.transpose(0, 2, 3, 1)), np.ascontiguousarray(k.transpose(2, 3, 1, 0))
    agrees(hd.std.nn.conv2d_nhwc, x, k, exact=exact.transpose(0, 2, 3, 1), tolerance=make.tolerance, **how)


@pytest.mark.parametrize("shape", [(200, 300), (700,)])
def test_optimisers(shape):
    rng = np.random.default_rng(3)
    w, g, m, v = (rng.standard_normal(shape, dtype=np.float32) for _ in range(4))
    v = abs(v)
    m2, v2 = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    exact = (w - 0.01 * (m2 / 0.1) / (np.sqrt(v2 / 0.01) + 1e-8), m2, v2)
    agrees(hd.std.optim.adam, w, g, m, v, lr=0.01, correct1=0.1, correct2=0.01, exact=exact, tolerance=3e-5)
    agrees(hd.std.optim.sgd, w, g, m, lr=0.01, exact=(w - 0.01 * (0.9 * m + g), 0.9 * m + g), tolerance=3e-5)


MLP = hd.parse("""import "std/linalg"
import "std/nn"
op mlp<T: float>(x: T[m, k], w1: T[h, k], b1: T[h], w2: T[n, h], b2: T[n]) -> y: T[m, n] {
  u = linalg.linear(x, w1, b1)
  g = nn.silu(u)
  y = linalg.linear(g, w2, b2)
}
schedule mlp.layers on neuron allow reassociate, contract {
  apply linalg.linear.neuron to u
  apply nn.silu.neuron to g
  apply linalg.linear.neuron to y
}""")


def test_layers_of_a_network(make):
    x, w1, b1, w2, b2 = make(130, 70), make(200, 70, scale=0.1), make(200), make(60, 200, scale=0.1), make(60)
    u = wide(x) @ wide(w1).T + wide(b1)
    agrees(MLP.mlp, x, w1, b1, w2, b2, exact=u / (1 + np.exp(-u)) @ wide(w2).T + wide(b2), tolerance=make.tolerance)


@pytest.mark.parametrize("target", ["neuron/trn1", "neuron/trn3"])
def test_other_cores(make, target):
    """What the engines of v2 lack is written another way: the simulator refuses what is not there."""
    a, b = make(130, 257), make(515, 257)
    q, k, v = make(1, 2, 130, 64), make(1, 2, 200, 64), make(1, 2, 200, 64)
    z = np.einsum("bhid,bhjd->bhij", wide(q), wide(k)) / 8
    x = make(130, 257)
    for op, arrays, named, exact in [(hd.std.linalg.matmul_nt, (a, b), {}, wide(a) @ wide(b).T), (hd.std.nn.attention, (q, k, v), {"scale": 0.125}, softmax(z) @ wide(v)),
                                     (hd.std.nn.softmax, (x,), {}, softmax(wide(x)))]:
        for profile in ("full", "basic"):
            y = op.compile(*arrays, target=target, profile=profile).simulate(*arrays, **named)
            assert np.abs(wide(y) - exact).max() < make.tolerance * (1e-3 + np.abs(exact).max())


def test_kernels():
    """What a kernel shows, pickles as, and answers without a device."""
    import pickle

    x = np.ones((5, 7), np.float32)
    k = hd.std.nn.softmax.compile(x, target="trn2", profile="basic")
    assert k.target == "neuron/trn2" and k.schedule == "neuron" and k.program.startswith("program softmax.neuron")
    assert pickle.loads(pickle.dumps(k)).nki == k.nki
    np.testing.assert_allclose(k.simulate(x), 1 / 7, rtol=1e-6)
    assert k.report.dma_bytes > 0 and "modelled" in str(k.report)
    with pytest.raises(hd.Error) as e:
        k(x)
    assert e.value.code == "HD0658"
    with pytest.raises(hd.Error) as e:
        hd.std.nn.softmax(x, target="neuron/trn2")
    assert e.value.code == "HD0658"
    with pytest.raises(hd.Error) as e:
        hd.std.nn.softmax.compile(hd.spec("f32", "rows", 7), target="neuron/trn2")
    assert e.value.code == "HD0602"
    with pytest.raises(hd.Error) as e:
        hd.std.nn.softmax.compile(x, target="neuron/trn2", profile="half")
    assert e.value.code == "HD0614"
    k = hd.std.linalg.matmul.compile(hd.spec("f32", "m", "k"), hd.spec("f32", "k", "n"), target="neuron/trn3", fix={"m": 3, "k": 4, "n": 5})
    assert (k.target, k.schedule) == ("neuron/trn3", "neuron_strips")


def test_auto_says_why_it_runs_on_the_host(caplog, monkeypatch):
    from heddle import neuron_kernel

    monkeypatch.setattr(neuron_kernel, "_told", set())
    with caplog.at_level("INFO", "heddle"):
        for _ in range(2):
            hd.std.nn.softmax.compile(np.ones((2, 2), np.float32), target="auto")
    assert len(caplog.records) == 1 and "NeuronCore" in caplog.text
