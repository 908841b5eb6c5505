"""The cases of `./dev bench`: what is computed, on which arrays, what it costs at least, and who else can do it.

Shapes are ordinary ones of the field: square, tall, skinny, batched, odd; from L1 to memory. A schedule is never made for one of them.
A case is built when it is measured, not before. Outputs are made before the clock starts for us and for every peer that takes one;
JAX, and the torch functions without `out=` (norms, convolution, attention, gathers), make theirs in each call.
"""

import dataclasses
import functools

import ml_dtypes
import numpy as np

import heddle as hd


@dataclasses.dataclass
class Case:
    """One thing to time. `make()` gives a Built."""

    family: str
    op: str
    shape: str
    dtype: str
    make: object

    @property
    def name(self):
        return f"{self.op} {self.shape} {self.dtype}"


@dataclasses.dataclass
class Built:
    """`run` and the `peers` are callables that do the same, into buffers of their own."""

    run: object = None
    peers: dict = dataclasses.field(default_factory=dict)
    flops: float = 0.0          # multiplications and additions
    bytes: float = 0.0          # read and written at least once
    exps: float = 0.0           # exponentials and what costs as much
    schedule: str = ""
    check: object = None        # callable -> (max error, bound)
    skipped: str = ""


def optional(name):
    try:
        return __import__(name)
    except ImportError:
        return None


