"""Each rule of the simulator has a text that breaks it; the message names the rule's documentation path."""

import numpy as np
import pytest

import heddle as hd
from heddle import neuron
from nki_texts import HEAD, kernel

X = np.ones((128, 256), np.float32)


def sbuf(name, shape="(128, 256)", dtype="nl.float32", buffer="nl.sbuf"):
    return f"{name} = nl.ndarray({shape}, dtype={dtype}, buffer={buffer})"


OUT = "y = nl.ndarray((128, 256), dtype=nl.float32, buffer=nl.shared_hbm)"
T = sbuf("t") + "\nnisa.dma_copy(dst=t, src=x)"
END = "nisa.dma_copy(dst=y, src=t)\nreturn y"


def body(*lines, before=(OUT, T), after=(END,)):
    return kernel("\n".join([*before, *lines, *after]))


P = sbuf("p", "(128, 256)", buffer="nl.psum")
ONE = sbuf("one", "(128, 1)")

# rule -> (text, options of `simulate`)
BREAKS = {
    "partition_extent": body(sbuf("u", "(129, 4)")),
    "start_partition": body("nisa.memset(dst=t[8:24, :], value=0.0)"),
    "partition_stride": body("nisa.memset(dst=t[0:64:2, :], value=0.0)"),
    "free_pattern": body(sbuf("u", "(4, 40000)", "nl.bfloat16"), "nisa.memset(dst=u.reshape((4, 1, 40000)), value=0.0)",
                         sbuf("v", "(1, 66000)", "nl.uint8"), "nisa.memset(dst=v, value=0)"),
    "psum_bank": body(sbuf("p", "(128, 513)", buffer="nl.psum")),
    "psum_banks": body(*[sbuf(f"p{i}", "(128, 4)", buffer="nl.psum") + f"\nnisa.memset(dst=p{i}, value=0.0)" for i in range(9)],
                       *[f"nisa.tensor_copy(dst=t[:, 0:4], src=p{i})" for i in range(9)]),
    "psum_address": body("p = nl.ndarray((128, 4), dtype=nl.float32, buffer=nl.psum, address=(0, 16))"),
    "sbuf_capacity": body(*[sbuf(f"u{i}", "(128, 16384)") + f"\nnisa.memset(dst=u{i}, value=0.0)" for i in range(4)],
                          *[f"nisa.tensor_copy(dst=t, src=u{i}[:, 0:256])" for i in range(4)]),
    "overlap": body("u = nl.ndarray((128, 8), dtype=nl.float32, buffer=nl.sbuf, address=(0, 4096))",
                    "v = nl.ndarray((128, 8), dtype=nl.float32, buffer=nl.sbuf, address=(0, 4112))",
                    "nisa.memset(dst=u, value=0.0)", "nisa.memset(dst=v, value=0.0)",
                    "nisa.tensor_copy(dst=t[:, 0:8], src=u)", "nisa.tensor_copy(dst=t[:, 0:8], src=v)"),
    "initialised": body(sbuf("u"), "nisa.memset(dst=u[:, 0:255], value=0.0)", "nisa.tensor_copy(dst=t, src=u)"),
    "matmul_extent": body(P, "nisa.nc_matmul(dst=p, stationary=t, moving=t)"),
    "matmul_shape": body(P, "nisa.nc_matmul(dst=p, stationary=t[0:64, 0:128], moving=t)"),
    "matmul_memory": body(sbuf("s"), "nisa.nc_matmul(dst=s, stationary=t[:, 0:128], moving=t)"),
    "accumulate_first": body(P, "nisa.nc_matmul(dst=p, stationary=t[:, 0:128], moving=t, accumulate=True)"),
    "accumulate_foreign": body(P, "nisa.memset(dst=p, value=0.0)", "nisa.nc_matmul(dst=p, stationary=t[:, 0:128], moving=t)"),
    "matmul_dtype": body(P, sbuf("h", dtype="nl.bfloat16"), "nisa.tensor_copy(dst=h, src=t)",
                         "nisa.nc_matmul(dst=p, stationary=h[:, 0:128], moving=t)"),
    "double_row": body(sbuf("p", "(128, 128)", buffer="nl.psum"),
                       "nisa.nc_matmul(dst=p, stationary=t, moving=t, perf_mode=nisa.matmul_perf_mode.double_row)"),
    "transpose_dtype": body(sbuf("p", "(128, 128)", "nl.bfloat16", "nl.psum"), "nisa.nc_transpose(dst=p, data=t[:, 0:128])"),
    "transpose_extent": body(sbuf("p", "(64, 128)"), "nisa.nc_transpose(dst=p, data=t[:, 0:64], engine=nisa.engine.vector)"),
    "gpsimd_psum": body(P, "nisa.nc_matmul(dst=p, stationary=t[:, 0:128], moving=t)",
                        "nisa.tensor_copy(dst=t, src=p, engine=nisa.engine.gpsimd)"),
    "two_psum_inputs": body(P, "nisa.nc_matmul(dst=p, stationary=t[:, 0:128], moving=t)",
                            "nisa.tensor_tensor(dst=t, data1=p, data2=p, op=nl.add)"),
    "engine_choice": body("nisa.memset(dst=t, value=0.0, engine=nisa.engine.scalar)"),
    "scalar_operand": body("nisa.tensor_scalar(dst=t, data=t, op0=nl.add, operand0=t)"),
    "scalar_engine_ops": body("nisa.tensor_scalar(dst=t, data=t, op0=nl.maximum, operand0=0.0, engine=nisa.engine.scalar)"),
    "op_classes": body("nisa.tensor_scalar(dst=t, data=t, op0=nl.bitwise_and, operand0=1)"),
    "op_unknown": body("nisa.tensor_tensor(dst=t, data1=t, data2=t, op=nl.tanh)"),
    "reduce_axes": body(ONE, "nisa.tensor_reduce(dst=one, op=nl.add, data=t, axis=0)"),
    "reduce_ops": body(ONE, "nisa.tensor_reduce(dst=one, op=nl.greater, data=t, axis=1)"),
    "bn_stats_extent": body(sbuf("u", "(128, 513)"), "nisa.memset(dst=u, value=0.0)", sbuf("s", "(128, 6)"),
                            "nisa.bn_stats(dst=s, data=u)"),
    "max8_extent": body(sbuf("s", "(128, 8)"), "nisa.max8(dst=s, src=t[:, 0:7])"),
    "activation_domain": body("nisa.activation(dst=t, op=nl.log, data=t, scale=-1.0)"),
    "activation_bias": body("nisa.activation(dst=t, op=nl.exp, data=t, bias=t)"),
    "shuffle_quadrant": body("nisa.nc_stream_shuffle(dst=t, src=t, shuffle_mask=(0, 1, 2))"),
    "same_elements": body("nisa.tensor_tensor(dst=t, data1=t, data2=t[:, 0:255], op=nl.add)"),
    "gpsimd_sbuf": body(P, "nisa.iota(dst=p, pattern=[[1, 256]])"),
    "on_chip": body("nisa.tensor_copy(dst=t, src=x)"),
    "predicate": body("nisa.tensor_copy_predicated(dst=t, src=t, predicate=t)"),
    "gather": body(sbuf("i", "(128, 2)", "nl.uint32"), "nisa.memset(dst=i, value=256)", "nisa.nc_n_gather(dst=t[:, 0:2], data=t, indices=i)"),
    "memset_type": body(sbuf("u", dtype="nl.int32"), "nisa.memset(dst=u, value=0.5)"),
    "newer_core": (body("nisa.dma_copy(dst=t, src=x, dge_mode=nisa.dge_mode.hwdge)"), "neuron/trn1"),
    "dma_memory": body(P, "nisa.nc_matmul(dst=p, stationary=t[:, 0:128], moving=t)", after=("nisa.dma_copy(dst=y, src=p)\nreturn y",)),
    "dma_elements": body("nisa.dma_copy(dst=t, src=x[0:127, :])"),
    "dma_dtype": body(sbuf("h", dtype="nl.bfloat16"), "nisa.dma_copy(dst=h, src=x, dge_mode=nisa.dge_mode.hwdge)"),
    "dma_transpose": body(sbuf("u", "(128, 128)"), "nisa.dma_transpose(dst=u, src=x[:, 0:128])"),
    "dma_bounds": body(sbuf("i", "(4, 1)", "nl.int32"), "nisa.memset(dst=i, value=128)", sbuf("u", "(4, 256)"),
                       "nisa.dma_copy(dst=u, src=x.ap(pattern=[[256, 4], [1, 256]], vector_offset=i, indirect_dim=0))"),
    "instruction_count": body("for i in range(60000):\n    nisa.memset(dst=t, value=0.0)"),
    "dynamic_loop": body("def step(i):\n    nisa.memset(dst=t, value=0.0)", "with nl.no_reorder():\n    nl.fori_loop(0, 2, step)"),
    "removed_api": body("u = nl.load(x)"),
    "removed_syntax": body("while True:\n    pass"),
    "list_argument": body(sbuf("u", "[128, 256]")),
    "output_buffer": body(before=("y = nl.ndarray((128, 256), dtype=nl.float32, buffer=nl.hbm)", T)),
}


