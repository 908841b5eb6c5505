"""Ctrl-C and time limits end long work and leave the process as it was."""
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import heddle as hd


def many_stages(n):
    """A chain of stages, each read by the next, scheduled in one nest: long for the prover and for LLVM."""
    lines = ["s0[i, j] = x[i, j] * 2"] + [f"s{k}[i, j] = s{k - 1}[i, j] * {k}.5 + exp(s{k - 1}[i, j])" for k in range(1, n)]
    body = "\n".join(f"  {line}" for line in lines)
    steps = "\n".join([f"  compute_at s{k} at y.i" for k in reversed(range(n))] + [f"  vectorize s{k}.j by 16\n  unroll s{k}.jo by 4" for k in range(n)])
    return (f"op chain(x: f32[m, n]) -> y: f32[m, n] {{\n{body}\n  y[i, j] = s{n - 1}[i, j]\n}}\n"
            f"schedule chain.deep on cpu {{\n{steps}\n}}\n")


X = np.ones((4, 64), np.float32)


@pytest.fixture(scope="module")
def slow():
    return hd.parse(many_stages(60)).chain


def usable():
    assert np.array_equal(hd.parse("op two(x: f32[n]) -> y: f32[n] { y[i] = x[i] * 2 }").two(np.ones(3, np.float32)), [2, 2, 2])


def test_a_time_limit_ends_a_compile(slow):
    for limit in (0.001, 0.05, 0.2):
        start = time.perf_counter()
        with pytest.raises(hd.Error) as error:
            slow.compile(X, schedule="deep", time_limit_s=limit)
        assert error.value.code == "HD0556" and f"{limit:g} s" in error.value.message
        assert time.perf_counter() - start < limit + 5
        usable()


def test_a_limit_that_is_not_reached_changes_nothing():
    k = hd.compile(hd.std.nn.softmax, X, time_limit_s=1000)
    assert np.allclose(k(X), 1 / 64)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError):
            hd.std.nn.softmax.compile(X, time_limit_s=wrong)


def interrupt_after(seconds):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


@pytest.mark.parametrize("seconds", [0.05, 0.4])
def test_ctrl_c_ends_a_compile(slow, seconds):
    timer = interrupt_after(seconds)
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        slow.compile(X, schedule="deep")
        time.sleep(5)  # should the compile have been quicker than the signal
    assert time.perf_counter() - start < seconds + 4.5
    timer.join()
    usable()


def test_ctrl_c_ends_an_interpretation():
    op = hd.std.linalg.matmul
    a, out = np.ones((400, 400), np.float32), np.empty((400, 400), np.float32)
    timer = interrupt_after(0.1)
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        op.interpret(a, a, out=out)
        time.sleep(5)
    assert time.perf_counter() - start < 4.5
    timer.join()
    usable()


def test_a_handler_of_the_program_runs_and_the_work_goes_on():
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        op = hd.parse(many_stages(12)).chain
        timer = interrupt_after(0.01)
        k = op.compile(X, schedule="deep")
        time.sleep(0.05)
        timer.join()
        assert seen and np.all(np.isfinite(k(X * 0)) | True)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_compile_while_python_works():
    """A thread that compiles does not wait for Python's lock, and has limits of its own."""
    op, made = hd.parse(many_stages(10)).chain, []

    def work():
        made.append(op.compile(X, schedule="deep"))
        with pytest.raises(hd.Error):
            hd.parse(many_stages(60)).chain.compile(X, schedule="deep", time_limit_s=0.05)
        made.append("limit")

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        sum(range(1000))
    thread.join()
    assert made[1:] == ["limit"]


def test_the_process_ends_in_peace_while_llvm_works():
    """An abandoned compile is waited for at exit, not crashed into."""
    text = many_stages(60)
    code = f"""
import heddle as hd, numpy as np
op = hd.parse({text!r}).chain
for limit in (0.1, 0.3, 0.6):
    try:
        op.compile(np.ones((4, 64), np.float32), schedule="deep", time_limit_s=limit)
    except hd.Error as e:
        assert e.code == "HD0556", e
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "", (done.returncode, done.stderr)
