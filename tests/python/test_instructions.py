"""Steps that choose instructions: every state in the interpreter, compiled code against NumPy, on ragged shapes."""

import ml_dtypes
import numpy as np
import pytest

import heddle as hd
from std_checks import host_has

SHAPES = [(1, 1, 1), (0, 3, 4), (3, 0, 4), (4, 3, 0), (7, 13, 65), (2, 4, 16), (5, 31, 33), (13, 66, 47), (12, 64, 32), (25, 8, 17)]

TILE = """
  split c.j by 32 into jo, jj
  split c.i by 3 into io, ii
  reorder c.jo, c.io, c.ii, c.jj
  compute_at acc at c.io in registers
  split acc.p by {k} into po, pi
  split acc.j by {lanes} into jv, ji
  reorder acc.po, acc.i, acc.jv, acc.ji, acc.pi
  cache b in l2 at c.jo as panel
  cache a in l1 at c.io as strip
  layout panel[p, j] to (p/{k}, j, p%{k}) with 0
  split panel.p by {k} into po, pi
  split panel.j by 16 into jo, ji
  reorder panel.po, panel.jo, panel.pi, panel.ji
  replace panel.pi by {pack}
  replace acc.ji by {dot}
  unroll acc.i, acc.jv
  parallel c.jo
"""
PRODUCT = """
op mm(a: {a}[m, k], b: {b}[k, n]) -> c: {c}[m, n] {{
  acc[i, j] = sum[p] {c}(a[i, p]) * {c}(b[p, j])
  c[i, j] = acc[i, j]
}}
schedule mm.s on cpu allow reassociate, flush_denormals {{{steps}}}
"""
ROWS = [("vnni_dot_512", "u8", "i8", "i32", 4, 16, "interleave_4"), ("vnni_dot_256", "u8", "i8", "i32", 4, 8, "interleave_4"),
        ("bf16_dot_512", "bf16", "bf16", "f32", 2, 16, "interleave_2"), ("bf16_dot_256", "bf16", "bf16", "f32", 2, 8, "interleave_2")]
DTYPE = {"u8": np.uint8, "i8": np.int8, "i32": np.int32, "bf16": ml_dtypes.bfloat16, "f32": np.float32}


def module_of(row):
    dot, a, b, c, k, lanes, pack = row
    return hd.parse(PRODUCT.format(a=a, b=b, c=c, steps=TILE.format(k=k, lanes=lanes, pack=pack, dot=dot)))


def arrays(rng, row, m, k, n):
    out = []
    for name, shape in ((row[1], (m, k)), (row[2], (k, n))):
        if name == "bf16":
            out.append(rng.standard_normal(shape).astype(ml_dtypes.bfloat16))
        else:
            info = np.iinfo(DTYPE[name])
            out.append(rng.integers(info.min, info.max + 1, shape).astype(DTYPE[name]))
    return out


def check(row, a, b, c):
    if row[3] == "i32":
        np.testing.assert_array_equal(c, a.astype(np.int32) @ b.astype(np.int32))
    else:
        wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
        bound = (a.shape[1] + 2) * 2.0**-23 * (np.abs(wide_a) @ np.abs(wide_b)) + 1e-37
        assert (np.abs(c - wide_a @ wide_b) <= bound).all()


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r[0])
def test_dot_products(rng, row):
    m = module_of(row)
    for shape in SHAPES:
        a, b = arrays(rng, row, *shape)
        check(row, a, b, m.mm(a, b, schedule="s"))


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r[0])
def test_every_state_is_the_same_product(rng, row):
    m = module_of(row)
    for shape in [(4, 9, 35), (3, 8, 32), (1, 0, 5)]:
        a, b = arrays(rng, row, *shape)
        for state in m.mm.schedule("s").states(a, b):
            program = hd.parse(state.program)
            c = np.empty((a.shape[0], b.shape[1]), DTYPE[row[3]])
            program.program(program.programs[-1]).interpret([a, b, c])
            check(row, a, b, c)


def test_strided_arrays(rng):
    for row in ROWS:
        m = module_of(row)
        a, b = arrays(rng, row, 10, 26, 38)
        a, b = a[:, ::2], b[::2, ::2]
        check(row, a, b, m.mm(a, b, schedule="s"))
        check(row, a, b, m.mm(a, np.asfortranarray(b), schedule="s"))


