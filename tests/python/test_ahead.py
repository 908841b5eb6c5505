"""Code made ahead of time: objects linked into C programs and shared libraries, with nothing of Heddle in the process that runs them."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

CC = next((c for c in ("cc", "gcc", "clang", "clang-22") if shutil.which(c)), None)
pytestmark = pytest.mark.skipif(not CC, reason="no C compiler")

SOFTMAX = """
op softmax(x: f32[rows, cols]) -> y: f32[rows, cols] {
  peak[r]  = max[c] x[r, c]
  e[r, c]  = exp(x[r, c] - peak[r])
  total[r] = sum[c] e[r, c]
  y[r, c]  = e[r, c] / total[r]
}
schedule softmax.rows on cpu allow reassociate {
  compute_at total, e, peak at y.r
  rfactor total.c by lanes(f32) as part
  vectorize part.cv
  vectorize y.c, e.c by lanes(f32)
  parallel y.r
}
op norm<T: float>(x: T[n, (g, c)], gain: T[c], eps: f32 = 1e-5, const g: int = 2) -> y: T[n, g, c] {
  require c >= 2, "groups have two channels or more"
  ss[i, q] = sum[u] widen(x[i, (q, u)]) * widen(x[i, (q, u)])
  y[i, q, u] = T(widen(x[i, (q, u)]) * rsqrt(ss[i, q] / f32(c) + eps) * widen(gain[u]))
}
op pick(x: f32[n, d], id: i64[m]) -> y: f32[m, d] { y[i, e] = x[id[i], e] }
op double(x: f64[n], int: i32) -> (y: f64[n], z: i32[2*n]) {
  y[i] = 2 * x[i]
  z[i in 0 .. 2*n] = i32(i) * int
}
"""


def run(*command, **how):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def make(tmp_path):
    text = tmp_path / "ops.hd"
    text.write_text(SOFTMAX)

    def emit(op, types=(), *more):
        out = tmp_path / f"{op}.o"
        run("heddle", "emit", text, "--op", op, *types, "--as", "object", "-o", out, *more)
        return out

    emit.path = tmp_path
    return emit


def library(obj):
    out = obj.with_suffix(".so")
    run(CC, "-shared", "-o", out, obj, "-lm")
    return ctypes.CDLL(str(out))


def pointer(a):
    return ctypes.c_void_p(a.ctypes.data)


def i64(*values):
    return [ctypes.c_int64(v) for v in values]


def workspace(lib, name, dims, threads=1):
    f = getattr(lib, name + "_workspace")
    f.restype = ctypes.c_int64
    size = f(*i64(*dims), ctypes.c_int64(threads))
    raw = np.zeros(max(size, 0) + 64, np.uint8)
    return size, raw, ctypes.c_void_p((raw.ctypes.data + 63) // 64 * 64)


MAIN = r"""
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "softmax.h"

/* Threads that are none: the parts one after another, the last first. */
static int64_t parts(struct heddle_context* context, heddle_body body, void* closure, int64_t n) {
  for (int64_t t = 2; t >= 0; --t) {
    int64_t status = body(context, closure, t, n * t / 3, n * (t + 1) / 3);
    if (status) return status;
  }
  return 0;
}

