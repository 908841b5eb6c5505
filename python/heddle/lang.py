"""Ops from Python expressions, without pasting text.

    from heddle import lang

    op = lang.op("softmax", doc="Rows that sum to one.")
    x = op.input("x", "f32", "rows", "cols")
    op.output("y", "f32", "rows", "cols")
    r, c = lang.index("r", "c")
    op.peak[r] = lang.max[c](x[r, c])
    op.e[r, c] = lang.exp(x[r, c] - op.peak[r])
    op.total[r] = lang.sum[c](op.e[r, c])
    op.y[r, c] = op.e[r, c] / op.total[r]
    m = op.parse()          # a Module; op.text is its text

Each assignment is one equation of the language; what it refuses, it refuses at the equation's own line.
"""

from .build import text_of
from .module import parse

# How tightly an expression holds together, as in the grammar: an operand that holds less stands in parentheses.
_IF, _OR, _AND, _COMPARE, _BITS, _SUM, _PRODUCT, _UNARY, _OTHERWISE, _ATOM = range(10)


class Expr:
    """An expression of the language: operators and functions of Python make larger ones."""

    def __init__(self, text, level=_ATOM, logical=False):
        self._text, self._level, self._logical = text, level, logical

    def __str__(self):
        return self._text

    def __repr__(self):
        return f"<lang.Expr {self._text}>"

    def __bool__(self):
        raise TypeError("an expression of Heddle has no value yet: write lang.where(condition, a, b), and `&`, `|`, `~` for and, or, not")

    __hash__ = None

    # Binary operators. Operators of one level group to the left; those of `_BITS` and comparisons do not group at all.
    def _binary(self, sign, other, level, swapped=False, logical=False):
        left, right = (expression(other), self) if swapped else (self, expression(other))
        loose = level in (_COMPARE, _BITS)
        return Expr(f"{left._in(level + loose)} {sign} {right._in(level + 1)}", level, logical)

    def _in(self, level):
        return self._text if self._level >= level else f"({self._text})"

    def __add__(self, other):
        return self._binary("+", other, _SUM)

    def __radd__(self, other):
        return self._binary("+", other, _SUM, True)

    def __sub__(self, other):
        return self._binary("-", other, _SUM)

    def __rsub__(self, other):
        return self._binary("-", other, _SUM, True)

    def __mul__(self, other):
        return self._binary("*", other, _PRODUCT)

    def __rmul__(self, other):
        return self._binary("*", other, _PRODUCT, True)

    def __truediv__(self, other):
        return self._binary("/", other, _PRODUCT)

    def __rtruediv__(self, other):
        return self._binary("/", other, _PRODUCT, True)

    __floordiv__, __rfloordiv__ = __truediv__, __rtruediv__  # integers and indices floor by `/`

    def __mod__(self, other):
        return self._binary("%", other, _PRODUCT)

    def __rmod__(self, other):
        return self._binary("%", other, _PRODUCT, True)

    def __lshift__(self, other):
        return self._binary("<<", other, _BITS)

    def __rshift__(self, other):
        return self._binary(">>", other, _BITS)

    def __xor__(self, other):
        return self._binary("^", other, _BITS)

    def __and__(self, other):
        if self._logical or getattr(other, "_logical", False):
            return self._binary("&&", other, _AND, logical=True)
        return self._binary("&", other, _BITS)

    def __or__(self, other):
        if self._logical or getattr(other, "_logical", False):
            return self._binary("||", other, _OR, logical=True)
        return self._binary("|", other, _BITS)

    def __invert__(self):
        return Expr(f"{'!' if self._logical else '~'}{self._in(_UNARY)}", _UNARY, self._logical)

    def __neg__(self):
        return Expr(f"-{self._in(_UNARY)}", _UNARY)

    def __pos__(self):
        return self

    def __abs__(self):
        return abs(self)

    def __eq__(self, other):
        return self._binary("==", other, _COMPARE, logical=True)

    def __ne__(self, other):
        return self._binary("!=", other, _COMPARE, logical=True)

    def __lt__(self, other):
        return self._binary("<", other, _COMPARE, logical=True)

    def __le__(self, other):
        return self._binary("<=", other, _COMPARE, logical=True)

    def __gt__(self, other):
        return self._binary(">", other, _COMPARE, logical=True)

    def __ge__(self, other):
        return self._binary(">=", other, _COMPARE, logical=True)

    # Reads: subscripts of a tensor, fields of a state.
    def __getitem__(self, subscripts):
        return Expr(f"{self._text}[{_subscripts(subscripts)}]")

    def __iter__(self):
        raise TypeError("an expression of Heddle cannot be iterated over")

    def __getattr__(self, field):
        if field.startswith("_"):
            raise AttributeError(field)
        return Expr(f"{self._text}.{field}")

    def otherwise(self, value):
        """`x[i - 1] or value`: the read where it is inside, else the value."""
        return Expr(f"{self._in(_ATOM)} or {expression(value)._in(_UNARY)}", _OTHERWISE)

    def over(self, low, high):
        """`i in low .. high`: an index with its range, on a left side or in the brackets of a reduction."""
        return Expr(f"{self._text} in {expression(low)._in(_SUM)} .. {expression(high)._in(_SUM)}", _IF)


