#include "python/dlpack.h"

#include <memory>
#include <unordered_map>

#include "jit/codes.h"

namespace heddle::python {
namespace {

struct DlVersion {
  uint32_t major, minor;
};
struct DlTensor {
  void* data;
  int32_t device_type, device_id;
  int32_t ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t* shape;
  int64_t* strides;  ///< in elements; null = dense, row-major
  uint64_t byte_offset;
};
struct DlManaged {
  DlTensor tensor;
  void* context;
  void (*deleter)(DlManaged*);
};
struct DlManagedVersioned {
  DlVersion version;
  void* context;
  void (*deleter)(DlManagedVersioned*);
  uint64_t flags;
  DlTensor tensor;
};
struct DlExchange {
  DlVersion version;
  DlExchange* previous;
  void* allocator;
  int (*from_object)(void* object, DlManagedVersioned** out);
  int (*to_object)(DlManagedVersioned* tensor, void** out);
  int (*view_object)(void* object, DlTensor* out);
  void* stream;
};

constexpr int32_t device_cpu = 1;
constexpr uint64_t flag_readonly = 1;
constexpr DlVersion our_version = {1, 1};
constexpr const char* legacy_name = "dltensor";
constexpr const char* versioned_name = "dltensor_versioned";

struct DlType {
  uint8_t code, bits;
  ScalarType type;
};
constexpr DlType dl_types[] = {
    {0, 8, ScalarType::i8},      {0, 16, ScalarType::i16},      {0, 32, ScalarType::i32},   {0, 64, ScalarType::i64},
    {1, 8, ScalarType::u8},      {1, 16, ScalarType::u16},      {1, 32, ScalarType::u32},   {1, 64, ScalarType::u64},
    {2, 16, ScalarType::f16},    {2, 32, ScalarType::f32},      {2, 64, ScalarType::f64},   {4, 16, ScalarType::bf16},
    {6, 8, ScalarType::boolean}, {10, 8, ScalarType::f8e4m3fn}, {8, 8, ScalarType::f8e4m3}, {12, 8, ScalarType::f8e5m2},
};

std::string device_name(int32_t type) {
  static const std::pair<int32_t, const char*> names[] = {
      {2, "cuda"},       {3, "cuda host"},     {4, "opencl"},  {7, "vulkan"}, {8, "metal"},    {10, "rocm"},
      {11, "rocm host"}, {13, "cuda managed"}, {14, "oneapi"}, {17, "maia"},  {18, "trainium"}};
  for (auto [number, name] : names)
    if (number == type) return name;
  return "device kind " + std::to_string(type);
}

// ---------------------------------------------------------------------------------------------------------------------

// What is known of a type once one of its objects was seen. Rows are never dropped and hold their type, so an address stays its own.
struct Producer {
  const DlExchange* exchange = nullptr;
  bool exports = false;           // has __dlpack__
  bool gradients = false;         // objects say `requires_grad`
  PyObject* recording = nullptr;  // `is_grad_enabled` of the library
  bool negates = false;           // objects say `is_neg`: their memory holds the values with the other sign
  bool immutable = false;         // a library whose arrays never change, though its capsules cannot say so
  PyObject* importer = nullptr;   // `from_dlpack` of its library
  bool importer_known = false;
};

bool raised_error_cleared() {
  bool raised = PyErr_Occurred() != nullptr;
  PyErr_Clear();
  return raised;
}

const DlExchange* exchange_of(PyTypeObject* type) {
  py::object capsule = py::reinterpret_steal<py::object>(
      PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__dlpack_c_exchange_api__"));
  if (raised_error_cleared() || !PyCapsule_CheckExact(capsule.ptr())) return nullptr;
  auto* table = static_cast<const DlExchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  if (raised_error_cleared()) return nullptr;
  while (table && table->version.major > our_version.major) table = table->previous;
  return table && table->version.major == our_version.major && table->view_object && table->to_object ? table : nullptr;
}

// "torch" of torch.Tensor and of classes made from it: the first part of a module's name.
std::string library_of(PyObject* type) {
  std::string name = py::str(py::getattr(type, "__module__", py::str(""))).cast<std::string>();
  return name.substr(0, name.find('.'));
}

// A function of the library that defines a class or one of its bases; none where there is none.
py::object library_function(py::handle type, const char* name) {
  py::dict modules = py::module_::import("sys").attr("modules");
  for (py::handle base : type.attr("__mro__")) {
    py::str library(library_of(base.ptr()));
    if (modules.contains(library) && py::hasattr(modules[library], name)) return modules[library].attr(name);
  }
  return py::none();
}

bool has(PyTypeObject* type, const char* attribute) {
  return PyObject_HasAttrString(reinterpret_cast<PyObject*>(type), attribute);
}

Producer& producer_of(PyTypeObject* type) {
  static auto* rows = new std::unordered_map<PyTypeObject*, Producer>;
  auto [at, fresh] = rows->try_emplace(type);
  if (!fresh) return at->second;
  Py_INCREF(type);
  Producer& row = at->second;
  row.exports = has(type, "__dlpack__");
  row.gradients = has(type, "requires_grad");
  row.negates = has(type, "is_neg");
  if (row.gradients)
    if (py::object asks = library_function(reinterpret_cast<PyObject*>(type), "is_grad_enabled"); !asks.is_none())
      row.recording = asks.release().ptr();
  row.exchange = row.exports ? exchange_of(type) : nullptr;
  std::string library = library_of(reinterpret_cast<PyObject*>(type));
  row.immutable = library == "jax" || library == "jaxlib";
  return row;
}

// ---------------------------------------------------------------------------------------------------------------------

bool refuse(Refusal& refusal, const Code& code, std::string why, std::string help = "") {
  refusal = {&code, std::move(why), std::move(help)};
  return false;
}

// The Python error that is set, as words.
std::string taken_error() {
  py::error_already_set error;
  std::string text = py::str(error.value()).cast<std::string>();
  return text.substr(0, text.find('\n'));  // PyTorch appends a stack
}

bool wrong_device(int32_t type, Refusal& refusal) {
  return refuse(refusal, jit::codes::wrong_device,
                "lives on the device `" + device_name(type) + "`; kernels for `cpu` read memory of the host",
                "copy it to the host first, as by `x.cpu()`");
}

bool fill(const DlTensor& t, bool readonly, ArrayView& view, Refusal& refusal) {
  if (t.device_type != device_cpu) return wrong_device(t.device_type, refusal);
  const DlType* type = nullptr;
  for (const DlType& row : dl_types)
    if (row.code == t.code && row.bits == t.bits && t.lanes == 1) type = &row;
  if (!type)
    return refuse(refusal, jit::codes::wrong_type,
                  "has elements of DLPack type code " + std::to_string(t.code) + " with " + std::to_string(t.bits) +
                      " bits, which has no element type here");
  if (t.ndim < 0 || t.ndim > max_rank)
    return refuse(refusal, jit::codes::wrong_rank,
                  "has " + std::to_string(t.ndim) + " axes, more than " + std::to_string(max_rank));
  int64_t dense = 1;
  for (int i = t.ndim; i-- > 0;) {
    view.extents[i] = t.shape[i];
    view.strides[i] = t.strides ? t.strides[i] : dense;
    if (t.shape[i] < 0 || __builtin_mul_overflow(dense, std::max<int64_t>(t.shape[i], 1), &dense))
      return refuse(refusal, jit::codes::wrong_extent, "exports an extent of " + std::to_string(t.shape[i]));
  }
  view.arg = {
      type->type, t.ndim, view.extents, view.strides, t.data ? static_cast<char*>(t.data) + t.byte_offset : nullptr,
      readonly};
  return true;
}

// `object.__dlpack__(max_version=..)`, or without the keyword where the library does not know it; null with an error set.
py::object capsule_of(PyObject* object) {
  py::object method = py::reinterpret_steal<py::object>(PyObject_GetAttrString(object, "__dlpack__"));
  if (!method) return method;
  static PyObject* none = PyTuple_New(0);
  static PyObject* named =
      py::dict(py::arg("max_version") = py::make_tuple(our_version.major, our_version.minor)).release().ptr();
  auto capsule = py::reinterpret_steal<py::object>(PyObject_Call(method.ptr(), none, named));
  if (!capsule && PyErr_ExceptionMatches(PyExc_TypeError)) {
    PyErr_Clear();
    capsule = py::reinterpret_steal<py::object>(PyObject_CallNoArgs(method.ptr()));
  }
  return capsule;
}

// The device that an object says it is on, before it is asked to export: 0 where it does not say.
bool device_of(PyObject* object, int32_t& type) {
  type = 0;
  py::object pair = py::reinterpret_steal<py::object>(PyObject_CallMethod(object, "__dlpack_device__", nullptr));
  if (!pair) {
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return false;
    PyErr_Clear();
    return true;
  }
  py::object first = py::reinterpret_steal<py::object>(PySequence_GetItem(pair.ptr(), 0));
  type = first ? static_cast<int32_t>(PyLong_AsLong(first.ptr())) : 0;
  return !PyErr_Occurred();
}

bool view_capsule(PyObject* object, const Producer& row, ArrayView& view, Keep& keep, Refusal& refusal) {
  auto refused_export = [&] {
    return refuse(refusal, jit::codes::cannot_export, "cannot be read by DLPack: " + taken_error());
  };
  int32_t device;
  if (!device_of(object, device)) return refused_export();
  if (device != 0 && device != device_cpu) return wrong_device(device, refusal);
  py::object capsule = capsule_of(object);
  if (!capsule) return refused_export();
  // The capsule is not consumed: it owns the tensor, and goes with the call.
  if (PyCapsule_IsValid(capsule.ptr(), versioned_name)) {
    auto* managed = static_cast<DlManagedVersioned*>(PyCapsule_GetPointer(capsule.ptr(), versioned_name));
    if (managed->version.major != our_version.major)
      return refuse(refusal, jit::codes::cannot_export,
                    "exports DLPack version " + std::to_string(managed->version.major) + "." +
                        std::to_string(managed->version.minor) + "; version 1 is understood");
    if (!fill(managed->tensor, row.immutable || managed->flags & flag_readonly, view, refusal)) return false;
  } else if (PyCapsule_IsValid(capsule.ptr(), legacy_name)) {
    auto* managed = static_cast<DlManaged*>(PyCapsule_GetPointer(capsule.ptr(), legacy_name));
    if (!fill(managed->tensor, row.immutable, view, refusal)) return false;
  } else {
    return refuse(refusal, jit::codes::cannot_export, "gives no DLPack capsule from `__dlpack__`");
  }
  keep.push_back(std::move(capsule));
  return true;
}

// A tensor whose library would record what is done with it now.
bool records_gradient(PyObject* object, const Producer& row) {
  static PyObject* word = PyUnicode_InternFromString("requires_grad");
  py::object flag = py::reinterpret_steal<py::object>(PyObject_GetAttr(object, word));
  if (raised_error_cleared() || PyObject_IsTrue(flag.ptr()) != 1) return false;
  py::object enabled = py::reinterpret_steal<py::object>(row.recording ? PyObject_CallNoArgs(row.recording) : nullptr);
  return raised_error_cleared() || !enabled || PyObject_IsTrue(enabled.ptr()) == 1;
}

bool is_negated(PyObject* object) {
  static PyObject* word = PyUnicode_InternFromString("is_neg");
  py::object flag = py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(object, word));
  return raised_error_cleared() || PyObject_IsTrue(flag.ptr()) != 0;
}

// ---------------------------------------------------------------------------------------------------------------------

// An array of ours on its way to another library: the shape beside the struct that names it, freed by the library.
struct Exported {
  DlManagedVersioned versioned{};
  DlManaged legacy{};
  std::vector<int64_t> shape, strides;
  PyObject* owner = nullptr;
};

void release(Exported* e) {
  if (!Py_IsInitialized()) return;  // the interpreter has gone, and the array's memory with it
  PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF(e->owner);
  delete e;
  PyGILState_Release(state);
}

Exported* export_array(py::handle array) {
  ArrayView view;
  Refusal refusal;
  if (!view_ndarray(array.ptr(), view, refusal)) throw py::type_error(refusal.why);
  auto e = std::make_unique<Exported>();
  e->shape.assign(view.extents, view.extents + view.arg.rank);
  e->strides.assign(view.strides, view.strides + view.arg.rank);
  DlTensor t{view.arg.data, device_cpu, 0, view.arg.rank, 0, 0, 1, e->shape.data(), e->strides.data(), 0};
  for (const DlType& row : dl_types)
    if (row.type == view.arg.type) t.code = row.code, t.bits = row.bits;
  e->owner = array.inc_ref().ptr();
  e->versioned = {our_version, e.get(), [](DlManagedVersioned* m) { release(static_cast<Exported*>(m->context)); },
                  view.arg.readonly ? flag_readonly : 0, t};
  e->legacy = {t, e.get(), [](DlManaged* m) { release(static_cast<Exported*>(m->context)); }};
  return e.release();
}

void free_versioned(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, versioned_name)) return;  // consumed
  auto* m = static_cast<DlManagedVersioned*>(PyCapsule_GetPointer(capsule, versioned_name));
  m->deleter(m);
}
void free_legacy(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, legacy_name)) return;
  auto* m = static_cast<DlManaged*>(PyCapsule_GetPointer(capsule, legacy_name));
  m->deleter(m);
}

