"""random_bits against an implementation of Philox4x32-10 in plain integers, with the known answers of Random123; dropout."""

import numpy as np
import pytest
from test_language import everywhere

import heddle as hd

WORD = 2**32 - 1


def philox(counter, key):
    """The ten rounds of Salmon et al. on four words and two words of key."""
    x, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(b >> 32) ^ x[1] ^ k[0], b & WORD, (a >> 32) ^ x[3] ^ k[1], a & WORD]
        k = [(k[0] + 0x9E3779B9) & WORD, (k[1] + 0xBB67AE85) & WORD]
    return x


def bits(seed, counter):
    x = philox([counter & WORD, counter >> 32, 0, 0], [seed & WORD, seed >> 32])
    return x[0] | x[1] << 32


def test_known_answers():
    """kat_vectors of Random123 1.14: philox 4x32 10."""
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([WORD] * 4, [WORD] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


MODULE = """
op draw(seed: u64[n], counter: u64[n]) -> y: u64[n] { y[i] = random_bits(seed[i], counter[i]) }
schedule draw.lanes on cpu { vectorize y.i by 8 }
op stream(seed: u64, const n: int) -> y: u64[n] { y[i] = random_bits(seed, u64(i)) }
schedule stream.lanes on cpu { vectorize y.i by 4; parallel y.io }
"""


@pytest.mark.parametrize("n", [0, 1, 5, 33])
def test_draws(n):
    m = hd.parse(MODULE)
    rng = np.random.default_rng(n)
    seed, counter = (rng.integers(0, 2**64, n, dtype=np.uint64) for _ in range(2))
    seed[:2], counter[:2] = 0, [0, 2**64 - 1][: counter[:2].size]
    want = np.array([bits(int(s), int(c)) for s, c in zip(seed, counter)], np.uint64)
    everywhere(m.draw, seed, counter, out=np.zeros(n, np.uint64), expected=want)
    want = np.array([bits(2**40 + 7, i) for i in range(n)], np.uint64)
    everywhere(m.stream, 2**40 + 7, n, out=np.zeros(n, np.uint64), expected=want)


def dropped(x, p, seed):
    drawn = np.array([bits(seed, i) >> 40 for i in range(x.size)], np.float32).reshape(x.shape) * np.float32(2.0**-24)
    return np.where(drawn < np.float32(p), 0, x * (np.float32(1) / (np.float32(1) - np.float32(p)))).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (0, 4), (5, 64)])
@pytest.mark.parametrize("p", [0, 0.3, 1])
def test_dropout(shape, p):
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    with np.errstate(all="ignore"):
        want = dropped(x, p, 11)
    for schedule in ["", None]:
        for target in ["auto", "cpu/x86-64-v2", "cpu/avx2"]:
            np.testing.assert_array_equal(hd.std.nn.dropout(x, p, 11, schedule=schedule, target=target), want)
    np.testing.assert_array_equal(hd.std.nn.dropout.interpret(x, p, 11, out=np.zeros_like(x)), want)


def test_dropout_keeps_its_share():
    y = hd.std.nn.dropout(np.ones((300, 300), np.float32), 0.25, 5)
    assert abs((y == 0).mean() - 0.25) < 0.01 and abs(y.mean() - 1) < 0.02
