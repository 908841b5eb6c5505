"""What tests of the standard library share: targets, schedules that serve a call, and comparison within a bound."""

import numpy as np
import pytest

import heddle as hd

TARGETS = ["cpu/amx", "cpu/avx512", "cpu/avx2", "cpu/x86-64-v2"]


def serves_others(error):
    """The schedule is for another target or other sizes (by `where`, by `fix`), names an axis or a dim of a pack that has none here,
    or joins the loops of one that has more."""
    return (error.code in ("HD0504", "HD0552") or (error.code == "HD0503" and "this kernel takes" in error.message)
            or (error.code == "HD0304" and (".r`" in error.message or "is no dim" in error.message))
            or (error.code == "HD0311" and "do not stand in one body" in error.message and ".r" in error.message))


def targets():
    """The targets that this machine runs."""
    known = {t if isinstance(t, str) else t["name"] for t in hd.targets()}
    return [t for t in TARGETS if t in known]


def made_for_others(op, *args):
    """The schedules that are for another family, or for instructions that this machine lacks."""
    others = {s for s in op.schedules if s.startswith("neuron")}
    for schedule in op.schedules:
        try:
            op.compile(*args, schedule=schedule)
        except hd.Error as error:
            if error.code == "HD0552":
                others.add(schedule)
    return others


def within(out, exact, bound):
    """Every element within `bound` of `exact`; NaN and infinities where it has them."""
    out, exact = np.asarray(out, np.float64), np.asarray(exact, np.float64)
    assert out.shape == exact.shape
    with np.errstate(invalid="ignore"):
        wrong = ~((np.abs(out - exact) <= bound) | (np.isnan(out) & np.isnan(exact)) | (out == exact))
    assert not wrong.any(), f"{np.count_nonzero(wrong)} of {out.size} outside, first at {np.argwhere(wrong)[0]}"


def every_schedule(op, *args, check, **named):
    """Calls `check(out)` for the call as it is, unscheduled, and with each schedule that serves it, on every target of the machine."""
    check(op(*args, **named))
    check(op(*args, schedule="", **named))
    served = set()
    for schedule in op.schedules:
        if schedule.startswith("neuron"):
            continue  # tests/python/test_nki_std.py
        # Tiles on the best target, as machine code or by what they mean; the rest is the same code for cpu/amx as for cpu/avx512.
        for target in targets()[:1] if schedule.startswith("amx") else [t for t in targets() if t != "cpu/amx"]:
            try:
                out = op(*args, schedule=schedule, target=target, **named)
            except hd.Error as error:
                if not serves_others(error):
                    raise
                continue
            served.add(schedule)
            try:
                check(out)
            except AssertionError as error:
                pytest.fail(f"schedule {schedule} on {target}: {error}")
    return served


def bounded(op, *args, like, exact=None, **named):
    """(value, bound) of the canonical program by the interpreter; the value is held to NumPy's `exact` where that is given."""
    outs = tuple(np.empty_like(o) for o in like) if isinstance(like, tuple) else np.empty_like(like)
    results = op.reference(*args, out=outs, **named)
    if exact is not None:
        for (value, _), wanted in zip(results, exact if isinstance(exact, tuple) else (exact,)):
            np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-9)
    return results


def agrees(op, *args, exact=None, **named):
    """Every schedule on every target within the interpreter's bound, and the interpreter with NumPy."""
    plain = op(*args, schedule="", **named)
    results = bounded(op, *args, like=plain, exact=exact, **named)

    def check(out):
        for part, (value, bound) in zip(out if isinstance(out, tuple) else (out,), results):
            within(part, value, bound)

    return every_schedule(op, *args, check=check, **named)


def host_has(flag):
    """Whether the machine's processors have it, by the name that Linux gives it."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        return flag in next((line.split() for line in file if line.startswith("flags")), [])
