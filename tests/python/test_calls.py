"""What a call accepts and refuses."""

import gc
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import heddle as hd

SCALE = """
/// y = a x, elementwise.
op scale(x: f32[n, m], a: f32 = 2.0) -> y: f32[n, m] { y[i, j] = x[i, j] * a }
schedule scale.wide on cpu where m >= 8 { vectorize y.j by 8 }
schedule scale.narrow on cpu { parallel y.i }
"""
ADD = "op add(a: f32[n], b: f32[n]) -> y: f32[n] { y[i] = a[i] + b[i] }"


@pytest.fixture(scope="module")
def scale():
    return hd.parse(SCALE).scale


@pytest.fixture(scope="module")
def add():
    return hd.parse(ADD).add


def test_scalars_and_defaults(scale):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(scale(x), 2 * x)
    np.testing.assert_array_equal(scale(x, 3.0), 3 * x)
    np.testing.assert_array_equal(scale(x, a=np.float32(0.5)), x / 2)


def test_non_contiguous(scale, rng):
    big = rng.standard_normal((20, 30), dtype=np.float32)
    for x in (big[::2, ::3], big.T, big[::-1, ::-1], big[3:4, 5:6], np.broadcast_to(big[:1], (7, 30)), np.asfortranarray(big)):
        np.testing.assert_array_equal(scale(x), 2 * x)
    out = np.zeros((30, 40), np.float32)
    scale(big, out=out[:20, 4:34])
    np.testing.assert_array_equal(out[:20, 4:34], 2 * big)
    assert not out[20:].any() and not out[:, :4].any() and not out[:, 34:].any()


def test_schedule_is_chosen_by_where(scale):
    kernels = []
    for cols in (3, 8, 9, 7):
        scale(np.ones((2, cols), np.float32))
        kernels.append(scale.compile(np.ones((2, cols), np.float32)).schedule)
    assert kernels == ["narrow", "wide", "wide", "narrow"]
    assert scale.compile(np.ones((2, 9), np.float32), schedule="narrow").schedule == "narrow"
    assert scale.compile(np.ones((2, 9), np.float32), schedule="").schedule == ""


def test_a_growing_dim_compiles_once_per_schedule(scale):
    fresh = hd.parse(SCALE).scale
    for cols in list(range(1, 40)) + [100, 1000, 4096]:
        fresh(np.ones((1, cols), np.float32))
    assert len(fresh._kernels) == 2


def test_outputs_are_aligned(scale):
    for _ in range(20):
        assert scale(np.ones((3, 5), np.float32)).ctypes.data % 64 == 0


@pytest.mark.parametrize("args,code,word", [
    ((np.ones(3, np.float32), np.ones(4, np.float32)), "HD0503", "`b`"),
    ((np.ones(3, np.float32), np.ones((3, 1), np.float32)), "HD0501", "`b`"),
    ((np.ones(3, np.float32), np.ones(3, np.float64)), "HD0502", "`b`"),
])
def test_wrong_arrays(add, args, code, word):
    kernel = add.compile(hd.spec("f32", "n"), hd.spec("f32", "n"))
    with pytest.raises(hd.Error) as e:
        kernel(*args)
    assert e.value.code == code and word in str(e.value)
    with pytest.raises(hd.Error):
        add(*args)


def test_an_axis_is_one(add):
    op = hd.parse("op f<T: float>(x: T[n, m]) -> y: T[n, m] { y[i, j] = x[i, j] }").f
    for call in (lambda: op(np.ones(3)), lambda: op.compile(hd.spec("f32", "n", "m"))(np.ones(3, np.float32), out=np.ones((3, 1), np.float32))):
        with pytest.raises(hd.Error, match="the argument `x` has 1 axis[,;]"):
            call()


