"""Filters of the standard library against NumPy in float64, within the bound that the interpreter carries."""

import ml_dtypes
import numpy as np
import pytest

import heddle as hd
from std_checks import bounded, every_schedule, within

signal = hd.std.signal


@pytest.mark.parametrize("n,m", [(1, 1), (1, 7), (7, 1), (2, 3), (63, 5), (64, 64), (65, 31), (200, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16])
def test_convolve(rng, n, m, dtype):
    x, k = rng.standard_normal(n).astype(dtype), rng.standard_normal(m).astype(dtype)
    exact = None if dtype == ml_dtypes.bfloat16 else np.convolve(x.astype(np.float64), k.astype(np.float64))
    [(value, bound)] = bounded(signal.convolve, x, k, like=np.empty(n + m - 1, dtype), exact=exact)
    served = every_schedule(signal.convolve, x, k, check=lambda out: within(out, value, bound))
    assert served == {"lanes"}


def test_convolve_of_nothing():
    with pytest.raises(hd.Error, match="both signals hold something"):
        signal.convolve(np.zeros(0, np.float32), np.zeros(3, np.float32))


@pytest.mark.parametrize("shape", [(0,), (1,), (65,), (3, 130), (2, 3, 17), (4, 0), (0, 5)])
@pytest.mark.parametrize("m", [0, 1, 4, 33])
def test_fir(rng, shape, m):
    x, taps = rng.standard_normal(shape, dtype=np.float32), rng.standard_normal(m, dtype=np.float32)
    exact = np.zeros(shape)
    for j in range(min(m, shape[-1])):
        exact[..., j:] += x.astype(np.float64)[..., : shape[-1] - j] * taps[j]
    [(value, bound)] = bounded(signal.fir, x, taps, like=x, exact=exact)
    served = every_schedule(signal.fir, x, taps, check=lambda out: within(out, value, bound))
    assert served == ({"blocks"} if len(shape) == 1 else {"lanes", "blocks"})


@pytest.mark.parametrize("shape", [(0,), (1,), (33,), (3, 20), (2, 3, 17), (4, 0)])
@pytest.mark.parametrize("rate", [None, 0.0, 0.25, 1.0])
def test_smooth(rng, shape, rate):
    x = rng.standard_normal(shape, dtype=np.float32)
    exact = x.astype(np.float64)
    for t in range(1, shape[-1]):
        exact[..., t] = exact[..., t - 1] + (0.5 if rate is None else rate) * (x[..., t] - exact[..., t - 1])
    named = {} if rate is None else {"rate": rate}
    [(value, bound)] = bounded(signal.smooth, x, like=x, exact=exact, **named)
    served = every_schedule(signal.smooth, x, check=lambda out: within(out, value, bound), **named)
    assert served == (set() if len(shape) == 1 else {"rows"})
