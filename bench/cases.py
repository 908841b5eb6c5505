"""The cases of `./dev bench`: what is computed, on which arrays, what it costs at least, and who else can do it.

Shapes are ordinary ones of the field: square, tall, skinny, batched, odd; from L1 to memory. A schedule is never made for one of them.
"""

import dataclasses

import numpy as np

import heddle as hd


@dataclasses.dataclass
class Case:
    """One thing to time. `ours()` makes the kernel's callable; `peers` are callables that do the same into buffers of their own."""

    family: str
    op: str
    shape: str
    dtype: str
    run: object = None          # callable
    peers: dict = dataclasses.field(default_factory=dict)
    flops: float = 0.0          # multiplications and additions
    bytes: float = 0.0          # read and written at least once
    exps: float = 0.0           # special functions
    schedule: str = ""
    check: object = None        # callable -> (max error, bound)
    skipped: str = ""

    @property
    def name(self):
        return f"{self.op} {self.shape} {self.dtype}"


class Maker:
    """Builds cases for one number of threads. Torch is a peer where it is installed."""

    def __init__(self, threads):
        self.threads = threads
        self.rng = np.random.default_rng(5)
        try:
            import torch

            torch.set_num_threads(threads)
            self.torch = torch
        except ImportError:
            self.torch = None

    def normal(self, *shape):
        return self.rng.standard_normal(shape, dtype=np.float32)

    def kernel(self, area, name, *args, **named):
        """(callable into a fresh output, output, schedule), or the reason why there is none."""
        try:
            op = getattr(getattr(hd.std, area), name)
        except AttributeError:
            return None, None, f"hd.std.{area}.{name} is not in the standard library yet"
        kernel = op.compile(*args, threads=self.threads, **named)
        arrays = [a for a in args if isinstance(a, np.ndarray)]
        out = kernel(*arrays)
        return (lambda: kernel(*arrays, out=out)), out, kernel.schedule

    def make(self, family, area, op, shape, args, numpy=None, torch=None, flops=0.0, moved=0.0, exps=0.0, expected=None, **named):
        case = Case(family, f"{area}.{op}", shape, "f32", flops=flops, bytes=moved, exps=exps)
        case.run, out, why = self.kernel(area, op, *args, **named)
        if case.run is None:
            case.skipped = why
            return case
        case.schedule = why
        if numpy:
            case.peers["numpy"] = numpy
        if torch and self.torch:
            tensors = [self.torch.from_numpy(a) for a in args]
            case.peers["torch"] = torch(self.torch, *tensors)
        if expected is not None:
            want = expected()
            scale = np.abs(want).max() if want.size else 1.0

            def check():
                case.run()
                return float(np.abs(out.astype(np.float64) - want).max() if want.size else 0.0), 1e-4 * float(scale)

            case.check = check
        return case

    def matmuls(self):
        shapes = [(16, 16, 16), (64, 64, 64), (128, 128, 128), (256, 256, 256), (333, 777, 555), (512, 512, 512), (1024, 1024, 1024),
                  (2048, 2048, 2048), (4096, 64, 512), (64, 4096, 4096), (8, 4096, 4096), (1, 4096, 4096), (1023, 1025, 1021)]
        for m, k, n in shapes:
            a, b = self.normal(m, k), self.normal(k, n)
            out, peer = np.empty((m, n), np.float32), None
            if self.torch:
                peer = self.torch.empty((m, n))
            yield self.make("matmul", "linalg", "matmul", f"{m}x{k}x{n}", (a, b), numpy=lambda a=a, b=b, out=out: np.matmul(a, b, out=out),
                            torch=lambda t, a, b, peer=peer: lambda: t.matmul(a, b, out=peer), flops=2.0 * m * k * n,
                            moved=4.0 * (m * k + k * n + m * n), expected=lambda a=a, b=b: a.astype(np.float64) @ b)

    def rows(self):
        for r, c in [(64, 64), (1024, 1024), (4096, 256), (64, 50000), (333, 1025)]:
            x = self.normal(r, c)
            tmp = np.empty_like(x)

            def softmax(x=x, tmp=tmp):
                np.subtract(x, x.max(axis=1, keepdims=True), out=tmp)
                np.exp(tmp, out=tmp)
                np.divide(tmp, tmp.sum(axis=1, keepdims=True), out=tmp)

            def want(x=x):
                e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
                return e / e.sum(axis=1, keepdims=True)

            yield self.make("softmax", "nn", "softmax", f"{r}x{c}", (x,), numpy=softmax,
                            torch=lambda t, x: lambda out=t.empty_like(x): t.softmax(x, 1, out=out), moved=8.0 * r * c, exps=1.0 * r * c, expected=want)
            w, b = self.normal(c), self.normal(c)

            def norm(x=x, w=w, b=b):
                d = x.astype(np.float64) - x.astype(np.float64).mean(axis=1, keepdims=True)
                return d / np.sqrt((d * d).mean(axis=1, keepdims=True) + 1e-5) * w + b

            yield self.make("layernorm", "nn", "layernorm", f"{r}x{c}", (x, w, b),
                            torch=lambda t, x, w, b, c=c: lambda: t.nn.functional.layer_norm(x, (c,), w, b), moved=8.0 * r * c, expected=norm)
            yield self.make("rmsnorm", "nn", "rmsnorm", f"{r}x{c}", (x, w),
                            torch=lambda t, x, w, c=c: lambda: t.nn.functional.rms_norm(x, (c,), w, 1e-5), moved=8.0 * r * c)
            yield self.make("reduce", "reduce", "sum_rows", f"{r}x{c}", (x,), numpy=lambda x=x: x.sum(axis=1),
                            torch=lambda t, x: lambda: t.sum(x, 1), moved=4.0 * r * c, expected=lambda x=x: x.astype(np.float64).sum(axis=1))
            yield self.make("reduce", "reduce", "sum_cols", f"{r}x{c}", (x,), numpy=lambda x=x: x.sum(axis=0),
                            torch=lambda t, x: lambda: t.sum(x, 0), moved=4.0 * r * c, expected=lambda x=x: x.astype(np.float64).sum(axis=0))
            yield self.make("reduce", "reduce", "argmax", f"{r}x{c}", (x,), numpy=lambda x=x: x.argmax(axis=1),
                            torch=lambda t, x: lambda: t.argmax(x, 1), moved=4.0 * r * c)

    def elementwise(self):
        for n in (1 << 10, 1 << 15, 1 << 20, 1 << 22):
            x = self.normal(n)
            for op, torch in (("silu", "silu"), ("gelu_tanh", "gelu"), ("relu", "relu")):
                call = (lambda t, x: lambda: t.nn.functional.gelu(x, approximate="tanh")) if op == "gelu_tanh" else (
                    lambda t, x, torch=torch: lambda: getattr(t.nn.functional, torch)(x))
                yield self.make(op, "nn", op, f"{n}", (x,), torch=call, moved=8.0 * n, exps=0.0 if op == "relu" else 1.0 * n)
        for n in (512, 2048):
            x = self.normal(n, n)
            out = np.empty_like(x)
            yield self.make("transpose", "data", "transpose", f"{n}x{n}", (x,), numpy=lambda x=x, out=out: np.copyto(out, x.T),
                            torch=lambda t, x: lambda: x.t().contiguous(), moved=8.0 * n * n, expected=lambda x=x: x.T)

    def convolutions(self):
        for size, cin, cout, k, stride, pad in [(56, 64, 64, 3, 1, 1), (56, 64, 64, 3, 2, 1), (28, 256, 512, 1, 1, 0), (224, 3, 64, 7, 2, 3), (14, 256, 256, 3, 1, 1)]:
            x, w = self.normal(1, cin, size, size), self.normal(cout, cin, k, k)
            o = (size + 2 * pad - k) // stride + 1
            yield self.make("conv2d", "nn", "conv2d", f"{size}x{size} {cin}->{cout} {k}x{k} s{stride}", (x, w), stride=stride, padding=pad,
                            torch=lambda t, x, w, stride=stride, pad=pad: lambda: t.nn.functional.conv2d(x, w, stride=stride, padding=pad),
                            flops=2.0 * cout * cin * k * k * o * o, moved=4.0 * (x.size + w.size + cout * o * o))

    def all(self):
        for family in (self.matmuls, self.rows, self.elementwise, self.convolutions):
            yield from family()
