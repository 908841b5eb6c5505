"""Parameters and results of ops in Python's words: signatures, defaults, names."""

import inspect

import numpy as np
import pytest

import heddle as hd


def test_signatures_are_those_of_python():
    op = hd.parse("op f(x: f32[n], const groups: int = 2, on: bool = true, scale: f32 = 0.5, target: i64[n]) -> y: f32[n] { y[i] = x[i]*scale }").f
    assert str(inspect.signature(op)) == "(x, groups=2, on=True, scale=0.5, *, target, out=None, schedule=None, threads=None)"
    assert "groups: int = 2, on: bool = true, scale: f32 = 0.5" in op.signature
    assert str(inspect.signature(hd.std.nn.cross_entropy)).startswith("(logits, target, *, out=None")


@pytest.mark.parametrize("one, other, fields", [("lambda", "b", ("lambda_", "b")), ("_a", "b", ("a", "b")), ("_a", "a", ("a", "_1")), ("None", "__", ("None_", "_1"))])
def test_names_that_python_keeps(one, other, fields):
    op = hd.parse(f"op class(from: f32[n]) -> ({one}: f32[n], {other}: f32[n]) {{ {one}[i] = from[i]; {other}[i] = 2*from[i] }}").op("class")
    x = np.ones(3, np.float32)
    for y in (op(x), op(**{"from": x}), op.compile(x, target="neuron/trn2").simulate(x)):
        assert y._fields == fields and type(y).__name__ == "class_" and (y[1] == 2).all()
    assert str(inspect.signature(op)).startswith("(from_, *, out=None")


def test_defaults_are_the_same_wherever_an_op_runs():
    op = hd.parse("op f(x: i64[n], on: bool = true, s: i64 = 9007199254740993, t: i64 = 2) -> y: i64[n] { y[i] = if on then x[i] + s*t else 0 }").f
    x = np.arange(4)
    for named in ({}, {"t": 3}, {"on": False}, {"s": 2**62, "t": 1}):
        y = np.zeros(4, np.int64)
        op.interpret(x, out=y, **named)
        want = x + named.get("s", 2**53 + 1) * named.get("t", 2) if named.get("on", True) else 0 * x
        assert (y == want).all() and (op(x, **named) == want).all()
