"""Schedules and derived steps from Python calls: one method for each step of the language, made from its table.

    s = (hd.schedule(m.softmax, "mine", allow="reassociate")
         .tune("block", 4, [1, 2, 4, 8])
         .split("y.r", by="block", into=("ro", "ri"))
         .compute_at("total", "e", "peak", at="y.ri")
         .parallel("y.ro"))
    s(x)                    # or s.compile(x), s.states(x), s.text, s.op

A builder is a value: each call gives a new one, the old one stays as it was. Its text is ordinary text of the language.
"""

import inspect
import re

from . import _heddle
from .errors import Error

# Prepositions of the language; those that Python keeps for itself end in an underscore.
_PREPOSITIONS = ("by", "into", "at", "as", "in", "to", "with", "when", "after")
_SPELLED = {p: p + "_" if p in ("as", "in", "with") else p for p in _PREPOSITIONS}


def text_of(value):
    """An operand as text: numbers, text as it stands, tuples and lists with commas between, builders' own expressions."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(text_of, value))
    return str(value)


class Steps:
    """Lines of a schedule or of a derived step. The methods named as steps of the language add one line each: `_with(*lines)` of the two
    kinds below gives the same with these lines at its end."""

    def __init__(self, lines=()):
        self._lines = tuple(lines)

    @property
    def lines(self):
        """The lines so far."""
        return list(self._lines)

    def step(self, name, *operands, **prepositions):
        """A step by name, such as a derived one: `s.step("tile", "y.i", 4)`. Prepositions are keywords; `as_`, `in_` and `with_`
        stand for words that Python keeps for itself. Keywords that are no prepositions are equations: `s.step("fix", n=4)`."""
        operands = [text_of(o) for o in operands]
        words = {}
        for key, value in prepositions.items():
            bare = key.removesuffix("_")
            if bare in _PREPOSITIONS and key == _SPELLED[bare]:
                if value is not None:
                    words[bare] = text_of(value)
            else:
                operands.append(f"{key} = {text_of(value)}")
        line = f"{name} {', '.join(operands)}".rstrip()
        return self._with(line + "".join(f" {p} {words[p]}" for p in words))

    def when(self, condition, then, otherwise=None):
        """A choice between steps, made before any runs: `s.when("block > 1", lambda s: s.unroll("y.ri"))`."""
        def inside(make):
            made = make(Steps._Block())
            return ["  " + line for line in made._lines]

        lines = [f"if {text_of(condition)} {{", *inside(then)]
        if otherwise is not None:
            lines += ["} else {", *inside(otherwise)]
        return self._with(*lines, "}")

    def let(self, name, value):
        """`let NAME = VALUE`: a name for a value."""
        return self._with(f"let {name} = {text_of(value)}")


class _Block(Steps):
    def _with(self, *lines):
        return _Block(self._lines + lines)


Steps._Block = _Block


def _method(name, usage, help):
    used = [p for p in _PREPOSITIONS if re.search(rf"(?<![A-Za-z_]){p}(?![A-Za-z_])", usage.split(" ", 1)[1])]
    equations = name == "fix"

    def method(self, *operands, **words):
        unknown = [w for w in words if w not in keywords]
        if unknown and not equations:
            raise TypeError(f"{name} takes no `{unknown[0]}`; it is {usage}")
        return self.step(name, *operands, **words)

    keywords = [_SPELLED[p] for p in used]
    method.__name__, method.__qualname__ = name, f"Steps.{name}"
    method.__doc__ = f"{usage}\n\n{help[:1].upper()}{help[1:]}."
    kinds = inspect.Parameter
    parameters = [kinds("self", kinds.POSITIONAL_OR_KEYWORD), kinds("operands", kinds.VAR_POSITIONAL)]
    parameters += [kinds(k, kinds.KEYWORD_ONLY, default=None) for k in keywords]
    parameters += [kinds("equations", kinds.VAR_KEYWORD)] if equations else []
    method.__signature__ = inspect.Signature(parameters)
    return method


# One method for each row of the step table.
for _name, _usage, _help in _heddle.steps():
    setattr(Steps, _name, _method(_name, _usage, _help))


class ScheduleBuilder(Steps):
    """A schedule that grows by calls. `text` is what they say in the language; `op` is the op of a module that has it."""

    def __init__(self, op, name, on, allow, where, lines=()):
        super().__init__(lines)
        self._op, self.name, self.on, self.allow, self.where = op, name, on, allow, where
        self._made = None

    def _with(self, *lines):
        return ScheduleBuilder(self._op, self.name, self.on, self.allow, self.where, self._lines + lines)

    def tune(self, name, default, choices, to=None, by=None, where=None):
        """`tune NAME = DEFAULT in [..]`; or `in LOW .. HIGH [by *FACTOR]` with `choices` the lower bound, `to` the upper and `by` the factor."""
        if to is None:
            among = f"[{text_of(list(choices))}]"
        else:
            among = f"{text_of(choices)} .. {text_of(to)}" + (f" by *{text_of(by)}" if by is not None else "")
        return self._with(f"tune {name} = {text_of(default)} in {among}" + (f" where {text_of(where)}" if where is not None else ""))

    @property
    def text(self):
        """The schedule as text."""
        head = f"schedule {self._op.name}.{self.name} on {self.on}"
        if self.allow:
            head += f" allow {', '.join(self.allow)}"
        if self.where is not None:
            head += f" where {text_of(self.where)}"
        return head + " {\n" + "".join(f"  {line}\n" for line in self._lines) + "}\n"

    def __str__(self):
        return self.text

    def __repr__(self):
        return f"<heddle.ScheduleBuilder {self._op.name}.{self.name}, {len(self._lines)} lines>"

    @property
    def op(self):
        """The op in a module that has this schedule. Raises `Error` where the text is refused."""
        if self._made is None:
            self._made = self._op.module.extend(self.text, f"<{self.name}>").op(self._op.name)
        return self._made

    def compile(self, *args, **how):
        """A kernel with this schedule; arguments as of `Op.compile`."""
        return self.op.compile(*args, schedule=self.name, **how)

    def __call__(self, *args, **how):
        return self.op(*args, schedule=self.name, **how)

    def states(self, *args, **how):
        """As `Schedule.states`: the program after each step."""
        return self.op.schedule(self.name).states(*args, **how)

    def show(self, *args, **how):
        """As `Schedule.show`: a refused step is shown in its place."""
        return self.op.schedule(self.name).show(*args, **how)

    def _repr_html_(self):
        try:
            return self.show()._repr_html_()
        except Error as error:
            from .display import error_html

            return error_html(error)


class StepBuilder(Steps):
    """A derived step that grows by calls; its parameters are names in its lines."""

    def __init__(self, name, parameters, lines=()):
        super().__init__(lines)
        self.name, self.parameters = name, parameters

    def _with(self, *lines):
        return StepBuilder(self.name, self.parameters, self._lines + lines)

    @property
    def text(self):
        """The step as text, for `m.extend`."""
        parameters = ", ".join(f"{name}: {kind}" for name, kind in self.parameters.items())
        return f"step {self.name}({parameters}) {{\n" + "".join(f"  {line}\n" for line in self._lines) + "}\n"

    def __str__(self):
        return self.text


def schedule(op, name, on="cpu", allow=(), where=None):
    """An empty schedule of an op, to be grown by calls: `hd.schedule(m.softmax, "mine").parallel("y.r")`.

    on: the target. allow: "reassociate", "contract", "flush_denormals", one or several. where: a condition over dims.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise ValueError(f"`{name}` is no name of a schedule")
    return ScheduleBuilder(op, name, on, (allow,) if isinstance(allow, str) else tuple(allow), where)


def step(name, **parameters):
    """An empty derived step, to be grown by calls: `hd.step("wide", l="loop").vectorize("l", by="lanes(f32)")`. Kinds of parameters: loop,
    stage, int, name, memory."""
    return StepBuilder(name, parameters)
