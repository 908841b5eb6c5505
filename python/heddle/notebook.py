"""The cell magic `%%heddle`: a cell of Heddle text becomes a module, and its ops names of the notebook."""

from .errors import Error
from .module import Module, parse


def register(shell):
    shell.register_magic_function(lambda line, cell: cell_magic(shell, line, cell), "cell", "heddle")


def cell_magic(shell, line, cell):
    """%%heddle [NAME] [--extend MODULE]

    The cell's text as a module. It is assigned to NAME; without one, each op is assigned to its own name. --extend adds the text to a module
    of the notebook, for example schedules of its ops.
    """
    words = line.split()
    base = None
    if "--extend" in words:
        at = words.index("--extend")
        if at + 1 == len(words):
            raise ValueError("%%heddle --extend needs the name of a module")
        base = shell.user_ns.get(words[at + 1])
        if not isinstance(base, Module):
            raise ValueError(f"%%heddle --extend: `{words[at + 1]}` is no module of this notebook; `%%heddle {words[at + 1]}` makes one")
        del words[at : at + 2]
    if len(words) > 1 or any(not w.isidentifier() for w in words):
        raise ValueError(f"%%heddle takes one name, not `{' '.join(words)}`")
    try:
        module = base.extend(cell, "<cell>") if base is not None else parse(cell, "<cell>")
    except Error as error:
        lines = str(error).splitlines()
        error._render_traceback_ = lambda: lines  # the text is at fault: a stack of Python calls says nothing
        raise
    shell.user_ns.update({words[0]: module} if words else {name: module.op(name) for name in module.ops})
    return module
