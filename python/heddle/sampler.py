"""Which candidate a search tries next: neighbours of the best one, then points like the good ones and unlike the rest.

The second part is a small tree-structured Parzen estimator, as Optuna's: for each variable, how often each value stands among the best
quarter of the trials and how often among the others; the point with the greatest product of ratios is next. Every fourth is random, so
that nothing is left out for good. Deterministic for a seed.
"""

import itertools
import math
import random

# A space up to this many points is listed; of a larger one so many are drawn for each proposal.
LISTED, DRAWN = 20_000, 2_000
GOOD = 0.25


class Sampler:
    """`lists` has the values of each variable, `start` the point that is known already, with its time by `tell`."""

    def __init__(self, lists, start, seed=0):
        self.lists = [sorted(set(values)) for values in lists]
        self.size = math.prod(len(values) for values in self.lists)
        self.best, self.best_time = tuple(start), math.inf
        self.seen, self.trials = {tuple(start)}, []
        self.random, self.proposals = random.Random(seed), 0

    def tell(self, point, time):
        """The time of a point; None when it was refused or wrong."""
        time = math.inf if time is None else time
        self.trials.append((time, tuple(point)))
        if time < self.best_time:
            self.best, self.best_time = tuple(point), time

    def next(self):
        """A point that was not proposed before, None when there is none left."""
        if len(self.seen) >= self.size:
            return None
        point = self._neighbour() or self._like_the_good()
        self.seen.add(point)
        return point

    def _neighbour(self):
        """One value of the best point one place up or down."""
        for i, values in enumerate(self.lists):
            at = values.index(self.best[i]) if self.best[i] in values else 0
            for j in (at - 1, at + 1):
                if 0 <= j < len(values):
                    point = self.best[:i] + (values[j],) + self.best[i + 1:]
                    if point not in self.seen:
                        return point
        return None

    def _unseen(self):
        if self.size <= LISTED:
            return [p for p in itertools.product(*self.lists) if p not in self.seen]
        while True:
            drawn = {tuple(self.random.choice(values) for values in self.lists) for _ in range(DRAWN)}
            if fresh := sorted(drawn - self.seen):
                return fresh

    def _like_the_good(self):
        unseen = self._unseen()
        self.proposals += 1
        if self.proposals % 4 == 0 or len(self.trials) < 4:
            return self.random.choice(unseen)
        ordered = sorted(self.trials)
        count = max(1, math.ceil(GOOD * len(ordered)))
        good, rest = [p for _, p in ordered[:count]], [p for _, p in ordered[count:]]
        weights = [self._weights(i, good, rest) for i in range(len(self.lists))]
        return max(unseen, key=lambda p: (sum(w[v] for w, v in zip(weights, p)), self.random.random()))

    def _weights(self, i, good, rest):
        """The logarithm of how much likelier each value of a variable is among the good; neighbours count for a part."""
        values = self.lists[i]

        def density(points):
            places = [values.index(p[i]) for p in points if p[i] in values]
            return [0.5 + sum(1.0 if q == at else 0.3 if abs(q - at) == 1 else 0.0 for q in places) for at in range(len(values))]

        good, rest = density(good), density(rest)
        return {v: math.log(g / sum(good)) - math.log(r / sum(rest)) for v, g, r in zip(values, good, rest)}
