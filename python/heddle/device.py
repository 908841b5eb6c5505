"""A NeuronCore that is really there: NKI text -> NEFF by the vendor's SDK, then libnrt: load, run, read back, free.

Both happen in a helper process (`python -m heddle.device FOLDER`), so a hang is ended by a time limit, a crash of vendor code is an error, and
what that code printed is the log that the error shows. The protocol is a folder: `request.json`, one file for each input; the helper adds
`kernel.neff`, one file for each output, and `result.json`.

Nothing of the SDK is needed to import this; `missing()` says what a device needs and this machine lacks. The names of the SDK that are no
documented interface stand in `_compile` alone; the prototypes of libnrt are our own, in `_Runtime`.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import glob
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

LIBRARIES = ("/opt/aws/neuron/lib/libnrt.so.1", "/opt/aws/neuron/lib/libnrt.so")
PLATFORMS = {"neuron/trn1": "trn1", "neuron/trn2": "trn2", "neuron/trn3": "trn3", "neuron": "trn2"}
LOG_LINES = 20


def find_libnrt():
    return next((p for p in LIBRARIES if os.path.exists(p)), None) or ctypes.util.find_library("nrt")


def missing(libnrt=None):
    """What a run on a device needs and this machine lacks, in words; empty when all is there."""
    out = []
    if not (libnrt or find_libnrt()):
        out.append("the runtime library libnrt.so (aws-neuronx-runtime-lib)")
    if importlib.util.find_spec("nki") is None:
        out.append("the Python package `nki` of the Neuron SDK")
    if libnrt is None and not glob.glob("/dev/neuron*"):
        out.append("a device: there is no /dev/neuron0")
    return out


def _error(code, message, help_text=None):
    from .errors import make

    first = {"code": code, "message": message, "file": None, "line": None, "column": None, "end_line": None, "end_column": None, "labels": [],
             "help": help_text}
    return make([first], f"error[{code}]: {message}" + (f"\n  help: {help_text}" if help_text else ""))


def no_device(target, lacks):
    return _error("HD0658", f"`{target}` cannot run here: missing is " + "; ".join(lacks),
                  "`simulate` runs the kernel on the simulator; target=\"auto\" falls back to the host")


def run(text, arguments, outputs, target="neuron/trn2", compile_seconds=1800.0, run_seconds=60.0, libnrt=None, neff=None):
    """The outputs of a kernel on a device, as NumPy arrays. `outputs`: (dtype, shape) of each, in the order of `return`.

    `neff`: bytes of a program that was compiled before; without, the text is compiled. Raises `hd.Error`: HD0658 when no device is
    there, HD0659 when the vendor's code fails or takes too long, with the end of its log.
    """
    import numpy as np

    lacks = [m for m in missing(libnrt) if not (neff is not None and "package `nki`" in m)]
    if lacks:
        raise no_device(target, lacks)
    with tempfile.TemporaryDirectory(prefix="heddle-neuron-") as name:
        folder = pathlib.Path(name)
        request = {"target": PLATFORMS.get(target, "trn2"), "libnrt": libnrt or find_libnrt(), "inputs": [], "outputs": []}
        for i, a in enumerate(arguments):
            if isinstance(a, np.ndarray):
                (folder / f"in{i}").write_bytes(np.ascontiguousarray(a).tobytes())
                request["inputs"].append({"file": f"in{i}", "dtype": a.dtype.name, "shape": a.shape})
            else:
                request["inputs"].append({"value": a})
        for i, (dtype, shape) in enumerate(outputs):
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            request["outputs"].append({"file": f"out{i}", "bytes": size})
        (folder / "kernel.py").write_text(text)
        if neff is not None:
            (folder / "kernel.neff").write_bytes(neff)
        (folder / "request.json").write_text(json.dumps(request))
        if neff is None:
            _stage(folder, "compile", compile_seconds)
        _stage(folder, "run", run_seconds)
        return tuple(np.frombuffer((folder / f"out{i}").read_bytes(), dtype).reshape(shape) for i, (dtype, shape) in enumerate(outputs))


def _stage(folder, stage, seconds):
    """One helper process; it and all it started are ended at the time limit."""
    with open(folder / f"{stage}.log", "wb") as log:
        child = subprocess.Popen([sys.executable, os.path.abspath(__file__), str(folder), stage], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 cwd=folder, start_new_session=True)
        try:
            status = child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
    if status == 0:
        return
    result = folder / f"{stage}.json"
    why = json.loads(result.read_text())["error"] if result.exists() else None
    lines = (folder / f"{stage}.log").read_text(errors="replace").strip().splitlines()[-LOG_LINES:]
    if status is None:
        message = f"the Neuron {stage} step gave no answer in {seconds:g} s and was ended"
    elif why:
        message = f"the Neuron {stage} step failed: {why}"
    else:
        message = f"the Neuron {stage} step ended by signal {-status}" if status < 0 else f"the Neuron {stage} step ended with status {status}"
    raise _error("HD0659", message + ("\n  the vendor's log ends with:\n" + "\n".join("  | " + line for line in lines) if lines else ""))


# --- the helper process ------------------------------------------------------------------------------------------------------

class _Failure(Exception):
    pass


def _arrays(folder, request):
    """The arguments as the SDK takes them; names of ml_dtypes are resolved by it."""
    import numpy as np

    def dtype(name):
        try:
            return np.dtype(name)
        except TypeError:
            import ml_dtypes

            return np.dtype(getattr(ml_dtypes, name))

    return [np.frombuffer((folder / i["file"]).read_bytes(), dtype(i["dtype"])).reshape(i["shape"]) if "file" in i else i["value"]
            for i in request["inputs"]]


def _compile(folder, request):
    """The documented route: NKI_ARTIFACTS_DIR is set before `import nki`, and a call of the kernel leaves its NEFF there."""
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    os.environ["NKI_ARTIFACTS_DIR"] = str(artifacts)
    os.environ["NEURON_PLATFORM_TARGET_OVERRIDE"] = request["target"]
    spec = importlib.util.spec_from_file_location("heddle_kernel", folder / "kernel.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = [line.split("(")[0][4:].strip() for line in (folder / "kernel.py").read_text().splitlines() if line.startswith("def ")]
    failure = None
    try:
        getattr(module, names[-1])(*_arrays(folder, request))
    except Exception as e:  # where there is no device the call compiles, then fails to run
        failure = e
    found = sorted(artifacts.rglob("*.neff"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise _Failure(f"no NEFF was made: {type(failure).__name__}: {failure}" if failure else "no NEFF was made")
    (folder / "kernel.neff").write_bytes(found[-1].read_bytes())


class _TensorInfo(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 256), ("usage", ctypes.c_int), ("size", ctypes.c_size_t), ("dtype", ctypes.c_int),
                ("shape", ctypes.POINTER(ctypes.c_uint32)), ("ndim", ctypes.c_uint32)]


class _Runtime:
    """libnrt: what this module calls, with prototypes of our own; each status but 0 is a failure that names the call."""

    P = ctypes.c_void_p
    PROTOTYPES = {
        "nrt_init": [ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p],
        "nrt_load": [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32, ctypes.c_int32, ctypes.POINTER(P)],
        "nrt_unload": [P],
        "nrt_get_model_tensor_info": [P, ctypes.POINTER(P)],
        "nrt_free_model_tensor_info": [P],
        "nrt_allocate_tensor_set": [ctypes.POINTER(P)],
        "nrt_add_tensor_to_tensor_set": [P, ctypes.c_char_p, P],
        "nrt_tensor_allocate": [ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p, ctypes.POINTER(P)],
        "nrt_tensor_write": [P, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t],
        "nrt_tensor_read": [P, P, ctypes.c_size_t, ctypes.c_size_t],
        "nrt_execute": [P, P, P],
    }
    NO_RESULT = {"nrt_close": [], "nrt_destroy_tensor_set": [ctypes.POINTER(P)], "nrt_tensor_free": [ctypes.POINTER(P)]}
    STATUS = {1: "failure", 2: "invalid argument", 3: "invalid handle", 4: "out of resources", 5: "time-out", 6: "hardware error", 7: "queue full",
              9: "not enough NeuronCores", 10: "unsupported NEFF version", 1002: "bad input", 1003: "numerical errors", 1004: "completed with errors",
              1005: "NeuronCore busy", 1006: "out of bounds"}
    NO_FRAMEWORK, DEVICE, INPUT = 1, 0, 0

    def __init__(self, path):
        try:
            self.library = ctypes.CDLL(path)
        except OSError as e:
            raise _Failure(f"{path} cannot be loaded: {e}") from None
        for name, arguments in {**self.PROTOTYPES, **self.NO_RESULT}.items():
            try:
                f = getattr(self.library, name)
            except AttributeError:
                raise _Failure(f"{path} has no `{name}`") from None
            f.argtypes, f.restype = arguments, None if name in self.NO_RESULT else ctypes.c_int

    def __call__(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if name not in self.NO_RESULT and status != 0:
            raise _Failure(f"{name} gives status {status} ({self.STATUS.get(status, 'unknown')})")


def _execute(folder, request):
    nrt = _Runtime(request["libnrt"])
    inputs = [(folder / i["file"]).read_bytes() for i in request["inputs"] if "file" in i]
    sizes = [o["bytes"] for o in request["outputs"]]
    neff = (folder / "kernel.neff").read_bytes()
    nrt("nrt_init", nrt.NO_FRAMEWORK, b"", b"")
    undo = [lambda: nrt("nrt_close")]
    pointer = ctypes.c_void_p
    try:
        model = pointer()
        nrt("nrt_load", neff, len(neff), -1, 1, ctypes.byref(model))
        undo.append(lambda: nrt("nrt_unload", model))
        names = _names(nrt, model, [len(b) for b in inputs], sizes)
        sets, tensors = [], []
        for group in (inputs, sizes):
            one = pointer()
            nrt("nrt_allocate_tensor_set", ctypes.byref(one))
            undo.append(lambda one=one: nrt("nrt_destroy_tensor_set", ctypes.byref(one)))
            sets.append(one)
            for item in group:
                tensor, name = pointer(), names[len(tensors)]
                size = len(item) if isinstance(item, bytes) else item
                nrt("nrt_tensor_allocate", nrt.DEVICE, 0, size, name, ctypes.byref(tensor))
                undo.append(lambda tensor=tensor: nrt("nrt_tensor_free", ctypes.byref(tensor)))
                nrt("nrt_add_tensor_to_tensor_set", one, name, tensor)
                if isinstance(item, bytes):
                    nrt("nrt_tensor_write", tensor, item, 0, size)
                tensors.append(tensor)
        nrt("nrt_execute", model, sets[0], sets[1])
        for o, tensor in zip(request["outputs"], tensors[len(inputs):]):
            buffer = ctypes.create_string_buffer(max(1, o["bytes"]))
            nrt("nrt_tensor_read", tensor, buffer, 0, o["bytes"])
            (folder / o["file"]).write_bytes(buffer.raw[:o["bytes"]])
    finally:
        for step in reversed(undo):
            step()


def _names(nrt, model, inputs, outputs):
    """The NEFF's names for our tensors: those of each usage in its order, which must have our sizes."""
    table = ctypes.c_void_p()
    nrt("nrt_get_model_tensor_info", model, ctypes.byref(table))
    count = ctypes.cast(table, ctypes.POINTER(ctypes.c_uint64))[0]
    rows = ctypes.cast(table.value + 8, ctypes.POINTER(_TensorInfo))
    found = [(rows[i].usage, rows[i].name, rows[i].size) for i in range(count)]
    nrt("nrt_free_model_tensor_info", table)
    out = []
    for usage, sizes, what in ((nrt.INPUT, inputs, "inputs"), (nrt.INPUT + 1, outputs, "outputs")):
        mine = [(name, size) for u, name, size in found if u == usage]
        if [size for _, size in mine] != sizes:
            raise _Failure(f"the NEFF has {what} of {[size for _, size in mine]} bytes, the kernel of {sizes}")
        out += [name for name, _ in mine]
    return out


def _helper(folder, stage):
    request = json.loads((folder / "request.json").read_text())
    try:
        {"compile": _compile, "run": _execute}[stage](folder, request)
    except Exception as e:
        text = str(e) if isinstance(e, _Failure) else f"{type(e).__name__}: {e}"
        (folder / f"{stage}.json").write_text(json.dumps({"error": text}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_helper(pathlib.Path(sys.argv[1]), sys.argv[2]))
