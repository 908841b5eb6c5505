"""The cache on disk: later processes find kernels; whatever its files hold is safe; no cache is no failure."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import heddle as hd

PROGRAM = """
import json, sys, time
import numpy as np, heddle as hd
x = np.linspace(-3, 3, 35, dtype=np.float32).reshape(5, 7)
op = hd.std.nn.softmax
start = time.perf_counter()
k = op.compile(x, schedule="rows")
assert np.array_equal(op(x), op(x, schedule=op.compile(x).schedule))     # a schedule chosen by what is known of the types
ms = (time.perf_counter() - start) * 1e3
e = np.exp(x.astype(np.float64))
assert np.allclose(k(x), e / e.sum(1, keepdims=True), rtol=1e-5)
assert np.array_equal(k(np.asfortranarray(x)), k(x))          # another variant of the code
assert "softmax" in k.program and k.name == "softmax.rows" and "define" in k.llvm
try:
    k(x.astype(np.float64))
    raise SystemExit("a wrong type is taken")
except hd.Error as e:
    assert "`x` has elements of type `f64`" in e.message, e
print(json.dumps({"cached": k.cached, "ms": ms, "times": k.times, "cache": hd.cache()}))
"""


def run(folder=None, program=PROGRAM, home=None, **more):
    environment = {k: v for k, v in os.environ.items() if k not in ("HEDDLE_CACHE", "XDG_CACHE_HOME", "HOME")}
    environment.update({k: str(v) for k, v in (("HEDDLE_CACHE", folder), ("HOME", home)) if v is not None}, **more)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_second_process_finds_the_kernel(tmp_path):
    first = run(tmp_path / "cache")
    assert not first["cached"] and first["cache"]["on"] and first["cache"]["stored"] == 8
    # The module, what chooses, the requests by name, without one and by what was chosen; two programs, one in two variants of its code.
    second = run(tmp_path / "cache")
    assert second["cached"] and second["cache"]["stored"] == 0 and second["times"]["llvm"] == 0
    assert second["cache"]["misses"] == 0
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_home_is_the_default_place(tmp_path):
    assert run(home=tmp_path)["cache"]["folder"] == str(tmp_path / ".cache/heddle")
    assert run(home=tmp_path)["cached"]
    assert run(home=tmp_path, XDG_CACHE_HOME=str(tmp_path / "xdg"))["cache"]["folder"] == str(tmp_path / "xdg/heddle")


@pytest.mark.parametrize("how", ["off", "", "0"])
def test_it_can_be_switched_off(how, tmp_path):
    done = run(how, home=tmp_path)
    assert not done["cached"] and not done["cache"]["on"] and "HEDDLE_CACHE" in done["cache"]["why_off"]
    assert not list(tmp_path.iterdir())


def test_without_a_place_there_is_no_cache_and_no_failure(tmp_path):
    assert not run()["cache"]["on"]
    (tmp_path / "file").write_text("")
    for home in ("/proc/none", "relative", tmp_path / "file"):
        assert not run(home=home)["cache"]["on"]
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert not run(shared)["cache"]["on"] and not list(shared.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_home(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert not run(home=tmp_path)["cache"]["on"]
    finally:
        tmp_path.chmod(0o700)


def test_any_bytes_in_its_files_are_safe(tmp_path):
    cache = tmp_path / "cache"
    run(cache)
    good = {f: f.read_bytes() for f in cache.iterdir()}
    random = np.random.default_rng(5)
    for attempt in range(6):
        for f, data in good.items():
            bad = bytearray(data)
            if attempt == 0:
                bad = bad[: len(bad) // 2]
            elif attempt == 1:
                bad = bytearray()
            elif attempt == 2:
                bad = bytearray(random.bytes(len(bad)))
            else:
                for at in random.integers(0, len(bad), 20):
                    bad[at] ^= 1 << int(random.integers(8))
            f.write_bytes(bad)
        assert not run(cache)["cached"]
        assert run(cache)["cached"], "what was broken is stored anew"


def test_in_one_process(tmp_path):
    text = """op scale(x: f32[n]) -> y: f32[n] { y[i] = x[i] * 3 }
    schedule scale.wide on cpu where n >= 100 { vectorize y.i by lanes(f32) }
    schedule scale.small on cpu { unroll y.i by 2 }
    """
    hd.set_cache(tmp_path / "c")
    try:
        x = np.arange(7, dtype=np.float32)
        k = hd.parse(text).scale.compile(x)
        assert k.schedule == "small" and not k.cached
        assert hd.cache()["stored"] == 3
        program = k.program
        del k
        again = hd.parse(text).scale.compile(x)
        assert again.cached and again.program == program and again.schedule == "small"
        # Sizes choose the schedule, so they are part of the key; so are fixed dims, targets, and every byte of the text.
        assert hd.parse(text).scale.compile(np.ones(200, np.float32)).schedule == "wide"
        fixed = hd.parse(text).scale.compile(x, fix={"n": 7})
        assert not fixed.cached and "let n = 7" in fixed.program
        with pytest.raises(hd.Error):
            fixed(np.ones(8, np.float32))
        other = hd.parse(text.replace("* 3", "* 5")).scale.compile(x)
        assert not other.cached and np.array_equal(other(x), x * 5)
        # A kernel that was found goes on to other variants, and prints what it is.
        assert np.array_equal(again(np.arange(20, dtype=np.float32)[::3]), np.arange(20, dtype=np.float32)[::3] * 3)
        assert "define" in again.llvm
        # More text that leaves the program as it is: the front differs, the code is found.
        more = hd.parse(text + "// a comment").scale.compile(x)
        assert np.array_equal(more(x), x * 3)
        hd.set_cache(None)
        assert not hd.cache()["on"]
    finally:
        hd.set_cache(None)


def test_checks_on_data_of_a_kernel_from_disk(tmp_path):
    program = """
