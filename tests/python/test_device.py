"""The device path against a libnrt and an SDK of our own (tests/python/device): protocol, failures, time limits, logs."""

import pathlib
import shutil
import subprocess

import numpy as np
import pytest

import heddle as hd
from heddle import device, neuron

HERE = pathlib.Path(__file__).resolve().parent / "device"
TEXT = """import nki
import nki.language as nl
import nki.isa as nisa


@nki.jit
def flip(x):
    y = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    t = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=t, src=x)
    nisa.tensor_scalar(dst=t, data=t, op0=nl.bitwise_xor, operand0=255)
    nisa.dma_copy(dst=y, src=t)
    return y
"""
X = np.arange(96, dtype=np.uint8).reshape(4, 24)


@pytest.fixture(scope="module")
def libnrt(tmp_path_factory):
    compiler = next((c for c in ("clang-22", "clang", "gcc", "cc") if shutil.which(c)), None)
    if not compiler:
        pytest.skip("no C compiler")
    out = tmp_path_factory.mktemp("nrt") / "libnrt.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", out, HERE / "libnrt_stub.c"], check=True)
    return str(out)


@pytest.fixture
def sdk(monkeypatch):
    """The stand-in is found by this process, which asks whether it is there, and by the helper."""
    monkeypatch.syspath_prepend(str(HERE / "sdk"))
    monkeypatch.setenv("PYTHONPATH", str(HERE / "sdk"))


def fails(libnrt, monkeypatch, what, **limits):
    monkeypatch.setenv("HEDDLE_STUB", what)
    with pytest.raises(hd.Error) as error:
        device.run(TEXT, [X], [(X.dtype, X.shape)], libnrt=libnrt, **limits)
    assert error.value.code == "HD0659"
    return error.value.message


def test_a_kernel_runs(libnrt, sdk):
    (y,) = device.run(TEXT, [X], [(X.dtype, X.shape)], libnrt=libnrt)
    assert np.array_equal(y, ~X)
    simulated, _ = neuron.simulate(TEXT, X)
    assert np.array_equal(y, simulated)


def test_run_by_the_simulators_shapes(libnrt, sdk):
    assert np.array_equal(neuron.run(TEXT, X, libnrt=libnrt), ~X)


def test_a_neff_of_before_needs_no_sdk(libnrt):
    (y,) = device.run(TEXT, [X], [(X.dtype, X.shape)], libnrt=libnrt, neff=str(X.nbytes).encode())
    assert np.array_equal(y, ~X)


def test_everything_is_freed(libnrt, sdk, monkeypatch):
    message = fails(libnrt, monkeypatch, "execute")
    assert "nrt_execute gives status 1006 (out of bounds)" in message
    assert "DMA abort on queue 3" in message and "live objects 0" in message


@pytest.mark.parametrize("what, words", [
    ("load", ["nrt_load gives status 10 (unsupported NEFF version)", "this NEFF is for another device"]),
    ("names", ["the NEFF has inputs of [97] bytes, the kernel of [96]"]),
    ("crash", ["run step ended by signal 6", "stub: init 1"]),
    ("compile", ["compile step failed: no NEFF was made: RuntimeError: EVRF007", "compiling flip for trn2"]),
])
def test_failures_show_the_vendors_log(libnrt, sdk, monkeypatch, what, words):
    message = fails(libnrt, monkeypatch, what)
    for w in words:
        assert w in message


def test_time_limits(libnrt, sdk, monkeypatch):
    assert "run step gave no answer in 1 s" in fails(libnrt, monkeypatch, "hang", run_seconds=1)
    assert "compile step gave no answer in 1.5 s" in fails(libnrt, monkeypatch, "slow compile", compile_seconds=1.5)


def test_a_library_without_the_calls(sdk, tmp_path):
    (tmp_path / "empty.c").write_text("int nothing;")
    compiler = next(c for c in ("clang-22", "clang", "gcc", "cc") if shutil.which(c))
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "libnrt.so", tmp_path / "empty.c"], check=True)
    with pytest.raises(hd.Error, match="has no `nrt_init`"):
        device.run(TEXT, [X], [(X.dtype, X.shape)], libnrt=str(tmp_path / "libnrt.so"))
    with pytest.raises(hd.Error, match="cannot be loaded"):
        device.run(TEXT, [X], [(X.dtype, X.shape)], libnrt=str(tmp_path / "none.so"))


@pytest.mark.skipif(device.missing() == [], reason="a device is here")
def test_what_is_missing_is_said():
    with pytest.raises(hd.Error) as error:
        neuron.run(TEXT, X)
    assert error.value.code == "HD0658" and "missing is" in error.value.message
    for lacks in device.missing():
        assert lacks in error.value.message
