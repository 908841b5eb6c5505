"""NKI texts that the tests share: the kernels of tests/nki, and a frame for single instructions."""

import pathlib

HEAD = "import nki\nimport nki.language as nl\nimport nki.isa as nisa\n\n"

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "nki"
MATMUL, SOFTMAX, LAYERNORM, TRANSPOSE, ATTENTION = ((FOLDER / f"{n}.py").read_text() for n in ("matmul", "softmax", "layernorm", "transpose", "attention"))


def kernel(body, parameters="x"):
    """A kernel `k(x)` of lines that may use `x` (128 x 256, f32) and must return an output."""
    lines = "\n".join("    " + line for line in body.strip("\n").split("\n"))
    return f"{HEAD}@nki.jit\ndef k({parameters}):\n{lines}\n"
