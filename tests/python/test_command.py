"""The `heddle` command: formatting, listing, timing, tuning; refused texts with exit code, place and nothing else."""
import json
import re
import resource
import shutil
import subprocess
from pathlib import Path

import heddle as hd
import ml_dtypes
import numpy as np
import pytest
from std_checks import host_has

ROOT = Path(__file__).resolve().parents[2]
COMMAND = shutil.which("heddle")
pytestmark = pytest.mark.skipif(COMMAND is None, reason="the `heddle` command is not on the path")

SOFTMAX = (ROOT / "stdlib/nn/softmax.hd").read_text()


def heddle(*words, stdin="", code=0):
    done = subprocess.run([COMMAND, *map(str, words)], input=stdin, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


# --- refused texts ---------------------------------------------------------------------------------------------------

def op(body, head="op f(x: f32[n]) -> y: f32[n]"):
    return head + " {\n" + "".join(f"  {line}\n" for line in body) + "}\n"


def scheduled(line, body=("y[i] = x[i]",), head="op f(x: f32[n]) -> y: f32[n]"):
    return op(body, head) + "schedule f.s on cpu {\n  " + line + "\n}\n"


REFUSED = {
    "unknown step": (scheduled("splt y.i by 4"), 5, 3, "there is no step `splt`"),
    "shape mismatch": (op(["y[i] = a[i] + b[i]"], "op f(a: f32[n], b: f32[m]) -> y: f32[n]"), 2, 19, "`i` runs over `0 .. n`"),
    "read outside": (op(["y[i] = x[i + 1]"]), 2, 12, "cannot show that `i + 1 < n`"),
    "unbound index": (op(["y[i] = x[j]"]), 2, 12, "there is no `j` here"),
    "written twice": (op(["y[i] = x[i]", "y[j] = x[j]"]), 3, 3, "`y` is written twice"),
    "silent conversion": (op(["y[i] = a[i] + b[i]"], "op f(a: bf16[n], b: f32[n]) -> y: f32[n]"), 2, 15, "nothing is converted silently"),
    "conversion on the left": (op(["y[i] = x[i]"], "op f(x: f32[n]) -> y: i32[n]"), 2, 10, "`y` is `i32`"),
    "reader outside": (scheduled("compute_at a at y.i", ["a[i] = x[i] + 1", "b[i] = a[i] * 2", "y[i] = a[i] + b[i]"]), 7, 3, "`b` reads `a` outside `y.i`"),
    "vector reduction": (scheduled("vectorize y.j by 8", ["y[i] = sum[j] x[i, j]"], "op f(x: f32[n, m]) -> y: f32[n]"), 5, 3, "carries the reduction"),
    "60,000 parentheses": (op(["y[i] = " + "(" * 60_000 + "x[i]" + ")" * 60_000]), 2, 265, "nested deeper than 256 levels"),
    "250,000 terms": (op(["y[i] = x[i]" + "+1" * 250_000]), 2, 2014, "more than 1000 operators"),
    "truncated": ("op f(x: f32[n]) -> y: f32[n] {\n  y[i] = x[i", 2, 13, "expected `]`"),
    "truncated block": ("op f(x: f32[n]) -> y: f32[n] {\n  y[i] = x[i]\n", 2, 14, "expected `}`"),
    "truncated header": ("op f(x: f32[n]) -> y: f3", 1, 25, "expected `{`"),
    "empty": ("", 1, 1, "no items"),
    "blank": ("\n \n", 1, 1, "no items"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_the_right_place(name, tmp_path):
    text, line, column, words = REFUSED[name]
    file = tmp_path / "f.hd"
    file.write_text(text)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = heddle("check", file, code=1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1, "seconds of processor time"
    assert done.stdout == ""
    first, *rest = done.stderr.splitlines()
    assert re.match(rf"{re.escape(str(file))}:{line}:{column}: error\[HD\d{{4}}\]: ", first), first
    assert words in first
    assert not any("error[" in other for other in rest), "one cause, one diagnostic"
    row, = json.loads(heddle("check", file, "--json", code=1).stdout)["diagnostics"]
    assert (row["line"], row["column"]) == (line, column)


@pytest.mark.parametrize("target", ["cpu/x86-64-v2", "cpu/avx2", "cpu/avx512", "cpu/amx"])
def test_code_for_machines_that_this_one_is_not(tmp_path, target):
    matmul = Path(hd.__file__).parent / "stdlib/linalg/matmul.hd"
    words = ("emit", matmul, "--op", "matmul", "--types", "bf16[64,64]", "bf16[64,64]", "--target", target)
    texts = {kind: heddle(*words, "--as", kind).stdout for kind in ("program", "llvm", "asm", "memory")}
    assert "\nprogram matmul" in "\n" + texts["program"]
    assert ("zmm" in texts["asm"]) == (target in ("cpu/avx512", "cpu/amx"))
    heddle(*words, "--as", "object", "-o", tmp_path / "m.o")
    assert (tmp_path / "m.o").read_bytes().startswith(b"\x7fELF")
    assert heddle("lower", *words[1:]).stdout == texts["program"]
    if target not in hd.targets():
        a = np.ones((64, 64), ml_dtypes.bfloat16)
        with pytest.raises(hd.Error, match=f"this machine cannot run `{target}`"):
            hd.std.linalg.matmul.compile(a, a, target=target)


def test_arrays_that_are_not_given(tmp_path):
    file = tmp_path / "f.hd"
    file.write_text("op f(x: f32[n], y: f32[n]) -> z: f32[n] { z[i] = x[i] + y[i] }\n")
    np.save(tmp_path / "x.npy", np.ones(3, np.float32))
    for given, words in (([], "0 arrays are given by --in; `f` takes 2"), (["x.npy"], "1 array is given by --in; `f` takes 2")):
        for command in ("run", "interpret"):
            done = heddle(command, file, *(["--in", *(tmp_path / g for g in given)] if given else []), code=1)
            assert words in done.stderr


def test_labels_name_their_texts(tmp_path):
    (tmp_path / "low.hd").write_text("op twice(x: f32[n]) -> y: f32[n] { y[i] = 2*x[i] }\n")
    file = tmp_path / "f.hd"
    file.write_text('import "low.hd"\nop f(x: f32[n]) -> y: f32[n] { y = low.twice(x) }\nschedule f.a on cpu { vectorize y.j }\n')
    row, = json.loads(heddle("check", file, "--json", code=1).stdout)["diagnostics"]
    assert row["file"] == str(file) and row["severity"] == "error"
    with pytest.raises(hd.Error) as e:
        hd.parse("op f(x: f32[n]) -> y: f32[n] { t[i] = sum[j] x[j]*x[i]; y[i] = t[i] }", "low").extend("schedule f.a on cpu { vectorize t.j }", "high").check()
    label, = e.value.labels
    assert (e.value.file, label.file, label.line, e.value.diagnostics[0]["severity"]) == ("high", "low", 1, "error")


def test_invalid_utf8(tmp_path):
    file = tmp_path / "f.hd"
    file.write_bytes(b"op f(x: f32[n]) -> y: f32[n] {\n  y[i] = x[i] // \xff\n}\n")
    done = subprocess.run([COMMAND, "check", file], capture_output=True)
    assert done.returncode == 1 and done.stdout == b""
    assert done.stderr.startswith(f"{file}:2:18: error[HD0002]".encode())


def test_a_word_that_is_no_command():
    done = subprocess.run([COMMAND, "chek", "f.hd"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "heddle: there is no command `chek`; did you mean `check`?\n"


# --- fmt -------------------------------------------------------------------------------------------------------------

UGLY = """

op   f( x :f32[ n,m ],eps:f32=1e-5 )->y:f32[n]{   // head

  a[ i ]=sum[ j ] x[i,j]*2 -  -3   // one
  bb[i]  =a[i]+x[ i , 0]*  4   // two


  // own line
  y[i]=if a[i]>0&&!(bb[i]<1)then exp ( a[i] )else -bb[i]

}
schedule f.s on cpu / x86-64-v2 allow reassociate ,contract where n>=4{
tune b=4 in[1,2 ,4]
      split y.i by b into io,ii
  if b==2{
  unroll y.ii
  }else{ parallel y@*.io,  y.io }
}
"""
PRETTY = """op f(x: f32[n, m], eps: f32 = 1e-5) -> y: f32[n] {  // head
  a[i] = sum[j] x[i, j]*2 - -3  // one
  bb[i] = a[i] + x[i, 0]*4  // two

  // own line
  y[i] = if a[i] > 0 && !(bb[i] < 1) then exp(a[i]) else -bb[i]
}
schedule f.s on cpu/x86-64-v2 allow reassociate, contract where n >= 4 {
  tune b = 4 in [1, 2, 4]
  split y.i by b into io, ii
  if b == 2 {
    unroll y.ii
  } else { parallel y@*.io, y.io }
}
"""


def test_fmt_writes_one_look():
    assert heddle("fmt", "-", stdin=UGLY).stdout == PRETTY
    assert hd.format(UGLY) == hd.format(PRETTY) == PRETTY


def test_fmt_keeps_columns_that_stand_in_a_row():
    text = "op f(x: f32[n]) -> y: f32[n] {\n  a[i]   = x[i]  // one\n  bcd[i] = a[i]  // two\n  y[i] = bcd[i]\n}\n"
    assert hd.format(text) == text
    assert hd.format(text.replace("  a[i]   =", "  a[i]           =").replace("  bcd[i] =", "  bcd[i]         =")) == text


def pieces(text):
    return re.findall(r"//[^\n]*|\w+|[^\s\w]", text)


@pytest.mark.parametrize("file", sorted((ROOT / "stdlib").rglob("*.hd")) + sorted((ROOT / "tests/grammar/corpus").glob("*.hd")) +
                         sorted((ROOT / "tests/golden/cases").rglob("*.hd")), ids=lambda f: f"{f.parent.name}/{f.name}")
def test_fmt_is_idempotent_and_keeps_every_piece(file):
    text = file.read_text(errors="replace").split("\n----\n")[0] + "\n"
    try:
        once = hd.format(text)
    except hd.Error:
        with pytest.raises(hd.Error):
            hd.parse(text)
        return
    assert hd.format(once) == once
    assert pieces(once) == pieces(text)
    assert not re.search(r"[ \t]$", once, re.M) and not once.endswith("\n\n")


def test_the_library_is_formatted():
    files = sorted((ROOT / "stdlib").rglob("*.hd"))
    assert len(files) >= 20
    changed = [str(f.relative_to(ROOT)) for f in files if hd.format(f.read_text()) != f.read_text()]
    assert not changed, "`./dev fmt` formats them"


def test_fmt_rewrites_files_and_check_only_names_them(tmp_path):
    ugly, pretty = tmp_path / "u.hd", tmp_path / "p.hd"
    ugly.write_text(UGLY), pretty.write_text(PRETTY)
    assert heddle("fmt", "--check", ugly, pretty, code=1).stdout == f"{ugly}\n"
    assert ugly.read_text() == UGLY
    heddle("fmt", ugly, pretty)
    assert ugly.read_text() == pretty.read_text() == PRETTY
    heddle("fmt", "--check", ugly, pretty)
    broken = tmp_path / "b.hd"
    broken.write_text("op f(")
    assert "error[HD" in heddle("fmt", broken, code=1).stderr
    assert broken.read_text() == "op f("


# --- list, explain, doctor -------------------------------------------------------------------------------------------

def test_lists(tmp_path):
    (tmp_path / "s.hd").write_text(SOFTMAX)
    assert "softmax" in heddle("list", "ops", tmp_path / "s.hd").stdout
    assert "softmax.rows" in heddle("list", "schedules", tmp_path / "s.hd").stdout.split()
    ops = [line.split()[0] for line in heddle("list", "ops").stdout.splitlines()]
    assert ops == [f"{area}.{name}" for area in sorted(dir(hd.std)) for name in dir(getattr(hd.std, area))]
    assert "nn.softmax.rows" in heddle("list", "schedules").stdout.split()
    assert "split LOOP by N" in heddle("list", "steps").stdout
    named = [line.split()[0] for line in heddle("list", "targets").stdout.splitlines()]
    assert named[: len(hd.targets())] == hd.targets()
    assert sorted(named) == sorted(["cpu/amx", "cpu/avx512", "cpu/avx2", "cpu/x86-64-v2", "neuron/trn1", "neuron/trn2", "neuron/trn3"])
    heddle("list", "nothing", code=2)


def test_every_code_is_listed_and_explained():
    listed = [line.split()[0] for line in heddle("list", "codes").stdout.splitlines()]
    assert listed == sorted(set(listed)) and len(listed) > 100
    rows = {code for file in ROOT.glob("**/codes.def") for code in re.findall(r'"(HD\d{4})"', file.read_text())}
    assert set(listed) == rows, "every floor's codes, and the command's own"
    for code in listed:
        title, blank, text, *_ = heddle("explain", code).stdout.split("\n")
        assert title.startswith(code + ": ") and blank == "" and len(text) > 20, code
    assert "did you mean" in heddle("explain", listed[0][:-1] + "X", code=1).stderr


def test_doctor():
    said = heddle("doctor").stdout
    assert f"heddle {hd.__version__}" in said and "cpu/" in said and "compiling and running a kernel: works" in said
    assert "cache on disk: " in said and "standard library: /" in said


# --- bench, tune -----------------------------------------------------------------------------------------------------

def test_bench(tmp_path):
    file = tmp_path / "s.hd"
    file.write_text(SOFTMAX)
    words = ("bench", file, "--types", "f32[16,64]", "--seconds", "0.05")
    assert "rows" in heddle(*words).stdout
    rows = json.loads(heddle(*words, "--json").stdout)
    assert [r["schedule"] for r in rows] == ["short_rows", "rows"]
    assert all(r["us"] >= r["us_min"] > 0 and r["compile_ms"] > 0 for r in rows)
    # A schedule that does not take the size drops out.
    rows = json.loads(heddle("bench", file, "--types", "f32[16,200]", "--seconds", "0.05", "--json").stdout)
    assert [r["schedule"] for r in rows] == ["rows"]
    assert "sizes" in heddle("bench", file, code=1).stderr
    heddle("bench", file, "--types", "f32[16,64]", "--schedule", "nothing", code=1)


def test_tune(tmp_path):
    file = tmp_path / "s.hd"
    file.write_text(SOFTMAX)
    done = heddle("tune", file, "--schedule", "short_rows", "--types", "f32[16,64]", "--budget", "2", "--name", "mine")
    assert "schedule softmax.mine on cpu" in done.stdout and "let rows = " in done.stdout
    assert "tried" in done.stderr
    np.save(tmp_path / "x.npy", np.ones((3, 5), np.float32))
    assert hd.load(file).extend(done.stdout).softmax(np.ones((3, 5), np.float32), schedule="mine").shape == (3, 5)
    heddle("tune", file, "--schedule", "short_rows", "--in", tmp_path / "x.npy", "--budget", "0.2", "-o", tmp_path / "best.hd")
    assert "short_rows_tuned" in (tmp_path / "best.hd").read_text()


@pytest.mark.parametrize("words, said", [
    (["--schedule", "rows"], "takes 1 array "), (["--types", "f32"], "no type with sizes"), (["--types", "f99[3]"], "no element type"),
    (["--types", "f32[3,3]", "--schedule", "no"], "no schedule `no`"), (["--types", "f32[3,3]", "--op", "sofmax"], "did you mean `softmax`"),
    (["--in", "missing.npy"], "cannot be read"),
])
def test_tune_refuses(words, said, tmp_path):
    file = tmp_path / "s.hd"
    file.write_text(SOFTMAX)
    assert said in heddle("tune", file, *words, code=1).stderr


def test_wrong_usage():
    heddle("tune", code=2)
    heddle("fmt", code=2)
    heddle("frobnicate", code=2)


def test_run_writes_what_an_op_updates(tmp_path):
    w, g = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)
    np.save(tmp_path / "w.npy", np.asfortranarray(w))
    np.save(tmp_path / "g.npy", g)
    text = "op sgd(inout w: f32[n, m], g: f32[n, m]) -> size: f32[] { size = sum[i, j] g[i, j] * g[i, j]; w[i, j] <- w[i, j] - g[i, j] }"
    heddle("run", "-", "--in", tmp_path / "w.npy", tmp_path / "g.npy", "--out", tmp_path / "size.npy", tmp_path / "new.npy", stdin=text)
    assert np.load(tmp_path / "size.npy") == 6 and np.array_equal(np.load(tmp_path / "new.npy"), w - g)
    text = "op sgd(inout w: f32[n, m], g: f32[n, m]) { w[i, j] <- w[i, j] - g[i, j] }"
    for word in ("run", "interpret"):
        heddle(word, "-", "--in", tmp_path / "w.npy", tmp_path / "g.npy", "--out", tmp_path / "new.npy", stdin=text)
        assert np.array_equal(np.load(tmp_path / "new.npy"), w - g)


def test_explain_takes_small_letters():
    assert heddle("explain", "hd0107").stdout == heddle("explain", "HD0107").stdout


def test_types_that_nothing_says():
    """f32 where it serves, else what the op takes; one generic type is one choice."""
    text = "op f<T: int>(x: T[n], y: T[n]) -> z: T[n] { z[i] = x[i] & y[i] }"
    assert "in x: i32[n] in dram, in y: i32[n]" in heddle("lower", "-", stdin=text).stdout
    assert "in x: u8[n] in dram, in y: u8[n]" in heddle("lower", "-", "--types", "u8", stdin=text).stdout
    text = "op f<T: float>(x: T[n]) -> z: T[n] { z[i] = exp(x[i]) }"
    assert "in x: f32[n]" in heddle("lower", "-", stdin=text).stdout
    assert "`i32` is no `float`" in heddle("lower", "-", "--types", "i32", stdin=text, code=1).stderr


@pytest.mark.parametrize("file,schedule,dot", [
    *((f"linalg/{op}", "amx", "tdpbf16ps") for op in ("matmul", "matmul_nt", "matmul_tn", "matmul_tt", "linear", "bmm")),
    ("linalg/matmul", "amx_4", "tdpbf16ps"), ("linalg/matmul", "amx_packed", "tdpbf16ps"),
    ("quant/matmul_i8", "amx", "tdpbssd"), ("quant/matmul_i8", "amx_packed", "tdpbssd"),
    ("nn/conv2d", "amx", "tdpbf16ps"), ("nn/conv2d", "amx_row", "tdpbf16ps")])
def test_tile_products_are_machine_code(file, schedule, dot):
    """Few machines run AMX; elsewhere its schedules run by what they mean, so only the text tells whether tiles are used."""
    types = ["i8", "i8"] if file.startswith("quant") else ["bf16"] * (3 if file.endswith("linear") else 2)
    text = heddle("emit", ROOT / f"stdlib/{file}.hd", "--types", *types, "--schedule", schedule, "--target", "cpu/amx", "--as", "asm").stdout
    assert dot in text and "tileloadd" in text and "tilestored" in text


@pytest.mark.skipif(host_has("avx512_bf16"), reason="this machine has AVX512-BF16")
@pytest.mark.parametrize("file,types,chosen", [
    ("nn/conv2d", ("bf16[1,16,8,16]", "bf16[32,16,3,3]"), "few_inputs"), ("linalg/matmul_nt", ("bf16[64,64]", "bf16[64,64]"), "widened_4")])
def test_no_schedule_whose_instructions_the_target_lacks(file, types, chosen):
    """Also where a derived step of the schedule names them."""
    program = heddle("emit", ROOT / f"stdlib/{file}.hd", "--types", *types, "--target", "cpu/avx512", "--as", "program").stdout
    assert f"\nprogram {file.split('/')[1]}.{chosen}(" in "\n" + program
