"""A second interpreter of NKI text, in NumPy: what the documentation says each call computes, one call after the other.

It shares nothing with the simulator in backend/neuron/simulator: here Python itself runs the text, with `nki`, `nl` and `nisa` replaced by
objects that act on NumPy arrays at once, in program order. It knows no time, no capacities and few rules; it answers one question,
what the text computes, and tests hold the simulator's answer against it. Over 500 lines, as a text runs with this one file beside it.

    python tools/nki_interpreter.py kernel.py a.npy b.npy:bf16 -o y.npy
"""

from __future__ import annotations

import ast
import enum
import math
import sys
import types

import ml_dtypes
import numpy as np


class NkiError(Exception):
    """The text asks for something that NKI refuses or that this interpreter does not follow."""


# --- element types -------------------------------------------------------------------------------------------------------

DTYPES = {
    "float32": np.dtype(np.float32), "tfloat32": np.dtype(np.float32), "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16), "float8_e4m3": np.dtype(ml_dtypes.float8_e4m3),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2), "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "int8": np.dtype(np.int8), "int16": np.dtype(np.int16), "int32": np.dtype(np.int32), "uint8": np.dtype(np.uint8),
    "uint16": np.dtype(np.uint16), "uint32": np.dtype(np.uint32), "bool_": np.dtype(np.bool_),
}
FP8 = {DTYPES[n] for n in ("float8_e4m3", "float8_e5m2", "float8_e4m3fn")}


def is_float(dtype):
    return dtype.kind == "f" or dtype in FP8 or dtype == DTYPES["bfloat16"]


def cast(values, dtype):
    """One rounding of float32 (or a wide integer) to the type of the destination."""
    with np.errstate(all="ignore"):
        if dtype == np.bool_:
            return values != 0
        if dtype.kind in "iu":
            if values.dtype.kind in "iu":
                return values.astype(dtype)
            info = np.iinfo(dtype)
            clean = np.where(np.isnan(values), 0, np.rint(values.astype(np.float64)))
            return np.clip(clean, info.min, info.max).astype(dtype)
        if dtype in FP8:
            top = float(ml_dtypes.finfo(dtype).max)
            values = np.where(np.isnan(values), values, np.clip(values, -top, top))
        return values.astype(np.float32).astype(dtype)


def wide(tensor):
    return tensor.array.astype(np.float32)


# --- tensors -------------------------------------------------------------------------------------------------------------

