// Arrays as Heddle sees them. NumPy's are read from the array struct itself, without a buffer export (20 ns instead of 500); those of
// other libraries come by DLPack (python/dlpack.h).
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "api/heddle/heddle.h"
#include "jit/plan.h"

namespace heddle::python {

namespace py = pybind11;

inline constexpr int max_rank = 32;

/// Numbers that NumPy gave to dtypes in this process: fixed for its own, given at import for those of ml_dtypes, which is imported when
/// a dtype is met that is none of NumPy's. Used with Python's lock held.
class Dtypes {
 public:
  Dtypes();
  /// The element type of a dtype number, or nothing.
  std::optional<ScalarType> type_of(int number) const;
  /// The dtype object of an element type.
  py::object dtype(ScalarType type) const;

 private:
  void add_ml_dtypes() const;
  struct Row {
    int number;
    ScalarType type;
    py::object dtype;
  };
  mutable std::vector<Row> rows_;
  mutable bool complete_ = false;
};
const Dtypes& dtypes();

/// One array argument with room for its strides in elements.
struct ArrayView {
  jit::ArrayArg arg;
  int64_t extents[max_rank];
  int64_t strides[max_rank];
};

/// Objects that own what a view points to; they go when the call has ended.
using Keep = std::vector<py::object>;

/// Why an object is no array for a kernel: words that follow "the argument `x` ".
struct Refusal {
  const Code* code = nullptr;
  std::string why, help;
  Diagnostic of(const std::string& argument) const {
    return Diagnostic(*code, {}, "the argument `" + argument + "` " + why).with_help(help);
  }
};

bool is_ndarray(PyObject* object);
/// Fills the view of an ndarray; false when its dtype or strides have no meaning here.
bool view_ndarray(PyObject* object, ArrayView& view, Refusal& refusal);
/// The same for anything that is an array: an ndarray, or an object with `__dlpack__`.
bool view_array(PyObject* object, ArrayView& view, Keep& keep, Refusal& refusal);

/// An uninitialised row-major array whose data is aligned to 64 bytes.
py::object allocate(ScalarType type, const std::vector<int64_t>& extents);

}  // namespace heddle::python