@pytest.mark.parametrize("rule", neuron.rules(), ids=lambda r: r.name)
def test_a_breach_is_refused(rule):
    text = BREAKS[rule.name]
    text, target = text if isinstance(text, tuple) else (text, "neuron/trn2")
    with pytest.raises(hd.Error) as error:
        neuron.simulate(text, X, target=target)
    assert rule.path in error.value.message, str(error.value)
    assert rule.text in error.value.help, str(error.value)
    assert error.value.code == rule.code
    assert error.value.line is not None


LOOP = "nl.fori_loop(0, 2, step)"
TWICE = "l = []\nfor _ in range(2):\n    l.append(nl.ndarray((128, 256), dtype=nl.float32, buffer=nl.sbuf))"
HALVES = sbuf("u", "(128, 100)", "nl.bfloat16"), "h = nl.ndarray((100, 128), dtype=nl.bfloat16, buffer=nl.shared_hbm)"
ALSO = {  # other ways to break a rule
    "a branch on the number of a loop": ("dynamic_loop", body("def step(i):\n    if i == 0:\n        nisa.memset(dst=t, value=0.0)", LOOP)),
    "its truth": ("dynamic_loop", body("def step(i):\n    if i:\n        nisa.memset(dst=t, value=0.0)", LOOP)),
    "as the bound of Python's loop": ("dynamic_loop", body("def step(i):\n    for j in range(i):\n        nisa.memset(dst=t, value=0.0)", LOOP)),
    "as the index of a list": ("dynamic_loop", body(TWICE, "def step(i):\n    nisa.memset(dst=l[i], value=0.0)", LOOP)),
    "as a number of an instruction": ("dynamic_loop", body("def step(i):\n    nisa.tensor_scalar(dst=t, data=t, op0=nl.add, operand0=i)", LOOP)),
    "divided": ("dynamic_loop", body("def step(i):\n    nisa.dma_copy(dst=t, src=x[i // 2:, :])", LOOP)),
    "a body that returns": ("dynamic_loop", body("def step(i):\n    return i", LOOP)),
    "turned rows of hardware DGE": ("dma_transpose", body(*HALVES, "nisa.dma_transpose(dst=u, src=h, dge_mode=nisa.dge_mode.hwdge)")),
    "rows picked by hardware DGE": ("newer_core", body(sbuf("i", "(4, 1)", "nl.int32"), "nisa.memset(dst=i, value=1)", sbuf("u", "(4, 256)"), "nisa.dma_copy(dst=u, "
                                    "src=x.ap(pattern=[[256, 4], [1, 256]], vector_offset=i, indirect_dim=0), dge_mode=nisa.dge_mode.hwdge)")),
    "GpSimd's power of PSUM": ("gpsimd_psum", body(P, "nisa.nc_matmul(dst=p, stationary=t[:, 0:128], moving=t)", "nisa.tensor_tensor(dst=t, data1=p, data2=t, op=nl.power)")),
    "a type of v4": ("newer_core", body(sbuf("u", dtype="nl.float8_e4m3fn"), "nisa.tensor_copy(dst=u, src=t)")),
}


