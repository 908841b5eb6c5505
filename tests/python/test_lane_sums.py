"""Sums over the lanes of vectors: several at once share the steps of their trees, and none has other bits for it."""
import itertools

import numpy as np
import pytest

import heddle as hd

TEXT = """
op dots(a: {type}[m, k], b: {type}[n, k]) -> c: {type}[m, n] {{
  acc[i, j] = sum[p] a[i, p] * b[j, p]
  c[i, j] = acc[i, j]
}}

schedule dots.tiles on cpu allow reassociate {{
  split c.i by {rows} into io, ii
  split c.j by {columns} into jo, ji
  reorder c.io, c.jo, c.ii, c.ji
  compute_at acc at c.jo
  reorder acc.p, acc.i, acc.j
  rfactor acc.p by {lanes} as part
  reorder part.po, part.i, part.j, part.pv
  reorder acc.i, acc.j, acc.pv
  unroll part.i, part.j
  vectorize part.pv
}}
"""


def tree(a, b, lanes):
    """The sum of one row as it is documented: lane by lane over the row, then halves are added until one lane is left."""
    part = np.zeros(lanes, a.dtype)
    for at in range(0, len(a), lanes):
        products = a[at:at + lanes] * b[at:at + lanes]
        part[:len(products)] += products
    while len(part) > 1:
        part = part[:len(part) // 2] + part[len(part) // 2:]
    return a.dtype.type(0) + part[0]


@pytest.mark.parametrize("target", [t for t in hd.targets() if t.startswith("cpu")])
@pytest.mark.parametrize("name, lanes", [("f32", 4), ("f32", 8), ("f32", 16), ("f64", 4), ("f64", 8)])
@pytest.mark.parametrize("rows, columns", [(2, 2), (3, 2), (4, 4), (3, 5), (5, 7)])
def test_each_sum_is_the_tree_of_its_own_lanes(target, name, lanes, rows, columns):
    op = hd.parse(TEXT.format(type=name, rows=rows, columns=columns, lanes=lanes)).dots
    rng = np.random.default_rng(rows * 10 + columns)
    dtype = np.float32 if name == "f32" else np.float64
    for m, n, k in [(1, 1, 1), (4, 4, 64), (7, 9, 33), (5, 3, 100), (2, 5, 0)]:
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((n, k)).astype(dtype)
        c = np.asarray(op.compile(a, b, schedule="tiles", target=target)(a, b))
        want = np.array([[tree(x, y, lanes) for y in b] for x in a], dtype).reshape(m, n)
        assert c.tobytes() == want.tobytes(), (m, n, k)


def test_what_is_not_a_number_stays_in_its_own_sum():
    op = hd.parse(TEXT.format(type="f32", rows=4, columns=4, lanes=8)).dots
    a, b = np.ones((4, 16), np.float32), np.ones((4, 16), np.float32)
    a[1, 3], a[2, 5], b[3, 7] = np.nan, np.inf, -np.inf
    c = np.asarray(op.compile(a, b, schedule="tiles")(a, b))
    for i, j in itertools.product(range(4), range(4)):
        want = np.float32((a[i].astype(np.float64) * b[j]).sum())
        assert np.array_equal(c[i, j], want, equal_nan=True), (i, j)
