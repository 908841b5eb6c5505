"""Modules, ops and kernels pickle as text and request, never as code."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import heddle as hd

TEXT = """
op scale<T: float>(x: T[n, m], a: T = 2.0, const extra: int = 0) -> y: T[n, m] { y[i, j] = x[i, j] * a + T(extra) }
schedule scale.wide on cpu where m >= 8 { tune lanes = 4 in [4, 8]; vectorize y.j by lanes }
"""
MORE = "schedule scale.threads on cpu { parallel y.i }"
X = np.arange(40, dtype=np.float32).reshape(4, 10)


@pytest.fixture(scope="module")
def m():
    return hd.parse(TEXT, "scale.hd").extend(MORE, "more.hd")


def again(value):
    return pickle.loads(pickle.dumps(value))


def test_modules_and_ops(m):
    two = again(m)
    assert two.ops == m.ops and two.scale.schedules == ["wide", "threads"]
    np.testing.assert_array_equal(two.scale(X), 2 * X)
    op = again(m.scale)
    assert op.signature == m.scale.signature and op.schedules == m.scale.schedules
    np.testing.assert_array_equal(again(hd.std.nn.softmax)(X), hd.std.nn.softmax(X))
    assert copy.deepcopy(m).ops == m.ops
    with pytest.raises(hd.Error) as e:  # the names of the texts stay
        again(m).extend("schedule scale.wrong on cpu { vectorize y.q }", "third.hd").scale(X, schedule="wrong")
    assert e.value.file == "third.hd"


@pytest.mark.parametrize("request_", [
    dict(), dict(schedule=""), dict(schedule="threads"), dict(schedule="wide", tune={"lanes": 8}), dict(fix={"m": 10}),
    dict(target=hd.targets()[-1]), dict(threads=1), dict(extra=3),
], ids=str)
def test_kernels(m, request_):
    k = m.scale.compile(X, **request_)
    two = again(k)
    assert (two.program, two.schedule, two.target) == (k.program, k.schedule, k.target)
    np.testing.assert_array_equal(two(X, 3), k(X, 3))


def test_kernels_of_strided_arrays_and_other_types(m):
    k = again(m.scale.compile(X[:, ::2]))
    np.testing.assert_array_equal(k(X[:, ::2]), 2 * X[:, ::2])
    x = X.astype(np.float64)
    np.testing.assert_array_equal(again(m.scale.compile(x))(x), 2 * x)
    k = again(m.scale.compile(hd.spec("f32", "n", "m")))
    np.testing.assert_array_equal(k(X), 2 * X)


def test_there_is_no_code_in_it(m):
    bytes_ = pickle.dumps(m.scale.compile(X))
    assert TEXT.strip().encode() in bytes_ and len(bytes_) < len(TEXT) + 600


def test_programs(m):
    text = m.scale.compile(X, schedule="threads").program
    p = hd.parse(text).program("scale.threads")
    assert again(p).text == p.text
    np.testing.assert_array_equal(again(p.compile())(X), 2 * X)


def test_specs_states_schedules_errors(m):
    assert repr(again(hd.spec("f32", "n", 4))) == repr(hd.spec("f32", "n", 4))
    states = m.scale.schedule("threads").states(X)
    assert [s.program for s in again(states)] == [s.program for s in states]
    assert again(m.scale.schedule("threads")).steps == m.scale.schedule("threads").steps
    with pytest.raises(hd.Error) as e:
        hd.parse("op f(")
    assert str(again(e.value)) == str(e.value) and again(e.value).code == e.value.code


def test_another_process(m, tmp_path):
    (tmp_path / "k.pickle").write_bytes(pickle.dumps((m.scale.compile(X), X)))
    code = f"import pickle; k, x = pickle.load(open({str(tmp_path / 'k.pickle')!r}, 'rb')); assert (k(x) == 2 * x).all(); print(k.name)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert out.stdout == "scale.wide\n", out.stderr


def test_what_comes_damaged_raises(m):
    """A recipe is input like any other: refused text raises, and nothing else happens."""
    function, (texts, name, request) = m.scale.compile(X).__reduce__()
    with pytest.raises(hd.Error):
        function((("op scale(", "x.hd"),), name, request)
    with pytest.raises(AttributeError):
        function(texts, "other", request)
    with pytest.raises(hd.Error):
        function(texts, name, ([("i64", [2, 3], True)],) + request[1:])
