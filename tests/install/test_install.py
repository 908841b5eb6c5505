"""`pip install .` into a fresh environment works without this tree: the package and the command.

Slow (it builds everything), so in the long tier: `./dev test --all installed`.
"""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*command, **options):
    """The output of a command that must succeed; all of it is shown when it does not."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


PROGRAM = """
import numpy, heddle
x = numpy.linspace(-3, 3, 35, dtype=numpy.float32).reshape(5, 7)
y = heddle.std.nn.softmax(x)
e = numpy.exp(x.astype(numpy.float64))
assert numpy.allclose(y, e / e.sum(1, keepdims=True), rtol=1e-5), y
print(heddle.__file__)
"""


def test_pip_install(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    run("/usr/bin/python3", "-m", "venv", tmp_path / "venv", env=environment)
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", ROOT, env=environment)
    where = run(python, "-c", PROGRAM, env=environment, cwd=tmp_path).strip()
    assert Path(where).is_relative_to(tmp_path / "venv"), f"imported {where}, not the installed package"
    command = tmp_path / "venv/bin/heddle"
    assert "works" in run(command, "doctor", env=environment, cwd=tmp_path)
    assert "nn.softmax" in run(command, "list", "ops", env=environment, cwd=tmp_path)
    library = tmp_path / "venv/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages/heddle/stdlib"
    text = library / "nn/softmax.hd"
    assert "softmax.short_rows_tuned" in run(command, "tune", text, "--schedule", "short_rows", "--types", "f32[8,32]", "--budget", "0.3",
                                             env=environment, cwd=tmp_path)
