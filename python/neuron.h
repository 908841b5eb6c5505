// NKI text of an op, for Python.
#pragma once

#include "python/arrays.h"

namespace heddle::python {

/// `neuron_text` of the module.
void add_neuron(py::module_& m);

}  // namespace heddle::python
