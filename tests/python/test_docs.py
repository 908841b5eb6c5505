"""Every block of README.md and docs/*.md that claims something is run.

    ```heddle [NAME.hd]         a text: it checks; every op runs, with every schedule and without, compiled and interpreted, on
                                arrays of odd sizes, and all agree by the tolerance rule. NAME.hd is a file for later blocks
    ```heddle more              as above, for text added to the last full one, such as schedules of its op
    ```heddle refused HD0123    a text, or one of its schedules, is refused, and with this code first; `more` as above
    ```heddle program OP[.S]    the printed program of the last text's op, alone or after its schedule S; reads back to itself
    ```diff OP.S                what the last step of the last text's schedule S changes in the printed program
    ```heddle printed           a program text: reads, and prints as it stands
    ```python                   runs, in order, in one namespace for each document
    ```output                   what the block above printed: of python, or of a refused text its diagnostics

Run as a program with --update to write `program`, `diff` and `output` blocks anew.
"""

import contextlib
import difflib
import io
import itertools
import os
import pathlib
import re
import sys

import numpy as np
import pytest

import heddle as hd

TOP = pathlib.Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w+)([^\n`]*)\n(.*?)^```$", re.M | re.S)
KINDS = ("heddle", "diff", "python", "output")
SIZES = (1, 3, 17)
TARGET = "cpu/avx2" if "cpu/avx2" in hd.targets() else "cpu/x86-64-v2"  # where printed programs do not depend on the machine


def documents():
    return [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]


# --- arrays for an op ------------------------------------------------------------------------------------------------

def dtype_of(name):
    small = {"bf16": "bfloat16", "f8e4m3fn": "float8_e4m3fn", "f8e4m3": "float8_e4m3", "f8e5m2": "float8_e5m2"}
    if name in small:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, small[name]))
    return np.dtype(re.sub(r"^([fiu])(?=\d)", lambda m: {"f": "float", "i": "int", "u": "uint"}[m[1]], name))


def symbols(op):
    """Names that stand in dims, in order; each pack of dims counts as one dim."""
    consts = {p["name"] for p in op.parameters if p["kind"] == "const"}
    names = []
    for p in op.parameters:
        if p["output"] or p["kind"] != "array":
            continue
        for name in re.findall(r"[A-Za-z_]\w*", " ".join(p["dims"])):
            if name not in names and name not in consts:
                names.append(name)
    return names


def extent(dim, values):
    """`rows + 1`, `(g, c)` (a product), `...r`."""
    parts = dim[1:-1].split(",") if dim.startswith("(") else [dim.removeprefix("...")]
    return int(np.prod([eval(p.replace("/", "//"), {}, values) for p in parts]))


def arguments(op, generics, values, rng):
    values = dict(values)
    for p in op.parameters:
        if p["kind"] == "const":
            values[p["name"]] = 2 if p["default"] is None else int(p["default"])
    smallest = min(values.values(), default=1)
    args = {}
    for p in op.parameters:
        if p["output"]:
            continue
        kind = generics.get(p["type"], p["type"])
        if p["kind"] == "const":
            args[p["name"]] = values[p["name"]]
        elif p["kind"] == "scalar":
            if p["default"] is None:
                args[p["name"]] = 0.5 if kind.startswith(("f", "bf")) else 1
        else:
            shape = [extent(d, values) for d in p["dims"]]
            dtype = dtype_of(kind)
            if dtype.kind in "iub":
                args[p["name"]] = rng.integers(0, 2 if dtype.kind == "b" else max(1, smallest), shape).astype(dtype)
            else:
                args[p["name"]] = rng.standard_normal(shape).astype(np.float32).astype(dtype)
    return args


def generics_of(text, op):
    found = re.search(rf"op\s+{op.name}\s*<([^>]*)>", text)
    if not found:
        return {}
    pairs = [g.split(":") for g in found[1].split(",")]
    return {p[0].strip(): "i32" if len(p) > 1 and p[1].strip() == "int" else "f32" for p in pairs}