# The left operand as it lies in its array; the right one packed before the call, or in it.
ARRAYS = """
op mm(a: {a}[m, k], b: {b}[k, n]) -> c: {c}[m, n] {{
  acc[i, j] = sum[p] {c}(a[i, p]) * {c}(b[p, j])
  c[i, j] = acc[i, j]
}}
step blocks(c: stage, acc: stage, jo: name) {{
  split c.j by 32 into jo, jj
  split c.i by 3 into io, ii
  reorder jo, io, ii, jj
  compute_at acc at io in registers
}}
step dots(acc: stage) {{
  split acc.p by {k} into po, pi with exact
  split acc.j by {lanes} into jv, ji
  reorder acc.po, acc.i, acc.jv, acc.ji, acc.pi
  replace acc.ji by {dot}
  unroll acc.i, acc.jv
}}
schedule mm.before on cpu allow reassociate, flush_denormals where k % {k} == 0 {{
  layout b[p, j] to (j/32, p/{k}, j%32, p%{k}) with 0
  blocks c, acc, jo
  dots acc
  parallel c.jo
}}
schedule mm.inside on cpu allow reassociate, flush_denormals where k % {k} == 0 {{
  blocks c, acc, jo
  cache b in l2 at c.jo as panel
  layout panel[p, j] to (j/32, p/{k}, j%32, p%{k}) with 0
  split panel.p by {k} into po, pi
  split panel.j by 16 into jo, ji
  reorder panel.po, panel.jo, panel.pi, panel.ji
  prefetch b at panel.po by 4
  replace panel.pi by {pack}
  dots acc
  parallel c.jo
}}
"""


def host_runs(dot):
    return host_has("avx512_bf16" if "bf16" in dot else "avx512_vnni")


@pytest.mark.parametrize("schedule", ["before", "inside"])
@pytest.mark.parametrize("row", ROWS, ids=lambda r: r[0])
def test_arrays_as_operands(rng, row, schedule):
    dot, a, b, c, k, lanes, pack = row
    module = hd.parse(ARRAYS.format(a=a, b=b, c=c, k=k, lanes=lanes, pack=pack, dot=dot))
    x, y = arrays(rng, row, 7, 4 * k, 37)
    kernel = module.mm.compile(x, y, schedule=schedule)
    if host_runs(dot):
        assert ("vdpbf16ps" if "bf16" in dot else "vpdpbusd") in kernel.asm
        assert schedule == "before" or "prefetcht0" in kernel.asm
    for rows, groups, columns in [(1, 0, 5), (0, 4, 3), (1, 1, 1), (2, 2, 31), (3, 3, 32), (4, 4, 33), (100, 17, 65)]:
        x, y = arrays(rng, row, rows, groups * k, columns)
        apart = np.zeros((2 * rows, 3 * x.shape[1]), x.dtype)
        apart[::2, ::3] = x
        backwards = np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
        for view in (x, apart[::2, ::3], np.asfortranarray(x), backwards):
            check(row, x, y, kernel(view, y))
        check(row, x, y, kernel(x, np.asfortranarray(y)))
        if schedule == "before":
            check(row, x, y, kernel(x, kernel.pack(b=y)))


@pytest.mark.parametrize("target", hd.targets())
def test_every_target_has_the_meaning(rng, target):
    for row in ROWS:
        a, b = arrays(rng, row, 7, 13, 37)
        check(row, a, b, module_of(row).mm.compile(a, b, schedule="s", target=target)(a, b))


def test_not_a_number_stays_in_its_row_and_column(rng):
    m = module_of(ROWS[2])
    a, b = arrays(rng, ROWS[2], 7, 13, 37)
    a[2, 12], b[4, 36] = np.nan, np.inf
    c = m.mm(a, b, schedule="s")
    assert np.isnan(c[2]).all() and not np.isfinite(c[:, 36]).any()
    clean = np.delete(np.delete(c, 2, 0), 36, 1)
    assert np.isfinite(clean).all()


