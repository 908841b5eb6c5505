"""The derived steps of the standard library, on contractions of other shapes than the library's own."""

import numpy as np
import pytest

import heddle as hd

TEXT = """
import "std/steps/contraction" as cs

op matmul(a: f32[m, k], b: f32[k, n]) -> c: f32[m, n] {
  acc[i, j] = sum[p] a[i, p] * b[p, j]
  c[i, j] = acc[i, j]
}
op scores(q: f32[h, m, k], t: f32[h, n, k]) -> c: f32[h, m, n] {
  acc[r, i, j] = sum[p] q[r, i, p] * t[r, j, p]
  c[r, i, j] = max(acc[r, i, j], 0)
}
schedule matmul.blocked on cpu allow reassociate {
  cs.blocked acc, c.i, c.j, b, packed, 4, 32, 64, 16
  parallel c.blocked_jp
}
schedule matmul.tiled on cpu allow reassociate {
  cs.tile c.i, c.j, 3, 16, io, jo, ii, ji
  reorder c.jo, c.io, c.ii, c.ji
  cs.register_tile acc, c.io, 8
  cs.pack b, c.jo, 16, panel
}
schedule matmul.in_tiles on cpu allow reassociate {
  cs.tiled acc, c.i, c.j, 3, 32, 2, 16, jo, ib
  cache b in l2 at c.jo as panel
  parallel c.ib, c.jo
}
schedule scores.in_tiles on cpu allow reassociate {
  cs.tiled acc, c.i, c.j, 4, 16, 3, 8, jo, ib
  parallel c.r, c.ib, c.jo
}
schedule scores.tiled on cpu allow reassociate {
  cs.tile c.i, c.j, 4, 16, io, jo, ii, ji
  cs.register_tile acc, c.jo, 8
}
"""
SHAPES = [(0, 3, 5), (1, 1, 1), (4, 0, 9), (5, 7, 0), (13, 29, 71), (16, 32, 64), (17, 31, 129)]


@pytest.fixture(scope="module")
def ops():
    return hd.parse(TEXT)


def close(got, want, terms):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6 * (terms + 1))


@pytest.mark.parametrize("schedule", ["blocked", "tiled", "in_tiles"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_blocked_product(ops, rng, schedule, shape):
    m, k, n = shape
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((m, k), (k, n)))
    close(ops.matmul(a, b, schedule=schedule), a @ b, k)


@pytest.mark.parametrize("schedule", ["tiled", "in_tiles"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scores_in_tiles_of_registers(ops, rng, schedule, shape):
    m, k, n = shape
    q, t = (rng.standard_normal(s).astype(np.float32) for s in ((3, m, k), (3, n, k)))
    close(ops.scores(q, t, schedule=schedule), np.maximum(q @ t.transpose(0, 2, 1), 0), k)


def test_every_state_is_the_same_product(ops, rng):
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((5, 9), (9, 35)))
    for name in ("blocked", "tiled"):
        for state in ops.matmul.schedule(name).states(a, b):
            program, c = hd.parse(state.program), np.empty((5, 35), np.float32)
            program.program(program.programs[-1]).interpret([a, b, c])
            close(c, a @ b, 9)


def test_what_is_no_contraction_is_refused(rng):
    wrong = hd.parse(TEXT + "schedule matmul.wrong on cpu {\n  let t = contraction(c)\n  split t.k by 8\n}")
    a = np.ones((3, 3), np.float32)
    with pytest.raises(hd.Error, match="HD0323"):
        wrong.matmul(a, a, schedule="wrong")
