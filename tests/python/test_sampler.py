"""The order in which a search tries candidates: every point once, and the good ones early."""
import itertools
import math
import random
import statistics

import pytest

from heddle.sampler import Sampler


def run(lists, start, time, budget, seed):
    """The points in order, and the best time found."""
    s = Sampler(lists, start, seed)
    s.tell(start, time(start))
    points = []
    while len(points) < budget and (p := s.next()) is not None:
        points.append(p)
        s.tell(p, time(p))
    return points, s.best_time


def test_every_point_once():
    lists = [[1, 2, 4], [3, 1], [7]]
    points, _ = run(lists, (2, 1, 7), lambda p: p[0] + p[1], 100, 0)
    assert sorted(points + [(2, 1, 7)]) == sorted(itertools.product([1, 2, 4], [1, 3], [7]))
    assert run([[5]], (5,), lambda p: 1, 10, 0)[0] == [] and run([], (), lambda p: 1, 10, 0)[0] == []


def test_deterministic_for_a_seed():
    lists = [list(range(8))] * 3
    def time(p):
        return sum((a - 3) ** 2 for a in p) + 1

    assert run(lists, (0, 0, 0), time, 60, 7)[0] == run(lists, (0, 0, 0), time, 60, 7)[0]


# Shapes that tuning meets: a valley along a diagonal, several basins with walls of refused points, one variable that matters.
def valley(p):
    a, b, c = p
    return 1 + 0.2 * abs(a - b) + 0.05 * abs(a + b - 9) + 0.1 * abs(c - 5)


def basins(p):
    a, b, c = p
    if (a + 2 * b) % 5 == 0:
        return None
    return 1.5 + math.sin(2.1 * a) * math.cos(1.7 * b) + 0.1 * c


def one(p):
    return 1 + (p[1] != 6) + 0.01 * p[0]


@pytest.mark.parametrize("time", [valley, basins, one])
def test_it_finds_good_points_before_chance_does(time):
    lists = [list(range(10))] * 3
    every = [time(p) for p in itertools.product(*lists)]
    least = min(t for t in every if t is not None)
    start = (1, 1, 1)
    ours = [run(lists, start, time, 80, seed)[1] / least for seed in range(12)]
    chance = []
    for seed in range(12):
        drawn = random.Random(seed).sample([t for t in every], 80)
        chance.append(min(t for t in drawn if t is not None) / least)
    assert statistics.mean(ours) <= statistics.mean(chance) + 1e-9
    assert statistics.mean(ours) < 1.2


def test_spaces_too_large_to_list():
    lists = [list(range(20))] * 6
    points, best = run(lists, (0,) * 6, lambda p: 1 + sum(abs(a - 11) for a in p), 150, 1)
    assert len(set(points)) == 150 and best < 1 + 6 * 11 / 2