# --- running a text --------------------------------------------------------------------------------------------------

def as_tuple(out):
    return tuple(out) if isinstance(out, tuple) else (out,)


def bits(a):
    return a.view({1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[a.dtype.itemsize]) if a.dtype.kind != "b" else a


def same_bits(a, b):
    nan = a != a
    return bool(np.all((bits(a) == bits(b)) | (nan & (b != b)) | ((a == 0) & (b == 0))))


def agrees(got, exact, reference, allowed):
    """The tolerance rule of docs/numerics.md."""
    for one, typed, (value, bound) in zip(got, exact, reference):
        if not allowed:
            assert same_bits(one, typed), f"{one} is not {typed}"
        elif one.dtype.kind in "iub":
            assert np.array_equal(one, typed)
        else:
            wide = one.astype(np.float64)
            with np.errstate(invalid="ignore"):
                right = (np.abs(wide - value) <= bound) | (wide == value) | (np.isnan(wide) & np.isnan(value)) | np.isinf(bound)
            assert right.all(), f"{one} is not within {bound} of {value}"


def run_schedule(op, schedule, args):
    kernel = op.compile(**args, schedule=schedule)
    outputs = sum(p["output"] for p in op.parameters)
    inouts = [p["name"] for p in op.parameters if p["inout"]]

    def written(run, given):
        """What a run writes: copies of the `inout` arrays, then the outputs."""
        given = {k: v.copy() if k in inouts else v for k, v in given.items()}
        out = run(given)
        return tuple(given[name] for name in inouts) + (as_tuple(out) if outputs else ())

    got = written(lambda a: kernel(**a), {k: v for k, v in args.items() if not isinstance(v, int) or k in scalars(op)})
    empty = lambda: tuple(np.zeros_like(o) for o in got[len(inouts):])
    exact = written(lambda a: op.interpret(**a, out=empty()), args)
    copies = {k: v.copy() if k in inouts else v for k, v in args.items()}
    reference = op.reference(**copies, out=empty())
    scheduled = written(lambda a: op.interpret(**a, out=empty(), schedule=schedule), args)
    header = next(line for line in kernel.program.splitlines() if line.startswith("program "))
    allowed = " allow " in header.split("{", 1)[0]
    agrees(got, exact, reference, allowed)
    agrees(scheduled, exact, reference, allowed)


def scalars(op):
    return {p["name"] for p in op.parameters if p["kind"] == "scalar"}


def run_op(text, op, rng):
    names = symbols(op)
    generics = generics_of(text, op)
    for schedule in ["", *op.schedules]:
        ran = 0
        # All dims of one size, then each of its own: where a `require` or a `where` forbids some, others remain.
        choices = [dict.fromkeys(names, n) for n in SIZES] + [dict(zip(names, itertools.islice(itertools.cycle(SIZES), i, None))) for i in range(3)]
        for values in choices:
            try:
                run_schedule(op, schedule, arguments(op, generics, values, rng))
                ran += 1
            except hd.Error as e:
                if e.code not in ("HD0503", "HD0504", "HD0509", "HD0254", "HD0256"):
                    raise
        assert ran, f"no sizes satisfy what `{op.name}` with the schedule `{schedule}` requires"


def parse(base, text):
    """The module of a text, or of one added to a base."""
    return hd.parse(base, "text.hd").extend(text, "more.hd") if base else hd.parse(text, "text.hd")


def check_text(text, base=""):
    module = parse(base, text)
    rng = np.random.default_rng(5)
    for name in module.ops:
        run_op(base + text, module.op(name), rng)
    for name in module.programs:
        assert_reads_back(module.program(name).text)
    return module


def assert_reads_back(text):
    again = hd.parse(text, "<printed>")
    assert again.program(again.programs[-1]).text == text


def states(source, base, what):
    """The programs of `softmax` or `softmax.rows`, for f32 and packs of one dim, on a target that every machine has."""
    op = parse(base, source).op(what.split(".")[0])
    schedule = what.split(".")[1] if "." in what else ""
    args = arguments(op, generics_of(base + source, op), dict.fromkeys(symbols(op), 3), np.random.default_rng(5))
    specs = {k: hd.spec(str_type(v), *["n"] * v.ndim) if isinstance(v, np.ndarray) else v for k, v in args.items()}
    programs = [s.program for s in op._states(specs_of(op, specs), schedule=schedule, target=TARGET)]
    for text in programs:
        assert_reads_back(text)
    return programs


def change(before, after):
    lines = list(difflib.unified_diff(before.splitlines()[1:], after.splitlines()[1:], n=2, lineterm=""))[3:]
    return "\n".join("  .." if line.startswith("@@") else line for line in lines) + "\n"


def specs_of(op, values):
    return [values[p["name"]] for p in op.parameters if not p["output"] and p["name"] in values]


def str_type(array):
    names = {"float64": "f64", "float32": "f32", "bfloat16": "bf16", "bool": "bool"}
    kind = array.dtype.name
    return names.get(kind) or kind.replace("uint", "u").replace("int", "i")


def refusal_of(text, base=""):
    try:
        module = parse(base, text)
    except hd.Error as e:
        return e
    for name in module.programs:
        try:
            module.program(name)
        except hd.Error as e:
            return e
    for name in module.ops:
        op = module.op(name)
        args = arguments(op, generics_of(base + text, op), dict.fromkeys(symbols(op), 3), np.random.default_rng(5))
        for schedule in op.schedules:
            try:
                op._states(specs_of(op, args), schedule=schedule)
            except hd.Error as e:
                return e
    return None


# --- documents -------------------------------------------------------------------------------------------------------

class Runner:
    """The blocks of one document in order: `run` gives what a block must hold, or the block itself where that is its claim."""

    def __init__(self, folder):
        self.folder, self.space = folder, {"hd": hd, "np": np}
        self.base = self.added = ""  # the last full text, and what the last block added to it
        self.printed = None

    def run(self, kind, words, body):
        if kind == "python":
            self.printed = self.run_python(body)
        elif kind == "output":
            assert self.printed is not None, "nothing printed before this block"
            return self.printed
        elif kind == "diff":
            return change(*self.states(words[0])[-2:])
        elif words[:1] == ["program"]:
            return self.states(words[1])[-1]
        elif words[:1] == ["printed"]:
            module = hd.parse(body, "text.hd")
            return module.program(module.programs[-1]).text
        elif words[:1] == ["refused"]:
            error = refusal_of(body, self.base if words[2:] == ["more"] else "")
            assert error is not None, "the text is accepted"
            assert error.code == words[1], str(error)
            self.printed = str(error) + "\n"
        elif words == ["more"]:
            check_text(body, self.base)
            self.added = body
        else:
            assert not words or words[0].endswith(".hd"), f"unknown word `{words[0]}`"
            if words:
                (self.folder / words[0]).write_text(body)
            check_text(body)
            self.base, self.added = body, ""
        return body

    def states(self, what):
        return states(self.added, self.base, what) if self.added else states(self.base, "", what)

    def run_python(self, body):
        out = io.StringIO()
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(body, "<python block>", "exec"), self.space)
        finally:
            os.chdir(before)
        return out.getvalue()


