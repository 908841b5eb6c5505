"""Texts in the cache on disk: one that was found right is not read again, and what is known of it is what the text says, now and here."""
import gc
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import heddle as hd

STDLIB = Path(hd.__file__).parent / "stdlib"
X = np.arange(6, dtype=np.float32)
TEXT = """/// Three times.
op scale<T: number>(x: T[n], k: T = 3) -> y: T[n] { y[i] = x[i] * k }
schedule scale.wide on cpu where n >= 100 { vectorize y.i by lanes(f32) }
schedule scale.small on cpu { unroll y.i by 2 }
"""


@pytest.fixture(autouse=True)
def cache(tmp_path):
    folder = tmp_path / "cache"
    gc.collect()  # a kernel that lives is found without the cache
    hd.set_cache(folder)
    yield folder
    hd.set_cache(None)


def keep(module, op, *args, **how):
    """Compiles, so that text and kernel are kept, and drops the kernel."""
    kernel = module.op(op).compile(*args, **how)
    hd.cache()  # waits until they are stored
    return kernel.program


def is_read(module, op, *args, **how):
    """Whether the text has been parsed after a compile of what is known."""
    module.op(op).compile(*args, **how)
    return module._handle.is_read


def face(module):
    ops = [module.op(name) for name in module.ops]
    return [(o.name, o.__doc__, o.parameters, o.schedules, o.signature) for o in ops], module.programs, repr(module)


def test_a_text_is_read_once():
    keep(hd.parse(TEXT), "scale", X)
    hd.parse(TEXT).scale(X)
    gc.collect()
    hd.cache()
    again = hd.parse(TEXT, "other.hd")
    assert not is_read(again, "scale", X)
    assert np.array_equal(again.scale(X), X * 3) and again.scale.compile(X).schedule == "small"
    assert not is_read(again, "scale", X), "a call and a choice need no text"
    # What goes beyond is read then, under its name.
    states = again.scale.schedule("small").states(X)
    assert [s.step for s in states] == ["", "unroll y.i by 2"]
    assert "define" in again.scale.compile(X).llvm
    with pytest.raises(hd.Error) as e:
        again.scale(X.reshape(2, 3))
    assert (e.value.file, e.value.line) == ("other.hd", 2)
    assert again.scale.compile(X, fix={"n": 6}).times["parse"] > 0


@pytest.mark.parametrize("file", sorted(STDLIB.glob("*/*.hd")), ids=lambda f: f.stem)
def test_what_is_known_of_a_text_is_what_it_says(file, cache):
    hd.set_cache(None)
    plain = face(hd.load(file))
    hd.set_cache(cache)
    first = hd.load(file)
    assert face(first) == plain
    if not first.ops:
        return  # nothing that could be compiled: never kept
    op = first.op(first.ops[0])
    arrays = [hd.spec(p["type"] if p["type"] in ("f32", "i32", "i64", "i8", "u64", "u32", "bool") else "f32", *(["d"] * len(p["dims"])))
              for p in op.parameters if p["kind"] == "array" and not p["output"]]
    keep(first, op.name, *arrays, schedule="")
    again = hd.load(file)
    assert not is_read(again, op.name, *arrays, schedule="")
    assert face(again) == plain


def test_an_error_is_never_kept():
    for _ in range(2):
        for text, code in ((TEXT.replace("x[i]", "z[i]"), "HD0"), (TEXT + "schedule scale.small on cpu { }", "HD0"), (TEXT + "op (", "HD0")):
            with pytest.raises(hd.Error) as e:
                hd.parse(text)
            assert e.value.code.startswith(code) and e.value.line
    keep(hd.parse(TEXT), "scale", X)
    found = hd.parse(TEXT)
    for _ in range(2):
        with pytest.raises(hd.Error, match="defined twice"):
            found.extend("schedule scale.wide on cpu { }", "more.hd")


def test_more_text_is_known_with_what_it_adds_to():
    more = "schedule scale.four on cpu { unroll y.i by 4 }"
    both = hd.parse(TEXT).extend(more)
    keep(both, "scale", X, schedule="four")
    again = hd.parse(TEXT).extend(more)
    assert again.scale.schedules == ["wide", "small", "four"] and not is_read(again, "scale", X, schedule="four")
    other = hd.parse(TEXT.replace("= 3", "= 5")).extend(more)
    assert not other.scale.compile(X, schedule="four").times["parse"] == 0
    assert np.array_equal(other.scale(X, schedule="four"), X * 5)
    assert again.scale.schedule("four").steps == ["unroll y.i by 4"]  # read at last, base and all


