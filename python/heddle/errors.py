"""The one exception of Heddle: rendered text and fields."""


class Label:
    """A second place that takes part in the cause of an error, often in another text."""

    __slots__ = ("file", "line", "column", "message")

    def __init__(self, line, column, message, file=None):
        self.file, self.line, self.column, self.message = file, line, column, message

    def __repr__(self):
        return f"Label(file={self.file!r}, line={self.line}, column={self.column}, message={self.message!r})"


class Error(Exception):
    """A refused input: text, schedule, request or argument.

    str(e) is the rendered text with carets. Fields of the first diagnostic: `code` ("HD0123"), `message`, `file`, `line` and
    `column` (from 1; None where there is no text), `labels`, `help`. `diagnostics` holds every one as a dict.
    """

    def __init__(self, text, diagnostics):
        super().__init__(text)
        self.diagnostics = diagnostics
        first = diagnostics[0]
        self.code = first["code"]
        self.message = first["message"]
        self.file = first["file"]
        self.line = first["line"]
        self.column = first["column"]
        self.labels = [Label(**label) for label in first["labels"]]
        self.help = first["help"]

    def __reduce__(self):
        return Error, (self.args[0], self.diagnostics)


def make(diagnostics, rendered):
    return Error(rendered.rstrip("\n"), diagnostics)


def refusal(code, message, help=""):
    """An error without a place in a text."""
    place = dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
    text = f"error[{code}]: {message}" + (f"\n  help: {help}" if help else "")
    return Error(text, [{"code": code, "severity": "error", "message": message, **place, "labels": [], "help": help}])
