"""Search over the `tune` variables of a schedule: every candidate is checked, then timed in turns with the best one so far."""

import os
import re
import sys
import time

import numpy as np

from . import _heddle
from .errors import Error
from .sampler import Sampler

# A candidate replaces the best one when it takes at most this part of its time: less is noise.
BETTER = 0.98
# One sample repeats a short call until it takes this long, so that the clock does not matter.
SAMPLE_S = 2e-4
ROUNDS = 7
# The interpreter is given this part of the budget for its reference, at most so many seconds.
REFERENCE_PART, REFERENCE_S = 0.1, 5.0


class Trial:
    """One candidate. `state` is "ok", "refused" (a step or the compiler), "wrong" (it fails the check) or "slow" (given up early)."""

    __slots__ = ("name", "choices", "state", "us", "ratio", "why", "schedule")

    def __init__(self, name, choices):
        self.name, self.choices = name, choices
        self.state, self.us, self.ratio, self.why, self.schedule = "ok", None, None, "", ""

    def __repr__(self):
        values = ", ".join(f"{k}={v}" for k, v in self.choices.items())
        time_ = f"{self.us:.1f} us" if self.us is not None else self.why.splitlines()[0] if self.why else ""
        return f"<heddle.Trial {self.name}({values}) {self.state} {time_}>"


class TuneResult:
    """`best` and `default` are Trials, `trials` all of them in the order in which they ran; `best.schedule` is text for `m.extend`.
    `checked` says what candidates were compared with; `stopped` why the search ended: "done", "budget" or "interrupted"."""

    def __init__(self, op, default, best, trials, seconds, checked, stopped):
        self.op, self.default, self.best, self.trials = op, default, best, trials
        self.seconds, self.checked, self.stopped = seconds, checked, stopped

    def __repr__(self):
        gain = self.default.us / self.best.us if self.default.us and self.best.us else 1
        return f"<heddle.TuneResult {self.op.name}: {len(self.trials)} tried in {self.seconds:.1f} s, {self.best!r}, {gain:.2f}x the default>"

    def _repr_html_(self):
        from .display import tune_html

        return tune_html(self)


def tune(op, args, schedule=None, budget_s=60.0, target="auto", threads=1, name=None, seed=0, progress=None, **named):
    """The fastest values of the `tune` variables of a schedule for these arguments (arrays and scalars of the op).

    schedule: a name; None takes the one that a call would take. name: of the schedule in the result's text, `NAME_tuned` if not given.
    progress: True or False; None reports on standard error once the search takes more than a second. Raises `Error` where the default
    itself is refused; Ctrl-C ends the search with what is known by then.
    """
    if not isinstance(args, (list, tuple)):
        raise TypeError("the arguments are a list: hd.tune(op, [x])")
    if not budget_s >= 0:
        raise ValueError(f"budget_s is a number of seconds, not {budget_s!r}")
    return _Search(op, args, named, schedule, float(budget_s), target or "auto", threads or 1, name, seed, progress).run()