// What `from_dlpack` of another library is given: NumPy itself exports no bf16 and no fp8.
struct Exporter {
  py::object array;
};

py::object capsule_for(const Exporter& self, const py::object&, const py::object& max_version, const py::object&,
                       const py::object&) {
  bool versioned = !max_version.is_none() && py::cast<py::tuple>(max_version)[0].cast<int>() >= 1;
  Exported* e = export_array(self.array);
  PyObject* made = versioned ? PyCapsule_New(&e->versioned, versioned_name, free_versioned)
                             : PyCapsule_New(&e->legacy, legacy_name, free_legacy);
  if (!made) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(made);
}

// `from_dlpack` of the library that an object is of: by the array API's namespace, else of the package of its class.
py::object find_importer(PyObject* object) {
  if (PyObject_HasAttrString(object, "__array_namespace__")) {
    py::object space = py::handle(object).attr("__array_namespace__")();
    if (py::hasattr(space, "from_dlpack")) return space.attr("from_dlpack");
  }
  return library_function(py::type::handle_of(object), "from_dlpack");
}

}  // namespace

bool view_dlpack(PyObject* object, ArrayView& view, Keep& keep, Refusal& refusal) {
  const Producer& row = producer_of(Py_TYPE(object));
  if (!row.exports)
    return refuse(refusal, jit::codes::wrong_type,
                  "is a `" + std::string(Py_TYPE(object)->tp_name) + "`, not an array");
  if (row.gradients && records_gradient(object, row))
    return refuse(refusal, jit::codes::cannot_export, "requires a gradient, which a kernel does not record",
                  "pass `x.detach()`, or call under `torch.no_grad()`");
  if (row.negates && is_negated(object))
    return refuse(refusal, jit::codes::cannot_export, "is a negated view, whose memory holds other values",
                  "pass `x.resolve_neg()`");
  if (!row.exchange) return view_capsule(object, row, view, keep, refusal);
  DlTensor tensor{};
  if (row.exchange->view_object(object, &tensor) != 0)
    return refuse(refusal, jit::codes::cannot_export, "cannot be read by DLPack: " + taken_error());
  return fill(tensor, row.immutable, view, refusal);
}

py::object as_kind_of(PyObject* like, py::object array) {
  if (is_ndarray(like)) return array;
  Producer& row = producer_of(Py_TYPE(like));
  if (row.exchange) {
    void* made = nullptr;
    if (row.exchange->to_object(&export_array(array)->versioned, &made) != 0) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(static_cast<PyObject*>(made));
  }
  if (!row.importer_known) {
    row.importer = find_importer(like).release().ptr();
    row.importer_known = true;
  }
  if (row.importer == Py_None) return array;
  return py::handle(row.importer)(Exporter{std::move(array)});
}

void add_export_type(py::module_& module) {
  py::class_<Exporter>(module, "Exporter", "An array on its way to another library, by DLPack.")
      .def(py::init([](py::object array) { return Exporter{std::move(array)}; }))
      .def("__dlpack__", &capsule_for, py::kw_only(), py::arg("stream") = py::none(),
           py::arg("max_version") = py::none(), py::arg("dl_device") = py::none(), py::arg("copy") = py::none())
      .def("__dlpack_device__", [](const Exporter&) { return py::make_tuple(device_cpu, 0); });
}

}  // namespace heddle::python
