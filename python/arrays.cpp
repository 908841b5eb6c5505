#include "python/arrays.h"

#include "jit/codes.h"
#include "python/dlpack.h"

namespace heddle::python {
namespace {

struct NamedType {
  ScalarType type;
  const char* numpy;
  const char* ml_dtypes;
};
constexpr NamedType named_types[] = {
    {ScalarType::f64, "float64", nullptr},        {ScalarType::f32, "float32", nullptr},
    {ScalarType::f16, "float16", nullptr},        {ScalarType::i8, "int8", nullptr},
    {ScalarType::i16, "int16", nullptr},          {ScalarType::i32, "int32", nullptr},
    {ScalarType::i64, "int64", nullptr},          {ScalarType::u8, "uint8", nullptr},
    {ScalarType::u16, "uint16", nullptr},         {ScalarType::u32, "uint32", nullptr},
    {ScalarType::u64, "uint64", nullptr},         {ScalarType::boolean, "bool", nullptr},
    {ScalarType::bf16, nullptr, "bfloat16"},      {ScalarType::f8e4m3fn, nullptr, "float8_e4m3fn"},
    {ScalarType::f8e4m3, nullptr, "float8_e4m3"}, {ScalarType::f8e5m2, nullptr, "float8_e5m2"},
};

constexpr int writeable_flag = 0x0400;  // NPY_ARRAY_WRITEABLE
constexpr int alignment = 64;

}  // namespace

Dtypes::Dtypes() {
  py::module_ numpy = py::module_::import("numpy");
  for (const NamedType& t : named_types) {
    if (!t.numpy) continue;
    py::object dtype = numpy.attr("dtype")(numpy.attr(t.numpy));
    rows_.push_back({dtype.attr("num").cast<int>(), t.type, dtype});
  }
  // `long long` and `long` are both 64 bits here, with numbers of their own.
  for (auto [name, type] : {std::pair{"longlong", ScalarType::i64}, std::pair{"ulonglong", ScalarType::u64}}) {
    py::object dtype = numpy.attr("dtype")(numpy.attr(name));
    rows_.push_back({dtype.attr("num").cast<int>(), type, dtype});
  }
}

void Dtypes::add_ml_dtypes() const {
  py::object make = py::module_::import("numpy").attr("dtype"), ml = py::module_::import("ml_dtypes");
  std::vector<Row> all = rows_;
  for (const NamedType& t : named_types) {
    if (t.numpy) continue;
    py::object dtype = make(ml.attr(t.ml_dtypes));
    all.push_back({dtype.attr("num").cast<int>(), t.type, dtype});
  }
  if (!complete_) rows_ = std::move(all);  // another thread may have been here during the import
  complete_ = true;
}

std::optional<ScalarType> Dtypes::type_of(int number) const {
  for (const Row& row : rows_)
    if (row.number == number) return row.type;
  if (complete_) return std::nullopt;
  add_ml_dtypes();
  return type_of(number);
}

py::object Dtypes::dtype(ScalarType type) const {
  for (const Row& row : rows_)
    if (row.type == type) return row.dtype;
  if (complete_) return py::none();
  add_ml_dtypes();
  return dtype(type);
}

const Dtypes& dtypes() {
  // Held for the life of the process: destroying Python objects after the interpreter has ended is an error.
  static const Dtypes* table = new Dtypes;
  return *table;
}

bool is_ndarray(PyObject* object) { return py::detail::npy_api::get().PyArray_Check_(object); }

bool view_ndarray(PyObject* object, ArrayView& view, Refusal& refusal) {
  auto refuse = [&](const Code& code, std::string why) {
    refusal = {&code, std::move(why), ""};
    return false;
  };
  auto* array = py::detail::array_proxy(object);
  auto* descr = py::detail::array_descriptor_proxy(array->descr);
  std::optional<ScalarType> type = dtypes().type_of(descr->type_num);
  if (!type || descr->byteorder == '>')
    return refuse(jit::codes::wrong_type, "has elements of dtype `" + py::str(array->descr).cast<std::string>() +
                                              "`, which has no element type here");
  if (array->nd > max_rank)
    return refuse(jit::codes::wrong_rank,
                  "has " + std::to_string(array->nd) + " axes, more than " + std::to_string(max_rank));
  int64_t bytes = ir::scalar_bytes(*type);
  for (int i = 0; i < array->nd; ++i) {
    view.extents[i] = array->dimensions[i];
    view.strides[i] = array->strides[i] / bytes;
    if (array->dimensions[i] > 1 && array->strides[i] % bytes != 0)
      return refuse(jit::codes::misaligned, "has a stride of " + std::to_string(array->strides[i]) +
                                                " bytes, no multiple of its " + std::to_string(bytes) +
                                                "-byte elements");
  }
  view.arg = {*type, array->nd, view.extents, view.strides, array->data, (array->flags & writeable_flag) == 0};
  return true;
}

bool view_array(PyObject* object, ArrayView& view, Keep& keep, Refusal& refusal) {
  return is_ndarray(object) ? view_ndarray(object, view, refusal) : view_dlpack(object, view, keep, refusal);
}

py::object allocate(ScalarType type, const std::vector<int64_t>& extents) {
  static const py::object* empty = new py::object(py::module_::import("numpy").attr("empty"));
  static const py::object* bytes_dtype = new py::object(py::module_::import("numpy").attr("dtype")("uint8"));
  int64_t bytes = ir::scalar_bytes(type);
  for (int64_t e : extents)
    if (__builtin_mul_overflow(bytes, e, &bytes)) {
      PyErr_SetString(PyExc_MemoryError, "an output would have more than 2^63 bytes");
      throw py::error_already_set();
    }
  py::array raw = (*empty)(bytes + alignment, *bytes_dtype);
  auto address = reinterpret_cast<uintptr_t>(raw.data());
  int64_t skip = (alignment - address % alignment) % alignment;
  return py::array(py::reinterpret_borrow<py::dtype>(dtypes().dtype(type)),
                   std::vector<py::ssize_t>(extents.begin(), extents.end()),
                   static_cast<char*>(raw.mutable_data()) + skip, raw);
}

}  // namespace heddle::python
