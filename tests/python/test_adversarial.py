"""Texts made to be slow: each is answered within a second, by a module or by diagnostics of a readable size."""

import time

import numpy as np
import pytest

import heddle as hd

MIB = 1 << 20
OP = "op f(x: f32[n]) -> y: f32[n] { y[i] = "
PLAIN = OP + "x[i] }\n"


def lines(row, count):
    return "".join(row.replace("#", str(i)).replace("@", str(i + 1)) + "\n" for i in range(count))


TEXTS = {
    "open parentheses": "(" * MIB,
    "closing parentheses": ")" * MIB,
    "open braces": "{" * MIB,
    "one sum": OP + "x[i]+" * (MIB // 5),
    "minus signs": OP + "-" * (MIB - 50),
    "defaults of defaults": OP + "x[i] or " * (MIB // 8 - 8),
    "arms of arms": OP + "if x[i] > 0 then " * (MIB // 17 - 8),
    "zero bytes": "\0" * MIB,
    "a long name": "op " + "a" * (MIB - 3),
    "a long name, used": f"op f({'x' * 500000}: f32[n]) -> y: f32[n] {{ y[i] = {'x' * 500000}[i] }}",
    "a long comment": "//" + "c" * (MIB - 2),
    "comments": "// c\n" * (MIB // 5),
    "line ends": "\n" * MIB,
    "spaces": " " * MIB,
    "a string": '"' + "s" * (MIB - 1),
    "digits": OP + "x[i] * " + "1" * (MIB - 60) + " }",
    "an exponent": OP + "x[i] * 1e" + "9" * (MIB - 60) + " }",
    "words": "op schedule [ ( { } ) ] = <- .. , " * (MIB // 34),
    "ops": lines("op f#(x: f32[n]) -> y: f32[n] { y[i] = x[i] }", 2000),
    "generic ops": lines("op f#<T: any>(x: T[n]) -> y: T[n] { y[i] = x[i] }", 1700),
    "reducers": lines("reducer r#<T: number>(m: T) commutes { identity { m = 0 } combine(a, b) { m = a.m + b.m } }", 1300),
    "schedules": PLAIN + lines("schedule f.s# on cpu { parallel y.i }", 4000),
    "splits of splits": PLAIN + "schedule f.s on cpu {\n split y.i by 2 into a0, b0\n" + lines(" split y.a# by 2 into a@, b@", 2000) + "}",
    "steps of steps": lines("step s#(l: loop) { s@ l; s@ l }", 30) + "step s30(l: loop) { unroll l by 2 }\n" + PLAIN + "schedule f.s on cpu { s0 y.i }",
    "steps of nothing": lines("step s#(l: loop) { s@ l; s@ l }", 30) + "step s30(l: loop) { }\n" + PLAIN + "schedule f.s on cpu { s0 y.i }",
    "choices": PLAIN + "schedule f.s on cpu { tune a = 1 in 1 .. 1000000000000\n split y.i by a }",
    "lets": "let a0 = 1\n" + "".join(f"let a{i} = a{i - 1} + a{i - 1}\n" for i in range(1, 6000)),
    "requirements": "op f(x: f32[n, m, k]) -> y: f32[n] {\n" + lines('require n*@ + m*# - k*# >= #, "why"', 400) + "y[i] = x[i, i/2, i/3] }",
    "16 conditionals in each other": OP + "(if x[i] > 0 then " * 16 + "x[i]" + " else x[i - 1] or 0)" * 16 + " }",
    "16 conditionals, inlined": "op f(x: f32[n]) -> y: f32[n] {\n t0[i] = x[i]\n"
    + lines(" t@[i] = if t#[i] > # then t#[i] * 2 else t#[i] + 1", 16) + " y[i] = t16[i] }\nschedule f.s on cpu {\n"
    + "".join(f" inline t{k}\n" for k in range(16, -1, -1)) + "}",
    "a sum of sums, inlined": "op f(x: f32[n]) -> y: f32[n] {\n t0[i] = x[i]\n t1[i] = x[i]\n"
    + "".join(f" t{k + 2}[i] = t{k}[i] + t{k + 1}[i]\n" for k in range(30)) + " y[i] = t31[i] }\nschedule f.s on cpu {\n"
    + "".join(f" inline t{k}\n" for k in range(31, -1, -1)) + "}",
    "an index of conditionals": OP + "x[" + "".join(f"if i > {k} then i - {k} else " for k in range(100)) + "i] }",
}


@pytest.mark.parametrize("name", TEXTS)
def test_answered(name):
    """In time that does not explode: how long it takes is measured by `./dev bench --suite compile`, and is far below the guard here."""
    text = TEXTS[name][:MIB]
    start = time.process_time()
    try:
        hd.parse(text).check()
        said = ""
    except hd.Error as e:
        said = str(e)
    assert time.process_time() - start < 20
    assert len(said) < 8000 and "not supported" not in said


@pytest.mark.parametrize("steps", ["", "compute_at", "fuse", "vectorize"])
def test_400_stages(steps):
    text = "op f(x: f32[n]) -> y: f32[n] {\n s0[i] = x[i]\n" + lines(" s@[i] = s#[i] * 0.5 + x[i]", 399) + " y[i] = s399[i] }\n"
    names = [f"s{i}" for i in range(399, -1, -1)]
    if steps == "compute_at":
        text += "schedule f.s on cpu { split y.i by 4; compute_at " + ", ".join(names) + " at y.io }"
    if steps == "fuse":
        text += "schedule f.s on cpu {\n" + lines(" fuse s0.i, s@.i", 399) + "}"
    if steps == "vectorize":
        text += "schedule f.s on cpu { vectorize " + ", ".join(f"{s}.i" for s in names) + " by 8 }"
    x = np.arange(13, dtype=np.float32)
    want = x.copy()
    for _ in range(399):
        want = want * np.float32(0.5) + x
    np.testing.assert_array_equal(hd.parse(text).f(x, schedule="s" if steps else ""), want)