class _Search:
    def __init__(self, op, args, named, schedule, budget, target, threads, name, seed, progress):
        self.op, self.target, self.threads, self.progress = op, target, threads, progress
        self.start, self.budget = time.perf_counter(), budget
        arrays, self.scalars, self.consts = op._sort(tuple(args), named)
        self.arrays = {k: _heddle.as_numpy(v, k) for k, v in arrays.items()}
        self.schedule = schedule if schedule is not None else self._compile(None, {}).schedule
        if self.schedule not in op.schedules:
            raise ValueError(f"`{op.name}` has no schedule `{self.schedule}` to tune; its schedules: {', '.join(op.schedules) or 'none'}")
        self.name = name or self.schedule + "_tuned"
        self.variables = op._handle.tune_variables(op._request(args, named, self.schedule, None, None, target))
        self.seed, self.said = seed, self.start
        self.base = 1.0  # the best one's time over the default's

    def _compile(self, schedule, choices):
        return self.op.compile(**self.arrays, **self.consts, schedule=schedule, tune=choices, target=self.target, threads=self.threads)

    # --- the search --------------------------------------------------------------------------------------------------

    def run(self):
        values = {n: v for n, v, _ in self.variables}
        kernel = self._compile(self.schedule, values)
        self.checker = _Checker(self, kernel)
        self.best = self.default = Trial(self.schedule, values)
        why = self.checker.fault(kernel, values)
        if why:
            raise RuntimeError(f"the default of `{self.op.name}.{self.schedule}` gives a wrong answer: {why}")
        self.kernel, self.trials, stopped = kernel, [self.default], "done"
        self.default.us = self.best_us = min(self._sample(kernel) for _ in range(3)) * 1e6
        self.default.ratio = 1.0
        try:
            names = [n for n, _, _ in self.variables]
            sampler = Sampler([c for _, _, c in self.variables], [values[n] for n in names], self.seed)
            sampler.tell([values[n] for n in names], 1.0)
            while (point := sampler.next()) is not None:
                if self._spent() >= self.budget:
                    stopped = "budget"
                    break
                self._try(dict(zip(names, point)))
                sampler.tell(point, self.relative)
                self._report()
        except KeyboardInterrupt:
            stopped = "interrupted"
        if self.said > self.start:
            self._say("\n")
        for t in self.trials:
            t.schedule = self._text(t)
        return TuneResult(self.op, self.default, self.best, self.trials, self._spent(), self.checker.what, stopped)

    def _spent(self):
        return time.perf_counter() - self.start

    def _try(self, choices):
        from statistics import median

        trial = Trial(self.schedule, choices)
        self.trials.append(trial)
        self.relative = None  # its time over the default's, measured against the best one so far
        try:
            kernel = self._compile(self.schedule, choices)
            why = self.checker.fault(kernel, choices)
        except Error as e:
            trial.state, trial.why = "refused", str(e)
            return
        if why:
            trial.state, trial.why = "wrong", why
            return
        ours, theirs = [], []
        for i in range(ROUNDS):
            ours.append(self._sample(kernel))
            theirs.append(self._sample(self.kernel))
            if i == 1 and min(ours) > 1.5 * min(theirs):
                trial.state = "slow"
                break
        trial.us, trial.ratio = median(ours) * 1e6, median(ours) / median(theirs)
        self.relative = self.base * trial.ratio
        if trial.state == "ok" and trial.ratio <= BETTER:
            self.best, self.kernel, self.best_us, self.base = trial, kernel, trial.us, self.relative

    def _sample(self, kernel):
        """Seconds of one call."""
        arrays = self._fresh()
        out = self.checker.out
        once = time.perf_counter()
        kernel(**arrays, **self.scalars, out=out)
        once = time.perf_counter() - once
        count = max(1, int(SAMPLE_S / max(once, 1e-7)))
        if self.checker.changes:
            count = 1  # each call would start from what the one before left
            arrays = self._fresh()
        t = time.perf_counter()
        for _ in range(count):
            kernel(**arrays, **self.scalars, out=out)
        return (time.perf_counter() - t) / count

    def _fresh(self):
        return _copies(self.op, self.arrays)

    # --- words -------------------------------------------------------------------------------------------------------

    def _report(self):
        now = time.perf_counter()
        if self.progress is False or now - self.said < 1 or (self.progress is None and now - self.start < 1):
            return
        self.said = now
        gain = self.default.us / self.best_us
        self._say(f"\rtune {self.op.name}.{self.schedule}: {len(self.trials)} tried, best {self.best_us:.1f} us ({gain:.2f}x the default), "
                  f"{self._spent():.0f} of {self.budget:.0f} s ")

    def _say(self, text):
        sys.stderr.write(text)
        sys.stderr.flush()

    def _text(self, trial):
        shapes = ", ".join(f"{k} {'x'.join(map(str, a.shape)) or 'scalar'} {a.dtype.name}" for k, a in self.arrays.items())
        took = f"{trial.us:.1f} us" if trial.us is not None else trial.state
        head = f"// {took} on {shapes}; {self.threads} thread{'s' * (self.threads > 1)}, {self.kernel.target}, {machine()}\n"
        return head + self.op._handle.schedule_text(self.schedule, self.name, trial.choices)


