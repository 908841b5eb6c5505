"""A stand-in for the vendor's package, for tests of the device path: a call of a kernel leaves a "NEFF" for the stub libnrt."""

import os
import pathlib
import sys
import time


def jit(function):
    def call(*arguments):
        print(f"compiling {function.__name__} for {os.environ['NEURON_PLATFORM_TARGET_OVERRIDE']}", file=sys.stderr)
        if os.environ.get("HEDDLE_STUB") == "slow compile":
            time.sleep(60)
        if os.environ.get("HEDDLE_STUB") == "compile":
            raise RuntimeError("EVRF007: the number of instructions exceeds the limit")
        folder = pathlib.Path(os.environ["NKI_ARTIFACTS_DIR"]) / function.__name__
        folder.mkdir()
        (folder / "kernel.neff").write_text(str(arguments[0].nbytes))

    return call
