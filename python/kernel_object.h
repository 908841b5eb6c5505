// The callable kernel of Python: a type with a hand-written vectorcall, so that a warm call costs a fraction of a microsecond.
#pragma once

#include "python/arrays.h"

namespace heddle::python {

/// Adds the type `Kernel` to the module.
void add_kernel_type(py::module_& module);
/// `parameters`: as declared, which fixes the order of positional arguments.
py::object make_kernel(Kernel kernel, const std::vector<ParameterInfo>& parameters, const std::string& name);

/// What a kernel pickles as: a call of `function` makes it again.
void set_recipe(py::handle kernel, py::object function, py::object arguments);

/// Raises heddle.Error from diagnostics (sets the Python error and throws).
[[noreturn]] void raise(const Diagnostics& diagnostics);

}  // namespace heddle::python