def test_wrong_outputs(add):
    a = np.ones(8, np.float32)
    kernel = add.compile(a, a)
    for out, code in ((np.ones(7, np.float32), "HD0503"), (np.ones(8, np.float64), "HD0502"), (a[::-1], "HD0506")):
        with pytest.raises(hd.Error) as e:
            kernel(a, np.ones(8, np.float32), out=out)
        assert e.value.code == code, str(e.value)
    frozen = np.ones(8, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(hd.Error) as e:
        kernel(a, a, out=frozen)
    assert e.value.code == "HD0505"
    raw = np.zeros(4 * 8 + 1, np.uint8)
    with pytest.raises(hd.Error) as e:
        kernel(raw[1:].view(np.float32), a)
    assert e.value.code == "HD0507"


def test_wrong_words(add):
    a = np.ones(4, np.float32)
    kernel = add.compile(a, a)
    for call in (lambda: kernel(a), lambda: kernel(a, a, a), lambda: kernel(a, a, aa=a), lambda: kernel(a, a, a=a), lambda: kernel(a, [1, 2])):
        with pytest.raises(hd.Error):
            call()
    with pytest.raises(TypeError):
        add(a)
    with pytest.raises(AttributeError, match="add"):
        hd.parse(ADD).ad


def test_empty(add):
    a = np.ones(0, np.float32)
    assert add(a, a).shape == (0,)


def test_long_kernels_release_the_lock():
    op = hd.parse("op slow(x: f32[n]) -> y: f32[n] { s[i] = sum[k] x[i] * x[k]; y[i] = s[i] }").slow
    x = np.ones(40_000, np.float32)
    kernel = op.compile(x)
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    kernel(x)
    end = time.perf_counter()
    stop.set()
    thread.join()
    during = [t for t in ticks if start < t < end]
    assert end - start < 0.02 or len(during) >= 3


def test_many_threads(add):
    errors = []

    def work(seed):
        r = np.random.default_rng(seed)
        module = hd.parse(ADD.replace("add", f"add{seed % 3}"))
        op = module.op(f"add{seed % 3}")
        for _ in range(50):
            a, b = r.standard_normal((2, 1 + int(r.integers(2000))), dtype=np.float32)
            if not np.array_equal(op(a, b), a + b):
                errors.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not errors


def test_code_is_freed():
    def mappings():
        with open("/proc/self/maps") as file:
            return sum(1 for _ in file)

    x = np.ones(4, np.float32)
    for i in range(40):
        hd.parse(f"op f(x: f32[n]) -> y: f32[n] {{ y[i] = x[i] * {i}.0 }}").f(x)
    gc.collect()
    before = mappings()
    for i in range(200):
        hd.parse(f"op f(x: f32[n]) -> y: f32[n] {{ y[i] = x[i] * {i}.5 }}").f(x)
    gc.collect()
    assert mappings() < before + 40


def test_threads_give_the_same_bits(rng):
    x = rng.standard_normal((370, 211), dtype=np.float32)
    one = hd.std.nn.softmax(x, threads=1)
    two = hd.std.nn.softmax(x, threads=2)
    five = hd.std.nn.softmax(x, threads=5)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, five)


def test_kernel_texts(add):
    a = np.ones(4, np.float32)
    kernel = add.compile(a, a)
    assert "program add" in kernel.program
    assert "define" in kernel.llvm and "ret" in kernel.asm
    assert set(kernel.times) >= {"parse", "steps", "lower", "llvm", "link"}
    again = hd.parse(kernel.program).program("add").compile()
    np.testing.assert_array_equal(again(a, a), a + a)


def test_the_ops_own_words_come_first():
    op = hd.parse('op f(x: f32[n]) -> y: f32[m] { require n >= 3, "three at least"; let m = n - 2; y[i] = x[i] + x[i + 2] }').f
    np.testing.assert_array_equal(op(np.arange(4, dtype=np.float32)), [2, 4])
    with pytest.raises(hd.Error, match="three at least"):
        op(np.ones(1, np.float32))


NESTS = """
op plane(x: f32[a, b, c]) -> y: f32[a, b, c] { y[i, j, k] = 2 * x[i, j, k] }
schedule plane.two on cpu { parallel y.i, y.j }
schedule plane.three on cpu { parallel y.i, y.j, y.k }
schedule plane.blocks on cpu {
  split y.j by 3 into jo, ji
  reorder y.jo, y.i, y.ji, y.k
  parallel y.jo, y.i
}
schedule plane.rest on cpu {
  split y.j by 3 into jo, ji
  parallel y.i, y.jo, y.ji
}
"""


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 5), (7, 1, 5), (5, 11, 3), (0, 4, 4), (4, 0, 4), (4, 4, 0), (2, 3000, 2), (1, 70, 91), (70, 1, 91), (5, 110, 30)])
@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_parallel_loops_that_nest(rng, shape, threads):
    """One region runs all iterations of loops that nest, each once, however they fall to threads."""
    op = hd.parse(NESTS).plane
    x = rng.standard_normal(shape, dtype=np.float32)
    for schedule in op.schedules:
        out = np.full(shape, np.nan, np.float32)
        op(x, out=out, schedule=schedule, threads=threads)
        np.testing.assert_array_equal(out, 2 * x)


