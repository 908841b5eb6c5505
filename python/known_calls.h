// What an op has found for calls of NumPy arrays alone: the kernel for their types, ranks and sizes.
#pragma once

#include <pybind11/pybind11.h>

namespace heddle::python {

void add_known_calls(pybind11::module_& m);

}  // namespace heddle::python
