// The call path of kernels from Python, by hand: a vectorcall type that reads arrays where they lie. Over 500 lines, as conversion, call and
// the texts of a kernel are one type.
#include "python/kernel_object.h"

#include <pybind11/stl.h>
#include <structmember.h>

#include "api/codes.h"
#include "api/impl.h"
#include "jit/codes.h"
#include "jit/pool.h"
#include "python/dlpack.h"

namespace heddle::python {
namespace {

constexpr int max_arrays = 64;
// A kernel over less memory than this is done before another thread could take the lock.
constexpr int64_t release_bytes = 1 << 16;

struct Slot {
  enum Kind : uint8_t { input, output, scalar } kind;
  int index;       // among the plan's arrays or scalars
  PyObject* name;  // interned
};

struct KernelObject {
  PyObject_HEAD vectorcallfunc call;
  std::shared_ptr<api::KernelImpl>* impl;
  std::vector<Slot>* slots;   // declared parameters but outputs, in order
  std::vector<int>* outputs;  // plan indices
  PyObject* result_type;      // a namedtuple class for several outputs, else null
  PyObject* recipe;           // (function, arguments) that make this kernel again, or null
  PyObject* weakrefs;
};

PyTypeObject* packed_type = nullptr;
PyObject* word_out = nullptr;  // interned "out", "threads"
PyObject* word_threads = nullptr;
PyTypeObject* kernel_type = nullptr;

void set_error(const Diagnostics& diagnostics) {
  try {
    raise(diagnostics);
  } catch (py::error_already_set& e) {
    e.restore();
  }
}

void set_error(const Diagnostic& diagnostic) { set_error(Diagnostics{diagnostic}); }

Diagnostic wrong(const std::string& text) { return Diagnostic(api::codes::wrong_arguments, {}, text); }

bool same_name(PyObject* a, PyObject* b) { return a == b || PyUnicode_Compare(a, b) == 0; }

// In place of what Python says, which does not name the scalar; Ctrl-C and the like stay.
bool no_number(PyObject* object, const jit::CallPlan::ScalarRow& row) {
  std::string type(ir::scalar_type_name(row.type));
  if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
    PyErr_Clear();
    set_error(wrong("the scalar `" + row.name + "` does not fit into `" + type + "`"));
  } else if (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_ValueError)) {
    PyErr_Clear();
    set_error(
        wrong("the scalar `" + row.name + "` is `" + type + "`, which takes no `" + Py_TYPE(object)->tp_name + "`"));
  }
  return false;
}

// A number from Python or NumPy, as the scalar's type takes it.
bool read_scalar(PyObject* object, const jit::CallPlan::ScalarRow& row, jit::ScalarArg& out) {
  if (ir::is_float(row.type)) {
    out.real = PyFloat_AsDouble(object);
    return !(out.real == -1.0 && PyErr_Occurred()) || no_number(object, row);
  }
  // NumPy's truth values are no indices.
  const bool numpy_bool =
      row.type == ScalarType::boolean && std::string_view(Py_TYPE(object)->tp_name).starts_with("numpy.bool");
  PyObject* number = numpy_bool ? PyNumber_Long(object) : PyNumber_Index(object);
  if (!number) return no_number(object, row);
  int overflow = 0;
  out.integer = PyLong_AsLongLongAndOverflow(number, &overflow);
  bool fits = !overflow && out.integer >= ir::integer_min(row.type) && out.integer <= ir::integer_max(row.type);
  if (row.type == ScalarType::u64) {
    fits = overflow > 0 || (!overflow && out.integer >= 0);
    if (overflow > 0) {
      out.integer = static_cast<int64_t>(PyLong_AsUnsignedLongLong(number));
      if (PyErr_Occurred()) PyErr_Clear(), fits = false;
    }
  }
  Py_DECREF(number);
  if (!fits && !PyErr_Occurred())
    set_error(
        wrong("the scalar `" + row.name + "` does not fit into `" + std::string(ir::scalar_type_name(row.type)) + "`"));
  return fits && !PyErr_Occurred();
}

// 0 takes what `set_threads` says.
bool thread_count(PyObject* value, int& out) {
  int overflow = 0;
  long long count = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (PyErr_Occurred()) return false;
  if (overflow < 0 || (!overflow && count < 0)) {
    set_error(wrong("`threads` is at least 0"));
    return false;
  }
  out = overflow || count > jit::ThreadPool::most_threads ? jit::ThreadPool::most_threads : static_cast<int>(count);
  return true;
}