AMX = """
op mm(a: {a}[m, k], b: {b}[k, n]) -> c: {c}[m, n] {{
  acc[i, j] = sum[p] {c}(a[i, p]) * {c}(b[p, j])
  c[i, j] = acc[i, j]
}}
schedule mm.tiles on cpu/amx allow reassociate, flush_denormals {{
  split c.j by 16 into jo, jj
  split c.i by 16 into io, ii
  reorder c.jo, c.io, c.ii, c.jj
  compute_at acc at c.io in tile
  split acc.p by {k} into po, pi
  reorder acc.po, acc.i, acc.j, acc.pi
  cache a in tile at acc.po as ta
  cache b in tile at acc.po as tb
  layout tb[p, j] to (p/{g}, j, p%{g})
  replace acc.i by {dot}
}}
"""


@pytest.mark.parametrize("dot,a,b,c,k,g", [("amx_dot_bf16", "bf16", "bf16", "f32", 32, 2), ("amx_dot_i8", "i8", "i8", "i32", 64, 4),
                                          ("amx_dot_u8", "u8", "i8", "i32", 64, 4)])
def test_tiles_by_what_they_mean(rng, dot, a, b, c, k, g):
    m = hd.parse(AMX.format(dot=dot, a=a, b=b, c=c, k=k, g=g))
    row = (dot, a, b, c)
    for shape in [(5, 70, 18), (16, 64, 16), (17, 3, 33)]:
        x, y = arrays(rng, row, *shape)
        check(row, x, y, m.mm(x, y, schedule="tiles"))
        check(row, x, y, m.mm.interpret(x, y, out=np.empty((shape[0], shape[2]), DTYPE[c]), schedule="tiles"))


EXTREMES = [(-128, -128), (-128, 127), (127, 127), (0, -128)]


def test_offset_is_exact_at_the_ends(rng):
    m = hd.std.quant.matmul_i8
    for x, y in EXTREMES:
        a, b = np.full((3, 37), x, np.int8), np.full((37, 19), y, np.int8)
        np.testing.assert_array_equal(m(a, b), a.astype(np.int32) @ b.astype(np.int32))


def test_offset_wraps_with_the_sum():
    m = hd.parse("op mm(a: i8[m, k], b: i8[k, n]) -> c: i32[m, n] {\n"
                 "  acc[i, j] = sum[p] i32(a[i, p]) * i32(b[p, j])\n  c[i, j] = acc[i, j]\n}\n"
                 "schedule mm.s on cpu { offset acc.b by 128 }")
    a, b = np.full((1, 140_000), -128, np.int8), np.full((140_000, 1), -128, np.int8)
    exact = 140_000 * 16_384
    wrapped = (exact + 2**31) % 2**32 - 2**31
    assert m.mm(a, b, schedule="s")[0, 0] == wrapped == m.mm(a, b, schedule="")[0, 0]


def test_bf16_as_the_machine_rounds(rng):
    """With leave to take denormals as zero, machines with AVX512-BF16 round by one instruction: as everywhere but for those."""
    m = hd.parse("op narrow(x: f32[n]) -> y: bf16[n] { y[i] = bf16(x[i]) }\n"
                 "schedule narrow.s on cpu allow flush_denormals { vectorize y.i by 16 }\n"
                 "schedule narrow.t on cpu allow flush_denormals { vectorize y.i by 8 }\n"
                 "schedule narrow.exact on cpu { vectorize y.i by 16 }")
    bits = rng.integers(0, 2**32, 20_011, dtype=np.uint64).astype(np.uint32)
    ties = (rng.integers(0, 2**16, 4000, dtype=np.uint64).astype(np.uint32) << 16) | np.uint32(0x8000)
    edges = np.array([0, 0x80000000, 0x7f800000, 0xff800000, 0x7f7fffff, 0x7f800001, 0xffc12345, 0x007fffff, 0x00800000, 1, 0x80000001], np.uint32)
    x = np.concatenate([bits, ties, edges]).view(np.float32)
    with np.errstate(all="ignore"):
        expected = x.astype(ml_dtypes.bfloat16).astype(np.float32)
        for schedule in ("s", "t", "exact"):
            y = m.narrow(x, schedule=schedule).astype(np.float32)
            tiny = (np.abs(x) < np.finfo(np.float32).tiny) & (schedule != "exact")
            same = (y == expected) | (np.isnan(y) & np.isnan(expected)) | (tiny & (y == 0))
            assert same.all(), (schedule, x[~same][:4], y[~same][:4])


