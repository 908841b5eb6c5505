"""What a first user relies on: sizes that grow compile once, threads may do anything at once, kernels leave nothing behind."""
import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

import heddle as hd

ADD = """op add(a: f32[n], b: f32[n]) -> c: f32[n] { c[i] = a[i] + b[i] }
schedule add.v on cpu { vectorize c.i by lanes(f32) }
"""


def test_a_growing_dim_compiles_once_for_each_schedule_chosen():
    op = hd.load(f"{hd.std.nn._folder}/softmax.hd").softmax
    for n in (*range(1, 130), 1000, 4095, 4096):
        x = np.linspace(0, 1, 2 * n, dtype=np.float32).reshape(2, n)
        e = np.exp(x.astype(np.float64))
        np.testing.assert_allclose(op(x), e / e.sum(1, keepdims=True), rtol=2e-6)
    assert sorted(k.schedule for k in op._kernels.values()) == ["rows", "short_rows"]
    kernel = op.compile(x, schedule="rows")
    assert all(op.compile(hd.spec("f32", m, n), schedule="rows").program == kernel.program for m, n in ((1, 1), (7, 4096)))


def test_threads_compile_and_call_at_once():
    texts = [ADD.replace("a[i] + b[i]", f"a[i] * {k} + b[i]") for k in range(1, 9)]
    a, b = np.arange(1000, dtype=np.float32), np.ones(1000, np.float32)
    wrong, start = [], threading.Barrier(4)

    def work(seed):
        start.wait()
        try:
            for i in range(16):
                k = (i + seed) % 8 + 1
                kernel = hd.parse(texts[k - 1]).add.compile(a, b)
                for _ in range(20):
                    if not np.array_equal(kernel(a, b), a * k + b):
                        wrong.append(k)
                if not np.allclose(shared(x).sum(1), 1, atol=1e-5):
                    wrong.append("softmax")
        except BaseException as e:  # what a thread raises is lost otherwise
            wrong.append(e)

    x, shared = np.random.default_rng(1).standard_normal((300, 500), dtype=np.float32), hd.std.nn.softmax
    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def mappings():
    with open("/proc/self/maps", encoding="ascii", errors="replace") as file:
        return len(file.read().splitlines())


def test_no_page_may_be_written_and_executed():
    """In a process of its own: other libraries map such pages."""
    script = f"""import heddle as hd
k = hd.parse({ADD!r}).add.compile(hd.spec("f32", "n"), hd.spec("f32", "n"))
assert not any(" rwx" in line for line in open("/proc/self/maps", errors="replace"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_kernels_are_freed_with_their_last_holder():
    op = hd.parse(ADD).add
    spec = hd.spec("f32", "n")
    for _ in range(20):
        op.compile(spec, spec)
    gc.collect()
    before = mappings()
    for _ in range(200):
        op.compile(spec, spec)
    gc.collect()
    assert mappings() - before < 20
    held = [hd.parse(ADD.replace("+ b[i]", f"+ b[i] * {k}")).add.compile(spec, spec) for k in range(30)]
    assert mappings() - before > 30
    del held
    gc.collect()
    assert mappings() - before < 40


def test_times_name_every_stage():
    k = hd.parse(ADD).add.compile(hd.spec("f32", "n"), hd.spec("f32", "n"))
    assert list(k.times) == ["parse", "check", "steps", "lower", "llvm", "link", "cache"]
    assert all(v >= 0 for v in k.times.values())
    if not k.cached:
        assert all(k.times[s] > 0 for s in ("parse", "check", "steps", "lower", "llvm", "link"))


@pytest.mark.parametrize("wrong", [None, 3, "x", [1.0, 2.0]])
def test_wrong_arguments_are_refused_before_anything_runs(wrong):
    k = hd.parse(ADD).add.compile(hd.spec("f32", "n"), hd.spec("f32", "n"))
    out = np.full(2, 7, np.float32)
    with pytest.raises((hd.Error, TypeError)):
        k(np.ones(2, np.float32), wrong, out=out)
    assert np.array_equal(out, [7, 7])


def test_memory_plan():
    text = hd.std.nn.softmax.compile(hd.spec("f32", "m", "n"), schedule="rows", target="cpu/x86-64-v2").memory
    assert text.startswith("arena of each thread: ") and "registers, 4 bytes" in text and "  e " in text
    whole = hd.std.nn.softmax.compile(hd.spec("f32", "m", "n"), schedule="", target="cpu/x86-64-v2").memory
    assert "f32[r_0, cols]" in whole or "cols]" in whole