def blocks(path):
    text = path.read_text()
    for found in FENCE.finditer(text):
        if found[1] in KINDS:
            yield text.count("\n", 0, found.start()) + 1, found[1], found[2].split(), found[3], found.span(3)


@pytest.mark.parametrize("path", documents(), ids=lambda p: p.name)
def test_document(path, tmp_path):
    runner, wrong = Runner(tmp_path), []
    for line, kind, words, body, _ in blocks(path):
        try:
            must = runner.run(kind, words, body)
            if must != body:
                wrong.append(f"{path.name}:{line}: the block is not what comes out:\n{must}")
        except Exception as e:
            wrong.append(f"{path.name}:{line}: {type(e).__name__}: {e}")
    assert not wrong, "\n\n".join(wrong) + "\n\n`./dev run python tests/python/test_docs.py --update` writes printed programs and output anew"


def readme_row(area):
    """The cells of a row of the table of what works."""
    row = re.search(rf"^\| {area} \|(.*)\|(.*)\|$", (TOP / "README.md").read_text(), re.M)
    return [set(re.findall(r"`([\w.]+)`", cell)) for cell in row.groups()]


def test_steps_are_described_as_they_are():
    table = (TOP / "schedule/steps.def").read_text()
    names = set(re.findall(r"^HEDDLE_STEP\((\w+)", table, re.M))
    text = (TOP / "docs/steps.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## )", text, re.M | re.S))
    assert set(sections) == names
    for name in names:
        usage = re.search(rf'^HEDDLE_STEP\({name},.*?"({name} [^"]*)"', table, re.M | re.S)[1]
        assert f"`{usage}`" in sections[name], f"the usage of `{name}` is `{usage}`"
        assert re.search(rf"^```diff", sections[name], re.M) and re.search(rf"^```heddle refused", sections[name], re.M)
    assert readme_row("steps")[0] >= names


