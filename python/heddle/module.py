"""Modules and ops."""

import functools
import inspect
import itertools
import operator
import os

import numpy as np

from . import _heddle
from .errors import Error, make, refusal
from .neuron_kernel import NeuronKernel, device_missing, is_neuron, tell_why_host
from .results import python_name
from .states import Schedule, State, States


# Names of NumPy's kinds of number, and torch's, for those who write them in a `spec`.
_OTHER_NAMES = {"float": "f64", "int": "i64", "float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16", "float8_e4m3fn": "f8e4m3fn",
                "float8_e4m3": "f8e4m3", "float8_e5m2": "f8e5m2", **{f"{s}int{n}": f"{s or 'i'}{n}" for s in ("", "u") for n in (8, 16, 32, 64)}}
_TYPES = ("f64", "f32", "f16", "bf16", "f8e4m3fn", "f8e4m3", "f8e5m2", *(f"{s}{n}" for s in "iu" for n in (8, 16, 32, 64)), "bool")


def _type_name(type):
    name = getattr(type, "__name__", None) or str(type).removeprefix("torch.")
    name = _OTHER_NAMES.get(name, name)
    if name not in _TYPES:
        raise TypeError(f"`{name}` is no element type; those are {', '.join(_TYPES)}")
    return name


class Spec:
    """Stands for an array in `compile`: an element type and dims, numbers where the extent is known, names where it is not."""

    __slots__ = ("type", "dims")

    def __init__(self, type, *dims):
        self.type, self.dims = _type_name(type), dims
        for d in dims:
            if isinstance(d, int) and not 0 <= d < 2**63:
                raise ValueError(f"an array has no {d} elements along an axis")

    def __repr__(self):
        return f"spec({self.type!r}, {', '.join(map(repr, self.dims))})"

    def _describe(self):
        return (self.type, [d if isinstance(d, int) else -1 for d in self.dims], True)


def spec(type, *dims):
    """A type for `compile` in place of an array: `hd.spec("f32", "rows", 1024)`."""
    return Spec(type, *dims)


def _default(parameter):
    """A default as it is shown: of a whole type a whole number."""
    value = parameter["default"]
    if parameter["type"] == "bool":
        return bool(value)
    return int(value) if parameter["kind"] == "const" or parameter["type"][0] in "iu" else value


def _seconds(limit):
    """A time limit for the handle, where 0 is none."""
    if limit is not None and not limit > 0:
        raise ValueError(f"time_limit_s is a positive number of seconds, not {limit!r}")
    return float(limit or 0)


def _describe(name, array):
    if isinstance(array, Spec):
        return array._describe()
    return _heddle.describe(array, name)