EMPTY = """
op early(x: f32[n, q]) -> y: f32[n] { y[i] = sum[j where i < 10] x[i, j] }
op corner(x: f32[n, q]) -> y: f32[n] { y[i] = sum[j where i + j < 10] x[i, j] }
op late(x: f32[n, q]) -> y: f32[n] {
  t[i] = sum[j where i + j < 10] x[i, j]
  y[i] = t[i] + 1
}
schedule late.blocks on cpu {
  split y.i by 4
  compute_at t at y.io
  parallel y.io
}
schedule corner.parts on cpu allow reassociate { rfactor y.j by 8 }
op below(x: f32[n, q]) -> y: f32[n] {
  t[i, j] = x[i, j] * 2
  u[i, j] = t[i, j] + 1
  y[i] = sum[j where j + 3 <= i] u[i, j]
}
schedule below.rows on cpu { compute_at u, t at y.i }
schedule below.blocks on cpu {
  split y.i by 5
  compute_at u, t at y.io
}
"""


def test_reductions_of_nothing_give_the_identity(rng):
    """Rows for which `where` leaves no term are written as well, wherever their loops stand."""
    module = hd.parse(EMPTY)
    x = rng.integers(-9, 9, (33, 17)).astype(np.float32)
    i, j = np.indices(x.shape)
    exact = {"early": np.where(i < 10, x, 0).sum(1), "corner": np.where(i + j < 10, x, 0).sum(1)}
    exact["late"] = exact["corner"] + 1
    exact["below"] = np.where(j + 3 <= i, 2 * x + 1, 0).sum(1)
    for name, wanted in exact.items():
        op = getattr(module, name)
        for schedule in ["", *op.schedules]:
            out = np.full(33, 99, np.float32)
            op(x, out=out, schedule=schedule)
            np.testing.assert_array_equal(out, wanted)


def test_consts_are_whole_numbers():
    op = hd.parse("op f(x: f32[n], const k: int = 2, const neg: bool = false) -> y: f32[n, k] { y[i, j] = if neg then -x[i] else x[i] }").f
    x = np.arange(3, dtype=np.float32)
    assert op(x, k=np.int64(3)).shape == (3, 3)
    np.testing.assert_array_equal(op(x, neg=True), -np.stack([x, x], 1))
    for wrong in (2.5, 2.0, "2", None):
        for use in (op, op.compile):
            with pytest.raises(TypeError, match="`k` of f is a const"):
                use(x, k=wrong)
    with pytest.raises(TypeError, match="takes 3 arguments, not 4; it is f"):
        op(x, 1, False, 7)


# --- numbers that do not fit, and what is said of them ----------------------------------------------------------------

