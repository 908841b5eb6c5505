"""What a user may rely on of an op's numbers, read off the program that runs."""


class Function:
    """A math function that a stage calls: `name`, the `type` it is computed in, and the bound on its error in `ulp` of that type (`exact`: the
    nearest value, in every bit)."""

    __slots__ = ("name", "type", "ulp", "exact")

    def __init__(self, name, type, ulp, exact):
        self.name, self.type, self.ulp, self.exact = name, type, ulp, exact

    def __repr__(self):
        return f"{self.name} {self.type} {'exact' if self.exact else f'{self.ulp:g} ulp'}"


class Stage:
    """One stage of the program: does it round (`rounds`), may its terms be combined in another order (`reassociated`), may a product and a
    sum of it round once (`contracts`), and which `functions` it calls. `reducer` is None where nothing is reduced."""

    __slots__ = ("name", "type", "reducer", "rounds", "reassociated", "contracts", "functions")

    def __init__(self, stage, type, reducer, rounds, reassociated, contracts, functions):
        self.name, self.type, self.reducer, self.rounds = stage, type, reducer or None, rounds
        self.reassociated, self.contracts = reassociated, contracts
        self.functions = [Function(**f) for f in functions]

    @property
    def words(self):
        """What holds for the stage, in words."""
        if not self.rounds:
            return "exact"
        order = "in any order" if self.reassociated else "in the order of the text"
        parts = [f"{self.reducer} {order}"] if self.reducer else []
        parts += ["a product and a sum may round once" if self.contracts else "", *map(repr, self.functions)]
        return ", ".join(p for p in parts if p) or "one rounding for each operation"

    def __repr__(self):
        return f"{self.name}: {self.type}: {self.words}"


class Numerics:
    """`one_answer`: text and arguments determine every bit, for targets with FMA and for those without (no leave of the schedule is used).
    `portable`: the same bits on all targets. `exact`: nothing rounds at all. `flushes_denormals`: denormals may count as 0.
    `stages`: a `Stage` for each stage of the scheduled program. docs/numerics.md says what each word means."""

    def __init__(self, title, stages, instructions, flushes_denormals, rounds, one_answer, portable):
        self.title, self.stages, self.instructions = title, [Stage(**s) for s in stages], instructions
        self.flushes_denormals, self.exact = flushes_denormals, not rounds
        self.one_answer, self.portable = one_answer, portable

    @property
    def reassociates(self):
        """Names of the stages whose terms may be combined in another order."""
        return [s.name for s in self.stages if s.reassociated]

    @property
    def promise(self):
        """The strongest promise that holds, in words."""
        if self.exact:
            return "exact: nothing rounds"
        if self.portable:
            return "one answer: the same bits under every schedule without `allow`, on every target"
        if self.one_answer:
            return "one answer for targets with FMA, one for those without: every bit is determined by the text and its arguments"
        return "within the bound of docs/numerics.md: the schedule's leave may change the rounding"

    def __str__(self):
        wide = max((len(s.name) for s in self.stages), default=0)
        lines = [f"{self.title}: {self.promise}"]
        lines += [f"  {s.name:{wide}}  {s.type:8}  {s.words}" for s in self.stages]
        lines += [f"  instruction {text}" for text in self.instructions]
        if self.flushes_denormals:
            lines.append("  denormals may count as 0")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        from .display import numerics_html

        return numerics_html(self)


def numerics(op, *arrays, schedule=None, tune=None, fix=None, target="auto", **named):
    """What a user may rely on of `op` after a schedule (a name, "" for none, None for the one that a call would take). Arrays or specs say
    for which types; without them f32, or the first type that the op takes."""
    if not arrays and not any(p["name"] in named for p in op._inputs if p["kind"] == "array"):
        typical = op._typical_of(schedule) if schedule and schedule in op.schedules else op._typical()[1]
        named = {**typical, **named}
        target = named.pop("target", "auto") if target == "auto" else target
        named.pop("target", None)
    request = op._request(arrays, named, schedule, tune, fix, target)
    rows = op._handle.numerics(request)
    return Numerics(op.name if not schedule else f"{op.name}.{schedule}", **rows)
