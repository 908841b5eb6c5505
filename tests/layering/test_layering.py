"""The house of docs/architecture.md: an include points down only, and foreign types stay behind their borders.

The rules are checked over the tree, and the checker over small faulty trees: a rule that finds nothing there is no rule.
"""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Folder -> (floor, house). An include may go to the same house or to a lower floor; houses on one floor are siblings.
FLOORS = {
    "support": 0,
    "ir": 1,
    "frontend": 2,
    "schedule": 2,
    "backend/host": 3,
    "backend/neuron": 3,
    "jit": 4,
    "api": 5,
    "python": 6,
    "tools": 6,
}
GENERATED = {"HeddleLexer.h", "HeddleParser.h"}
SUFFIXES = {".cpp", ".h", ".def"}

ANTLR = re.compile(r"antlr4-runtime\.h|HeddleLexer\.h|HeddleParser\.h|antlr4.*/")
LLVM = re.compile(r"llvm(-c)?/|clang/")
PYTHON = re.compile(r"pybind11/|Python\.h|numpy/")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
GETENV = re.compile(r"\b(?:secure_)?getenv\s*\(")


def house(path):
    """The folder of FLOORS that holds a path, None outside the house (tests, bench, examples)."""
    return next((name for name in FLOORS if path.startswith(name + "/")), None)


def strip_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


def sources(root):
    """(path from the root, text without comments) of every source of the house."""
    for folder in FLOORS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                yield path.relative_to(root).as_posix(), strip_comments(path.read_text())


def target_of(root, quote, name):
    """The file of the project that an include names, None for a foreign one. Two spellings: from the root, and <heddle/..>."""
    if (root / name).is_file():
        return name
    if name.startswith("heddle/") and (root / "api" / name).is_file():
        return "api/" + name
    return None


def upward(root):
    for path, text in sources(root):
        here = house(path)
        for quote, name in INCLUDE.findall(text):
            target = target_of(root, quote, name)
            if target is None:
                if quote == '"' and name not in GENERATED and not ANTLR.match(name):
                    yield f'{path}: "{name}" is no file of the project, named from the root'
                continue
            there = house(target)
            if there is None:
                yield f"{path} includes {target}, which is outside the house"
            elif there != here and FLOORS[there] >= FLOORS[here]:
                yield f"{path} (floor {FLOORS[here]}) includes {target} (floor {FLOORS[there]})"


def including(root, pattern):
    return [path for path, text in sources(root) if any(pattern.match(name) for _, name in INCLUDE.findall(text))]


def antlr_border(root):
    users = including(root, ANTLR)
    yield from (f"{path} includes ANTLR outside frontend/" for path in users if house(path) != "frontend")
    if len(users) > 2:
        yield f"more than two files include ANTLR: {', '.join(users)}"


def llvm_border(root):
    for path in including(root, LLVM):
        if house(path) != "backend/host" and path != "jit/engine.cpp":
            yield f"{path} includes LLVM"


def python_border(root):
    yield from (f"{path} includes Python" for path in including(root, PYTHON) if house(path) != "python")


def environment_border(root):
    for path, text in sources(root):
        if house(path) != "api" and GETENV.search(text):
            yield f"{path} reads the environment"


def public_surface(root):
    """Examples see what users see: heddle.h, and no file of the house by its own path."""
    for path in sorted((root / "examples").glob("*.cpp")):
        for quote, name in INCLUDE.findall(strip_comments(path.read_text())):
            if not name.startswith("heddle/") and (quote == '"' or house(name)):
                yield f"examples/{path.name} includes {name}"


RULES = [upward, antlr_border, llvm_border, python_border, environment_border, public_surface]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps(rule):
    assert list(rule(ROOT)) == []


def test_the_tree_is_seen():
    assert len(list(sources(ROOT))) > 10


FAULTS = [
    (upward, {"ir/a.cpp": '#include "schedule/b.h"', "schedule/b.h": ""}),
    (upward, {"frontend/a.cpp": '#include "schedule/b.h"', "schedule/b.h": ""}),
    (upward, {"backend/host/a.cpp": '#include "backend/neuron/b.h"', "backend/neuron/b.h": ""}),
    (upward, {"jit/a.cpp": "#include <heddle/heddle.h>", "api/heddle/heddle.h": ""}),
    (upward, {"ir/a.cpp": '#include "b.h"', "ir/b.h": ""}),
    (upward, {"ir/a.cpp": '#include "tests/b.h"', "tests/b.h": ""}),
    (antlr_border, {"ir/a.cpp": '#include "antlr4-runtime.h"'}),
    (antlr_border, {f"frontend/{n}.cpp": '#include "HeddleParser.h"' for n in "abc"}),
    (llvm_border, {"jit/kernel.cpp": '#include "llvm/IR/Module.h"'}),
    (llvm_border, {"api/a.cpp": "#include <llvm-c/Core.h>"}),
    (python_border, {"api/a.cpp": "#include <pybind11/pybind11.h>"}),
    (environment_border, {"jit/a.cpp": 'auto home = std::getenv("HOME");'}),
    (public_surface, {"examples/a.cpp": "#include <ir/program.h>", "ir/program.h": ""}),
]


@pytest.mark.parametrize("rule, files", FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_is_found(tmp_path, rule, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert list(rule(tmp_path))


def test_going_down_is_fine(tmp_path):
    files = {
        "jit/a.cpp": '#include "ir/b.h"\n#include "jit/c.h"\n// #include "api/d.h"\n#include <vector>',
        "ir/b.h": "",
        "jit/c.h": "",
        "api/d.h": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [fault for rule in RULES for fault in rule(tmp_path)] == []