def test_more_threads_than_a_machine_gives():
    """In a process of its own: a thread that was started stays."""
    text = """
import heddle as hd, numpy as np
f = hd.parse("op f(x: f32[n]) -> y: f32[n] { y[i] = 2*x[i] }\\nschedule f.p on cpu { parallel y.i }").f
x = np.arange(100_000, dtype=np.float32)
for threads in (3, 100_000, 2**40):
    assert (f(x, threads=threads) == 2*x).all()
hd.set_threads(10**9)
assert (f(x) == 2*x).all()
print("done", hd.threads())
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120)
    assert done.stdout == "done 1024\n", done.stdout + done.stderr
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="at least 1 thread"):
            hd.set_threads(wrong)
    f = hd.parse("op f(x: f32[n]) -> y: f32[n] { y[i] = x[i] }").f
    with pytest.raises(hd.Error, match="`threads` is at least 0"):
        f(np.zeros(3, np.float32), threads=-1)


@pytest.mark.parametrize(
    "type, value, wanted",
    [("bool", np.True_, True), ("bool", np.False_, False), ("i32", np.array(3), 3), ("u64", 2**64 - 1, 2**64 - 1), ("f32", np.float64(1.5), 1.5)],
)
def test_scalars_of_numpy(type, value, wanted):
    f = hd.parse(f"op f(x: f32[n], s: {type}) -> y: {type}[n] {{ y[i] = s }}").f
    assert f(np.zeros(1, np.float32), value)[0] == wanted


@pytest.mark.parametrize("type, value", [("i32", "a"), ("i32", 1.5), ("f32", "a"), ("f32", None), ("bool", 2), ("i8", 200), ("f32", 2**2000), ("i64", 2**63)])
def test_a_scalar_that_does_not_fit_is_named(type, value):
    f = hd.parse(f"op f(x: f32[n], amount: {type}) -> y: {type}[n] {{ y[i] = amount }}").f
    with pytest.raises(hd.Error, match="the scalar `amount`") as caught:
        f(np.zeros(1, np.float32), value)
    assert caught.value.code == "HD0554"


def test_consts_and_dims_past_64_bits():
    f = hd.parse("op f(x: f32[n], const k: int = 1) -> y: f32[n] { y[i] = x[i] * f32(k) }").f
    x = np.zeros(2, np.float32)
    for how in (dict(k=2**70), dict(fix={"n": 2**70})):
        with pytest.raises(ValueError, match="past 64 bits"):
            f.compile(x, **how)
    with pytest.raises(TypeError, match="`n` of f is fixed to an integer, not 4.5"):
        f.compile(x, fix={"n": 4.5})
    for extent in (-1, 2**70):
        with pytest.raises(ValueError, match="elements along an axis"):
            hd.spec("f32", extent)
    with pytest.raises(hd.Error) as caught:
        f.compile(x, fix={"rows": 2})
    assert caught.value.help == "its dims: `n`"
    ones = hd.parse("op ones(const n: int) -> y: f32[n, n, n] { y[i, j, k] = 1 }").ones
    with pytest.raises(MemoryError, match="2.63 bytes"):
        ones(1 << 22)


def test_a_spec_by_other_names():
    assert hd.spec(np.float32, "n").type == hd.spec("float32", "n").type == hd.spec(np.dtype("float32"), "n").type == "f32"
    assert hd.spec("uint8").type == "u8" and hd.spec("bfloat16").type == "bf16"
    with pytest.raises(TypeError, match="`f33` is no element type; those are f64, f32"):
        hd.spec("f33", "n")


def test_a_type_outside_of_its_class_is_one_error():
    f = hd.parse("op f<T: float>(x: T[n]) -> y: T[n] { y[i] = exp(x[i]) }").f
    with pytest.raises(hd.Error) as caught:
        f(np.zeros(2, np.int32))
    assert [d["code"] for d in caught.value.diagnostics] == ["HD0124"]


def test_texts_that_are_no_utf_8():
    for text in ("op f\udc80", b"op f\xff"):
        with pytest.raises(hd.Error) as caught:
            hd.parse(text)
        assert caught.value.code == "HD0002"
    assert hd.parse(b"op f(x: f32[n]) -> y: f32[n] { y[i] = x[i] }").ops == ["f"]
    with pytest.raises(TypeError, match="a text is a str, not NoneType"):
        hd.parse(None)


def test_schedules_that_are_not_there():
    f = hd.parse("op f(x: f32[n]) -> y: f32[n] { y[i] = x[i] }\nschedule f.lanes on cpu { tune w = 8 in [4, 8]; vectorize y.i by w }").f
    with pytest.raises(hd.Error) as caught:
        f.schedule("lines")
    assert caught.value.code == "HD0551" and caught.value.help == "its schedules: `lanes`"
    with pytest.raises(hd.Error) as caught:
        f.compile(hd.spec("f32", "n"), schedule="lanes", tune={"block": 8})
    assert caught.value.help == "its tuned names: `w`"


def test_a_schedule_that_fixes_a_dim_serves_calls_of_that_size_only():
    m = hd.parse("""
op f(x: f32[n, m]) -> y: f32[n, m] { y[i, j] = 2*x[i, j] }
step eight(w: int) { fix m = w }
schedule f.eight on cpu { eight 8; vectorize y.j }
schedule f.four on cpu where n >= 2 { let w = 4; fix m = w; vectorize y.j }
""")
    chosen = {(3, 8): "eight", (3, 4): "four", (1, 4): "", (3, 5): "", (0, 0): ""}
    for shape, schedule in chosen.items():
        x = np.ones(shape, np.float32)
        np.testing.assert_array_equal(m.f(x), 2 * x)
        assert m.f.compile(x).schedule == m.f.compile(hd.spec("f32", *shape)).schedule == schedule
    assert m.f.compile(hd.spec("f32", "n", "m")).schedule == ""
    assert m.f.compile(hd.spec("f32", "n", "m"), fix={"m": 8}).schedule == "eight"
    with pytest.raises(hd.Error, match="this kernel takes 8"):
        m.f(np.ones((3, 5), np.float32), schedule="eight")


def test_a_schedule_that_applies_a_conditional_one_is_chosen_by_size(tmp_path):
    text = """