def test_sizes_choose_through_schedules_that_are_applied():
    """A schedule without a `where` of its own is held to that of the schedule it applies."""
    text = """
op half(x: f32[n]) -> y: f32[n] { y[i] = x[i] / 2 }
schedule half.wide on cpu where n >= 100 { vectorize y.i by lanes(f32) }
op quarter(x: f32[n]) -> z: f32[n] {
  t = half(x)
  z[i] = t[i] / 2
}
schedule quarter.first on cpu { apply half.wide to t }
schedule quarter.second on cpu { unroll z.i by 2 }
"""
    for n in (7, 200, 7, 200):
        x = np.arange(n, dtype=np.float32)
        kernel = hd.parse(text).quarter.compile(x)
        assert kernel.schedule == ("first" if n >= 100 else "second")
        assert np.array_equal(kernel(x), x / 4)
        hd.cache()
        del kernel


def test_choices_are_found_for_their_types():
    op = hd.parse(TEXT).scale
    for n, t in itertools.product((7, 200), (np.float32, np.int32)):
        op(np.ones(n, t))
    del op
    gc.collect()
    before = hd.cache()
    op = hd.parse(TEXT).scale
    for n, t in itertools.product((7, 200), (np.float32, np.int32)):
        assert np.array_equal(op(np.full(n, 2, t)), np.full(n, 6, t))
    assert sorted(k.schedule for k in op._kernels.values()) == ["small", "small", "wide", "wide"]
    assert hd.cache()["misses"] == before["misses"] and all(k.times["parse"] == 0 for k in op._kernels.values())


PART = "op factor(x: f32[n]) -> y: f32[n] {{ y[i] = x[i] * {} }}\n"
MAIN = 'import "part.hd" as part\nop scaled(x: f32[n]) -> y: f32[n] {\n  t = part.factor(x)\n  y[i] = t[i]\n}\n'


def test_imports_are_looked_up_anew(tmp_path):
    part, main = tmp_path / "part.hd", tmp_path / "main.hd"
    main.write_text(MAIN)
    part.write_text(PART.format(2))
    keep(hd.load(main), "scaled", X)
    found = hd.load(main)
    assert not is_read(found, "scaled", X)

    # Changed: the module that was made before stays what it was, a new one is new.
    part.write_text(PART.format(5))
    assert np.array_equal(hd.load(main).scaled(X), X * 5)
    assert np.array_equal(found.scaled(X), X * 2)
    assert np.array_equal(found.scaled(X, schedule=""), X * 2)
    part.write_text("op factor(")
    with pytest.raises(hd.Error) as e:
        hd.load(main)
    assert e.value.file == str(part)
    part.unlink()
    with pytest.raises(hd.Error, match="there is no file"):
        hd.load(main)
    assert np.array_equal(found.scaled.compile(X, fix={"n": 6})(X), X * 2), "read from the texts of then"

    # The same text in another folder imports another file.
    other = tmp_path / "other"
    other.mkdir()
    (other / "part.hd").write_text(PART.format(7))
    (other / "main.hd").write_text(MAIN)
    assert np.array_equal(hd.load(other / "main.hd").scaled(X), X * 7)
    with pytest.raises(hd.Error, match="no folder to start from"):
        hd.parse(MAIN)


def test_a_known_text_may_not_import_itself(tmp_path):
    part = tmp_path / "part.hd"
    part.write_text(PART.format(2))
    (tmp_path / "main.hd").write_text(MAIN)
    keep(hd.load(tmp_path / "main.hd"), "scaled", X)
    with pytest.raises(hd.Error, match="no file imports itself"):
        hd.parse(MAIN, str(part))


def test_imports_of_imports_and_whole_areas(tmp_path, monkeypatch):
    middle, part, main = tmp_path / "middle.hd", tmp_path / "part.hd", tmp_path / "main.hd"
    part.write_text(PART.format(2))
    middle.write_text(MAIN)
    main.write_text('import "middle.hd"\nimport "std/nn"\nop f(x: f32[n]) -> y: f32[n] {\n  t = middle.scaled(x)\n  y[i] = t[i] + 1\n}\n')
    keep(hd.load(main), "f", X)
    assert not is_read(hd.load(main), "f", X)
    part.write_text(PART.format(3))
    assert np.array_equal(hd.load(main).f(X), X * 3 + 1)


def test_what_is_imported_is_read_again_when_it_or_its_imports_change(tmp_path):
    """In one process and without a cache on disk: a file is kept in memory only where it imports nothing itself."""
    hd.set_cache(None)
    middle, part, main = tmp_path / "middle.hd", tmp_path / "part.hd", tmp_path / "main.hd"
    main.write_text('import "middle.hd"\nop f(x: f32[n]) -> y: f32[n] {\n  t = middle.scaled(x)\n  y[i] = t[i] + 1\n}\n')
    middle.write_text(MAIN)
    for k in (2, 3, 2):
        part.write_text(PART.format(k))
        assert np.array_equal(hd.load(main).f(X), X * k + 1) and np.array_equal(hd.load(middle).scaled(X), X * k)
    part.write_text('import "main.hd"\n' + PART.format(2))
    with pytest.raises(hd.Error, match="no file imports itself"):
        hd.load(main)