class Op:
    """An op of a module: call it with arrays, or `compile` it."""

    def __init__(self, module, handle):
        self._module, self._handle = module, handle
        self.name = handle.name
        self.__doc__ = handle.doc or None
        self.parameters = handle.parameters
        self._inputs = [p for p in self.parameters if not p["output"]]
        self._kernels, self._choosers, self._known = {}, {}, _heddle.KnownCalls()

    def __repr__(self):
        return f"<heddle.Op {self.signature}>"

    @property
    def module(self):
        """The module that the op stands in."""
        return self._module

    @property
    def signature(self):
        """The declaration, for example `softmax(x: T[rows, cols]) -> y: T[rows, cols]`."""

        def one(p):
            text = f"{p['name']}: {p['type']}"
            if p["kind"] == "array":
                text += f"[{', '.join(p['dims'])}]"
            if p["kind"] == "const":
                text = "const " + text
            if p["default"] is not None:
                value = _default(p)
                text += f" = {str(value).lower() if isinstance(value, int) else format(value, 'g')}"
            return ("inout " if p["inout"] else "") + text

        inputs = ", ".join(one(p) for p in self._inputs)
        outputs = ", ".join(one(p) for p in self.parameters if p["output"])
        return f"{self.name}({inputs})" + (f" -> {outputs}" if outputs else "")

    @property
    def __signature__(self):
        kinds = inspect.Parameter
        parameters, kind = [], kinds.POSITIONAL_OR_KEYWORD
        for p in self._inputs:
            needed = p["default"] is None
            if needed and parameters and parameters[-1].default is not kinds.empty:
                kind = kinds.KEYWORD_ONLY  # Python has no argument that is needed after one that is not
            parameters.append(kinds(python_name(p["name"]), kind, default=kinds.empty if needed else _default(p)))
        own = {p["name"] for p in self._inputs}  # the op's own words come first
        extra = [kinds(n, kinds.KEYWORD_ONLY, default=None) for n in ("out", "schedule", "target", "threads") if n not in own]
        return inspect.Signature(parameters + extra)

    @property
    def schedules(self):
        """Names of the op's schedules, in the order of the text."""
        return list(self._handle.schedules)

    def schedule(self, name):
        """One of the op's schedules; raises `Error` where there is none of that name."""
        if name not in self._handle.schedules:
            message, known = f"`{self.name}` has no schedule `{name}`", ", ".join(f"`{s}`" for s in self.schedules)
            raise refusal("HD0551", message, f"its schedules: {known}" if known else "it has none")
        return Schedule(self, name)

    def _sort(self, args, named):
        """Positional and keyword arguments to (array names and values, scalars, consts); missing ones are left to the kernel."""
        values = self._positional(args)
        for name, value in named.items():
            if name in values:
                raise TypeError(f"{self.name} got `{name}` twice")
            if all(name != p["name"] for p in self._inputs):
                raise TypeError(f"{self.name} has no parameter `{name}`; it is {self.signature}")
            values[name] = value
        arrays, scalars, consts = {}, {}, {}
        for p in self._inputs:
            if p["name"] not in values:
                if p["default"] is None:
                    raise TypeError(f"{self.name} needs the argument `{p['name']}`; it is {self.signature}")
                continue
            {"array": arrays, "scalar": scalars, "const": consts}[p["kind"]][p["name"]] = values[p["name"]]
        return arrays, scalars, {k: self._whole(k, v) for k, v in consts.items()}

    def _positional(self, args):
        if len(args) > len(self._inputs):
            raise TypeError(f"{self.name} takes {len(self._inputs)} argument{'s' * (len(self._inputs) != 1)}, not {len(args)}; it is {self.signature}")
        return dict(zip((p["name"] for p in self._inputs), args))

    def _whole(self, name, value, what="a const: an integer or a bool"):
        try:
            whole = operator.index(value)
        except TypeError:
            if isinstance(value, np.bool_):
                return int(value)
            raise TypeError(f"`{name}` of {self.name} is {what}, not {value!r}") from None
        if not -(2**63) <= whole < 2**63:
            raise ValueError(f"`{name}` of {self.name} is past 64 bits: {value!r}")
        return whole

    def _wholes(self, values, what):
        return {name: self._whole(name, value, what) for name, value in (values or {}).items()}

    def compile(self, *args, schedule=None, tune=None, fix=None, target="auto", threads=0, time_limit_s=None, profile="full", instructions=50_000, **named):
        """A `Kernel` for the types of these arrays (or `spec`s).

        schedule: a name, "" for none, or None for the first one that fits. tune: values of its `tune` variables. fix: dims that
        become constants. target: "auto", "cpu", "cpu/avx512", ... threads: 0 takes what `set_threads` says. time_limit_s: a compile that
        takes longer raises `Error`; Ctrl-C ends one too.

        For target "neuron/trn2" and its kind a `NeuronKernel`; profile: of its text, "full" or "basic"; instructions: the budget of
        unrolled ones.
        """
        arrays, _, consts = self._sort_types(args, named)
        described = [_describe(n, a) for n, a in arrays.items()]
        request = (described, consts, schedule, self._wholes(tune, "tuned to an integer"), self._wholes(fix, "fixed to an integer"), target or "auto", threads or 0)
        if is_neuron(target):
            return self._build_neuron(request, profile, instructions)
        if request[5] == "auto":
            kernel = self._on_device(request, profile, instructions)
            if kernel:
                return kernel
        return self._build(*request, limit=time_limit_s)

    def _on_device(self, request, profile, instructions):
        """For target "auto" a kernel for the NeuronCore that is here, or None after the log has said why the host runs it."""
        if device_missing():
            return None  # said by _build, once
        try:
            kernel = self._build_neuron((*request[:5], "neuron", request[6]), profile, instructions)
        except Error as e:
            tell_why_host(self.name, e.message)
            return None
        if not kernel.schedule:
            tell_why_host(self.name, "it has no schedule for a NeuronCore")
            return None
        return kernel

    def _build_neuron(self, request, profile, instructions):
        made = _heddle.neuron_text(self._handle, _heddle.request(*request), profile, instructions)
        return NeuronKernel(self, made, profile, (_rebuild_neuron, (self._module._texts, self.name, request, profile, instructions)))

    def _build(self, *request, limit=None):
        if request[5] == "auto" and device_missing():
            tell_why_host()
        kernel = self._handle.compile(_heddle.request(*request, time_limit_s=_seconds(limit)))
        _heddle.set_recipe(kernel, _rebuild_kernel, (self._module._texts, self.name, request))
        return kernel

    def __reduce__(self):
        return _rebuild_op, (self._module._texts, self.name)

    def _sort_types(self, args, named):
        """As `_sort`, but scalars may be missing: a compile needs only types and consts."""
        wanted = [p for p in self._inputs if p["kind"] != "scalar" or p["name"] in named]
        full = {p["name"]: p for p in self._inputs}
        values = self._positional(args)
        values.update(named)
        for name in named:
            if name not in full:
                raise TypeError(f"{self.name} has no parameter `{name}`; it is {self.signature}")
        arrays, consts = {}, {}
        for p in wanted:
            if p["kind"] == "scalar":
                continue
            if p["name"] not in values:
                if p["default"] is None:
                    raise TypeError(f"{self.name} needs the argument `{p['name']}`; it is {self.signature}")
                continue
            (arrays if p["kind"] == "array" else consts)[p["name"]] = values[p["name"]]
        return arrays, {}, {k: self._whole(k, v) for k, v in consts.items()}

    def __call__(self, *args, out=None, schedule=None, target=None, threads=None, **named):
        """Runs the op; compiled once per (types, consts, target, schedule), then a call of the kernel."""
        # The common call, of NumPy arrays alone: what was found for their types the last time.
        plain = schedule is None and target is None and not named
        if plain:
            kernel = self._known.find(args)
            if kernel is not None:
                return kernel(*args, out=out, threads=threads)
        if is_neuron(target):
            return self._call_neuron(args, named, out, schedule, target)
        arrays, scalars, consts = self._sort(args, named)
        described = [_describe(n, a) for n, a in arrays.items()]
        types = tuple((d[0], len(d[1]), d[2]) for d in described) + tuple(sorted(consts.items())) + (target,)
        if schedule is None:
            schedule = self._choose(types, described, consts, target, list(arrays.values()))
        key = types + (schedule,)
        kernel = self._kernels.get(key)
        if kernel is None:
            kernel = self._kernels[key] = self._build(described, consts, schedule, {}, {}, target or "auto", 0)
        if plain and len(arrays) == len(args) and not consts:
            self._known.add(args, self._choosers[types], schedule, kernel)
        return kernel(**arrays, **scalars, out=out, threads=threads)

    def _call_neuron(self, args, named, out, schedule, target):
        arrays, _, consts = self._sort(args, named)
        described = [_describe(n, a) for n, a in arrays.items()]
        key = (tuple((d[0], tuple(d[1])) for d in described), tuple(sorted(consts.items())), target, schedule)
        kernel = self._kernels.get(key)
        if kernel is None:
            kernel = self._kernels[key] = self._build_neuron((described, consts, schedule, {}, {}, target, 0), "full", 50_000)
        return kernel(*args, out=out, **named)

    def _choose(self, types, described, consts, target, arrays):
        chooser = self._choosers.get(types)
        if chooser is None:
            request = _heddle.request(described, consts, None, {}, {}, target or "auto", 0)
            chooser = self._choosers[types] = self._handle.chooser(request)
        return chooser.choose(arrays)

    def _request(self, args, named, schedule, tune, fix, target):
        """What the handle takes for work without a call: types and consts of the arguments, and the choices."""
        arrays, _, consts = self._sort_types(args, named)
        described = [_describe(n, a) for n, a in arrays.items()]
        return _heddle.request(described, consts, schedule, self._wholes(tune, "tuned to an integer"), self._wholes(fix, "fixed to an integer"), target or "auto", 0)

    def _states(self, args, schedule=None, tune=None, fix=None, target="auto", **named):
        request = self._request(args, named, schedule, tune, fix, target)
        states, refusal, rendered = self._handle.states(request)
        made = States([State(*s) for s in states], f"{self.name}.{schedule}" if schedule else self.name)
        if refusal:
            error = make(refusal, rendered)
            error.states, made.refusal = made, error
            raise error
        return made

    def _typical_of(self, schedule):
        """Specs, consts and a target with which a schedule may run: its `where` may ask for a type, its `on` for another machine."""
        refused = {"HD0504", "HD0552", "HD0304"}  # not for these types, not for this target, not for this rank
        packs = any(d.startswith("...") for p in self.parameters for d in p["dims"])
        for target, rank, generic in itertools.product(("auto", "neuron/trn2"), (1, 2) if packs else (1,), ("f32", "bf16", "i8", "i32", "bool")):
            named = self._typical((generic,), rank)[1]
            try:
                _, refusal, _ = self._handle.states(self._request((), named, schedule, None, None, target))
            except Error:
                continue
            if not refusal or refusal[0]["code"] not in refused:
                return {**named, "target": target}
        return self._typical()[1]

    def _typical(self, generics=("f32", "i32", "bool"), rank=1):
        """Specs and consts for a call with arrays of any size: f32 where the type is generic, or the first type that the op takes. Packs have
        `rank` axes."""

        def axes(dims):
            return [a for d in dims for a in ([d] * rank if d.startswith("...") else [d])]

        consts = {p["name"]: 1 if p["default"] is None else int(p["default"]) for p in self._inputs if p["kind"] == "const"}
        for generic in generics:
            specs = {p["name"]: Spec(p["type"] if p["type"] in _TYPES else generic, *axes(p["dims"])) for p in self._inputs if p["kind"] == "array"}
            try:
                self._handle.chooser(_heddle.request([s._describe() for s in specs.values()], consts, None, {}, {}, "auto", 0))
                break
            except Error:
                continue
        return (), {**specs, **consts}

    @property
    def text(self):
        """The definition as written."""
        return self._handle.text

    def _repr_html_(self):
        from . import display

        return display.op_html(self)

    def interpret(self, *args, out, schedule="", seed=1, tune=None, fix=None, target="auto", **named):
        """Runs the reference interpreter, on the canonical program or a scheduled one, into `out` (an array or a tuple)."""
        arrays, scalars, consts = self._sort(args, named)
        described = [_describe(n, a) for n, a in arrays.items()]
        request = _heddle.request(described, consts, schedule, self._wholes(tune, "tuned to an integer"), self._wholes(fix, "fixed to an integer"), target, 0)
        outs = list(out) if isinstance(out, tuple) else [out]
        self._handle.interpret(request, list(arrays.values()) + outs, self._scalar_list(scalars, shown=False), seed)
        return out

    def reference(self, *args, out, schedule="", **named):
        """(value, bound) in float64 for each array that is written, `inout` ones and then outputs, by the interpreter's bounded mode; `out` is written too. The bound is that of
        docs/numerics.md: an answer within it is right."""
        arrays, scalars, consts = self._sort(args, named)
        described = [_describe(n, a) for n, a in arrays.items()]
        request = _heddle.request(described, consts, schedule, {}, {}, "auto", 0)
        outs = list(out) if isinstance(out, tuple) else [out]
        results = self._handle.reference(request, list(arrays.values()) + outs, self._scalar_list(scalars, shown=False))
        written = [arrays[p["name"]] for p in self._inputs if p["inout"]] + outs
        return [(v.reshape(o.shape), b.reshape(o.shape)) for (v, b), o in zip(results, written)]

    def _scalar_list(self, scalars, shown=True):
        """Values in declaration order. For those left out the default as it is shown, or None: the kernel knows it to the last bit."""
        out = []
        for p in self._inputs:
            if p["kind"] == "scalar":
                value = scalars.get(p["name"], p["default"] if shown else None)
                out.append(value if value is None else int(value) if p["type"][0] in "iu" else float(value))
        return out


