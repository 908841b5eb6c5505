"""Arrays of other libraries: read in place by DLPack, outputs of the kind of the first input."""

import ctypes
import gc

import ml_dtypes
import numpy as np
import pytest

import heddle as hd

TEXT = """
op add<T: float>(a: T[m, n], b: T[m, n]) -> y: T[m, n] { y[i, j] = a[i, j] + b[i, j] }
op total(x: f32[n]) -> s: f32[] { s = sum[i] x[i] }
op halves(x: f32[n]) -> (lo: f32[n], hi: f32[n]) { lo[i] = x[i] * 0.5; hi[i] = x[i] * 1.5 }
op count(x: i32[n]) -> y: i32[n] { y[i] = x[i] + 1 }
"""


@pytest.fixture(scope="module")
def m():
    return hd.parse(TEXT)


# --- a producer with every form that the protocol has -----------------------------------------------------------------

class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64)]


class Managed(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class Versioned(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
                ("flags", ctypes.c_uint64), ("tensor", Tensor)]


new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
CODES = {"i": 0, "u": 1, "f": 2, "b": 6}


class Producer:
    """Exports a NumPy array. `alive` counts the capsules that were made and not freed."""

    def __init__(self, array, *, versioned=True, offset=0, dense=False, device=1, readonly=False, major=1, code=None, lanes=1,
                 says_device=True, knows_versions=True, capsule=True):
        self.array, self.alive, self.made = array, 0, []
        self.versioned, self.readonly, self.major, self.knows_versions, self.capsule = versioned, readonly, major, knows_versions, capsule
        shape, strides = (ctypes.c_int64 * array.ndim)(*array.shape), (ctypes.c_int64 * array.ndim)(*(s // array.itemsize for s in array.strides))
        self.tensor = Tensor(array.ctypes.data - offset, device, 0, array.ndim, CODES[array.dtype.kind] if code is None else code,
                             array.itemsize * 8, lanes, shape, None if dense else strides, offset)
        self.device, self.free = device, ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(self.freed)
        if says_device:
            self.__class__ = SaysDevice

    def freed(self, _):
        self.alive -= 1

    def __dlpack__(self, **named):
        if not self.knows_versions and named:
            raise TypeError("unexpected keyword")
        if not self.capsule:
            return 7
        if self.versioned and named.get("max_version", (0,))[0] >= 1:
            made = Versioned(self.major, 0, None, None, int(self.readonly), self.tensor)
        else:
            made = Managed(self.tensor, None, None)
        self.made.append(made)
        self.alive += 1
        name = b"dltensor_versioned" if isinstance(made, Versioned) else b"dltensor"
        return new_capsule(ctypes.addressof(made), name, ctypes.cast(self.free, ctypes.c_void_p))


class SaysDevice(Producer):
    def __dlpack_device__(self):
        return (self.device, 0)


X = np.arange(12, dtype=np.float32).reshape(3, 4)
FORMS = [dict(), dict(versioned=False), dict(offset=64), dict(dense=True), dict(says_device=False), dict(versioned=False, knows_versions=False)]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_forms(m, form):
    p = Producer(X, **form)
    np.testing.assert_array_equal(m.add(p, X), X + X)
    np.testing.assert_array_equal(m.add.compile(p, p)(X, p), X + X)
    out = np.zeros_like(X)
    m.add(X, X, out=Producer(out, **form))
    np.testing.assert_array_equal(out, X + X)  # written in place
    gc.collect()
    assert p.alive == 0 and p.made  # every capsule was freed


@pytest.mark.parametrize("view", [lambda a: a[:, ::2], lambda a: a[::-1], lambda a: a.T, lambda a: a[:0], lambda a: a[1:2, 3:4]])
def test_strides(m, view):
    a = view(np.arange(60, dtype=np.float32).reshape(6, 10))
    np.testing.assert_array_equal(m.add(Producer(a), a), a + a)


def test_outputs_are_numpy_where_the_library_imports_nothing(m):
    assert type(m.add(Producer(X), Producer(X))) is np.ndarray


def test_interpreter_and_reference(m):
    out = m.add.interpret(Producer(X), X, out=np.zeros_like(X))
    np.testing.assert_array_equal(out, X + X)
    (value, bound), = m.add.reference(Producer(X), Producer(X), out=np.zeros_like(X))
    np.testing.assert_array_equal(value, X + X)


REFUSED = [
    (dict(device=2), "HD0513", "cuda"),
    (dict(device=2, says_device=False), "HD0513", "cuda"),
    (dict(major=2), "HD0514", "2.0"),
    (dict(code=5), "HD0502", "code 5"),
    (dict(lanes=4), "HD0502", "code 2"),
    (dict(capsule=False), "HD0514", "capsule"),
]


@pytest.mark.parametrize("form, code, word", REFUSED, ids=lambda v: str(v))
def test_refused(m, form, code, word):
    p = Producer(X, **form)
    kernel = m.add.compile(X, X)
    for call in (lambda: m.add(X, p), lambda: kernel(X, p), lambda: m.add.compile(X, p)):
        with pytest.raises(hd.Error) as e:
            call()
        assert e.value.code == code and word in str(e.value) and "`b`" in str(e.value)
    assert p.alive == 0


def test_an_export_that_raises(m):
    class Raises:
        def __dlpack__(self, **named):
            raise BufferError("not today")

    with pytest.raises(hd.Error, match="not today") as e:
        m.add(X, Raises())
    assert e.value.code == "HD0514"


def test_readonly(m):
    p = Producer(X.copy(), readonly=True)
    np.testing.assert_array_equal(m.add(p, p), X + X)
    with pytest.raises(hd.Error) as e:
        m.add(X, X, out=p)
    assert e.value.code == "HD0505"
    np.testing.assert_array_equal(p.array, X)


def test_overlap_is_seen_across_libraries(m):
    a = X.copy()
    with pytest.raises(hd.Error) as e:
        m.add(a, X, out=Producer(a[::-1]))
    assert e.value.code == "HD0506"


def test_exporter():
    """What outputs are handed over by: NumPy itself reads it back, and the memory goes with the last reader."""
    import weakref

    from heddle import _heddle

    class Held(np.ndarray):
        pass

    a = np.arange(6, dtype=np.int32).reshape(2, 3).view(Held)
    gone = weakref.ref(a)
    exporter = _heddle.Exporter(a)
    assert exporter.__dlpack_device__() == (1, 0)
    back = np.from_dlpack(exporter)
    exporter.__dlpack__(), exporter.__dlpack__(max_version=(1, 0))  # never consumed
    np.testing.assert_array_equal(back, a)
    assert np.shares_memory(back, a)
    del a, exporter
    gc.collect()
    assert gone() is not None
    del back
    gc.collect()
    assert gone() is None


# --- libraries, where they are installed ------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_torch(m, torch, name):
    x = torch.arange(12, dtype=torch.float32).reshape(3, 4).to(getattr(torch, name))
    y = m.add(x, x)
    assert type(y) is torch.Tensor and y.dtype == x.dtype and y.shape == x.shape
    assert torch.equal(y, x + x)
    out = torch.zeros_like(x)
    assert m.add(x, x, out=out) is out and torch.equal(out, x + x)
    out.zero_()
    m.add.compile(x, x)(x.T.contiguous().T, x, out=out)
    assert torch.equal(out, x + x)
    y += 1  # it owns its memory
    gc.collect()
    assert torch.equal(y, x + x + 1)


def test_torch_kinds(m, torch):
    x = torch.arange(5, dtype=torch.float32)
    lo, hi = m.halves(x)
    assert torch.equal(lo, x / 2) and torch.equal(hi, x * 1.5)
    assert type(m.halves(x)).__name__ == "halves" and type(m.halves(x).hi) is torch.Tensor
    assert m.total(x).shape == () and float(m.total(x)) == 10
    assert m.count(torch.arange(3, dtype=torch.int32)).tolist() == [1, 2, 3]
    n = x.numpy().reshape(1, 5)
    assert type(m.add(n, x.reshape(1, 5))) is np.ndarray  # the first input decides
    assert type(m.add(x.reshape(1, 5), n)) is torch.Tensor
    narrow = np.ones((1, 5), ml_dtypes.bfloat16)
    assert m.add(torch.ones(1, 5, dtype=torch.bfloat16), narrow).dtype == torch.bfloat16


def test_torch_gradients(m, torch):
    w = torch.nn.Parameter(torch.ones(2, 3))
    with pytest.raises(hd.Error, match="requires a gradient") as e:
        m.add(w, w)
    assert "detach" in e.value.help
    assert torch.equal(m.add(w.detach(), w.detach()), 2 * torch.ones(2, 3))
    with torch.no_grad():
        y = m.add(w, w)
    assert torch.equal(y, 2 * torch.ones(2, 3)) and type(y) is torch.Tensor and not y.requires_grad


def test_torch_refused(m, torch):
    for bad in (torch.ones(2, 3).to_sparse(), torch.ones(2, 3, dtype=torch.complex64), torch.ones(2, 3, device="meta")):
        with pytest.raises(hd.Error):
            m.add(torch.ones(2, 3), bad)
    negative = torch.ones(2, 3, dtype=torch.complex64).mul(1j).conj().imag
    with pytest.raises(hd.Error, match="negated"):
        m.add(negative, negative)
    assert torch.equal(m.add(negative.resolve_neg(), negative.resolve_neg()), negative + negative)


def test_torch_from_many_threads(m, torch):
    import threading

    kernel, wrong = m.add.compile(hd.spec("f32", "m", "n"), hd.spec("f32", "m", "n")), []

    def work(seed):
        x = torch.full((40, 600), float(seed))
        for _ in range(100):
            if not torch.equal(kernel(x, x), 2 * x):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


def test_jax(m):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    for dtype in (jnp.float32, jnp.bfloat16):
        x = jnp.arange(12, dtype=dtype).reshape(3, 4)
        y = m.add(x, x)
        assert isinstance(y, jax.Array) and y.dtype == dtype and bool((y == x + x).all())
    x = jnp.arange(12, dtype=jnp.float32).reshape(3, 4)
    with pytest.raises(hd.Error) as e:  # arrays of JAX never change
        m.add(X, X, out=x)
    assert e.value.code == "HD0505" and bool((x == X).all())
