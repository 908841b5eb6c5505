"""The standard library: `hd.std.AREA.OP`, for example `hd.std.nn.softmax(x)`. Each op is one `.hd` file beside its schedules."""

import difflib
import os

from .module import Module, load


class Area:
    """One folder of the standard library. Files are parsed when one of their ops is first used."""

    def __init__(self, name, folder):
        self.__name__ = name
        self._folder, self._ops = folder, {}

    def _files(self):
        return sorted(name for name in os.listdir(self._folder) if name.endswith(".hd"))

    def _load(self, file) -> Module:
        return load(os.path.join(self._folder, file))

    def __dir__(self):
        return [op for f in self._files() for op in self._load(f).ops]

    def __repr__(self):
        return f"<heddle.std.{self.__name__}>"

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._ops:
            return self._ops[name]
        # The file named as the op, else the file that holds it.
        for file in sorted(self._files(), key=lambda file: file != name + ".hd"):
            module = self._load(file)
            if name in module.ops:
                self._ops[name] = module.op(name)
                return self._ops[name]
        near = difflib.get_close_matches(name, dir(self), 1)
        raise AttributeError(f"the standard library's area `{self.__name__}` has no op `{name}`" + (f"; did you mean `{near[0]}`?" if near else ""))


def _areas():
    root = os.path.join(os.path.dirname(__file__), "stdlib")
    return {f.name: Area(f.name, f.path) for f in os.scandir(root) if f.is_dir() and f.name != "machine"}


def __getattr__(name):
    areas = _areas()
    if name in areas:
        globals()[name] = areas[name]
        return areas[name]
    raise AttributeError(f"the standard library has no area `{name}`; it has {', '.join(sorted(areas))}")


def __dir__():
    return sorted(_areas())