class Module:
    """A parsed and checked text. Its ops are attributes: `m.softmax(x)`."""

    def __init__(self, handle, texts):
        self._handle, self._texts = handle, texts  # texts: (text, name) of each, in the order in which they were added
        self._ops = {}

    def __repr__(self):
        return f"<heddle.Module {', '.join([*self._handle.ops, *self._handle.programs])}>"

    def __dir__(self):
        return sorted(set(super().__dir__()) | set(self._handle.ops))

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self.op(name)

    def _repr_html_(self):
        from . import display

        return "".join(display.op_html(self.op(name)) for name in self.ops)

    @property
    def ops(self):
        """Names of the ops, in the order of the text."""
        return list(self._handle.ops)

    def op(self, name):
        if name not in self._ops:
            if name not in self._handle.ops:
                try:
                    self._handle.op(name)  # raises with the nearest name
                except Exception as error:
                    raise AttributeError(str(error)) from None
            self._ops[name] = Op(self, self._handle.op(name))
        return self._ops[name]

    @property
    def programs(self):
        """Names of the printed programs in the text."""
        return list(self._handle.programs)

    def program(self, name):
        """A printed program of the text: it can be interpreted and compiled as it stands."""
        return self._handle.program(name)

    def check(self):
        """Applies every schedule of the text to its op; raises `Error` with what the steps refuse."""
        self._handle.check()

    def extend(self, text, name="<text>"):
        """A module with more text, for example schedules of this one's ops; this module is unchanged. Builders stand for their text."""
        text = text if isinstance(text, (str, bytes)) else text.text
        return Module(self._handle.extend(utf8(text), name), self._texts + ((text, name),))

    def __reduce__(self):
        return _rebuild_module, (self._texts,)


