"""What Halide does in the cases that it takes part in: pipelines with schedules after its own tutorials and apps, compiled once for
each shape. `HL_NUM_THREADS` is set by the caller of this process."""

import numpy as np


def _realize(func, out, inputs):
    import halide as hl

    target = hl.get_jit_target_from_environment()
    func.compile_jit(target)
    buffer = hl.Buffer(out)
    keep = (inputs, out)

    def run(keep=keep):
        func.realize(buffer)

    return run


def matmul(threads, a, b):
    """apps/linear_algebra's blocked product: tiles of the output in registers, B packed by panels."""
    import halide as hl

    (m, k), n = a.shape, b.shape[1]
    A, B = hl.Buffer(a), hl.Buffer(b)  # dim 0 is the innermost
    x, y, xo, yo, xi, yi, xt = hl.vars("x y xo yo xi yi xt")
    r = hl.RDom([(0, k)])
    packed, prod, out = hl.Func("packed"), hl.Func("prod"), hl.Func("out")
    packed[x, y, xo] = B[hl.clamp(xo * 64 + x, 0, n - 1), y]
    prod[x, y] = hl.f32(0)
    prod[x, y] += A[r, y] * packed[x % 64, r, x / 64]
    out[x, y] = prod[x, y]
    width = 16
    out.bound(x, 0, n).bound(y, 0, m)
    out.tile(x, y, xi, yi, 64, 6, hl.TailStrategy.GuardWithIf).vectorize(xi, width).unroll(yi)
    out.reorder(xi, yi, y, x)
    if threads > 1:
        out.parallel(x)
    prod.compute_at(out, y).vectorize(x, width).unroll(x).unroll(y)
    prod.update().reorder(x, y, r).vectorize(x, width).unroll(x).unroll(y)
    packed.compute_root().vectorize(x, width).unroll(x)
    if threads > 1:
        packed.parallel(xo)
    packed.bound_extent(x, 64)
    return _realize(out, np.empty((m, n), np.float32), (a, b, A, B))


def softmax(threads, x_array):
    import halide as hl

    rows, cols = x_array.shape
    X = hl.Buffer(x_array)
    x, y, xo = hl.vars("x y xo")
    r = hl.RDom([(0, cols)])
    peak, e, total, out = hl.Func("peak"), hl.Func("e"), hl.Func("total"), hl.Func("out")
    peak[y] = hl.f32(-3.0e38)
    peak[y] = hl.max(peak[y], X[r, y])
    e[x, y] = hl.fast_exp(X[x, y] - peak[y])
    total[y] = hl.f32(0)
    total[y] += e[r, y]
    out[x, y] = e[x, y] * (hl.f32(1) / total[y])
    out.bound(x, 0, cols).bound(y, 0, rows)
    out.vectorize(x, 16, hl.TailStrategy.GuardWithIf)
    if threads > 1:
        out.parallel(y, 4, hl.TailStrategy.GuardWithIf)
    e.compute_at(out, y).vectorize(x, 16, hl.TailStrategy.RoundUp)
    peak.compute_at(out, y)
    peak.update().atomic().vectorize(r, 16) if cols % 16 == 0 else None
    total.compute_at(out, y)
    total.update().atomic().vectorize(r, 16) if cols % 16 == 0 else None
    return _realize(out, np.empty((rows, cols), np.float32), (x_array, X))


def blur(threads, image):
    """The schedule of the paper: strips of rows, the first pass computed in each."""
    import halide as hl

    h, w = image.shape
    X = hl.Buffer(image)
    x, y, yi = hl.vars("x y yi")
    third = hl.f32(0.33333334)
    b, out = hl.Func("b"), hl.Func("out")
    b[x, y] = (X[x, y] + X[x + 1, y] + X[x + 2, y]) * third
    out[x, y] = (b[x, y] + b[x, y + 1] + b[x, y + 2]) * third
    out.bound(x, 0, w - 2).bound(y, 0, h - 2)
    out.split(y, y, yi, 32, hl.TailStrategy.GuardWithIf).vectorize(x, 16, hl.TailStrategy.GuardWithIf)
    if threads > 1:
        out.parallel(y)
    b.store_at(out, y).compute_at(out, yi).vectorize(x, 16, hl.TailStrategy.GuardWithIf)
    return _realize(out, np.empty((h - 2, w - 2), np.float32), (image, X))