def test_a_schedule_for_types():
    m = hd.parse("op twice<T: number>(x: T[n]) -> y: T[n] { y[i] = x[i] + x[i] }\n"
                 "schedule twice.bytes on cpu where type(x) == i8 && n >= 4 { split y.i by 4 }\n"
                 "schedule twice.floats on cpu where type(x) != i8 { split y.i by 8 }")
    assert m.twice.compile(hd.spec("i8", 8)).schedule == "bytes"
    assert m.twice.compile(hd.spec("f32", 8)).schedule == "floats"
    assert m.twice(np.arange(3, dtype=np.int8)).tolist() == [0, 2, 4]
    with pytest.raises(hd.Error, match="not for these types"):
        m.twice.compile(hd.spec("f32", 8), schedule="bytes")
    for wrong, text in (("type(z) == i8", "takes a parameter"), ("type(x) == i9", "compared with a type")):
        with pytest.raises(hd.Error, match=text):
            m.extend("schedule twice.w on cpu where %s { split y.i by 4 }" % wrong).twice(np.zeros(3, np.int8), schedule="w")


PRODUCTS = [(1, 1, 1), (0, 5, 3), (5, 0, 3), (5, 3, 0), (7, 33, 129), (13, 64, 31), (12, 31, 257), (100, 1537, 257), (97, 1600, 300)]


@pytest.mark.parametrize("schedule", [None, "bf16", "bf16_odd", "bf16_packed", "amx", "amx_4", "amx_packed"])
def test_products_of_bf16(rng, schedule):
    for m, k, n in PRODUCTS:
        if schedule in ("amx", "amx_4") and m <= 8:
            continue  # fewer rows than tiles are worth
        k += k % 2 if schedule in ("bf16", "bf16_packed") else 0
        a, b = (rng.standard_normal(s).astype(ml_dtypes.bfloat16) for s in ((m, k), (k, n)))
        c = hd.std.linalg.matmul(a, b, schedule=schedule).astype(np.float64)
        wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
        exact = wide_a @ wide_b
        bound = (k + 2) * 2.0**-23 * (np.abs(wide_a) @ np.abs(wide_b)) + np.abs(exact) * 2.0**-8
        assert (np.abs(c - exact) <= bound).all(), (m, k, n)


FORMS = [(1, 2, 1), (0, 4, 3), (5, 0, 3), (5, 4, 0), (7, 32, 129), (13, 66, 31), (17, 34, 16), (100, 1538, 257), (97, 64, 300), (9, 33, 40)]


@pytest.mark.parametrize("op", ["matmul_nt", "matmul_tn", "matmul_tt", "linear", "bmm"])
def test_forms_of_products_of_bf16(rng, op):
    """Panels of transposed operands are turned in registers, block by block, and word by word where blocks are ragged."""
    f = getattr(hd.std.linalg, op)
    for m, k, n in FORMS:
        shapes = {"matmul_nt": [(m, k), (n, k)], "matmul_tn": [(k, m), (k, n)], "matmul_tt": [(k, m), (n, k)],
                  "linear": [(m, k), (n, k), (n,)], "bmm": [(3, m, k), (3, k, n)]}[op]
        arrays = [rng.standard_normal(s).astype(ml_dtypes.bfloat16) for s in shapes]
        wide = [a.astype(np.float64) for a in arrays]
        left = wide[0].T if op in ("matmul_tn", "matmul_tt") else wide[0]
        right = wide[1].T if op in ("matmul_nt", "matmul_tt", "linear") else wide[1]
        exact = left @ right + (wide[2] if op == "linear" else 0)
        bound = (k + 3) * 2.0**-23 * (np.abs(left) @ np.abs(right) + 8) + np.abs(exact) * 2.0**-8
        kernel = f.compile(*arrays)
        if k % 2 == 0 and host_runs("bf16"):
            dots = ("amx",) if "cpu/amx" in hd.targets() else ("bf16", "bf16_narrow")
            assert kernel.schedule in (*dots, "few_rows", "one_row")
        kernels = [kernel] + [f.compile(*arrays, schedule=s) for s in ("bf16", "amx") if m > 4 and (s == "amx" or k % 2 == 0)]
        for view in (arrays[1], np.asfortranarray(arrays[1])):
            given = [arrays[0], view] + arrays[2:]
            for kernel in kernels:
                assert (np.abs(kernel(*given).astype(np.float64) - exact) <= bound).all(), (m, k, n, kernel.schedule)


