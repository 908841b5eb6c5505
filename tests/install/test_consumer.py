"""A C++ project finds the installed package by find_package, and each example is built and run by it alone.

HEDDLE_BUILD is a build folder of the project.
"""
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CONSUMER = """
cmake_minimum_required(VERSION 3.25)
project(consumer CXX)
find_package(heddle CONFIG REQUIRED)
foreach(source {sources})
  cmake_path(GET source STEM name)
  add_executable(${{name}} ${{source}})
  target_link_libraries(${{name}} PRIVATE heddle::heddle)
endforeach()
"""


def run(*command, **options):
    """The output of a command that must succeed; all of it is shown when it does not."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_a_cpp_program_finds_the_package(tmp_path):
    run("/usr/bin/cmake", "--install", os.environ["HEDDLE_BUILD"], "--prefix", tmp_path / "prefix", "--component", "cpp")
    examples = sorted((ROOT / "examples").glob("*.cpp"))
    assert examples
    (tmp_path / "CMakeLists.txt").write_text(CONSUMER.format(sources=" ".join(map(str, examples))))
    build = tmp_path / "build"
    run("/usr/bin/cmake", "-G", "Ninja", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={tmp_path / 'prefix'}", "-DCMAKE_CXX_COMPILER=clang++-22")
    run("/usr/bin/cmake", "--build", build)
    for example in examples:
        run(build / example.stem, cwd=tmp_path)