def expression(value):
    """Numbers and text of the language as expressions."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, bool):
        return Expr("true" if value else "false", logical=True)
    if isinstance(value, float) and value != value:
        return Expr("nan")
    if isinstance(value, float) and value in (float("inf"), -float("inf")):
        return Expr("inf") if value > 0 else Expr("-inf", _UNARY)
    if isinstance(value, (int, float)):
        text = repr(value)
        return Expr(text, _UNARY if text.startswith("-") else _ATOM)
    if isinstance(value, str):
        return Expr(value, _ATOM if value.isidentifier() else _IF)
    if hasattr(value, "item"):  # a scalar of NumPy's
        return expression(value.item())
    raise TypeError(f"{value!r} is no expression of Heddle")


def _subscripts(subscripts):
    """`i, (r, q), lo:hi`: a tuple inside is a composite dim."""
    if not isinstance(subscripts, tuple):
        subscripts = (subscripts,)
    parts = []
    for s in subscripts:
        if isinstance(s, tuple):
            parts.append(f"({_subscripts(s)})")
        elif isinstance(s, slice):
            parts.append(f"{expression(s.start)} .. {expression(s.stop)}")
        elif isinstance(s, str) and s.startswith("..."):
            parts.append(s)
        else:
            parts.append(str(expression(s)))
    return ", ".join(parts)


def index(*names):
    """Index variables by name: `i, j = lang.index("i", "j")`, or `lang.index("i")` alone."""
    made = tuple(Expr(n) for name in names for n in name.replace(",", " ").split())
    return made[0] if len(made) == 1 else made


dim = index  # a dim is read by its name as well


def where(condition, yes, no):
    """`if condition then yes else no`: only the chosen arm is evaluated."""
    return Expr(f"if {expression(condition)} then {expression(yes)._in(_OR)} else {expression(no)}", _IF)


def cast(type, value):
    """`f32(x)`: a conversion; also to a generic type of the op."""
    return Expr(f"{type}({expression(value)})")


def saturate(type, value):
    """`saturate(i8, x)`: the nearest value of the type."""
    return Expr(f"saturate({type}, {expression(value)})")


def _function(name):
    def call(*args):
        return Expr(f"{name}({', '.join(str(expression(a)) for a in args)})")

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`{name}(..)` of the language."
    return call


for _name in ("exp", "log", "log1p", "expm1", "tanh", "sigmoid", "erf", "sin", "cos", "sqrt", "rsqrt", "pow", "abs", "floor", "ceil", "round_even", "widen"):
    globals()[_name] = _function(_name)


class Reduction(Expr):
    """A reduction: the whole right side of an equation."""


class Reducer:
    """`lang.sum[j](body)`, `lang.max[j.over(0, n)](body, where=j <= i)`; a reducer of the text takes its fields by name,
    `lang.reducer("welford")[c](n=1, mean=x[r, c], m2=0)`. `max` and `min` of two values are calls: `lang.max(a, b)`."""

    def __init__(self, name, function=False):
        self.name, self._function = name, function

    def __call__(self, *args):
        if not self._function:
            raise TypeError(f"{self.name} reduces over indices: lang.{self.name}[j](..)")
        return _function(self.name)(*args)

    def __getitem__(self, indices):
        binders = _subscripts(indices)

        def reduce(*body, where=None, **fields):
            condition = f" where {expression(where)}" if where is not None else ""
            head = f"{self.name}[{binders}{condition}] "
            if fields:
                return Reduction(head + f"({', '.join(f'{k} = {expression(v)}' for k, v in fields.items())})", _IF)
            if len(body) != 1:
                raise TypeError(f"{self.name}[{binders}] takes one body, or fields by name")
            return Reduction(f"{head}({expression(body[0])})", _IF)

        return reduce


sum, prod, any, all = Reducer("sum"), Reducer("prod"), Reducer("any"), Reducer("all")
max, min, argmax, argmin = Reducer("max", True), Reducer("min", True), Reducer("argmax"), Reducer("argmin")


def reducer(name):
    """A reducer that the text defines (`op.add(text)`)."""
    return Reducer(name)


class Tensor(Expr):
    """A tensor or stage of an op: subscripts read it, an assignment to subscripts defines it."""

    def __init__(self, op, name):
        super().__init__(name)
        self._op = op

    def __setitem__(self, subscripts, value):
        self._op._define(f"{self._text}[{_subscripts(subscripts)}]", "=", value)

    def update(self, subscripts, value):
        """`cache[p] <- k`: an update of an `inout` tensor."""
        self._op._define(f"{self._text}[{_subscripts(subscripts)}]", "<-", value)


class Op:
    """An op that grows by calls and assignments; attributes are its tensors."""

    def __init__(self, name, doc, generics):
        self._name, self._doc, self._generics = name, doc, generics
        self._inputs, self._outputs, self._lines, self._extra = [], [], [], []

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return Tensor(self, name)

    def stage(self, name):
        """The tensor of a name: what `op.name` gives, for names that are methods."""
        return Tensor(self, name)

    def input(self, name, type, *dims, inout=False):
        """An array: dims are names, numbers, tuples for composite ones, "...r" for a pack."""
        self._inputs.append(f"{'inout ' if inout else ''}{name}: {type}[{_subscripts(dims)}]")
        return Tensor(self, name)

    def output(self, name, type, *dims):
        """A result."""
        self._outputs.append(f"{name}: {type}[{_subscripts(dims)}]")
        return Tensor(self, name)

    def scalar(self, name, type, default=None):
        """A run-time scalar."""
        self._inputs.append(f"{name}: {type}" + (f" = {expression(default)}" if default is not None else ""))
        return Expr(name)

    def const(self, name, type="int", default=None):
        """A compile-time value."""
        self._inputs.append(f"const {name}: {type}" + (f" = {expression(default)}" if default is not None else ""))
        return Expr(name)

    def let(self, name, value):
        """A dim or a constant that the body defines."""
        self._lines.append(f"let {name} = {expression(value)}")
        return Expr(name)

    def require(self, condition, words):
        """A fact: relied on by the prover, checked at each call."""
        said = words.replace("\\", "\\\\").replace('"', '\\"')
        self._lines.append(f'require {expression(condition)}, "{said}"')

    def add(self, text):
        """More items of the module: text, schedules' or steps' builders, other ops."""
        self._extra.append(text if isinstance(text, str) else text.text)
        return self

    def _define(self, left, sign, value):
        self._lines.append(f"{left} {sign} {expression(value)}")

    @property
    def text(self):
        """The op as text of the language."""
        doc = "".join(f"/// {line}\n" for line in (self._doc or "").splitlines())
        generics = f"<{', '.join(f'{n}: {c}' for n, c in self._generics.items())}>" if self._generics else ""
        results = f" -> ({', '.join(self._outputs)})" if len(self._outputs) > 1 else f" -> {self._outputs[0]}" if self._outputs else ""
        body = "".join(f"  {line}\n" for line in self._lines)
        return "".join(t.rstrip("\n") + "\n\n" for t in self._extra) + f"{doc}op {self._name}{generics}({', '.join(self._inputs)}){results} {{\n{body}}}\n"

    def __str__(self):
        return self.text

    def __repr__(self):
        return f"<lang.Op {self._name}, {len(self._lines)} lines>"

    def parse(self, name=None):
        """The module of this text; raises `Error` where it is refused."""
        return parse(self.text, name or f"<{self._name}>")


def op(name, doc=None, **generics):
    """An empty op: `lang.op("scale", T="float")` has the generic type T."""
    return Op(name, doc, generics)


__all__ = ["Expr", "Op", "Reducer", "Tensor", "cast", "dim", "expression", "index", "op", "reducer", "saturate", "text_of", "where"]