class Maker:
    """Builds cases for one number of threads. Torch, JAX and Halide are peers where they are installed."""

    def __init__(self, threads):
        self.threads = threads
        self.rng = np.random.default_rng(5)
        self.torch = optional("torch")
        if self.torch:
            self.torch.set_num_threads(threads)
            self.torch.set_grad_enabled(False)
        self.jax = optional("jax")  # takes as many threads as the process is pinned to
        self.halide = optional("halide")
        self.compiled = {}

    def normal(self, *shape, dtype="f32"):
        x = self.rng.standard_normal(shape, dtype=np.float32)
        return x.astype(ml_dtypes.bfloat16) if dtype == "bf16" else x

    def tensor(self, a):
        if a.dtype == ml_dtypes.bfloat16:
            return self.torch.from_numpy(a.view(np.int16)).view(self.torch.bfloat16)
        return self.torch.from_numpy(a)

    def case(self, family, path, shape, args, dtype="f32", numpy=None, torch=None, jax=None, halide=None, compiled=None, expected=None, flops=0.0,
             moved=0.0, exps=0.0, scalars=None, tolerance=1e-4, source=None, schedule=None, packed=None, **consts):
        """`args()` gives the arrays. `torch(t, *tensors)` and `halide(*arrays)` give callables; `jax(jnp, *arrays)` is what is jitted;
        `compiled(t, *tensors)` is what torch.compile gets; `numpy(out, *arrays)` computes. With `packed`, the name of an array, this one
        is packed once, outside of the calls; `schedule` is of tiles, and skipped where the machine has none."""

        def make():
            built = Built(flops=flops, bytes=moved, exps=exps)
            op = source
            for word in path.split(".") if op is None else []:
                op = getattr(op or hd.std, word, None)
                if op is None:
                    return Built(skipped=f"hd.std.{path} is not in the standard library")
            if schedule and "cpu/amx" not in hd.targets():
                return Built(skipped="no AMX")
            arrays = args()
            kernel = op.compile(*arrays, threads=self.threads, schedule=schedule, **consts)
            ready = (arrays[0], kernel.pack(**{packed: arrays[1]})) if packed else arrays
            outs = kernel(*ready, **(scalars or {}))
            built.run = functools.partial(kernel, *ready, out=outs, **(scalars or {}))
            built.schedule = kernel.schedule or "(none)"
            first = outs[0] if isinstance(outs, tuple) else outs
            if numpy:
                built.peers["numpy"] = functools.partial(numpy, np.empty_like(first), *arrays)
            if torch and self.torch:
                built.peers["torch"] = torch(self.torch, *map(self.tensor, arrays))
            if compiled and self.torch:
                call = self.torch_compiled(path, compiled)
                if call:
                    built.peers["torch.compile"] = functools.partial(call, *map(self.tensor, arrays))
            if jax and self.jax:
                there = [self.jax.device_put(a) for a in arrays]
                call = self.jax.jit(functools.partial(jax, self.jax))
                built.peers["jax"] = lambda: self.jax.block_until_ready(call(*there))
            if halide and self.halide:
                built.peers["halide"] = halide(*arrays)
            if expected:
                want = np.asarray(expected(*arrays), np.float64)
                scale = float(np.abs(want).max()) if want.size else 1.0

                def check():
                    built.run()
                    return float(np.abs(np.asarray(first, np.float64) - want).max()) if want.size else 0.0, tolerance * scale

                built.check = check
            return built

        return Case(family, path, shape, dtype, make)

    def torch_compiled(self, name, body):
        """One compiled function for each op; none where torch.compile finds no compiler."""
        if name not in self.compiled:
            call = self.torch.compile(functools.partial(body, self.torch), dynamic=False)
            self.compiled[name] = call
        return self.compiled[name]

    def form(self, family, name, m, k, n, dtype="f32"):
        """A product whose name says which operands stand transposed; NumPy knows none of bf16."""
        ta, tb = name[-2] == "t", name[-1] == "t"
        turn = lambda a, b: (a.T if ta else a, b.T if tb else b)
        narrow, wide = dtype == "bf16", np.float32 if dtype == "bf16" else np.float64
        return self.case(family, f"linalg.{name}", f"{m}x{k}x{n}",
                         lambda: (self.normal(*((k, m) if ta else (m, k)), dtype=dtype), self.normal(*((n, k) if tb else (k, n)), dtype=dtype)), dtype=dtype,
                         numpy=None if narrow else lambda out, a, b: np.matmul(*turn(a, b), out=out), torch=lambda t, a, b: into_matmul(t, *turn(a, b)),
                         expected=lambda a, b: np.matmul(*turn(a.astype(wide), b.astype(wide))), tolerance=2e-2 if narrow else 1e-4,
                         flops=2.0 * m * k * n, moved=(2.0 if narrow else 4.0) * (m * k + k * n + m * n))

    # --- products -----------------------------------------------------------------------------------------------------

    def matmuls(self):
        from halide_peers import matmul as halide_matmul

        shapes = [(16, 16, 16), (64, 64, 64), (128, 128, 128), (256, 256, 256), (333, 777, 555), (512, 512, 512), (1024, 1024, 1024),
                  (2048, 2048, 2048), (4096, 64, 512), (64, 4096, 4096), (8, 4096, 4096), (1, 4096, 4096), (1023, 1025, 1021), (31, 65, 33)]
        for m, k, n in shapes:
            yield self.case("matmul f32", "linalg.matmul", f"{m}x{k}x{n}", lambda m=m, k=k, n=n: (self.normal(m, k), self.normal(k, n)),
                            numpy=lambda out, a, b: np.matmul(a, b, out=out), torch=into_matmul, jax=lambda j, a, b: a @ b,
                            halide=functools.partial(halide_matmul, self.threads) if min(m, k, n) >= 256 else None,
                            expected=lambda a, b: a.astype(np.float64) @ b, flops=2.0 * m * k * n, moved=4.0 * (m * k + k * n + m * n))
        for m, k, n in [(512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (333, 777, 555), (64, 4096, 4096)]:
            yield self.case("matmul bf16", "linalg.matmul", f"{m}x{k}x{n}",
                            lambda m=m, k=k, n=n: (self.normal(m, k, dtype="bf16"), self.normal(k, n, dtype="bf16")), dtype="bf16",
                            torch=into_matmul, jax=lambda j, a, b: a @ b, tolerance=2e-2,
                            expected=lambda a, b: a.astype(np.float32) @ b.astype(np.float32), flops=2.0 * m * k * n,
                            moved=2.0 * (m * k + k * n + m * n))
        for size in (512, 1024, 2048):
            yield self.case("matmul tiles", "linalg.matmul", f"{size}x{size}x{size} packed",
                            lambda n=size: (self.normal(n, n, dtype="bf16"), self.normal(n, n, dtype="bf16")), dtype="bf16", schedule="amx_packed",
                            packed="b", torch=into_matmul, tolerance=2e-2, expected=lambda a, b: a.astype(np.float32) @ b.astype(np.float32),
                            flops=2.0 * size**3, moved=6.0 * size**2)
            yield self.case("matmul tiles", "quant.matmul_i8", f"{size}x{size}x{size} packed",
                            lambda n=size: tuple(self.rng.integers(-128, 128, (n, n), dtype=np.int8) for _ in "ab"), dtype="i8",
                            schedule="amx_packed", packed="b", torch=lambda t, a, b: lambda: t._int_mm(a, b), tolerance=0,
                            expected=lambda a, b: a.astype(np.float64) @ b.astype(np.float64), flops=2.0 * size**3, moved=6.0 * size**2)
        for name in ("matmul_nt", "matmul_tn"):
            yield self.form("matmul bf16", name, 512, 512, 512, "bf16")
        for m, k, n in [(512, 1024, 1024), (64, 1024, 4096)]:
            yield self.case("matmul bf16", "linalg.linear", f"{m}x{k}x{n}", lambda m=m, k=k, n=n: tuple(
                                self.normal(*s, dtype="bf16") for s in ((m, k), (n, k), (n,))), dtype="bf16",
                            torch=lambda t, x, w, b: lambda: t.nn.functional.linear(x, w, b), tolerance=2e-2,
                            expected=lambda x, w, b: x.astype(np.float32) @ w.astype(np.float32).T + b.astype(np.float32),
                            flops=2.0 * m * k * n, moved=2.0 * (m * k + k * n + m * n))
        yield self.case("matmul bf16", "linalg.bmm", "12x512x64x512", lambda: (self.normal(12, 512, 64, dtype="bf16"), self.normal(12, 64, 512, dtype="bf16")),
                        dtype="bf16", torch=lambda t, x, y: into(t.bmm, t.bmm(x, y), x, y), tolerance=2e-2,
                        expected=lambda x, y: x.astype(np.float32) @ y.astype(np.float32), flops=2.0 * 12 * 512 * 64 * 512,
                        moved=2.0 * 12 * (2 * 512 * 64 + 512 * 512))
        for m, k, n in [(512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (64, 4096, 4096)]:
            yield self.case("matmul int8", "quant.matmul_i8", f"{m}x{k}x{n}",
                            lambda m=m, k=k, n=n: tuple(self.rng.integers(-128, 128, s, dtype=np.int8) for s in ((m, k), (k, n))), dtype="i8",
                            torch=lambda t, a, b: lambda: t._int_mm(a, b), tolerance=0,
                            expected=lambda a, b: a.astype(np.float64) @ b.astype(np.float64), flops=2.0 * m * k * n,
                            moved=1.0 * (m * k + k * n) + 4.0 * m * n)
        for name, m, k, n in [("matmul_nt", 512, 512, 512), ("matmul_tn", 512, 512, 512), ("matmul_tt", 333, 777, 555)]:
            yield self.form("matmul forms", name, m, k, n)
        for b, m, k, n in [(64, 128, 128, 64), (16, 65, 63, 67)]:
            yield self.case("matmul forms", "linalg.bmm", f"{b}x{m}x{k}x{n}", lambda b=b, m=m, k=k, n=n: (self.normal(b, m, k), self.normal(b, k, n)),
                            numpy=lambda out, x, y: np.matmul(x, y, out=out), torch=lambda t, x, y: into(t.bmm, t.bmm(x, y), x, y),
                            jax=lambda j, x, y: x @ y, expected=lambda x, y: x.astype(np.float64) @ y, flops=2.0 * b * m * k * n,
                            moved=4.0 * b * (m * k + k * n + m * n))
        for m, k, n in [(512, 1024, 1024), (1, 4096, 4096), (8, 2048, 2048)]:
            yield self.case("matmul forms", "linalg.linear", f"{m}x{k}x{n}", lambda m=m, k=k, n=n: (self.normal(m, k), self.normal(n, k), self.normal(n)),
                            numpy=lambda out, x, w, b: np.add(np.matmul(x, w.T, out=out), b, out=out),
                            torch=lambda t, x, w, b: lambda: t.nn.functional.linear(x, w, b), jax=lambda j, x, w, b: x @ w.T + b,
                            expected=lambda x, w, b: x.astype(np.float64) @ w.T + b, flops=2.0 * m * k * n, moved=4.0 * (m * k + k * n + m * n))
        for m, k in [(4096, 4096), (333, 1025)]:
            yield self.case("matmul forms", "linalg.gemv", f"{m}x{k}", lambda m=m, k=k: (self.normal(m, k), self.normal(k)),
                            numpy=lambda out, a, x: np.matmul(a, x, out=out), torch=lambda t, a, x: into(t.mv, t.mv(a, x), a, x),
                            expected=lambda a, x: a.astype(np.float64) @ x, flops=2.0 * m * k, moved=4.0 * m * k)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def rows(self):
        from halide_peers import softmax as halide_softmax

        for r, c in [(64, 64), (1024, 1024), (4096, 256), (64, 50000), (333, 1025)]:
            shape, x = f"{r}x{c}", lambda r=r, c=c: (self.normal(r, c),)
            weights = lambda r=r, c=c: (self.normal(r, c), self.normal(c), self.normal(c))
            yield self.case("softmax", "nn.softmax", shape, x, numpy=numpy_softmax, torch=lambda t, x: into(t.softmax, t.empty_like(x), x, 1),
                            jax=lambda j, x: j.nn.softmax(x, 1), halide=functools.partial(halide_softmax, self.threads), expected=exact_softmax,
                            moved=8.0 * r * c, exps=1.0 * r * c)
            yield self.case("layernorm", "nn.layernorm", shape, weights,
                            torch=lambda t, x, w, b: lambda: t.nn.functional.layer_norm(x, w.shape, w, b), jax=jax_layernorm,
                            expected=exact_layernorm, flops=7.0 * r * c, moved=8.0 * r * c)
            yield self.case("rmsnorm", "nn.rmsnorm", shape, lambda weights=weights: weights()[:2],
                            torch=lambda t, x, w: lambda: t.nn.functional.rms_norm(x, w.shape, w, 1e-6),
                            compiled=(lambda t, x, w: t.nn.functional.rms_norm(x, w.shape, w, 1e-6)) if (r, c) == (1024, 1024) else None,
                            expected=lambda x, w: x / np.sqrt((x.astype(np.float64) ** 2).mean(1, keepdims=True) + 1e-6) * w,
                            flops=4.0 * r * c, moved=8.0 * r * c)
            yield self.case("sums", "reduce.sum_rows", shape, x, numpy=lambda out, x: x.sum(1, out=out),
                            torch=lambda t, x: into(t.sum, t.sum(x, 1), x, 1), jax=lambda j, x: x.sum(1),
                            expected=lambda x: x.astype(np.float64).sum(1), flops=1.0 * r * c, moved=4.0 * r * c)
            yield self.case("sums", "reduce.sum_cols", shape, x, numpy=lambda out, x: x.sum(0, out=out),
                            torch=lambda t, x: into(t.sum, t.sum(x, 0), x, 0), jax=lambda j, x: x.sum(0),
                            expected=lambda x: x.astype(np.float64).sum(0), flops=1.0 * r * c, moved=4.0 * r * c)
            yield self.case("argmax", "reduce.argmax", shape, x, numpy=lambda out, x: x.argmax(1, out=out),
                            torch=lambda t, x: into(t.argmax, t.argmax(x, 1), x, 1), expected=lambda x: x.argmax(1), tolerance=0,
                            flops=1.0 * r * c, moved=4.0 * r * c)
        for r, c in [(1024, 1024), (64, 50000)]:
            yield self.case("cumsum", "reduce.cumsum", f"{r}x{c}", lambda r=r, c=c: (self.normal(r, c),), numpy=lambda out, x: x.cumsum(1, out=out),
                            torch=lambda t, x: into(t.cumsum, t.empty_like(x), x, 1), expected=lambda x: x.astype(np.float64).cumsum(1),
                            flops=1.0 * r * c, moved=8.0 * r * c)
            yield self.case("softmax", "nn.log_softmax", f"{r}x{c}", lambda r=r, c=c: (self.normal(r, c),),
                            torch=lambda t, x: into(t.log_softmax, t.empty_like(x), x, 1), jax=lambda j, x: j.nn.log_softmax(x, 1),
                            expected=lambda x: np.log(exact_softmax(x)), moved=8.0 * r * c, exps=1.0 * r * c)
        yield self.case("cross entropy", "nn.cross_entropy", "1024x4096", lambda: (self.normal(1024, 4096), self.rng.integers(0, 4096, 1024)),
                        torch=lambda t, x, y: lambda: t.nn.functional.cross_entropy(x, y, reduction="none"), moved=4.0 * 1024 * 4096, exps=1024.0 * 4096)

    def elementwise(self):
        f = lambda t: t.nn.functional
        for n in (1 << 10, 1 << 15, 333 * 1025, 1 << 22):
            x = lambda n=n: (self.normal(n),)
            yield self.case("activations", "nn.silu", f"{n}", x, torch=lambda t, x: lambda: f(t).silu(x), jax=lambda j, x: j.nn.silu(x),
                            expected=lambda x: x / (1 + np.exp(-x.astype(np.float64))), moved=8.0 * n, exps=1.5 * n)
            for name, how in (("gelu_tanh", "tanh"), ("gelu", "none")):
                yield self.case("activations", f"nn.{name}", f"{n}", x, torch=lambda t, x, how=how: lambda: f(t).gelu(x, approximate=how),
                                jax=lambda j, x, how=how: j.nn.gelu(x, approximate=how == "tanh"), moved=8.0 * n, exps=(2.0 if how == "tanh" else 1.0) * n)
            yield self.case("activations", "nn.relu", f"{n}", x, torch=lambda t, x: lambda: t.relu(x), numpy=lambda out, x: np.maximum(x, 0, out=out),
                            expected=lambda x: np.maximum(x, 0), moved=8.0 * n)
        yield self.case("activations", "nn.swiglu", "1024x4096", lambda: (self.normal(1024, 4096), self.normal(1024, 4096)),
                        torch=lambda t, a, b: lambda: f(t).silu(a).mul_(b), compiled=lambda t, a, b: f(t).silu(a) * b, moved=12.0 * (1 << 22), exps=1.5 * (1 << 22))
        for m, n in [(512, 512), (2048, 2048), (333, 1025)]:
            yield self.case("data", "data.transpose", f"{m}x{n}", lambda m=m, n=n: (self.normal(m, n),), numpy=lambda out, x: np.copyto(out, x.T),
                            torch=lambda t, x: into_copy(t.empty(x.shape[::-1]), x.t()), jax=lambda j, x: x.T.copy(), expected=lambda x: x.T,
                            tolerance=0, moved=8.0 * m * n)
        yield self.case("data", "data.gather", "4096 of 32000x512", lambda: (self.normal(32000, 512), self.rng.integers(0, 32000, 4096)),
                        numpy=lambda out, x, i: np.take(x, i, axis=0, out=out, mode="clip"),
                        torch=lambda t, x, i: into(t.index_select, t.index_select(x, 0, i), x, 0, i), expected=lambda x, i: x[i], tolerance=0, moved=8.0 * 4096 * 512)
        yield self.case("data", "data.concat", "2 of 1024x1024", lambda: (self.normal(1024, 1024), self.normal(1024, 1024)),
                        numpy=lambda out, a, b: np.concatenate((a, b), out=out), torch=lambda t, a, b: lambda out=t.cat((a, b)): t.cat((a, b), out=out),
                        expected=lambda a, b: np.concatenate((a, b)), tolerance=0, moved=16.0 * (1 << 20))

        def rope(t, x, c, s):
            h = x.shape[-1] // 2
            return lambda: t.cat((x[..., :h] * c - x[..., h:] * s, x[..., h:] * c + x[..., :h] * s), -1)

        yield self.case("data", "nn.rope", "32x1024x128", lambda: (self.normal(32, 1024, 128), self.normal(1024, 64), self.normal(1024, 64)), torch=rope,
                        compiled=lambda t, x, c, s: rope(t, x, c, s)(), moved=8.0 * 32 * 1024 * 128, flops=3.0 * 32 * 1024 * 128)
        for n in (100_000, 1 << 22):
            yield self.case("optimizers", "optim.adam", f"{n}", lambda n=n: (self.normal(n), self.normal(n), self.normal(n), np.abs(self.normal(n))),
                            scalars=dict(lr=1e-3, correct1=0.1, correct2=0.001), torch=torch_adam, moved=28.0 * n, flops=16.0 * n,
                            compiled=adam_formula if n > 1 << 20 else None)

    # --- convolution, attention, stencil ------------------------------------------------------------------------------

    def convolutions(self):
        for size, cin, cout, k, stride, pad, groups, dilation in [
                (56, 64, 64, 3, 1, 1, 1, 1), (56, 64, 64, 3, 2, 1, 1, 1), (28, 256, 512, 1, 1, 0, 1, 1), (224, 3, 64, 7, 2, 3, 1, 1),
                (14, 256, 256, 3, 1, 1, 1, 1), (112, 96, 96, 3, 1, 1, 96, 1), (112, 64, 64, 3, 2, 1, 64, 1), (28, 128, 128, 3, 1, 1, 4, 1), (56, 64, 64, 3, 1, 2, 1, 2)]:
            o = (size + 2 * pad - dilation * (k - 1) - 1) // stride + 1
            extra = (f" g{groups}" if groups > 1 else "") + (f" d{dilation}" if dilation > 1 else "")
            family = "depthwise convolution" if groups == cin else "convolution"
            yield self.case(family, "nn.conv2d", f"{size}x{size} {cin}->{cout} {k}x{k} s{stride}{extra}",
                            lambda size=size, cin=cin, cout=cout, k=k, groups=groups: (self.normal(1, cin, size, size), self.normal(cout, cin // groups, k, k)),
                            torch=lambda t, x, w, stride=stride, pad=pad, groups=groups, dilation=dilation: lambda: t.nn.functional.conv2d(
                                x, w, stride=stride, padding=pad, groups=groups, dilation=dilation),
                            stride=stride, padding=pad, groups=groups, dilation=dilation, flops=2.0 * cout * cin // groups * k * k * o * o,
                            moved=4.0 * (cin * size * size + cout * cin // groups * k * k + cout * o * o))
        for size, cin, cout in [(56, 64, 64), (14, 256, 256)]:
            yield self.case("convolution", "nn.conv2d", f"{size}x{size} {cin}->{cout} 3x3 s1",
                            lambda size=size, cin=cin, cout=cout: (self.normal(1, cin, size, size, dtype="bf16"), self.normal(cout, cin, 3, 3, dtype="bf16")),
                            dtype="bf16", torch=lambda t, x, w: lambda: t.nn.functional.conv2d(x, w, padding=1), padding=1,
                            flops=2.0 * cout * cin * 9 * size * size, moved=2.0 * ((cin + cout) * size * size + cout * cin * 9))
        yield self.case("convolution", "nn.conv2d_nhwc", "56x56 64->64 3x3 s1", lambda: (self.normal(1, 56, 56, 64), self.normal(3, 3, 64, 64)),
                        torch=lambda t, x, w: (lambda x, w: lambda: t.nn.functional.conv2d(x, w, padding=1))(
                            x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1).contiguous(memory_format=t.channels_last)),
                        padding=1, flops=2.0 * 64 * 64 * 9 * 56 * 56, moved=4.0 * (2 * 64 * 56 * 56 + 64 * 64 * 9))

    def attentions(self):
        sdpa = lambda t, q, k, v, **named: lambda: t.nn.functional.scaled_dot_product_attention(q, k, v, **named)
        for name, heads, groups, n, keys, d in [("attention", 8, 1, 1024, 1024, 64), ("attention_causal", 8, 1, 1024, 1024, 64),
                                                ("attention_causal", 16, 1, 2048, 2048, 128), ("attention_causal", 2, 4, 512, 512, 64),
                                                ("attention", 8, 4, 1, 2048, 128), ("attention_causal", 4, 1, 333, 333, 80)]:
            causal = name == "attention_causal"
            seen = n * (keys + 1) / 2 if causal else n * keys
            yield self.case("attention", f"nn.{name}", f"{heads * groups} heads of {heads} {n}x{keys}x{d}",
                            lambda heads=heads, groups=groups, n=n, keys=keys, d=d: (
                                self.normal(1, heads * groups, n, d), self.normal(1, heads, keys, d), self.normal(1, heads, keys, d)),
                            torch=functools.partial(sdpa, is_causal=causal, enable_gqa=groups > 1), scalars=dict(scale=d**-0.5),
                            flops=4.0 * heads * groups * seen * d, exps=heads * groups * seen, moved=8.0 * heads * (groups * n + keys) * d)

    def stencils(self):
        from halide_peers import blur as halide_blur

        op = hd.parse(BLUR).blur
        for h, w in [(1024, 1024), (2160, 3840)]:
            yield self.case("stencil", "blur", f"{h}x{w}", lambda h=h, w=w: (self.normal(h, w),), source=op,
                            halide=functools.partial(halide_blur, self.threads), jax=jax_blur, expected=exact_blur, flops=6.0 * h * w, moved=8.0 * h * w)

    def all(self):
        for family in (self.matmuls, self.rows, self.elementwise, self.convolutions, self.attentions, self.stencils):
            yield from family()


# A 3x3 box in two passes, over the points that have all neighbours, in strips of columns. Three rows of the first pass slide along in L1;
# rows that memory holds are asked for one ahead.
BLUR = """
op blur(x: f32[h, w]) -> y: f32[h - 2, w - 2] {
  require h >= 2 && w >= 2, "the image has an edge on each side"
  b[i in 0 .. h, j in 0 .. w - 2] = (x[i, j] + x[i, j + 1] + x[i, j + 2]) * 0.33333334
  y[i, j] = (b[i, j] + b[i + 1, j] + b[i + 2, j]) * 0.33333334
}
schedule blur.far on cpu allow contract where h * w >= 4194304 {
  split y.i by 96 into ib, ic
  split y.ic by 6 into io, ii
  split y.j by lanes(f32) into jo, ji
  reorder y.ib, y.io, y.jo, y.ii, y.ji
  compute_at b at y.jo in registers
  prefetch x at y.jo by 4
  vectorize b.j, y.ji by lanes(f32)
  unroll b.i, y.ii
  parallel y.ib
}
schedule blur.sliding on cpu allow contract {
  split y.i by 64 into io, ii
  split y.j by 1024 into jo, ji
  reorder y.io, y.jo, y.ii, y.ji
  compute_at b at y.ii in l1
  store_at b at y.jo
  fold_storage b by 4
  vectorize b.j, y.ji by lanes(f32)
  parallel y.io
}
"""


def into(function, out, *args):
    """The call that writes into `out`; `out` has the right shape, its content is garbage."""
    return lambda: function(*args, out=out)


def into_copy(out, source):
    return lambda: out.copy_(source)


def into_matmul(t, a, b):
    return into(t.matmul, t.empty((a.shape[0], b.shape[1]), dtype=a.dtype), a, b)


def numpy_softmax(out, x):
    np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=1, keepdims=True), out=out)


def exact_softmax(x):
    e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def exact_layernorm(x, w, b):
    d = x.astype(np.float64) - x.astype(np.float64).mean(axis=1, keepdims=True)
    return d / np.sqrt((d * d).mean(axis=1, keepdims=True) + 1e-5) * w + b


def jax_layernorm(jax, x, w, b):
    d = x - x.mean(1, keepdims=True)
    return d * jax.lax.rsqrt((d * d).mean(1, keepdims=True) + 1e-5) * w + b


def exact_blur(x):
    x = x.astype(np.float64)
    b = (x[:, :-2] + x[:, 1:-1] + x[:, 2:]) / 3
    return (b[:-2] + b[1:-1] + b[2:]) / 3


def jax_blur(jax, x):
    b = (x[:, :-2] + x[:, 1:-1] + x[:, 2:]) * 0.33333334
    return (b[:-2] + b[1:-1] + b[2:]) * 0.33333334


def adam_formula(t, w, g, m, v):
    m2 = 0.9 * m + 0.1 * g
    v2 = 0.999 * v + 0.001 * g * g
    return w - 1e-3 * (m2 / 0.1) / ((v2 / 0.001).sqrt() + 1e-8), m2, v2


def torch_adam(t, w, g, m, v):
    """Eager, in place where that saves a pass."""
    w, m, v = w.clone(), m.clone(), v.clone()

    def step():
        m.mul_(0.9).add_(g, alpha=0.1)
        v.mul_(0.999).addcmul_(g, g, value=0.001)
        w.addcdiv_(m, (v / 0.001).sqrt_().add_(1e-8), value=-1e-3 / 0.1)

    return step
