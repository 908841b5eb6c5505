"""Heddle: tensor algorithms written once, scheduled apart, compiled at run time.

    import heddle as hd
    m = hd.load("softmax.hd")
    y = m.softmax(x)                      # compiled once per types, then a call
    k = m.softmax.compile(x)              # the kernel itself: the cheap call
    k(x, out=y)
"""

import importlib
import operator
import os

from . import _heddle, lang, module, std
from ._heddle import Kernel, Packed
from .build import schedule, step
from .errors import Error
from .module import Module, Op, Spec, load, parse, spec
from .numerics import Numerics, numerics
from .states import Schedule, State, States
from .tune import Trial, TuneResult, tune

__version__ = _heddle.version()


def __getattr__(name):
    # What a first call does not need is imported when it is asked for.
    if name in ("device", "display", "neuron"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def set_threads(count):
    """Threads of parallel loops where a call does not say; from 1, and 1024 stands for all above."""
    count = operator.index(count)
    if count < 1:
        raise ValueError(f"a loop runs on at least 1 thread, not {count}")
    _heddle.set_threads(min(count, 1 << 30))


def threads():
    """The number that `set_threads` set; at first the processors of this process."""
    return _heddle.threads()


def targets():
    """Members of the cpu family that this machine runs, best first."""
    return _heddle.targets()


def compile(op, *args, **how):
    """`op.compile(..)`: a Kernel for the types of these arrays or specs."""
    return op.compile(*args, **how)


def set_cache(folder, megabytes=256):
    """The folder in which later processes find what this one compiles; None or "" switches the cache off.

    At first it is what the environment variable HEDDLE_CACHE names ("off", or a folder), else `heddle` in the user's cache folder.
    """
    _heddle.set_cache(os.fspath(folder) if folder else "", megabytes)


def cache():
    """The state of the cache on disk: `on`, `folder`, `why_off`, and the `hits`, `misses` and entries `stored` of this process."""
    return _heddle.cache()


def format(text, name="<text>"):
    """The text as `heddle fmt` writes it: only white space changes. Raises `Error` where it does not parse."""
    return _heddle.format(module.utf8(text), name)


def load_ipython_extension(shell):
    """`%load_ext heddle` adds the cell magic `%%heddle`."""
    from .notebook import register

    register(shell)


__all__ = [
    "Error", "Kernel", "Module", "Numerics", "Op", "Packed", "Schedule", "Spec", "State", "States", "Trial", "TuneResult", "cache", "compile", "format", "lang", "load", "numerics", "parse", "schedule", "set_cache", "set_threads", "spec", "std", "step",
    "targets", "threads", "tune",
]
