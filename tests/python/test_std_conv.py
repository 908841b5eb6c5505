"""conv2d of the standard library: every schedule on every target, over odd shapes, against NumPy in float64."""

import ml_dtypes
import numpy as np
import pytest
from std_checks import every_schedule, made_for_others, targets, within

import heddle as hd


def convolution(x, w, stride, padding, dilation, groups):
    """In float64, with the sum of the terms' sizes."""
    n, c, _, _ = x.shape
    f, cg, kh, kw = w.shape
    x, w = x.astype(np.float64), w.astype(np.float64)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    reach = (dilation * (kh - 1) + 1, dilation * (kw - 1) + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))[:, :, ::stride, ::stride, ::dilation, ::dilation]
    windows = windows.reshape(n, groups, c // groups, *windows.shape[2:])
    kernels = w.reshape(groups, f // groups, cg, kh, kw)
    exact, size = (np.einsum("bgcijuv,gfcuv->bgfij", a, b, optimize=True) for a, b in ((windows, kernels), (np.abs(windows), np.abs(kernels))))
    shape = (n, f, *windows.shape[3:5])
    return exact.reshape(shape), size.reshape(shape)


# batch, channels, outputs, groups, height, width, kernel, stride, padding, dilation
CASES = [
    (1, 1, 1, 1, 1, 1, (1, 1), 1, 0, 1),
    (2, 4, 8, 1, 9, 8, (3, 3), 2, 1, 1),
    (2, 4, 8, 2, 7, 11, (3, 3), 1, 0, 1),
    (1, 6, 9, 3, 11, 12, (3, 5), 2, 2, 2),
    (3, 8, 8, 8, 13, 17, (3, 3), 1, 1, 1),
    (2, 5, 15, 5, 6, 40, (5, 3), 2, 2, 1),
    (1, 3, 3, 3, 5, 75, (3, 3), 1, 2, 2),
    (1, 16, 33, 1, 7, 29, (1, 1), 1, 0, 1),
    (1, 3, 65, 1, 23, 31, (7, 7), 2, 3, 1),
    (1, 2, 5, 1, 40, 31, (2, 2), 3, 5, 3),
    (0, 3, 4, 1, 5, 5, (3, 3), 1, 1, 1),
    (1, 0, 4, 1, 5, 5, (3, 3), 1, 1, 1),
    (1, 3, 0, 1, 5, 5, (3, 3), 1, 1, 1),
    (1, 2, 5, 1, 3, 3, (3, 3), 1, 0, 1),
    (1, 3, 48, 1, 9, 19, (3, 3), 1, 1, 1),
    (1, 2, 79, 1, 6, 31, (3, 1), 1, 1, 1),
    (2, 37, 37, 37, 18, 51, (3, 3), 2, 1, 1),
    (2, 5, 13, 1, 9, 31, (1, 1), 1, 0, 1),
    (1, 6, 40, 2, 13, 28, (1, 1), 1, 2, 1),
]


@pytest.mark.parametrize("n,c,f,groups,h,w,kernel,stride,padding,dilation", CASES)
def test_every_schedule(rng, n, c, f, groups, h, w, kernel, stride, padding, dilation):
    x = rng.standard_normal((n, c, h, w), dtype=np.float32)
    weight = rng.standard_normal((f, c // groups, *kernel), dtype=np.float32)
    exact, size = convolution(x, weight, stride, padding, dilation, groups)
    terms = c // groups * kernel[0] * kernel[1]
    every_schedule(hd.std.nn.conv2d, x, weight, groups=groups, stride=stride, padding=padding, dilation=dilation,
                   check=lambda out: within(out, exact, (terms + 2) * 2.0**-24 * size))


@pytest.mark.parametrize("n,c,f,groups,h,w,kernel,stride,padding,dilation", [case for case in CASES if case[2] // case[3] >= 15] + [
    (2, 4, 32, 2, 5, 20, (3, 3), 1, 1, 1), (3, 7, 20, 1, 6, 9, (2, 5), 2, 2, 1),
    (2, 33, 50, 1, 6, 19, (3, 3), 1, 1, 1), (1, 34, 130, 2, 7, 15, (3, 2), 1, 1, 2), (1, 16, 16, 1, 1, 1, (1, 1), 1, 0, 1)])
def test_bf16(rng, n, c, f, groups, h, w, kernel, stride, padding, dilation):
    x = rng.standard_normal((n, c, h, w)).astype(ml_dtypes.bfloat16)
    weight = rng.standard_normal((f, c // groups, *kernel)).astype(ml_dtypes.bfloat16)
    exact, size = convolution(x, weight, stride, padding, dilation, groups)
    bound = (c // groups * kernel[0] * kernel[1] + 2) * 2.0**-23 * size + np.abs(exact) * 2.0**-8 + 1e-37
    every_schedule(hd.std.nn.conv2d, x, weight, groups=groups, stride=stride, padding=padding, dilation=dilation,
                   check=lambda out: within(out, exact, bound))


def test_each_schedule_serves_some_case(rng):
    x, few, many = (rng.standard_normal(s, dtype=np.float32) for s in ((1, 2, 5, 20), (3, 2, 3, 3), (9, 2, 3, 3)))
    op = hd.std.nn.conv2d
    served = every_schedule(op, x, few, check=np.shape) | every_schedule(op, x[..., :9], many, check=np.shape)
    served |= every_schedule(op, x, few[:2, :1], groups=2, check=np.shape) | every_schedule(op, x, many[..., :1, :1], check=np.shape)
    served |= every_schedule(op, x.repeat(3, axis=3), many[..., :1, :1], check=np.shape)
    served |= every_schedule(op, x[..., :16], many[..., :1, :1].repeat(8, axis=0), check=np.shape)
    wide = np.repeat(many, 2, axis=0)
    for columns in (7, 8, 10, 11, 13, 14):  # tiles of as many pixels
        served |= every_schedule(op, x[..., :columns].repeat(17, axis=1), wide.repeat(17, axis=1), padding=1, check=np.shape)
    for channels, columns in ((16, 9), (16, 14), (16, 16), (16, 18), (16, 22), (48, 9), (48, 10), (48, 20), (80, 20)):
        served |= every_schedule(op, x[..., :columns], np.repeat(few[:1], channels, axis=0), check=np.shape)
    for columns in (6, 7, 8, 10, 14):
        served |= every_schedule(op, x[:, :1, :, :columns], few[:1, :1].repeat(128, axis=0), padding=1, check=np.shape)
    for columns in (5, 20):
        served |= every_schedule(op, x[..., :columns].astype(ml_dtypes.bfloat16), np.repeat(few, 6, axis=0).astype(ml_dtypes.bfloat16), check=np.shape)
    channels = rng.standard_normal((1, 16, 6, 8)).astype(ml_dtypes.bfloat16)
    served |= every_schedule(op, channels, channels[:, :, :3, :3].repeat(16, axis=0), check=np.shape)
    assert served == set(op.schedules) - made_for_others(op, x, few)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
@pytest.mark.parametrize("axis, step", [(0, 1), (0, 2), (0, -1), (1, 2), (1, -1), (2, 2), (2, -1), (3, 2), (3, -1)])
def test_weights_with_gaps(rng, kernel, axis, step):
    """Taps that lie behind each other are turned in whole squares; these are not, as an axis has a step of its own."""
    x = rng.standard_normal((2, 19, 8, 13), dtype=np.float32)
    shape = [37, 19, *kernel]
    shape[axis] *= abs(step)
    weight = rng.standard_normal(shape, dtype=np.float32)[tuple(slice(None, None, step if d == axis else None) for d in range(4))]
    exact, size = convolution(x, weight, 1, 1, 1, 1)
    every_schedule(hd.std.nn.conv2d, x, weight, padding=1, check=lambda out: within(out, exact, (19 * 9 + 2) * 2.0**-24 * size))


def test_padding_is_zero_beside_infinities(rng):
    """Padded terms are 0 times a weight, so an infinite pixel reaches only the windows that hold it."""
    x = np.ones((1, 1, 4, 40), np.float32)
    x[0, 0, 2, 20] = np.inf
    out = hd.std.nn.conv2d(x, np.ones((9, 1, 3, 3), np.float32), padding=1)
    assert np.isinf(out[0, :, 1:4, 19:22]).all()
    assert np.isfinite(np.delete(out, [19, 20, 21], axis=3)).all()


@pytest.mark.parametrize("target", targets())
def test_types(rng, target):
    x, w = rng.integers(-3, 4, (1, 3, 5, 18)), rng.integers(-3, 4, (9, 3, 3, 3))
    exact, _ = convolution(x, w, 1, 1, 1, 1)
    out = hd.std.nn.conv2d(x.astype(np.float64), w.astype(np.float64), padding=1, target=target)
    np.testing.assert_array_equal(out, exact)


@pytest.mark.parametrize("n,c,f,groups,h,w,kernel,stride,padding,dilation", CASES)
def test_every_schedule_of_nhwc(rng, n, c, f, groups, h, w, kernel, stride, padding, dilation):
    x = rng.standard_normal((n, c, h, w), dtype=np.float32)
    weight = rng.standard_normal((f, c // groups, *kernel), dtype=np.float32)
    exact, size = (v.transpose(0, 2, 3, 1) for v in convolution(x, weight, stride, padding, dilation, groups))
    terms = c // groups * kernel[0] * kernel[1]
    lasts = np.ascontiguousarray(x.transpose(0, 2, 3, 1)), np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
    every_schedule(hd.std.nn.conv2d_nhwc, *lasts, groups=groups, stride=stride, padding=padding, dilation=dilation,
                   check=lambda out: within(out, exact, (terms + 2) * 2.0**-24 * size))


@pytest.mark.parametrize("n,c,f,groups,h,w,kernel,stride,padding,dilation", [
    (1, 16, 33, 1, 7, 29, (1, 1), 1, 0, 1), (2, 5, 17, 1, 9, 15, (3, 3), 1, 1, 1), (1, 4, 32, 2, 5, 20, (3, 2), 1, 2, 2), (2, 3, 64, 1, 1, 1, (3, 3), 1, 1, 1),
    (0, 3, 16, 1, 5, 5, (3, 3), 1, 1, 1), (1, 6, 16, 1, 8, 9, (3, 3), 2, 1, 1)])
def test_bf16_of_nhwc(rng, n, c, f, groups, h, w, kernel, stride, padding, dilation):
    x = rng.standard_normal((n, c, h, w)).astype(ml_dtypes.bfloat16)
    weight = rng.standard_normal((f, c // groups, *kernel)).astype(ml_dtypes.bfloat16)
    exact, size = (v.transpose(0, 2, 3, 1) for v in convolution(x, weight, stride, padding, dilation, groups))
    bound = (c // groups * kernel[0] * kernel[1] + 2) * 2.0**-23 * size + np.abs(exact) * 2.0**-8 + 1e-37
    lasts = np.ascontiguousarray(x.transpose(0, 2, 3, 1)), np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
    served = every_schedule(hd.std.nn.conv2d_nhwc, *lasts, groups=groups, stride=stride, padding=padding, dilation=dilation,
                            check=lambda out: within(out, exact, bound))
    assert "cpu/avx512" not in targets() or ("bf16" in served) == (stride == 1)