def test_imports_of_a_text_that_is_read_late(tmp_path):
    """What a lazily read text imports comes from the texts of its parse, and spoils no later reading of the files."""
    middle, part, main = tmp_path / "middle.hd", tmp_path / "part.hd", tmp_path / "main.hd"
    main.write_text('import "middle.hd"\nop f(x: f32[n]) -> y: f32[n] {\n  t = middle.scaled(x)\n  y[i] = t[i] + 1\n}\n')
    middle.write_text(MAIN)
    part.write_text(PART.format(2))
    keep(hd.load(main), "f", X)
    late = hd.load(main)
    part.write_text(PART.format(3))
    assert np.array_equal(late.f.compile(X, fix={"n": 6})(X), X * 2 + 1)
    assert np.array_equal(hd.load(main).f(X), X * 3 + 1)
    assert np.array_equal(hd.load(middle).scaled(X), X * 3)


def test_another_library_is_another_text(tmp_path):
    """`import "std/.."` means the library of this process."""
    program = """
import json, numpy as np, heddle as hd
m = hd.parse('import "std/part/one" as p\\nop f(x: f32[n]) -> y: f32[n] {\\n  y = p.one(x)\\n}')
print(json.dumps([m.f(np.ones(3, np.float32)).tolist(), m.f.compile(np.ones(3, np.float32)).cached]))
"""
    out = []
    for k in (2, 3, 2, 3):
        folder = tmp_path / f"lib{k}" / "part"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "one.hd").write_text(f"op one(x: f32[n]) -> y: f32[n] {{ y[i] = x[i] * {k} }}\n")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                              env={**os.environ, "HEDDLE_CACHE": str(tmp_path / "c"), "HEDDLE_STDLIB": str(folder.parent)})
        assert done.returncode == 0, done.stderr
        out.append(json.loads(done.stdout)[0])
    assert out == [[k] * 3 for k in (2, 3, 2, 3)]


def test_damaged_entries_are_absent(cache):
    """Each entry on its own: cut short, emptied, with changed bytes, or another entry's content under its name."""
    keep(hd.parse(TEXT), "scale", X)
    hd.parse(TEXT).scale(X)
    gc.collect()
    hd.cache()
    good = {f: f.read_bytes() for f in cache.iterdir()}
    assert len(good) >= 5
    random = np.random.default_rng(3)
    for f, data in good.items():
        others = [d for g, d in good.items() if g != f]
        flipped = bytearray(data)
        flipped[int(random.integers(len(data)))] ^= 16
        for bad in (data[: len(data) // 2], b"", bytes(flipped), data + b"x", others[0], others[-1]):
            f.write_bytes(bad)
            gc.collect()
            op = hd.parse(TEXT).scale
            assert op.schedules == ["wide", "small"] and op.parameters[1]["default"] == 3
            assert np.array_equal(op(X), X * 3)
            assert np.array_equal(op(np.ones(150, np.float32)), np.full(150, 3, np.float32))
            del op
            hd.cache()
        f.write_bytes(data)


def test_threads_read_a_known_text_at_once():
    text = (STDLIB / "linalg" / "matmul.hd").read_text()
    spec = hd.spec("f32", "m", "n")
    keep(hd.parse(text, str(STDLIB / "linalg" / "matmul.hd")), "matmul", spec, spec, schedule="")
    for _ in range(5):
        module = hd.parse(text, str(STDLIB / "linalg" / "matmul.hd"))
        assert not is_read(module, "matmul", spec, spec, schedule="")
        start, wrong = threading.Barrier(4), []

        def work(seed, module=module, start=start, wrong=wrong):
            start.wait()
            try:
                a = np.arange(12, dtype=np.float32).reshape(3, 4) + seed
                if not np.array_equal(module.matmul(a, a.T), a @ a.T):
                    wrong.append(seed)
                if not module.matmul.schedule(module.matmul.schedules[-1]).steps:
                    wrong.append("steps")
            except BaseException as e:  # what a thread raises is lost otherwise
                wrong.append(e)

        threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not wrong


def test_a_compile_that_reads_a_known_text_can_be_stopped():
    """What was begun when the time was over is done anew the next time."""
    keep(hd.parse(TEXT), "scale", X)
    again = hd.parse(TEXT)
    with pytest.raises(hd.Error) as e:
        again.scale.compile(X, fix={"n": 6}, time_limit_s=1e-6)
    assert e.value.code == "HD0556"
    assert np.array_equal(again.scale.compile(X, fix={"n": 6})(X), X * 3)