@pytest.mark.parametrize("schedule", [None, "vnni", "vnni_wide", "amx", "amx_packed", "blocked"])
def test_products_of_i8(rng, schedule):
    for m, k, n in [(9, 2051, 2053)] if schedule == "vnni_wide" else PRODUCTS:
        a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((m, k), (k, n)))
        np.testing.assert_array_equal(hd.std.quant.matmul_i8(a, b, schedule=schedule), a.astype(np.int32) @ b.astype(np.int32))


@pytest.mark.parametrize("layout", ["(p, j)", "(j/4, p, j%4)", "(j, p/8, p%8)"])
def test_packing_what_has_a_layout_itself(rng, layout):
    """Neither rows nor pairs need to lie behind each other in what is packed."""
    m = hd.parse(f"""import "std/steps/pairs" as pairs
op product(a: bf16[m, k], b: bf16[n, k]) -> c: f32[m, n] {{
  acc[i, j] = sum[p] f32(a[i, p]) * f32(b[j, p])
  c[i, j] = acc[i, j]
}}
schedule product.twice on cpu allow reassociate, flush_denormals where k % 2 == 0 {{
  split c.j by 4096 into jx, jj
  reorder c.jx, c.i, c.jj
  pairs.tiles acc, c.i, c.jj, 4, 32, 2, jb, io, dot
  cache b in l2 at c.jx as copied
  pairs.of_rows copied, c.jb
  layout copied[j, p] to {layout} with 0
  replace acc.dot by bf16_dot_nt_512
}}
""")
    for rows, k, n in [(3, 64, 32), (5, 34, 17), (1, 2, 1), (9, 96, 70)]:
        a, b = (rng.standard_normal(s).astype(ml_dtypes.bfloat16) for s in ((rows, k), (n, k)))
        exact = a.astype(np.float64) @ b.astype(np.float64).T
        assert np.abs(m.product(a, b, schedule="twice") - exact).max() <= 1e-5 * (1 + np.abs(exact).max()), (rows, k, n)


def test_weights_packed_before_the_call(rng):
    for m, k, n in [(1, 2, 1), (0, 4, 3), (5, 4, 0), (5, 0, 3), (3, 66, 70), (33, 130, 257), (9, 31, 65)]:
        a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((m, k), (k, n)))
        kernel = hd.std.quant.matmul_i8.compile(a, b, schedule="vnni_packed")
        exact = a.astype(np.int32) @ b.astype(np.int32)
        np.testing.assert_array_equal(kernel(a, kernel.pack(b=b)), exact)
        np.testing.assert_array_equal(kernel(a, b), exact)
        if k % 2:
            continue
        x, w, bias = (rng.standard_normal(s).astype(ml_dtypes.bfloat16) for s in ((m, k), (n, k), (n,)))
        packed = hd.std.linalg.linear.compile(x, w, bias, schedule="bf16_packed")
        plain = hd.std.linalg.linear.compile(x, w, bias, schedule="bf16")
        assert packed(x, packed.pack(w=w), bias).tobytes() == plain(x, w, bias).tobytes()


def test_a_fixed_dim_narrower_than_the_instruction():
    """The region of the sum grows with the box that gets room for whole windows."""
    row = ROWS[0]
    dot, a, b, c, k, lanes, pack = row
    lines = TILE.format(k=k, lanes=lanes, pack=pack, dot=dot).split("\n")
    at = next(i for i, line in enumerate(lines) if "compute_at" in line)
    steps = "\n".join(lines[:at] + ["  fix n = 3"] + lines[at:])
    module = hd.parse(PRODUCT.format(a=a, b=b, c=c, steps=steps))
    x, y = arrays(np.random.default_rng(0), row, 9, 13, 3)
    check(row, x, y, module.mm(x, y, schedule="s"))