op twice(x: f32[n]) -> y: f32[n] { y[i] = 2*x[i] }
schedule twice.long on cpu where n >= 16 { vectorize y.i by 8 }
op f(x: f32[n]) -> z: f32[n] { t = twice(x); z[i] = t[i] + 1 }
schedule f.long on cpu { apply twice.long to t }
"""
    hd.set_cache(tmp_path)
    try:
        for _ in range(2):  # the second time from the cache
            f = hd.parse(text).f
            assert [f.compile(np.ones(n, np.float32)).schedule for n in (4, 16, 5)] == ["", "long", ""]
    finally:
        hd.set_cache(None)


def test_what_only_kernels_for_neuroncore_have():
    k = hd.parse("op f(x: f32[n]) -> y: f32[n] { y[i] = x[i] }").f.compile(hd.spec("f32", "n"))
    for word in ("nki", "tables", "simulate", "report"):
        assert not hasattr(k, word)
        with pytest.raises(AttributeError, match=f"no `{word}`; one for NeuronCore has"):
            getattr(k, word)
    with pytest.raises(AttributeError, match="has no attribute 'programm'"):
        k.programm
    assert k.program and k.schedule == ""


def test_what_is_known_of_earlier_calls_is_for_arrays_like_them():
    """A call of plain arrays takes the kernel of the last one like it; any other array goes the long way, after it and before it."""
    op = hd.parse("""op mix<T: number>(x: T[...r, n], y: T[n]) -> z: T[...r, n] { z[...r, j] = x[...r, j] + y[j] }
schedule mix.wide on cpu where n >= 10 { vectorize z.j by lanes(f32) }
schedule mix.plain on cpu { }
""").mix

    class Own(np.ndarray):
        pass

    rng = np.random.default_rng(3)
    for _ in range(2):
        for dtype in (np.float32, np.float64, np.int32, np.uint8, np.longlong, np.float16):
            for rank, n in ((1, 3), (2, 30), (3, 1), (2, 3), (1, 0), (2, 30)):
                x = (rng.random((2,) * (rank - 1) + (n,)) * 50).astype(dtype)
                y = (rng.random(n) * 50).astype(dtype)
                for a, b in ((x, y), (np.asfortranarray(x), y), (x, np.repeat(y, 2)[::2]), (x.view(Own), y), (x[::-1], y)):
                    assert np.array_equal(op(a, b), a + b)
                out = np.empty_like(x)
                assert op(x, y, out=out) is out and np.array_equal(out, x + y)
        with pytest.raises(hd.Error):
            op(np.ones((2, 3), np.float32), np.ones(4, np.float32))
        with pytest.raises(hd.Error):
            op(np.ones(3, np.float32), np.ones(3, np.float64))
        with pytest.raises(hd.Error):
            op(np.ones(3, ">f4"), np.ones(3, ">f4"))
        with pytest.raises(TypeError):
            op(np.ones(3, np.float32))
    assert {k.schedule for k in op._kernels.values()} == {"wide", "plain"}


def test_a_part_of_an_axis_without_elements():
    """With g = 0 any h fits `(g, h)`: it is 0, in calls and in the interpreter, and an axis with elements is refused as before."""
    m = hd.parse("""
op scaled(x: f32[(g, h), n], z: f32[g]) -> y: f32[(g, h), n] { y[(a, b), i] = x[(a, b), i] * z[a] }
op most(x: f32[(g, h)], z: f32[g]) -> y: f32[h] { y[b] = max[a] (x[(a, b)] + z[a]) }
""")
    for g, h, n in [(0, 0, 3), (2, 0, 3), (2, 3, 0), (1, 1, 1), (0, 0, 0), (3, 5, 2)]:
        x, z = np.ones((g * h, n), np.float32), np.arange(g, dtype=np.float32)
        want = x * np.repeat(z, h)[:, None]
        np.testing.assert_array_equal(m.scaled(x, z), want)
        y = np.zeros_like(x)
        m.scaled.interpret(x, z, out=y)
        np.testing.assert_array_equal(y, want)
    assert m.most(np.ones(0, np.float32), np.ones(0, np.float32)).shape == (0,)
    assert m.most(np.ones(0, np.float32), np.ones(2, np.float32)).shape == (0,)
    with pytest.raises(hd.Error, match="gives no whole `h`|`h`"):
        m.most(np.ones(3, np.float32), np.ones(0, np.float32))
    with pytest.raises(hd.Error):
        m.most(np.ones(3, np.float32), np.ones(2, np.float32))