class Tensor:
    """A window of some memory: an array of elements, and beside it which of them have been written (0 no, 1 yes, 2 by a matmul)."""

    def __init__(self, array, state, buffer, base=None):
        self.array, self.state, self.buffer = array, state, buffer
        self.base = base if base is not None else self
        self.rows = None  # of an indirect access

    @property
    def shape(self):
        return tuple(int(n) for n in self.array.shape)

    @property
    def ndim(self):
        return self.array.ndim

    @property
    def dtype(self):
        return Dtype.of(self.array.dtype)

    @property
    def on_chip(self):
        return self.buffer in ("sbuf", "psum")

    def like(self, array, state):
        return Tensor(array, state, self.buffer, self.base)

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        if self.on_chip and index and isinstance(index[0], (int, np.integer)):
            index = (slice(int(index[0]), int(index[0]) + 1), *index[1:])
        for i, n in zip(index, self.shape):
            if isinstance(i, slice) and i.stop is not None and i.stop > n:
                raise NkiError(f"a slice ends at {i.stop} of {n}")
        array, state = self.array[index], self.state[index]
        if self.on_chip and array.ndim == 1:
            array, state = array[:, None], state[:, None]
        return self.like(array, state)

    def __setitem__(self, index, value):
        raise NkiError("tiles are written by instructions")

    def reshape(self, *shape):
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        array, state = self.array.view(), self.state.view()
        array.shape, state.shape = shape, shape  # raises where a copy would be needed
        return self.like(array, state)

    def permute(self, dims):
        return self.like(self.array.transpose(dims), self.state.transpose(dims))

    def broadcast(self, dim, size):
        shape = list(self.shape)
        shape[dim] = size
        return self.like(np.broadcast_to(self.array, shape), np.broadcast_to(self.state, shape))

    def ap(self, pattern, offset=0, scalar_offset=None, vector_offset=None, indirect_dim=0, dtype=None):
        if dtype is not None:
            raise NkiError("`.ap` with a dtype")
        if scalar_offset is not None and (vector_offset is not None or not isinstance(scalar_offset, (int, np.integer))):
            raise NkiError("a scalar offset that is no number of a loop, or one beside a vector offset")
        base = self.base
        start = offset + (self.array.__array_interface__["data"][0] - base.array.__array_interface__["data"][0]) // base.array.itemsize
        if self.array.size == base.array.size and self.array.flags.c_contiguous:
            base = self  # the whole tensor, in another shape perhaps
        if scalar_offset is not None:
            start += int(scalar_offset) * int(np.prod(base.shape[indirect_dim + 1 :]))
        sizes = [n for _, n in pattern]
        last = start + sum(s * (n - 1) for s, n in pattern)
        if vector_offset is not None:
            rows = read(vector_offset).reshape(-1)
            one = Tensor(base.array.reshape(base.shape[0], -1), base.state.reshape(base.shape[0], -1), self.buffer, base)
            first = offset // max(one.shape[1], 1)
            if rows.min() < 0 or rows.max() + first >= base.shape[0]:
                raise NkiError(f"row {rows.max()} of {base.shape[0] - first}")
            width = sum(s * (n - 1) for s, n in pattern[1:]) + 1
            if offset % one.shape[1] + width > one.shape[1]:
                raise NkiError("a row of the pattern passes the end of a row")
            rows, offset = rows + first, offset % one.shape[1]
            window = Gather(one, rows, pattern[1:], offset)
            return window
        if start < 0 or last >= base.array.size:
            raise NkiError(f"the pattern reaches element {last} of {base.array.size}")

        def windows(a):
            flat = a.reshape(-1)
            return np.lib.stride_tricks.as_strided(flat[start:], sizes, [s * a.itemsize for s, _ in pattern])

        return self.like(windows(base.array), windows(base.state))


class Gather(Tensor):
    """Rows of HBM chosen by numbers; read and written element by element."""

    def __init__(self, table, rows, pattern, offset):
        steps = np.array([offset])
        for step, size in pattern:
            steps = (steps[:, None] + step * np.arange(size)).reshape(-1)
        self.table, self.at = table, (np.repeat(rows, len(steps)), np.tile(steps, len(rows)))
        shape = (len(rows), *(n for _, n in pattern))
        super().__init__(table.array[self.at].reshape(shape), table.state[self.at].reshape(shape), table.buffer, table.base)


class Dtype:
    table: dict = {}

    def __init__(self, name):
        self.name, self.numpy = name, DTYPES[name]

    @classmethod
    def of(cls, numpy):
        return next(d for d in cls.table.values() if d.numpy == numpy)

    def __repr__(self):
        return f"nl.{self.name}"


Dtype.table = {name: Dtype(name) for name in DTYPES}


def read(tensor):
    if not tensor.state.all():
        where = [int(i) for i in np.argwhere(tensor.state == 0)[0]]
        raise NkiError(f"an element is read before it is written, at {where} of a window {tensor.shape}")
    return tensor.array


def write(tensor, values, how=1):
    values = np.asarray(values)
    if values.dtype != tensor.array.dtype:
        values = cast(values, tensor.array.dtype)
    values = values.reshape(tensor.shape)
    if isinstance(tensor, Gather):
        tensor.table.array[tensor.at] = values.reshape(-1)
        tensor.table.state[tensor.at] = how
    else:
        tensor.array[...] = values
        tensor.state[...] = how


def lanes(tensor):
    """Partitions x elements of each, float32."""
    return read(tensor).astype(np.float32).reshape(tensor.shape[0], -1)


def bits(tensor):
    a = read(tensor)
    return a.view(np.dtype(f"u{a.itemsize}")).astype(np.int64).reshape(tensor.shape[0], -1)


# --- operators -----------------------------------------------------------------------------------------------------------

class Op:
    def __init__(self, name, f=None, act=None, bit=None):
        self.name, self.f, self.act, self.bit = name, f, act, bit

    def __repr__(self):
        return f"nl.{self.name}"

    def __call__(self, *_):
        raise NkiError(f"`nl.{self.name}` is only named in the low-level form")


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _softplus(x):
    return np.where(x > 30, x, np.log1p(np.exp(np.minimum(x, 30))))