@pytest.mark.parametrize("how", ALSO)
def test_other_breaches_are_refused(how):
    rule, text = ALSO[how]
    with pytest.raises(hd.Error) as error:
        neuron.simulate(text, X)
    row = next(r for r in neuron.rules() if r.name == rule)
    assert row.path in error.value.message and row.text in error.value.help, str(error.value)


def test_each_rule_is_broken_once():
    assert set(BREAKS) == {r.name for r in neuron.rules()}
    assert {r.number for r in neuron.rules()} >= {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17}


def test_the_frame_itself_is_legal():
    y, report = neuron.simulate(body(), X)
    assert np.array_equal(y, X) and report.modelled_us > 0


# What is no NKI: (part of the message, text)
OUTSIDE = [
    ("`is` is no part", body("if x is None:\n    pass")),
    ("`*` in its parameters", HEAD + "@nki.jit\ndef k(*, x):\n    return x\n"),
    ("mask=", body("nisa.tensor_copy(dst=t, src=t, mask=3)")),
    ("nl.par_dim", body("u = nl.ndarray((nl.par_dim(128), 4), dtype=nl.float32)")),
    ("nl.arange", body("i = nl.arange(128)")),
    ("nl.store", body("nl.store(y, t)")),
    ("nl.affine_range", body("for i in nl.affine_range(4):\n    pass")),
    ("neuronxcc", "import neuronxcc.nki as nki\n"),
    ("strings with a prefix", body("u = f'{x}'")),
    ("comprehensions", body("u = [i for i in range(3)]")),
    ("`lambda`", body("u = lambda i: i")),
    ("tiles are written by instructions", body("t[0, 0] = 1.0")),
    ("arithmetic on a tensor", body("u = t + 1")),
    ("a tensor steers no branch", body("if t:\n    pass")),
    ("is a string", body("nisa.tensor_tensor(dst=t, data1=t, data2=t, op='add')")),
    ("the dtype is the string", body("u = nl.ndarray((4, 4), dtype='float32')")),
    ("there is no divide", body("nisa.tensor_tensor(dst=t, data1=t, data2=t, op=nl.divide)")),
    ("did you mean `nisa.tensor_tensor`", body("nisa.tensor_tenser(dst=t, data1=t, data2=t, op=nl.add)")),
    ("has no argument `source`", body("nisa.tensor_copy(dst=t, source=t)")),
    ("does not follow `nisa.range_select`", body("nisa.range_select(dst=t)")),
    ("needs `data2`", body("nisa.tensor_tensor(dst=t, data1=t, op=nl.add)")),
    ("lies outside `x`", body("nisa.dma_copy(dst=t, src=x[0:129, :])")),
    ("not a tensor", kernel("return 3")),
    ("is not in `nl.shared_hbm`", kernel(T + "\nreturn t")),
    ("`z` is not defined", body("nisa.tensor_copy(dst=t, src=z)")),
    ("no function with `@nki.jit`", HEAD),
]


@pytest.mark.parametrize("words, text", OUTSIDE, ids=[w for w, _ in OUTSIDE])
def test_what_is_no_nki_is_refused(words, text):
    with pytest.raises(hd.Error) as error:
        neuron.simulate(text, X)
    assert words in f"{error.value.message} {error.value.help}", str(error.value)


def test_a_refusal_shows_the_line():
    with pytest.raises(hd.Error) as error:
        neuron.simulate(body(sbuf("u", "(129, 4)")), X, name="kernel.py")
    assert str(error.value) == (
        "kernel.py:10:9: error[HD0653]: dim 0 has 129 partitions (nki/guides/tiling-overview.rst)\n"
        "  10 |     u = nl.ndarray((129, 4), dtype=nl.float32, buffer=nl.sbuf)\n"
        "     |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  help: rule 1: a tile has at most 128 partitions")


def test_live_buffers_are_listed():
    with pytest.raises(hd.Error) as error:
        neuron.simulate(BREAKS["sbuf_capacity"], X)
    for part in ("`u3` of 65536 bytes", "1 of `u0` (65536 bytes)", "212984 bytes"):
        assert part in error.value.message, str(error.value)
