// Arrays of other libraries by DLPack, without copies: what anything with `__dlpack__` exports is borrowed for the length of a call,
// and outputs are handed to the library that the first input came from.
//
// The structs are DLPack's ABI, versions 0.8 (unversioned) and 1.x. A type that offers the table `__dlpack_c_exchange_api__` (1.3)
// is read through it: tens of nanoseconds in place of microseconds of Python.
#pragma once

#include "python/arrays.h"

namespace heddle::python {

/// Fills the view of an object that is no ndarray; what must stay alive for the call is put into `keep`.
bool view_dlpack(PyObject* object, ArrayView& view, Keep& keep, Refusal& refusal);

/// An array (one of NumPy's, made by `allocate`) as the library of `like` has it; the array itself where `like` is of NumPy or its
/// library imports nothing.
py::object as_kind_of(PyObject* like, py::object array);

void add_export_type(py::module_& module);

}  // namespace heddle::python