def _truth(f):
    return lambda a, b: f(a, b).astype(np.float32)


ARITHMETIC = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum,
    "equal": _truth(np.equal), "not_equal": _truth(np.not_equal), "greater_equal": _truth(np.greater_equal),
    "greater": _truth(np.greater), "less_equal": _truth(np.less_equal), "less": _truth(np.less),
    "logical_and": _truth(lambda a, b: (a != 0) & (b != 0)), "logical_or": _truth(lambda a, b: (a != 0) | (b != 0)),
    "logical_xor": _truth(lambda a, b: (a != 0) ^ (b != 0)), "power": np.power,
    "abs_max": lambda a, b: np.maximum(abs(a), abs(b)), "abs_min": lambda a, b: np.minimum(abs(a), abs(b)),
    "logical_not": _truth(lambda a, _: a == 0), "abs": lambda a, _: abs(a), "square": lambda a, _: a * a,
    "relu": lambda a, _: np.maximum(a, 0), "rsqrt": lambda a, _: 1 / np.sqrt(a.astype(np.float64)),
    "reciprocal": lambda a, _: np.float32(1) / a, "bypass": lambda a, _: a,
}
BITVEC = {
    "invert": lambda a, _: ~a, "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "left_shift": np.left_shift, "right_shift": np.right_shift,
}
ACTIVATIONS = {
    "copy": lambda x: x, "square": lambda x: x * x, "abs": abs, "sign": np.sign, "relu": lambda x: np.maximum(x, 0), "sigmoid": _sigmoid,
    "tanh": np.tanh, "silu": lambda x: x * _sigmoid(x), "silu_dx": lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "gelu_dx": lambda x: 0.5 * (1 + _erf(x / math.sqrt(2))) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    "gelu_apprx_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_apprx_sigmoid": lambda x: x * _sigmoid(1.702 * x), "softplus": _softplus, "mish": lambda x: x * np.tanh(_softplus(x)),
    "erf": _erf, "exp": np.exp, "log": np.log, "sin": np.sin, "arctan": np.arctan, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
}


def apply(op, a, b):
    if op.f is None:
        raise NkiError(f"`nl.{op.name}` is no ALU operator")
    with np.errstate(all="ignore"):
        return np.asarray(op.f(a, b)).astype(np.float32)


def column(operand, lanes_of):
    """A scalar operand: an immediate, or a column of one value for each partition."""
    if isinstance(operand, Tensor):
        if operand.shape[0] != lanes_of or math.prod(operand.shape[1:]) != 1:
            raise NkiError(f"an operand of shape {operand.shape} for {lanes_of} partitions")
        return lanes(operand)
    return np.float32(operand)


# --- nisa ----------------------------------------------------------------------------------------------------------------