@functools.lru_cache(64)
def _rebuild_module(texts):
    """Unpickles a module from its texts. Kernels and ops of one module share it."""
    (text, name), *more = texts
    module = parse(text, name)
    for text, name in more:
        module = module.extend(text, name)
    return module


def _rebuild_op(texts, name):
    return _rebuild_module(texts).op(name)


def _rebuild_kernel(texts, name, request):
    """Unpickles a kernel: it is compiled anew, for the machine that reads it where its target is "auto" or "cpu"."""
    return _rebuild_op(texts, name)._build(*request)


def _rebuild_neuron(texts, name, request, profile, instructions):
    return _rebuild_op(texts, name)._build_neuron(request, profile, instructions)


def _rebuild_program(text, name):
    return parse(text, "<program>").program(name)


def _rebuild_program_kernel(text, name, target, threads):
    return _rebuild_program(text, name).compile(target, threads)


def utf8(text):
    """The bytes of a text. Halves of surrogate pairs, which UTF-8 has not, go on as they are: the parser says where they stand."""
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TypeError(f"a text is a str, not {type(text).__name__}")
    return text.encode("utf-8", "surrogatepass")


def parse(text, name="<text>"):
    """A module from text; raises `Error`."""
    return Module(_heddle.parse(utf8(text), name), ((text, name),))


def load(path):
    """A module from a file; raises `Error`."""
    path = os.fspath(path)
    handle = _heddle.load(path)
    return Module(handle, ((handle.text, path),))
