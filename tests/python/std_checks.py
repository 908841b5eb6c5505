"""What tests of the standard library share: targets, schedules that serve a call, and comparison within a bound."""

import numpy as np
import pytest

import heddle as hd

TARGETS = ["cpu/avx512", "cpu/avx2", "cpu/x86-64-v2"]
SERVES_OTHER_SIZES = "HD0504"


def targets():
    """The targets that this machine runs."""
    known = {t if isinstance(t, str) else t["name"] for t in hd.targets()}
    return [t for t in TARGETS if t in known]


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
        for target in targets():
            try:
                out = op(*args, schedule=schedule, target=target, **named)
            except hd.Error as error:
                if error.code != SERVES_OTHER_SIZES:
                    raise
                continue
            served.add(schedule)
            try:
                check(out)
            except AssertionError as error:
                pytest.fail(f"schedule {schedule} on {target}: {error}")
    return served