import json
import numpy as np, heddle as hd
k = hd.std.data.gather.compile(np.ones((4, 3), np.float32), np.zeros(2, np.int64))
try:
    k(np.ones((4, 3), np.float32), np.array([0, 9]))
    raise SystemExit("read outside")
except hd.Error as e:
    print(json.dumps({"cached": k.cached, "said": e.message}))
"""
    first, second = run(tmp_path / "c", program), run(tmp_path / "c", program)
    assert second["cached"] and not first["cached"]
    assert first["said"] == second["said"]


def test_many_processes_at_once(tmp_path):
    environment = {**os.environ, "HEDDLE_CACHE": str(tmp_path / "c")}
    jobs = [subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for job in jobs:
        out, err = job.communicate(timeout=120)
        assert job.returncode == 0, err.decode()
    assert run(tmp_path / "c")["cached"]
    assert all(len(f.name) == 64 for f in Path(tmp_path / "c").iterdir())


IMPORTING = """
import json, sys
import numpy as np, heddle as hd
k = hd.load({main!r}).scaled.compile(np.ones(5, np.float32), schedule="lanes")
print(json.dumps({{"cached": k.cached, "y": float(k(np.ones(5, np.float32))[0]), "steps": k.times["steps"], "vector": "vector" in k.program}}))
"""


def test_what_a_text_imports_is_part_of_it(tmp_path):
    """The front of the cache knows a kernel by its texts, those of imports too: found without the steps, and made anew where one differs."""
    part, main = tmp_path / "part.hd", tmp_path / "main.hd"
    main.write_text('import "part.hd" as part\nop scaled(x: f32[n]) -> y: f32[n] {\n  t = part.factor(x)\n  y[i] = t[i]\n}\n'
                    'schedule scaled.lanes on cpu { part.lanes y.i }\n')
    text = 'op factor(x: f32[n]) -> y: f32[n] {{ y[i] = x[i] * {} }}\nstep lanes(l: loop) {{ {} l by 4 }}\n'
    program = IMPORTING.format(main=str(main))
    part.write_text(text.format(2, "vectorize"))
    first, again = run(tmp_path / "cache", program), run(tmp_path / "cache", program)
    assert (first["cached"], first["y"], again["cached"], again["y"], again["steps"]) == (False, 2, True, 2, 0)
    part.write_text(text.format(5, "vectorize"))
    assert run(tmp_path / "cache", program)["y"] == 5
    part.write_text(text.format(5, "split"))
    assert not run(tmp_path / "cache", program)["vector"]