// Room for the most that a kernel takes, of which a call fills what it needs: making all of it costs a call a third of its time.
template <class T>
union Room {
  static_assert(std::is_trivially_destructible_v<T>);
  T items[max_arrays];
  Room() {}
  T& operator[](size_t i) { return items[i]; }
  operator T*() { return items; }
};

// The arguments of one call, sorted into the plan's order.
struct Call {
  KernelObject* self;
  const jit::CallPlan& plan;
  PyObject* given[max_arrays * 2];  // per slot
  PyObject* out = nullptr;
  int threads = 0;
  Room<ArrayView> views;
  Room<jit::ArrayArg> arrays;
  Room<jit::ScalarArg> scalars;
  Keep keep;
  Refusal refusal;

  explicit Call(KernelObject* k) : self(k), plan((*k->impl)->plan) {
    std::fill_n(given, k->slots->size(), nullptr);
    std::fill_n(arrays.items, plan.array_count(), jit::ArrayArg());
    std::fill_n(scalars.items, plan.scalar_count(), jit::ScalarArg());
  }
  ~Call() {
    if (keep.empty()) return;
    py::error_scope kept;  // freeing what was borrowed may run Python code
    keep.clear();
  }

  bool keyword(PyObject* name, PyObject* value) {
    if (same_name(name, word_out)) {
      out = value == Py_None ? nullptr : value;
      return true;
    }
    if (same_name(name, word_threads)) {
      return value == Py_None || thread_count(value, threads);
    }
    const auto& slots = *self->slots;
    for (size_t i = 0; i < slots.size(); ++i) {
      if (!same_name(name, slots[i].name)) continue;
      if (given[i]) {
        set_error(wrong("`" + std::string(PyUnicode_AsUTF8(name)) + "` is given twice"));
        return false;
      }
      given[i] = value;
      return true;
    }
    std::vector<std::string> known = {"out", "threads"};
    for (const Slot& s : slots) known.push_back(PyUnicode_AsUTF8(s.name));
    Diagnostic d = wrong("this kernel has no parameter `" + std::string(PyUnicode_AsUTF8(name)) + "`");
    if (std::string near = nearest(PyUnicode_AsUTF8(name), known); !near.empty())
      d.help = "did you mean `" + near + "`?";
    set_error(d);
    return false;
  }