int main(void) {
  enum { rows = 97, cols = 237 };
  static float x[rows * cols], y[rows * cols], z[rows * cols];
  for (int i = 0; i < rows * cols; ++i) x[i] = (float)((i * 37) % 19) - 9;
  heddle_threads threads = {3, parts, 0};
  int64_t bytes = softmax_workspace(rows, cols, 1), three = softmax_workspace(rows, cols, 3);
  if (bytes < 0 || three != 3 * bytes || softmax_workspace(-1, cols, 1) != -1) return 1;
  void* space = aligned_alloc(64, three + 64);
  if (softmax(x, y, rows, cols, space, 0) != heddle_ok) return 2;
  if (softmax(x, z, rows, cols, space, &threads) != heddle_ok) return 3;
  if (softmax(x, y, -1, cols, space, 0) != heddle_unmet) return 4;
  if (bytes && softmax(x, y, rows, cols, 0, 0) != heddle_no_workspace) return 5;
  for (int r = 0; r < rows; ++r) {
    double peak = -1e30, total = 0;
    for (int c = 0; c < cols; ++c) peak = fmax(peak, x[r * cols + c]);
    for (int c = 0; c < cols; ++c) total += exp(x[r * cols + c] - peak);
    for (int c = 0; c < cols; ++c) {
      double want = exp(x[r * cols + c] - peak) / total;
      if (fabs(y[r * cols + c] - want) > 1e-6 || z[r * cols + c] != y[r * cols + c]) return 6;
    }
  }
  puts("the same");
  return 0;
}
"""


def test_a_c_program(make):
    obj = make("softmax")
    main = make.path / "main.c"
    main.write_text(MAIN)
    run(CC, "-std=c11", "-Wall", "-Wextra", "-Werror", "-o", make.path / "main", main, obj, "-lm")
    assert run(make.path / "main") == "the same\n"
    undefined = run("nm", "-u", obj) if shutil.which("nm") else ""
    assert "heddle" not in undefined.lower()


def test_the_header_is_cpp_too(make):
    make("softmax")
    main = make.path / "main.cpp"
    main.write_text('#include "softmax.h"\n#include "softmax.h"\nint main() { return softmax == nullptr; }\n')
    cxx = next((c for c in ("c++", "g++", "clang++-22") if shutil.which(c)), None)
    if not cxx:
        pytest.skip("no C++ compiler")
    run(cxx, "-fsyntax-only", main)


def test_composite_dims_requirements_and_scalars(make, rng):
    lib = library(make("norm", ("--types", "f32", "f32")))
    n, g, c = 3, 2, 5
    x = rng.standard_normal((n, g * c)).astype(np.float32)
    gain = rng.standard_normal(c).astype(np.float32)
    y = np.zeros((n, g, c), np.float32)
    header = (make.path / "norm.h").read_text()
    dims = {"n": n, "c": c}
    order = [w.split()[1] for w in header.split("int64_t norm_workspace(")[1].split(")")[0].split(", ")][:-1]
    size, raw, space = workspace(lib, "norm", [dims[d] for d in order])
    lib.norm.restype = ctypes.c_int64
    call = lambda ds: lib.norm(pointer(x), pointer(gain), pointer(y), *i64(*ds), ctypes.c_float(1e-3), space, None)
    assert call([dims[d] for d in order]) == 0
    xs = x.reshape(n, g, c).astype(np.float64)
    want = xs / np.sqrt((xs**2).mean(-1, keepdims=True) + 1e-3) * gain
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)
    assert call([dict(dims, c=1)[d] for d in order]) == 3
    assert "groups have two channels or more" in header and "eps is f32(1.0e-05) by default" in header


def test_checks_on_data(make):
    lib = library(make("pick"))
    x, y = np.arange(12, dtype=np.float32).reshape(4, 3), np.full((2, 3), -1, np.float32)
    lib.pick.restype = ctypes.c_int64
    ids = np.array([3, 0], np.int64)
    header = (make.path / "pick.h").read_text()
    dims = {"n": 4, "d": 3, "m": 2}
    order = [w.split()[1] for w in header.split("int64_t pick_workspace(")[1].split(")")[0].split(", ")][:-1]
    _, raw, space = workspace(lib, "pick", [dims[d] for d in order])
    call = lambda: lib.pick(pointer(x), pointer(ids), pointer(y), *i64(*[dims[d] for d in order]), space, None)
    assert call() == 0
    np.testing.assert_array_equal(y, x[ids])
    ids[1] = 4
    y[:] = -1
    assert call() == 1
    assert (y == -1).all()


def test_names_that_are_words_of_c(make):
    lib = library(make("double"))
    x, y, z = np.arange(5.0), np.zeros(5), np.zeros(10, np.int32)
    lib.double_.restype = ctypes.c_int64
    assert lib.double_(pointer(x), pointer(y), pointer(z), ctypes.c_int64(5), ctypes.c_int64(3), None, None) == 0
    np.testing.assert_array_equal(y, 2 * x)
    np.testing.assert_array_equal(z, 3 * np.arange(10))


@pytest.mark.parametrize("name", ["kernel", "kernel_arena", "table", "in_turn", "two_over_pi"])
def test_names_that_the_code_itself_might_have(make, name):
    text = make.path / "named.hd"
    text.write_text(f"op {name}(x: f32[n]) -> y: f32[n] {{ y[i] = erf(x[i]) + cos(x[i]) }}\nschedule {name}.s on cpu {{ parallel y.i }}\n")
    out = make.path / "named.o"
    run("heddle", "emit", text, "--types", "f32", "--as", "object", "-o", out)
    x, y = np.array([0, 1.5, 1e9], np.float32), np.zeros(3, np.float32)
    call = getattr(library(out), name)
    call.restype = ctypes.c_int64
    assert call(pointer(x), pointer(y), ctypes.c_int64(3), None, None) == 0
    np.testing.assert_allclose(y, [1, 0.966105146 + np.cos(1.5), 1 + np.cos(1e9)], rtol=1e-6)


def test_two_objects_in_one_library(make, rng):
    a = make("softmax", (), "--name", "first")
    a = a.rename(a.with_name("first.o"))
    b = make("softmax", (), "--name", "second", "--fix", "cols=8")
    out = make.path / "both.so"
    run(CC, "-shared", "-o", out, a, b, "-lm")
    lib = ctypes.CDLL(str(out))
    x, y = rng.standard_normal((2, 8)).astype(np.float32), np.zeros((2, 8), np.float32)
    for name, dims in (("first", (2, 8)), ("second", (2,))):
        _, raw, space = workspace(lib, name, dims)
        f = getattr(lib, name)
        f.restype = ctypes.c_int64
        y[:] = 0
        assert f(pointer(x), pointer(y), *i64(*dims), space, None) == 0
        np.testing.assert_allclose(y.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("more, code, words", [
    (["-o", "x.txt"], 2, "NAME.o"),
    ([], 2, "NAME.o"),
    (["-o", "x.o", "--name", "1st"], 1, "no name of a C function"),
])
def test_what_is_refused(make, more, code, words):
    done = subprocess.run(["heddle", "emit", str(make.path / "ops.hd"), "--op", "softmax", "--as", "object", *more],
                          capture_output=True, text=True, cwd=make.path)
    assert done.returncode == code and words in done.stderr, done.stderr
