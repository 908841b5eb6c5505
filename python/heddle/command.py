"""The parts of the `heddle` command that are written in Python: `heddle tune` runs `python3 -m heddle.command tune ..`.

Exit codes as everywhere: 0 done, 1 the input was refused, 2 wrong usage.
"""

import argparse
import re
import sys

import numpy as np

from . import _heddle
from .errors import Error
from .module import load, parse
from .tune import tune

# Types that .npy files hold as bits, and what holds them.
_BITS = {"bf16": np.uint16, "f8e4m3fn": np.uint8, "f8e4m3": np.uint8, "f8e5m2": np.uint8}


class Refused(Exception):
    """An input that the command itself refuses, in the words that the user reads."""


def _array(argument):
    path, _, type = argument.rpartition(":") if argument.rpartition(":")[2] in _BITS else (argument, "", "")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise Refused(f"`{path}` cannot be read: {error}") from None
    return array.view(_heddle.allocate(type, [0]).dtype) if type else array


def _made(type, random):
    """An array for `f32[64,1000]`: numbers in -1 .. 1; zeros where the type is an integer, so that they serve as indices."""
    found = re.fullmatch(r"\s*(\w+)\s*\[([\d\s,]*)\]\s*", type)
    if not found:
        raise Refused(f"`{type}` is no type with sizes, such as f32[64,1000]")
    extents = [int(n) for n in found[2].replace(" ", "").split(",") if n]
    try:
        array = _heddle.allocate(found[1], extents)
    except TypeError as error:
        raise Refused(str(error)) from None
    array[...] = 0 if array.dtype.kind in "iub" else random.uniform(-1, 1, array.shape)
    return array


def _pairs(items, convert):
    out = {}
    for item in items:
        name, equals, value = item.partition("=")
        try:
            out[name] = convert(value) if equals else 1 / 0
        except (ValueError, ZeroDivisionError):
            raise Refused(f"`{item}` is not NAME=VALUE") from None
    return out


def _op(module, name):
    if name:
        return module._handle.op(name) and module.op(name)  # the handle raises with the nearest name
    if len(module.ops) != 1:
        raise Refused(f"the text has {len(module.ops)} ops: choose one by --op: {', '.join(module.ops)}")
    return module.op(module.ops[0])


def tune_command(words):
    parser = argparse.ArgumentParser(prog="heddle tune", description="Searches the `tune` variables of a schedule for arguments of given sizes. "
                                     "The best values are printed as a schedule; every candidate is checked before it is timed.")
    parser.add_argument("file", help="a .hd text, or - for standard input")
    parser.add_argument("--op", help="the op; may be left out when the text has one")
    parser.add_argument("--schedule", help="its schedule; without, the first that fits")
    parser.add_argument("--in", dest="arrays", nargs="+", default=[], metavar="FILE", help="arrays as .npy files, in order (FILE.npy:bf16 for bits)")
    parser.add_argument("--types", nargs="+", default=[], metavar="TYPE", help="for further arrays: f32[64,1000], filled at random")
    parser.add_argument("--scalar", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--const", nargs="+", default=[], metavar="NAME=N")
    parser.add_argument("--target", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", help="of the schedule that is printed; NAME_tuned without")
    parser.add_argument("--trials", action="store_true", help="lists every candidate on standard error")
    parser.add_argument("-o", dest="output", metavar="FILE", help="a file for the schedule instead of standard output")
    o = parser.parse_args(words)
    module = parse(sys.stdin.read(), "<stdin>") if o.file == "-" else load(o.file)
    op = _op(module, o.op)
    random = np.random.default_rng(o.seed)
    given = [_array(a) for a in o.arrays] + [_made(t, random) for t in o.types]
    names = [p["name"] for p in op.parameters if p["kind"] == "array" and not p["output"]]
    if len(given) != len(names):
        raise Refused(f"`{op.name}` takes {len(names)} array{'s' * (len(names) != 1)} ({', '.join(names)}); by --in and --types come {len(given)}")
    try:
        result = tune(op, [], schedule=o.schedule, budget_s=o.budget, target=o.target, threads=o.threads, name=o.name, seed=o.seed,
                      **dict(zip(names, given)), **_pairs(o.scalar, float), **_pairs(o.const, int))
    except (ValueError, TypeError) as error:
        raise Refused(str(error)) from None
    if o.trials:
        for trial in result.trials:
            print(trial, file=sys.stderr)
    print(result, file=sys.stderr)
    text = result.best.schedule.rstrip("\n") + "\n"
    if o.output:
        with open(o.output, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
    return 0


def main(words=None):
    words = sys.argv[1:] if words is None else words
    if not words or words[0] != "tune":
        print("usage: python3 -m heddle.command tune FILE ..", file=sys.stderr)
        return 2
    try:
        return tune_command(words[1:])
    except (Error, Refused) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"`{error.filename}`: {error.strerror}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