def test_library_is_listed():
    ops = {f"{p.parent.name}.{op}" for p in (TOP / "stdlib").glob("*/*.hd") for op in hd.load(p).ops if p.parent.name != "machine"}
    assert readme_row("library")[0] == ops


def test_codes_are_one_each_and_in_their_range():
    """The table of docs/diagnostics.md holds for every row of every codes.def."""
    ranges = re.findall(r"^\| (HD\d+) \.\. (HD\d+) \|.*\| (.*) \|$", (TOP / "docs/diagnostics.md").read_text(), re.M)
    seen = {}
    for path in TOP.glob("[a-z]*/**/codes.def"):
        where = str(path.relative_to(TOP))
        if where.startswith("build/"):
            continue
        for code in re.findall(r'HEDDLE_CODE\(\w+, "(HD\d+)"', path.read_text()):
            assert code not in seen, f"{code} stands in {seen[code]} and {where}"
            seen[code] = where
            assert any(lo <= code <= hi and ("`codes.def`" in files or f"`{where}`" in files) for lo, hi, files in ranges), f"{code} of {where}"
    assert len(seen) > 100


def test_blocks_that_lie_are_found(tmp_path):
    runner = Runner(tmp_path)
    good = "op f(x: f32[n]) -> y: f32[n] { y[i] = 2 * x[i] }\n"
    assert runner.run("heddle", [], good) == good
    assert runner.run("heddle", ["program", "f"], "") != ""
    with pytest.raises(hd.Error):
        runner.run("heddle", [], good.replace("2 *", "2 +* "))
    with pytest.raises(AssertionError):
        runner.run("heddle", ["refused", "HD0107"], good)
    with pytest.raises(AssertionError):
        runner.run("heddle", ["refused", "HD0101"], good.replace("x[i]", "x[i + 1]"))
    with pytest.raises(NameError):
        runner.run("python", [], "print(nothing)")
    assert not same_bits(np.float32([1.0]), np.nextafter(np.float32([1.0]), np.float32(2)))
    with pytest.raises(AssertionError):
        agrees([np.float32([1.1])], [np.float32([1.0])], [(np.array([1.0]), np.array([0.01]))], True)


def update():
    import tempfile

    for path in documents():
        with tempfile.TemporaryDirectory() as folder:
            runner, text, moved = Runner(pathlib.Path(folder)), path.read_text(), 0
            for line, kind, words, body, (begin, end) in list(blocks(path)):
                try:
                    must = runner.run(kind, words, body)
                except Exception as e:
                    print(f"{path.name}:{line}: {type(e).__name__}: {e}\n")
                    continue
                if must != body:
                    text = text[: begin + moved] + must + text[end + moved :]
                    moved += len(must) - len(body)
            if text != path.read_text():
                path.write_text(text)
                print(f"updated {path.name}")


if __name__ == "__main__":
    assert sys.argv[1:] == ["--update"], __doc__
    update()