  bool sort(PyObject* const* args, size_t count, PyObject* names) {
    const auto& slots = *self->slots;
    if (count > slots.size()) {
      set_error(
          wrong(std::to_string(count) + " arguments are given; this kernel takes " + std::to_string(slots.size())));
      return false;
    }
    for (size_t i = 0; i < count; ++i) given[i] = args[i];
    Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t i = 0; i < named; ++i)
      if (!keyword(PyTuple_GET_ITEM(names, i), args[count + i])) return false;
    for (size_t i = 0; i < slots.size(); ++i)
      if (!take(slots[i], given[i])) return false;
    return true;
  }

  bool packed(int index, PyObject* object) {
    const std::shared_ptr<const api::PackedImpl>& p = py::handle(object).cast<const Packed&>().impl();
    arrays[index] = {p->type, static_cast<int>(p->extents.size()), p->extents.data(), p->strides.data(), p->data, true,
                     &p->text};
    return true;
  }

  bool view(int index, PyObject* object) {
    if (Py_TYPE(object) == packed_type) return packed(index, object);
    if (!view_array(object, views[index], keep, refusal)) {
      set_error(refusal.of(plan.arrays()[index].name));
      return false;
    }
    arrays[index] = views[index].arg;
    return true;
  }

  bool take(const Slot& slot, PyObject* object) {
    if (slot.kind == Slot::scalar) {
      const auto& row = plan.scalars()[slot.index];
      if (object) return read_scalar(object, row, scalars[slot.index]);
      scalars[slot.index] = row.default_value;
      if (row.has_default) return true;
    }
    if (!object) {
      set_error(wrong("the argument `" + std::string(PyUnicode_AsUTF8(slot.name)) + "` is missing"));
      return false;
    }
    return view(slot.index, object);
  }

  // The outputs: the caller's, or fresh ones. A new reference to them, null on error.
  PyObject* outputs() {
    const auto& list = *self->outputs;
    if (list.empty()) return Py_NewRef(Py_None);
    if (!out) return fresh();
    if (list.size() == 1 && !PyTuple_Check(out)) return view(list[0], out) ? Py_NewRef(out) : nullptr;
    if (!PyTuple_Check(out) || PyTuple_GET_SIZE(out) != static_cast<Py_ssize_t>(list.size())) {
      set_error(wrong("`out` is a tuple of " + std::to_string(list.size()) + " arrays for this kernel"));
      return nullptr;
    }
    for (size_t i = 0; i < list.size(); ++i)
      if (!view(list[i], PyTuple_GET_ITEM(out, i))) return nullptr;
    return Py_NewRef(out);
  }

  // New arrays of NumPy's: one, or a tuple.
  PyObject* fresh() {
    std::vector<int64_t> dims(plan.dim_count());
    if (jit::CallError e = plan.bind_dims(arrays, dims.data()); e.kind) {
      set_error(plan.explain(e, arrays));
      return nullptr;
    }
    py::tuple made(self->outputs->size());
    for (size_t i = 0; i < self->outputs->size(); ++i) {
      int index = (*self->outputs)[i];
      std::vector<int64_t> extents;
      if (!plan.extents(index, dims.data(), extents)) {
        set_error(plan.explain({jit::CallError::overflow}, arrays));
        return nullptr;
      }
      py::object array = allocate(plan.arrays()[index].type, extents);
      if (!view(index, array.ptr())) return nullptr;
      made[i] = std::move(array);
    }
    return (made.size() == 1 ? py::object(made[0]) : py::object(std::move(made))).release().ptr();
  }

  // What the call returns: the caller's `out`, else the new arrays as the library of the first input has them, several as a named tuple.
  // Takes the reference.
  PyObject* returned(PyObject* held) {
    if (out || self->outputs->empty()) return held;
    py::object made = py::reinterpret_steal<py::object>(held);
    PyObject* like = nullptr;
    for (size_t i = 0; i < self->slots->size() && !like; ++i)
      if ((*self->slots)[i].kind == Slot::input && Py_TYPE(given[i]) != packed_type) like = given[i];
    bool foreign = like && !is_ndarray(like);
    if (self->outputs->size() == 1)
      return (foreign ? as_kind_of(like, std::move(made)) : std::move(made)).release().ptr();
    py::tuple list(self->outputs->size());
    for (size_t i = 0; i < list.size(); ++i) {
      py::object one = py::reinterpret_borrow<py::tuple>(made)[i];
      list[i] = foreign ? as_kind_of(like, std::move(one)) : std::move(one);
    }
    return PyObject_Call(self->result_type, list.ptr(), nullptr);
  }

  bool run() {
    int64_t bytes = 0;
    for (int i = 0; i < plan.array_count(); ++i) {
      int64_t size = ir::scalar_bytes(arrays[i].type);
      for (int a = 0; a < arrays[i].rank; ++a) size *= arrays[i].extents[a];
      bytes += size;
    }
    host::CheckReport report;
    jit::CallError error;
    if (bytes >= release_bytes) {
      PyThreadState* state = PyEval_SaveThread();
      error = (*self->impl)->run(arrays, scalars, report, threads);
      PyEval_RestoreThread(state);
    } else {
      error = (*self->impl)->run(arrays, scalars, report, threads);
    }
    if (error.kind) set_error((*self->impl)->explain(error, arrays, report));
    return !error.kind;
  }
};

