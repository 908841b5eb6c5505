// The simulator of NKI texts, for python/heddle/neuron.py.
#pragma once

#include <pybind11/pybind11.h>

namespace heddle::python {

void bind_simulator(pybind11::module_& m);

}  // namespace heddle::python
