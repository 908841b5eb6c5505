// NumPy arrays as Heddle sees them: read from the array struct itself, without a buffer export (20 ns instead of 500).
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "api/heddle/heddle.h"
#include "jit/plan.h"

namespace heddle::python {

namespace py = pybind11;

inline constexpr int max_rank = 32;

/// Numbers that NumPy gave to dtypes in this process: fixed for its own, given at import for those of ml_dtypes.
class Dtypes {
 public:
  Dtypes();
  /// The element type of a dtype number, or nothing.
  std::optional<ScalarType> type_of(int number) const;
  /// The dtype object of an element type.
  py::object dtype(ScalarType type) const;

 private:
  struct Row {
    int number;
    ScalarType type;
    py::object dtype;
  };
  std::vector<Row> rows_;
};
const Dtypes& dtypes();

/// One array argument with room for its strides in elements.
struct ArrayView {
  jit::ArrayArg arg;
  int64_t extents[max_rank];
  int64_t strides[max_rank];
};

/// Fills the view; false when `object` is no ndarray of a supported dtype in the machine's byte order (then `why` says what it is).
bool view_array(PyObject* object, ArrayView& view, std::string& why);

/// An uninitialised row-major array whose data is aligned to 64 bytes.
py::object allocate(ScalarType type, const std::vector<int64_t>& extents);

}  // namespace heddle::python