PyObject* call_kernel(PyObject* object, PyObject* const* args, size_t flagged, PyObject* names) {
  auto* self = reinterpret_cast<KernelObject*>(object);
  try {
    Call call(self);
    if (!call.sort(args, PyVectorcall_NARGS(flagged), names)) return nullptr;
    PyObject* result = call.outputs();
    if (!result) return nullptr;
    if (call.run()) return call.returned(result);
    Py_DECREF(result);
    return nullptr;
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
  return nullptr;
}

void dealloc(PyObject* object) {
  auto* self = reinterpret_cast<KernelObject*>(object);
  PyTypeObject* type = Py_TYPE(object);
  if (self->weakrefs) PyObject_ClearWeakRefs(object);
  delete self->impl;
  if (self->slots)
    for (const Slot& s : *self->slots) Py_XDECREF(s.name);
  delete self->slots;
  delete self->outputs;
  Py_XDECREF(self->result_type);
  Py_XDECREF(self->recipe);
  type->tp_free(object);
  Py_DECREF(type);
}

Kernel handle(PyObject* object) { return Kernel(*reinterpret_cast<KernelObject*>(object)->impl); }

template <class F>
PyObject* guarded(F f) {
  try {
    return py::object(f()).release().ptr();
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
  return nullptr;
}

py::str text_or_raise(Result<std::string> text) {
  if (!text) raise(text.errors());
  return py::str(*text);
}

PyObject* get_program(PyObject* o, void*) {
  return guarded([&] { return py::str(handle(o).program()); });
}
PyObject* get_llvm(PyObject* o, void*) {
  return guarded([&] { return text_or_raise(handle(o).llvm()); });
}
PyObject* get_asm(PyObject* o, void*) {
  return guarded([&] { return text_or_raise(handle(o).assembly()); });
}
PyObject* get_memory(PyObject* o, void*) {
  return guarded([&] { return text_or_raise(handle(o).memory()); });
}
PyObject* get_schedule(PyObject* o, void*) {
  return guarded([&] { return py::str(handle(o).schedule()); });
}
PyObject* get_target(PyObject* o, void*) {
  return guarded([&] { return py::str(handle(o).target()); });
}
PyObject* get_times(PyObject* o, void*) {
  return guarded([&] {
    Times t = handle(o).times();
    py::dict d;
    d["parse"] = t.parse, d["check"] = t.check, d["steps"] = t.steps, d["lower"] = t.lower, d["llvm"] = t.llvm,
    d["link"] = t.link, d["cache"] = t.cache;
    return d;
  });
}
PyObject* get_cached(PyObject* o, void*) {
  return guarded([&] { return py::bool_(handle(o).cached()); });
}
PyObject* get_name(PyObject* o, void*) {
  return guarded([&] { return py::str(handle(o).name()); });
}

PyObject* repr(PyObject* o) {
  return guarded([&] {
    Kernel k = handle(o);
    return py::str("<heddle.Kernel " + k.name() + " on " + k.target() + ">");
  });
}

// Pickles as its recipe: the texts and the request, never code.
PyObject* reduce(PyObject* o, PyObject*) {
  PyObject* recipe = reinterpret_cast<KernelObject*>(o)->recipe;
  if (recipe) return Py_NewRef(recipe);
  PyErr_SetString(PyExc_TypeError, "this kernel has no recipe to pickle");
  return nullptr;
}

PyObject* html(PyObject* o, PyObject*) {
  return guarded([&] { return py::module_::import("heddle.display").attr("kernel_html")(py::handle(o)); });
}

// k.pack(w=w): one packed operand, or a tuple of them in the order given.
PyObject* pack(PyObject* o, PyObject* args, PyObject* kwargs) {
  if (PyTuple_GET_SIZE(args) || !kwargs || !PyDict_Size(kwargs)) {
    PyErr_SetString(PyExc_TypeError, "`pack` takes arrays by the names of their parameters: k.pack(w=w)");
    return nullptr;
  }
  return guarded([&]() -> py::object {
    const std::shared_ptr<api::KernelImpl>& impl = *reinterpret_cast<KernelObject*>(o)->impl;
    py::list made;
    for (auto [key, value] : py::reinterpret_borrow<py::dict>(kwargs)) {
      const std::string name = py::cast<std::string>(key);
      ArrayView view;
      Keep keep;
      Refusal refusal;
      if (!view_array(value.ptr(), view, keep, refusal)) raise({refusal.of(name)});
      std::optional<Result<std::shared_ptr<const api::PackedImpl>>> packed;
      {
        py::gil_scoped_release released;
        packed = impl->pack(name, view.arg);
      }
      if (!*packed) raise(packed->errors());
      made.append(py::cast(Packed(**packed)));
    }
    return made.size() == 1 ? py::object(made[0]) : py::object(py::tuple(made));
  });
}

PyMethodDef methods[] = {
    {"pack", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(pack)), METH_VARARGS | METH_KEYWORDS,
     "Packs operands whose parameters have a `layout`, once for many calls: p = k.pack(w=w); k(x, p)."},
    {"_repr_html_", html, METH_NOARGS, "The loops of the kernel, for notebooks."},
    {"__reduce__", reduce, METH_NOARGS, "The texts and the request that make this kernel again."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef getters[] = {
    {"program", get_program, nullptr, "The program after all steps, printed.", nullptr},
    {"llvm", get_llvm, nullptr, "LLVM IR after the passes.", nullptr},
    {"asm", get_asm, nullptr, "Assembly.", nullptr},
    {"memory", get_memory, nullptr,
     "The memory plan: where each temporary lives, how long, and what each thread needs.", nullptr},
    {"schedule", get_schedule, nullptr, "The schedule's name; empty when the canonical program runs.", nullptr},
    {"target", get_target, nullptr, "The target, for example cpu/avx512.", nullptr},
    {"times", get_times, nullptr,
     "Milliseconds of each stage of the compile: parse, check, steps, lower, llvm, link, cache.", nullptr},
    {"cached", get_cached, nullptr, "Whether the code was found on disk.", nullptr},
    {"name", get_name, nullptr, "The op and its schedule.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(KernelObject, call), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(KernelObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

// What only kernels for NeuronCore have is missing with a word on where it is.
PyObject* attribute(PyObject* self, PyObject* name) {
  PyObject* value = PyObject_GenericGetAttr(self, name);
  if (value || !PyErr_ExceptionMatches(PyExc_AttributeError)) return value;
  for (const char* word : {"nki", "tables", "simulate", "report"})
    if (PyUnicode_CompareWithASCIIString(name, word) == 0)
      PyErr_Format(PyExc_AttributeError,
                   "a kernel of the host has no `%s`; one for NeuronCore has: compile(.., target=\"neuron/trn2\")",
                   word);
  return nullptr;
}

PyType_Slot type_slots[] = {
    {Py_tp_getattro, reinterpret_cast<void*>(attribute)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_repr, reinterpret_cast<void*>(repr)},
    {Py_tp_methods, methods},
    {Py_tp_getset, getters},
    {Py_tp_members, members},
    {Py_tp_doc,
     const_cast<char*>(
         "A compiled op. Call it with arrays and scalars in the order of declaration; `out=` takes the outputs.")},
    {0, nullptr},
};
PyType_Spec type_spec = {"heddle.Kernel", sizeof(KernelObject), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                         type_slots};

}  // namespace

void set_recipe(py::handle kernel, py::object function, py::object arguments) {
  if (Py_TYPE(kernel.ptr()) != kernel_type) throw py::type_error("not a Kernel");
  auto* self = reinterpret_cast<KernelObject*>(kernel.ptr());
  Py_XSETREF(self->recipe, py::make_tuple(function, arguments).release().ptr());
}

void add_packed_type(py::module_& module) {
  py::class_<Packed> type(module, "Packed", "An operand packed for the layout of a kernel's parameter.");
  type.def_property_readonly(
          "layout", [](const Packed& p) { return p.layout(); }, "How the elements lie.")
      .def_property_readonly(
          "shape", [](const Packed& p) { return py::tuple(py::cast(p.extents())); }, "Of the array that was packed.")
      .def_property_readonly(
          "nbytes", [](const Packed& p) { return p.bytes(); }, "Bytes of the packed data.")
      .def("__repr__", [](const Packed& p) {
        return "<heddle.Packed " + py::str(py::tuple(py::cast(p.extents()))).cast<std::string>() + " as " + p.layout() +
               ">";
      });
  packed_type = reinterpret_cast<PyTypeObject*>(type.ptr());
}

void add_kernel_type(py::module_& module) {
  add_packed_type(module);
  word_out = PyUnicode_InternFromString("out");
  word_threads = PyUnicode_InternFromString("threads");
  kernel_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&type_spec));
  if (!kernel_type) throw py::error_already_set();
  module.add_object("Kernel", reinterpret_cast<PyObject*>(kernel_type));
}

py::object make_kernel(Kernel kernel, const std::vector<ParameterInfo>& parameters, const std::string& name) {
  const jit::CallPlan& plan = kernel.impl()->plan;
  if (plan.array_count() > max_arrays || plan.scalar_count() > max_arrays)
    throw std::runtime_error("a kernel has too many parameters");
  auto slots = std::make_unique<std::vector<Slot>>();
  auto outputs = std::make_unique<std::vector<int>>();
  py::list names;
  for (int i = 0; i < plan.array_count(); ++i)
    if (plan.arrays()[i].role == ir::Role::out) {
      outputs->push_back(i);
      names.append(plan.arrays()[i].name);
    }
  for (const ParameterInfo& p : parameters) {
    if (p.output || p.kind == ParameterInfo::Kind::constant) continue;
    bool array = p.kind == ParameterInfo::Kind::array;
    int count = array ? plan.array_count() : plan.scalar_count();
    for (int i = 0; i < count; ++i)
      if ((array ? plan.arrays()[i].name : plan.scalars()[i].name) == p.name)
        slots->push_back({array ? Slot::input : Slot::scalar, i, PyUnicode_InternFromString(p.name.c_str())});
  }
  auto* self = reinterpret_cast<KernelObject*>(kernel_type->tp_alloc(kernel_type, 0));
  if (!self) throw py::error_already_set();
  self->call = call_kernel;
  self->impl = new std::shared_ptr<api::KernelImpl>(kernel.impl());
  self->slots = slots.release();
  self->outputs = outputs.release();
  if (self->outputs->size() > 1)
    self->result_type =
        py::module_::import("heddle.results").attr("result_type")(name, py::tuple(names)).release().ptr();
  return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(self));
}

}  // namespace heddle::python
