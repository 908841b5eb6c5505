"""An op compiled for a NeuronCore: NKI text, the tables that it takes, its run on the simulator."""

import os
import re
import sys

import numpy as np

from . import _heddle
from .results import result_type

_told, _lacks = set(), None
_OUTPUT = re.compile(r"^    \w+ = nl\.ndarray\(\(([^)]*)\), dtype=nl\.(\w+), buffer=nl\.shared_hbm\)", re.M)


def is_neuron(target):
    return isinstance(target, str) and (target.startswith("neuron") or target.startswith("trn"))


def device_missing():
    """Whether a NeuronCore cannot be used here; looked for once, the node of the device first, because a process that only wants the host waits
    for the answer."""
    global _lacks
    if _lacks is None:
        _lacks = not _attached() or _missing()
    return bool(_lacks)


def _attached():
    try:
        return any(name.startswith("neuron") for name in os.listdir("/dev"))
    except OSError:
        return False


def _missing():
    from . import device

    return device.missing()


def tell_why_host(op=None, why=None):
    """`auto` takes a NeuronCore where one is: said, once for the process and once for each op that it cannot run, why it does not."""
    if op in _told:
        return
    _told.add(op)
    logging = sys.modules.get("logging")  # not imported: nobody listens
    log = logging and logging.getLogger("heddle")
    if not log or not log.isEnabledFor(logging.INFO):
        return
    if op:
        log.info("target auto runs `%s` on the host: %s", op, why)
    else:
        log.info("target auto runs on the host: for a NeuronCore missing is %s", "; ".join(_missing()))


def _dtype(name):
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))


class Packed:
    """An operand as the text of a kernel takes it, by `NeuronKernel.pack`: made once, passed to many calls."""

    def __init__(self, kernel, name, array, shape):
        self.kernel, self.name, self.array, self.shape = kernel, name, array, shape

    def __repr__(self):
        return f"<heddle.neuron_kernel.Packed {self.name} {self.shape} as {self.array.shape}>"


class NeuronKernel:
    """An op for a NeuronCore. `nki` is the text: a function of the inputs, the run-time scalars and then `tables`."""

    def __init__(self, op, made, profile, recipe):
        self._op, self._recipe = op, recipe
        self.profile = profile
        self.nki, self.tables, self.program = made["nki"], dict(made["tables"]), made["program"]
        self.schedule, self.target = made["schedule"], made["target"]
        self.instructions, self.sbuf_bytes, self.psum_banks = made["instructions"], made["sbuf_bytes"], made["psum_banks"]
        self._packings = made["packings"]
        self.report = None

    def __repr__(self):
        return f"<heddle.NeuronKernel {self._op.name} for {self.target}, {self.profile}>"

    def __getattr__(self, name):
        if name in ("llvm", "asm", "memory"):
            raise AttributeError(f'a kernel for NeuronCore has no `{name}`; one of the host has: compile(.., target="cpu")')
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self):
        return self._recipe

    def pack(self, **operands):
        """Operands whose parameters have a `layout` in the order that the text takes them in; several as a tuple."""
        for name in operands:
            if name not in self._packings:
                raise TypeError(f"`{name}` has no layout in the schedule `{self.schedule}`")
        made = tuple(self._packed(name, np.asarray(_heddle.as_numpy(value, name))) for name, value in operands.items())
        return made[0] if len(made) == 1 else made

    def _packed(self, name, array):
        shape, pack = self._packings[name]
        out = np.empty(shape, array.dtype)
        if out.size:
            pack(np.ascontiguousarray(array).reshape(-1).view(np.uint8), out.reshape(-1).view(np.uint8))
        return Packed(self, name, out, array.shape)

    def _arguments(self, args, named):
        """What the text takes, in its order."""
        arrays, scalars, _ = self._op._sort(args, named)
        given = []
        for name, value in arrays.items():
            if isinstance(value, Packed):
                if value.kernel is not self or value.name != name:
                    raise TypeError(f"`{name}` is packed for another kernel or operand")
                value = value.array
            else:
                value = np.asarray(_heddle.as_numpy(value, name))
                if name in self._packings:
                    value = self._packed(name, value).array
            if value.dtype in (np.int64, np.uint64):
                value = value.astype(np.int32)  # as the text takes them
            given.append(np.ascontiguousarray(value).reshape(value.shape or (1,)))
        return given + [float(np.float32(v)) for v in self._op._scalar_list(scalars)] + list(self.tables.values())

    def _results(self, outputs, args, named):
        """What the text returns, as the op gives it: `inout` arrays are written in place, 64-bit integers are so again, several are a named
        tuple as on the host."""
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        arrays = self._op._sort(args, named)[0]
        results = []
        for p, o in zip((p for p in self._op.parameters if p["inout"] or p["output"]), outputs):
            if p["inout"]:
                np.asarray(arrays[p["name"]])[...] = o.reshape(np.shape(arrays[p["name"]]))
                continue
            if p["type"] in ("i64", "u64"):
                o = o.astype({"i64": np.int64, "u64": np.uint64}[p["type"]])
            results.append(o if p["dims"] else o.reshape(()))
        if len(results) < 2:
            return results[0] if results else None
        return result_type(self._op.name, tuple(p["name"] for p in self._op.parameters if p["output"]))(*results)

    def __call__(self, *args, out=None, **named):
        """Runs on a NeuronCore; `Error` HD0658 says what is missing where there is none."""
        from . import device

        outputs = [(_dtype(name), tuple(int(n) for n in shape.split(",") if n.strip())) for shape, name in _OUTPUT.findall(self.nki)]
        made = self._results(device.run(self.nki, self._arguments(args, named), outputs, self.target), args, named)
        if out is None:
            return made
        for into, part in zip(out if isinstance(out, tuple) else (out,), made if isinstance(made, tuple) else (made,)):
            np.asarray(into)[...] = part
        return out

    def simulate(self, *args, seed=1, timeline=False, **named):
        """The outputs as the simulator computes them, in a random legal order of the engines; `report` then says what that takes, modelled."""
        from . import neuron

        outputs, self.report = neuron.simulate(
            self.nki,
            *self._arguments(args, named),
            target=self.target,
            seed=seed,
            timeline=timeline,
            max_instructions=self.instructions + 1,
            name=f"{self._op.name}.nki.py",
        )
        return self._results(outputs, args, named)
