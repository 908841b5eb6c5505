"""Results in the memory of an argument: where that is right, and what is refused."""

import gc

import numpy as np
import pytest

import heddle as hd

IN_PLACE = """
op twice(x: f32[n, m], s: f32 = 2) -> y: f32[n, m] { y[i, j] = s*x[i, j]*x[i, j] + x[i, j] }
schedule twice.lanes on cpu { vectorize y.j by 8; parallel y.i }
schedule twice.tails on cpu { split y.j by 4 into jo, ji with peel; unroll y.ji }
schedule twice.again on cpu { split y.j by 4 into jo, ji with shift; vectorize y.ji }
op steps(x: f32[n, m], b: f32[m]) -> y: f32[n, m] { t[i, j] = x[i, j] + b[j]; u[i, j] = exp(t[i, j]); y[i, j] = u[i, j] * t[i, j] }
schedule steps.near on cpu { compute_at u, t at y.i; vectorize t.j, u.j, y.j by 8 }
schedule steps.tile on cpu { split y.j by 16 into jo, ji; compute_at u, t at y.jo; cache x in l1 at y.jo as xs; vectorize xs.j, t.j, u.j, y.ji by 8 }
op turned(x: f32[n, m]) -> y: f32[n, m] { y[i, j] = x[n - 1 - i, j] }
op summed(x: f32[n, m]) -> y: f32[n, m] { t[i] = sum[j] x[i, j]; y[i, j] = x[i, j] / t[i] }
op blurred(x: f32[n, m]) -> y: f32[n, m] { y[i, j] = x[i, j] + (x[i, j - 1] or 0) }
op two(x: f32[n, m]) -> (y: f32[n, m], z: f32[n, m]) { y[i, j] = 2*x[i, j]; z[i, j] = x[i, j] - 1 }
op swapped(x: f32[n, n]) -> y: f32[n, n] { y[i, j] = x[j, i] }
"""


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (4, 64), (5, 131), (0, 3)])
@pytest.mark.parametrize("name, schedule", [("twice", ""), ("twice", "lanes"), ("twice", "tails"), ("steps", ""), ("steps", "near"), ("steps", "tile")])
def test_an_elementwise_op_in_place(rng, shape, name, schedule):
    op = getattr(hd.parse(IN_PLACE), name)
    x = rng.standard_normal(shape, dtype=np.float32)
    more = [rng.standard_normal(shape[1], dtype=np.float32)] if name == "steps" else []
    expected = op(x, *more, schedule=schedule)
    for view in (lambda a: a, lambda a: a.T.copy().T, lambda a: a[::-1, ::-1]):
        here = view(x.copy())
        wanted = op(here.copy(), *more, schedule=schedule)
        op(here, *more, out=here, schedule=schedule)
        np.testing.assert_array_equal(here, wanted)
    assert op(x, *more, schedule=schedule).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name, schedule", [("twice", "again"), ("turned", ""), ("summed", ""), ("blurred", ""), ("swapped", "")])
def test_what_is_not_elementwise_is_refused_in_place(name, schedule):
    x = np.ones((5, 5), np.float32)
    with pytest.raises(hd.Error, match="the output `y` overlaps `x` in memory"):
        getattr(hd.parse(IN_PLACE), name)(x, out=x, schedule=schedule)


def test_another_view_of_the_argument_is_refused():
    op = hd.parse(IN_PLACE).twice
    x = np.ones((6, 6), np.float32)
    for argument, out in ((x, x.T), (x[:5], x[1:]), (x, x[::-1]), (x[:, ::2], x[:, 1::2])):
        with pytest.raises(hd.Error, match="overlaps"):
            op(argument, out=out)
    two = hd.parse(IN_PLACE).two
    with pytest.raises(hd.Error, match="the output `y` overlaps `x`"):  # `z` reads `x` when `y` is written
        two(x, out=(x, np.empty_like(x)))
    y = np.empty_like(x)
    with pytest.raises(hd.Error, match="overlaps"):
        two(x, out=(y, y))


def test_in_place_from_the_cache_on_disk(tmp_path):
    hd.set_cache(tmp_path)
    try:
        for _ in range(2):
            x = np.full((3, 9), 2, np.float32)
            k = hd.parse(IN_PLACE).twice.compile(x)
            k(x, out=x)
            assert (x == 10).all()
            del k
            gc.collect()
    finally:
        hd.set_cache(None)


def test_an_output_whose_cells_meet_is_refused():
    m = hd.parse(IN_PLACE + "op add(inout w: f32[n, m], g: f32[n, m]) { w[i, j] <- w[i, j] + g[i, j] }")
    x = np.ones((3, 4), np.float32)
    shared = np.lib.stride_tricks.as_strided(np.zeros(16, np.float32), (3, 4), (0, 4))
    with pytest.raises(hd.Error, match="several cells of the output `y` are one in memory"):
        m.twice(x, out=shared)
    with pytest.raises(hd.Error, match="several cells of the output `w` are one in memory"):
        m.add(shared, x)
    window = np.lib.stride_tricks.as_strided(np.zeros(16, np.float32), (3, 4), (8, 4))
    with pytest.raises(hd.Error, match="are one in memory"):
        m.twice(x, out=window)
