"""Schedules of an op, and the programs that their steps make one after the other."""

from .errors import Error


class State:
    """The program after one step of a schedule: `step` (as written, empty for the canonical program), `program` (printed), `certificate`."""

    __slots__ = ("step", "program", "certificate")

    def __init__(self, step, program, certificate):
        self.step, self.program, self.certificate = step, program, certificate

    def __repr__(self):
        return f"<heddle.State after {self.step!r}>" if self.step else "<heddle.State canonical>"

    def _repr_html_(self):
        from . import display

        return display.program_html(self.program)


class States(list):
    """The states of a schedule in order. In a notebook they can be stepped through; as text, `str`. `refusal` is the error of the step
    that was refused, None where all were applied."""

    def __init__(self, states, title, refusal=None):
        super().__init__(states)
        self.title, self.refusal = title, refusal

    def __str__(self):
        from . import display

        return display.states_text(self)

    def _repr_html_(self):
        from . import display

        return display.states_html(self)

    def __reduce__(self):
        return States, (list(self), self.title, self.refusal)


class Schedule:
    """One schedule of an op."""

    def __init__(self, op, name):
        self.op, self.name = op, name

    def __repr__(self):
        return f"<heddle.Schedule {self.op.name}.{self.name}>"

    def states(self, *arrays, **options):
        """The canonical program and the program after each step. A refused step raises, after the states before it are kept in
        the error's `states`."""
        return self.op._states(arrays, schedule=self.name, **options)

    def show(self, *arrays, **options):
        """As `states`, but a refusal is kept in `.refusal` and shown in its place. Without arrays: for arrays of any size, of the first
        type (f32 before others) and target that the schedule is for."""
        if not arrays and not options:
            options = self.op._typical_of(self.name)
        try:
            return self.states(*arrays, **options)
        except Error as error:
            if not hasattr(error, "states"):
                raise
            return error.states

    def _repr_html_(self):
        return self.show()._repr_html_()

    @property
    def steps(self):
        """The lines of the schedule as written, in order: steps, `tune`, `let` and branches."""
        return self.op._handle.schedule_lines(self.name)