def machine():
    """The processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        model = ""
    return f"{model or os.uname().machine}, {len(os.sched_getaffinity(0))} processors"


def _copies(op, arrays):
    changed = {p["name"] for p in op.parameters if p["inout"]}
    return {k: a.copy() if k in changed else a for k, a in arrays.items()}


def _tuple(value):
    return tuple(value) if isinstance(value, tuple) else () if value is None else (value,)


# --- the check -------------------------------------------------------------------------------------------------------

class _Checker:
    """Compares a candidate with the interpreter's values and bounds (docs/numerics.md), on the arguments as they are where that is quick,
    else on the front part of each array; then its answer on the whole arguments with the default's."""

    def __init__(self, search, kernel):
        self.search, self.op = search, search.op
        self.changes = any(p["inout"] for p in self.op.parameters)
        arrays = search._fresh()
        made = kernel(**arrays, **search.scalars)
        self.out = made
        self.whole = self._answer(made, arrays, copy=True)
        self.part, self.reference, self.full = None, None, False
        self._interpret()
        self.what = ("the interpreter on these arguments" if self.full else
                     "the interpreter on the front of each array, and the default on all of it" if self.part else
                     "the default")

    def _answer(self, out, arrays, copy=False):
        found = [*(arrays[p["name"]] for p in self.op.parameters if p["inout"]), *_tuple(out)]
        return [a.copy() if copy else a for a in found]

    def _outputs(self, arrays):
        """Empty outputs for these arrays: what an unscheduled kernel makes."""
        search = self.search
        kernel = self.op.compile(**arrays, **search.consts, schedule="", target=search.target, threads=1)
        return kernel(**_copies(self.op, arrays), **search.scalars)

    def _interpret(self):
        """The reference on ever larger fronts, as long as the next one fits into its part of the budget."""
        search, left = self.search, min(REFERENCE_S, REFERENCE_PART * self.search.budget)
        for cap in (8, 16, 32, 64, 128, 256, None):
            part = self._front(cap)
            if part is None:
                continue
            full = all(part[k].shape == a.shape for k, a in search.arrays.items())
            t = time.perf_counter()
            try:
                out = self._outputs(part)
                reference = self.op.reference(**_copies(self.op, part), **search.scalars, **search.consts, out=out)
            except Error:
                continue  # a size that the op's requirements or its data exclude
            took = time.perf_counter() - t
            self.part, self.reference, self.full = part, reference, full
            left -= took
            if full or 8 * took > left:
                return

    def _front(self, cap):
        """The first elements along each dim that is a plain name; None where a dim is made of others."""
        arrays = self.search.arrays
        if cap is None:
            return arrays
        values, packs = {}, False
        for p in self.op.parameters:
            if p["name"] not in arrays:
                continue
            packs |= any(d.startswith("...") for d in p["dims"])
            if not packs and any(not re.fullmatch(r"[A-Za-z_]\w*", d) and not d.isdigit() for d in p["dims"]):
                return None
        out = {}
        for k, a in arrays.items():
            dims = next(p["dims"] for p in self.op.parameters if p["name"] == k)
            fixed = [d.isdigit() for d in dims] if len(dims) == a.ndim else [False] * a.ndim
            # The rest by the cap is kept, so that tails are as odd as those of the whole.
            out[k] = np.ascontiguousarray(a[tuple(slice(None) if f or n <= cap else slice(cap + n % cap) for f, n in zip(fixed, a.shape))])
        return out

    def fault(self, kernel, choices):
        """What is wrong with a kernel's answer, in words; empty when it is right."""
        search = self.search
        if self.part is not None:
            arrays = _copies(self.op, self.part)
            small = search.op.compile(**arrays, **search.consts, schedule=search.schedule, tune=choices, target=search.target, threads=search.threads)
            try:
                got = self._answer(small(**arrays, **search.scalars), arrays)
            except Error:
                got = None  # the schedule's `where` does not take so small a size: the whole is compared below
            for one, (value, bound) in zip(got or (), self.reference):
                if not _within(one, value, bound):
                    return "an element lies outside the interpreter's bound"
        arrays = search._fresh()
        for o in _tuple(self.out):
            _spoil(o)
        kernel(**arrays, **search.scalars, out=self.out)
        for one, whole in zip(self._answer(self.out, arrays), self.whole):
            if not _alike(one, whole, self._error(one)):
                return "the answer on the whole arguments is not that of the default schedule"
        return ""

    def _error(self, one):
        """What two right answers may differ by, relative to the greatest element: from the interpreter's bounds on the front, grown by how
        much longer the whole is; without them from the type."""
        parts = [float(np.max(b[np.isfinite(b)], initial=0)) / max(float(np.max(np.abs(v[np.isfinite(v)]), initial=0)), 1e-300)
                 for v, b in self.reference or ()]
        grown = 1.0
        for k, a in self.search.arrays.items():
            if self.part is not None:
                grown = max(grown, a.size / max(self.part[k].size, 1))
        return 2 * grown * max(parts, default=2.0**-8) if one.dtype.kind not in "iub" else 0


def _spoil(array):
    """Values that no right kernel leaves: NaN, or the greatest integer."""
    if array.dtype.kind in "iu":
        array.fill(np.iinfo(array.dtype).max)
    elif array.dtype.kind == "b":
        array.fill(True)
    else:
        array.fill(np.nan)


def _within(one, value, bound):
    if one.dtype.kind in "iub":
        return bool(np.array_equal(one.astype(np.float64), value))
    wide = one.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return bool(np.all((np.abs(wide - value) <= bound) | (wide == value) | (np.isnan(wide) & np.isnan(value)) | np.isinf(bound)))


def _alike(one, other, error):
    if error == 0:
        return bool(np.array_equal(one, other))
    one, other = one.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(other)
    if not np.array_equal(finite, np.isfinite(one)):
        return False
    scale = float(np.max(np.abs(other[finite]), initial=0))
    return float(np.max(np.abs(one[finite] - other[finite]), initial=0)) <= error * scale
