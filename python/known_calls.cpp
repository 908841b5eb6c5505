#include "python/known_calls.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "api/chooser.h"
#include "python/arrays.h"

namespace heddle::python {
namespace {

// A plain array: one of NumPy's itself, C-contiguous, in the byte order of the machine.
struct Plain {
  int type, rank;
  bool operator==(const Plain&) const = default;
};

std::optional<Plain> plain(PyObject* object, PyTypeObject* ndarray) {
  if (Py_TYPE(object) != ndarray) return {};
  auto* array = py::detail::array_proxy(object);
  auto* descr = py::detail::array_descriptor_proxy(array->descr);
  constexpr int contiguous = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_;
  if (!(array->flags & contiguous) || descr->byteorder == '>' || array->nd > max_rank) return {};
  return Plain{descr->type_num, array->nd};
}

class KnownCalls {
 public:
  KnownCalls() : ndarray_(py::detail::npy_api::get().PyArray_Type_) {}

  /// The kernel for these arguments, or None: then the long way finds it, or says what is wrong.
  py::object find(const py::tuple& args) const {
    for (const Row& row : rows_) {
      if (!fits(row, args)) continue;
      jit::ArrayArg arrays[most_arrays];  // inputs alone: outputs follow them, and are not looked at
      int64_t extents[most_axes];
      size_t used = 0;
      for (size_t i = 0; i < args.size(); ++i) {
        auto* array = py::detail::array_proxy(PyTuple_GET_ITEM(args.ptr(), i));
        arrays[i] = {row.elements[i], array->nd, extents + used, nullptr, nullptr, false};
        for (int d = 0; d < array->nd; ++d) extents[used++] = array->dimensions[d];
      }
      const std::string& schedule = row.chooser->choose(arrays);
      for (const auto& [name, kernel] : row.kernels)
        if (name == schedule) return kernel;
      return py::none();
    }
    return py::none();
  }

  /// Of arguments that are no plain arrays nothing is kept.
  void add(const py::tuple& args, const py::object& chooser, const std::string& schedule, const py::object& kernel) {
    Row made;
    size_t axes = 0;
    for (py::handle a : args) {
      std::optional<Plain> one = plain(a.ptr(), ndarray_);
      std::optional<ScalarType> type = one ? dtypes().type_of(one->type) : std::nullopt;
      if (!type || made.types.size() == most_arrays || (axes += one->rank) > most_axes) return;
      made.types.push_back(*one);
      made.elements.push_back(*type);
    }
    auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Row& r) { return r.types == made.types; });
    if (row == rows_.end()) {
      if (rows_.size() >= most_rows) rows_.erase(rows_.begin());
      made.holder = chooser;
      made.chooser = &chooser.cast<const api::Chooser&>();
      row = rows_.insert(rows_.end(), std::move(made));
    }
    for (auto& [name, known] : row->kernels)
      if (name == schedule) return void(known = kernel);
    row->kernels.emplace_back(schedule, kernel);
  }

 private:
  static constexpr size_t most_rows = 16, most_arrays = 16, most_axes = 64;
  struct Row {
    std::vector<Plain> types;
    std::vector<ScalarType> elements;
    py::object holder;  ///< of the chooser
    const api::Chooser* chooser = nullptr;
    std::vector<std::pair<std::string, py::object>> kernels;  ///< by schedule
  };

  bool fits(const Row& row, const py::tuple& args) const {
    if (args.size() != row.types.size()) return false;
    for (size_t i = 0; i < args.size(); ++i)
      if (plain(PyTuple_GET_ITEM(args.ptr(), i), ndarray_) != row.types[i]) return false;
    return true;
  }

  PyTypeObject* ndarray_;
  std::vector<Row> rows_;
};

}  // namespace

void add_known_calls(py::module_& m) {
  py::class_<KnownCalls>(m, "KnownCalls").def(py::init<>()).def("find", &KnownCalls::find).def("add", &KnownCalls::add);
}

}  // namespace heddle::python
