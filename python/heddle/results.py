"""Several results of a call: a named tuple."""

import collections
import functools
import keyword


def python_name(name):
    """A name of Heddle where Python wants one that is no word of its own."""
    return name + "_" if keyword.iskeyword(name) else name


@functools.lru_cache(256)
def result_type(op, names):
    """The class of an op's results; names that begin with `_` are without it, and where Python cannot have one it is `_1`, by its place."""
    fields = [python_name(name.lstrip("_")) for name in names]
    return collections.namedtuple(python_name(op.replace(".", "_")), fields, rename=True)