class Isa(types.ModuleType):
    """Each method is one instruction, from its page in the documentation."""

    def __init__(self):
        super().__init__("nki.isa")
        self.engine = enum.Enum("engine", "tensor vector scalar gpsimd dma sync unknown")
        self.reduce_cmd = enum.Enum("reduce_cmd", "idle reset reduce reset_reduce load_reduce")
        self.dge_mode = enum.Enum("dge_mode", "unknown swdge hwdge none")
        self.oob_mode = enum.Enum("oob_mode", "error skip")
        self.matmul_perf_mode = enum.Enum("matmul_perf_mode", "none double_row")
        for name in ("tensor", "vector", "scalar", "gpsimd", "unknown"):
            setattr(self, name + "_engine", self.engine[name])
        self._registers = None

    def __getattr__(self, name):
        raise NkiError(f"this interpreter has no `nisa.{name}`")

    # moving

    def dma_copy(self, dst, src, priority=None, oob_mode=None, dge_mode=None, engine=None, name=None):
        if "psum" in (dst.buffer, src.buffer):
            raise NkiError("a DMA does not reach PSUM")
        if dst.array.size != src.array.size:
            raise NkiError(f"a DMA of {src.array.size} elements into {dst.array.size}")
        self._copy(dst, src)

    def _copy(self, dst, src):
        a = read(src)
        write(dst, a.copy() if a.dtype == dst.array.dtype else a.astype(np.float32))

    def dma_transpose(self, dst, src, axes=None, priority=None, dge_mode=None, oob_mode=None, name=None):
        write(dst, read(src).transpose(axes or {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}[src.ndim]))

    def tensor_copy(self, dst, src, engine=None, name=None):
        self._copy(dst, src)

    def tensor_copy_predicated(self, dst, src, predicate, reverse_pred=False, name=None):
        where = (read(predicate) != 0).reshape(dst.shape) ^ bool(reverse_pred)
        if isinstance(src, Tensor):
            if not src.state.reshape(dst.shape)[where].all():
                raise NkiError("an element is read before it is written")
            values = src.array.reshape(dst.shape)
        else:
            values = np.full(dst.shape, src, np.float32)
        dst.array[where] = cast(values, dst.array.dtype)[where] if values.dtype != dst.array.dtype else values[where]
        dst.state[where] = 1

    def memset(self, dst, value, engine=None, name=None):
        write(dst, np.full(dst.shape, value, np.float32 if is_float(dst.array.dtype) else np.int64))

    def nc_stream_shuffle(self, dst, src, shuffle_mask, name=None):
        a = read(src).copy()
        for p in range(dst.shape[0]):
            m = shuffle_mask[p % 32]
            if m != 255:
                write(dst[p:p + 1], a[p // 32 * 32 + m])

    # Tensor engine

    def nc_matmul(self, dst, stationary, moving, is_stationary_onezero=False, is_moving_onezero=False, is_transpose=False, accumulate=None,
                  tile_position=(), tile_size=(), perf_mode=None, name=None):
        if dst.buffer != "psum" or stationary.buffer != "sbuf" or moving.buffer != "sbuf":
            raise NkiError("nc_matmul reads SBUF and writes PSUM")
        if perf_mode is self.matmul_perf_mode.double_row:
            s = np.concatenate([lanes(stationary[:, 0]), lanes(stationary[:, 1])])
            m = np.concatenate([lanes(moving[:, 0]), lanes(moving[:, 1])])
        else:
            s, m = lanes(stationary), lanes(moving)
        if s.shape[0] != m.shape[0] or stationary.shape[0] > 128 or s.shape[1] > 128 or m.shape[1] > 512:
            raise NkiError(f"nc_matmul of {s.shape} and {m.shape}")
        product = (s.T @ m).reshape(dst.shape)
        if accumulate is False:
            return write(dst, product, 2)
        if accumulate is True and not (dst.state == 2).all():
            raise NkiError("accumulating onto what no matmul wrote")
        if (dst.state == 1).any():
            raise NkiError("accumulating onto what no matmul wrote")
        write(dst, np.where(dst.state == 2, dst.array.astype(np.float32) + product, product), 2)

    def nc_transpose(self, dst, data, engine=None, name=None):
        if dst.array.dtype != data.array.dtype:
            raise NkiError("nc_transpose keeps the dtype")
        write(dst, read(data).reshape(data.shape[0], -1).T)

    # element by element

    def tensor_tensor(self, dst, data1, data2, op, engine=None, name=None):
        if data1.buffer == data2.buffer == "psum":
            raise NkiError("both inputs in PSUM")
        kinds = {t.array.dtype for t in (dst, data1, data2)}
        if op.bit:
            return self._store_bits(dst, op.bit(bits(data1), bits(data2)))
        if kinds <= {np.dtype(np.int32), np.dtype(np.uint32)} and not any(t.buffer == "psum" for t in (dst, data1, data2)):
            exact = op.f(read(data1).astype(np.int64).reshape(dst.shape), read(data2).astype(np.int64).reshape(dst.shape))
            return self._store_bits(dst, np.asarray(exact).astype(np.int64))
        write(dst, apply(op, lanes(data1), lanes(data2)))

    def _store_bits(self, dst, values):
        width = 8 * dst.array.itemsize
        low = (values.astype(np.int64) & ((1 << width) - 1)).astype(np.dtype(f"u{dst.array.itemsize}"))
        write(dst, low.view(dst.array.dtype) if dst.array.dtype.kind in "iu" else low)

    def tensor_scalar(self, dst, data, op0, operand0=None, reverse0=False, op1=None, operand1=None, reverse1=False, engine=None, name=None):
        if op0.bit:
            a = bits(data)
            for op, x, reverse in ((op0, operand0, reverse0), (op1, operand1, reverse1)):
                if op is not None:
                    b = bits(x) if isinstance(x, Tensor) else np.int64(x or 0)
                    a = (op.bit(b, a) if reverse else op.bit(a, b)) & ((1 << 8 * data.array.itemsize) - 1)
            return self._store_bits(dst, a)
        write(dst, self._scalar_steps(data, op0, operand0, reverse0, op1, operand1, reverse1))

    def _scalar_steps(self, data, op0, operand0, reverse0, op1=None, operand1=None, reverse1=False):
        a = lanes(data)
        for op, x, reverse in ((op0, operand0, reverse0), (op1, operand1, reverse1)):
            if op is not None:
                b = column(0 if x is None else x, data.shape[0])
                a = apply(op, b, a) if reverse else apply(op, a, b)
        return np.broadcast_to(a, (data.shape[0], math.prod(data.shape[1:])))

    def scalar_tensor_tensor(self, dst, data, op0, operand0, op1, operand1, reverse0=False, reverse1=False, name=None):
        a, b = self._scalar_steps(data, op0, operand0, reverse0), lanes(operand1)
        write(dst, apply(op1, b, a) if reverse1 else apply(op1, a, b))

    def tensor_scalar_reduce(self, dst, data, op0, operand0, reduce_op, reduce_res, reverse0=False, reduce_cmd=None, reduce_init=None, name=None):
        a = self._scalar_steps(data, op0, operand0, reverse0)
        write(dst, a)
        write(reduce_res, self._reduce(reduce_op, a))

    @staticmethod
    def _reduce(op, a):
        total = a[..., 0].astype(np.float32)
        if op.name in ("add", "maximum", "max", "minimum", "min", "multiply"):
            f = {"add": np.add, "multiply": np.multiply}.get(op.name) or (np.maximum if op.name.startswith("max") else np.minimum)
            return f.reduce(a.astype(np.float32), axis=-1)
        for i in range(1, a.shape[-1]):
            total = apply(op, total, a[..., i])
        return total

    def tensor_reduce(self, dst, op, data, axis, negate=False, keepdims=False, name=None):
        axes = sorted(a % data.ndim for a in ((axis,) if isinstance(axis, int) else axis))
        if 0 in axes or axes != list(range(data.ndim - len(axes), data.ndim)):
            raise NkiError(f"tensor_reduce over the axes {axes} of {data.ndim}")
        kept = data.shape[:data.ndim - len(axes)]
        if op.bit:
            a = bits(data).reshape(*kept, -1)
            return self._store_bits(dst, getattr(np, op.name).reduce(a, axis=-1))
        total = self._reduce(op, read(data).astype(np.float32).reshape(*kept, -1))
        write(dst, -total if negate else total)

    def tensor_partition_reduce(self, dst, op, data, name=None):
        write(dst, self._reduce(op, lanes(data).T))

    def tensor_tensor_scan(self, dst, data0, data1, initial, op0, op1, reverse0=False, reverse1=False, name=None):
        a, b = lanes(data0), lanes(data1)
        state = np.broadcast_to(np.asarray(column(initial, a.shape[0])).reshape(-1), (a.shape[0],)).astype(np.float32)
        out = np.empty_like(a)
        for i in range(a.shape[1]):
            t = apply(op0, state, a[:, i]) if reverse0 else apply(op0, a[:, i], state)
            state = out[:, i] = apply(op1, b[:, i], t) if reverse1 else apply(op1, t, b[:, i])
        write(dst, out)

    def activation(self, dst, op, data, bias=None, scale=1.0, reduce_op=None, reduce_res=None, reduce_cmd=None, name=None):
        if op.act is None:
            raise NkiError(f"`nl.{op.name}` is no activation function")
        a = lanes(data) * column(scale, data.shape[0])
        if bias is not None:
            a = a + column(bias, data.shape[0])
        with np.errstate(all="ignore"):
            a = np.asarray(op.act(a.astype(np.float64))).astype(np.float32)
        command = reduce_cmd.name if reduce_cmd is not None else "idle"
        if command in ("reset", "reset_reduce"):
            self._registers = np.zeros(128, np.float32)
        if command in ("reduce", "reset_reduce"):
            self._registers[:a.shape[0]] += a.sum(axis=1, dtype=np.float32)
        write(dst, a)
        if reduce_res is not None:
            write(reduce_res, self._registers[:a.shape[0]].copy())

    def activation_reduce(self, dst, op, data, reduce_op, reduce_res, bias=None, scale=1.0, name=None):
        self.activation(dst, op, data, bias, scale, reduce_op, reduce_res, self.reduce_cmd.reset_reduce)

    def reciprocal(self, dst, data, name=None):
        with np.errstate(all="ignore"):
            write(dst, np.float32(1) / lanes(data))

    # GpSimd

    @staticmethod
    def _affine(dst, pattern, offset, channel_multiplier):
        free = np.zeros(1, np.int64)
        for step, size in pattern:
            free = (free[:, None] + step * np.arange(size)).reshape(-1)
        return offset + channel_multiplier * np.arange(dst.shape[0])[:, None] + free[None, :]

    def iota(self, dst, pattern, offset=0, channel_multiplier=0, name=None):
        write(dst, self._affine(dst, pattern, offset, channel_multiplier))

    def affine_select(self, dst, pattern, channel_multiplier, on_true_tile, on_false_value, cmp_op=None, offset=0, name=None):
        value = self._affine(dst, pattern, offset, channel_multiplier)
        where = (cmp_op.f if cmp_op else np.equal)(value, np.zeros_like(value)) != 0
        write(dst, np.where(where, lanes(on_true_tile), np.float32(on_false_value)))

    # statistics

    def bn_stats(self, dst, data, name=None):
        a = lanes(data).astype(np.float64)
        if a.shape[1] > 512:
            raise NkiError("bn_stats of more than 512 elements")
        out = []
        for half in (a[:, 0::2], a[:, 1::2]):
            n = half.shape[1]
            mean = half.sum(axis=1) / max(n, 1)
            out += [np.full(a.shape[0], float(n)), mean, ((half - mean[:, None]) ** 2).sum(axis=1)]
        write(dst, np.stack(out, axis=1).astype(np.float32))

    def bn_aggr(self, dst, data, name=None):
        a = lanes(data).astype(np.float64).reshape(data.shape[0], -1, 3)
        n, mean, spread = a[..., 0], a[..., 1], a[..., 2]
        total = n.sum(axis=1)
        centre = (n * mean).sum(axis=1) / total
        variance = (spread + n * (mean - centre[:, None]) ** 2).sum(axis=1) / total
        write(dst, np.stack([centre, variance], axis=1).astype(np.float32))

    def nc_n_gather(self, dst, data, indices, name=None):
        if "psum" in (dst.buffer, data.buffer, indices.buffer) or dst.array.dtype != data.array.dtype or indices.array.dtype != np.uint32:
            raise NkiError("nc_n_gather picks in SBUF by uint32 indices, and keeps the dtype")
        rows, which = data.array.reshape(data.shape[0], -1), read(indices).reshape(indices.shape[0], -1).astype(np.int64)
        if which.max(initial=0) >= rows.shape[1]:
            raise NkiError(f"an index of {which.max()} into {rows.shape[1]} elements")
        if not np.take_along_axis(data.state.reshape(rows.shape), which, axis=1).all():
            raise NkiError("an element is read before it is written")
        write(dst, np.take_along_axis(rows, which, axis=1))

    def max8(self, dst, src, name=None):
        write(dst, -np.sort(-lanes(src), axis=1)[:, :8])


# --- nl and nki ----------------------------------------------------------------------------------------------------------

class Language(types.ModuleType):
    def __init__(self):
        super().__init__("nki.language")
        for name, dtype in Dtype.table.items():
            setattr(self, name, dtype)
        for name in ("sbuf", "psum", "hbm", "shared_hbm", "private_hbm"):
            setattr(self, name, types.SimpleNamespace(buffer=name))
        for name in {*ARITHMETIC, *BITVEC, *ACTIVATIONS}:
            setattr(self, name, Op(name, ARITHMETIC.get(name), ACTIVATIONS.get(name), BITVEC.get(name)))
        self.max, self.min = Op("max", np.maximum), Op("min", np.minimum)
        self.tile_size = types.SimpleNamespace(pmax=128, psum_fmax=512, gemm_stationary_fmax=128, gemm_moving_fmax=512, bn_stats_fmax=512)

    def __getattr__(self, name):
        raise NkiError(f"there is no `nl.{name}` in the low-level form")

    @staticmethod
    def ndarray(shape, dtype, buffer=None, name="", address=None):
        if isinstance(shape, list):
            raise NkiError("a shape is a tuple")
        kind = buffer.buffer if buffer is not None else "sbuf"
        if kind in ("sbuf", "psum") and (shape[0] > 128 or len(shape) < 2):
            raise NkiError(f"a tile of shape {shape}")
        array = np.empty(shape, dtype.numpy)
        array.view(np.uint8).reshape(-1)[...] = 0xA5 if dtype.numpy != np.bool_ else 1
        if kind == "psum" and array.size and array.nbytes // shape[0] > 2048:
            raise NkiError("a PSUM tile over its bank")
        return Tensor(array, np.zeros(shape, np.uint8), kind)

    @staticmethod
    def ds(start, size):
        return slice(start, start + size)

    @staticmethod
    def fori_loop(lower, upper, body, step=1):
        for i in range(lower, upper, step):
            body(i)

    class no_reorder:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

    @staticmethod
    def program_id(axis):
        return 0

    @staticmethod
    def num_programs(axis=0):
        return 1


ALLOWED = {"nki", "nki.language", "nki.isa"}


def load(text, name="<nki>"):
    """The kernel of a text as a function over NumPy arrays and numbers."""
    tree = ast.parse(text, name)
    kernels = [f.name for f in tree.body if isinstance(f, ast.FunctionDef) and f.decorator_list]
    if len(kernels) != 1:
        raise NkiError(f"the text has {len(kernels)} kernels")
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) else []
        if any(n not in ALLOWED for n in names):
            raise NkiError(f"the text imports {names}")
    nki, nl, nisa = types.ModuleType("nki"), Language(), Isa()
    nki.jit, nki.language, nki.isa = (lambda f: f), nl, nisa
    modules = {"nki": nki, "nki.language": nl, "nki.isa": nisa}

    def importer(module, globals=None, locals=None, fromlist=(), level=0):
        return modules[module] if fromlist or "." not in module else nki

    builtins = {n: __builtins__[n] if isinstance(__builtins__, dict) else getattr(__builtins__, n)
                for n in ("range", "min", "max", "len", "tuple", "list", "abs", "int", "float", "sum", "enumerate", "zip", "bool", "print",
                          "AssertionError")}
    # `import nki.language as nl` reads the attribute of sys.modules' entry by name: give it ours.
    space = {"__builtins__": {**builtins, "__import__": importer}}
    exec(compile(tree, name, "exec"), space)
    kernel = space[kernels[0]]

    def run(*arguments):
        nisa._registers = None
        given = [Tensor(np.array(a, order="C"), np.ones(a.shape, np.uint8), "hbm") if isinstance(a, np.ndarray) else a for a in arguments]
        with np.errstate(all="ignore"):
            out = kernel(*given)
        outs = out if isinstance(out, (tuple, list)) else (out,)
        for o in outs:
            if o.buffer != "shared_hbm" and not any(o is g for g in given):
                raise NkiError("an output outside shared_hbm")
        arrays = tuple(read(o).copy() for o in outs)
        return arrays[0] if len(arrays) == 1 else arrays

    run.__name__ = kernels[0]
    return run


def run(text, *arguments):
    return load(text)(*arguments)


def main(words):
    names = {"bf16": "bfloat16", "f8e4m3": "float8_e4m3", "f8e5m2": "float8_e5m2", "f8e4m3fn": "float8_e4m3fn"}
    files, out = list(words), []
    if "-o" in files:
        at = files.index("-o")
        files, out = files[:at], files[at + 1:]
    arguments = []
    for word in files[1:]:
        path, _, kind = word.partition(":")
        if not path.endswith(".npy"):
            arguments.append(float(path) if "." in path or "e" in path else int(path))
            continue
        a = np.load(path)
        arguments.append(a.view(DTYPES[names[kind]]) if kind else a)
    with open(files[0]) as f:
        results = load(f.read(), files[0])(*arguments)
    for path, a in zip(out, results if isinstance(results, tuple) else (results,)):
        plain = a.dtype.kind in "fiub" and a.dtype not in FP8 and a.dtype != DTYPES["bfloat16"]
        np.save(path, a if plain else a.view(f"u{a.itemsize}"))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
