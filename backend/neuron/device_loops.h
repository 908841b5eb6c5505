// Loops that run on the device, `nl.fori_loop`, where a schedule binds them to it and where unrolling would exceed the budget.
#pragma once

#include "backend/neuron/emit.h"
#include "backend/neuron/nki.h"

namespace heddle::neuron {

/// Makes loops of the kernel run on the device: those marked so, and in `full` as many others, largest first, as bring it under the budget of
/// instructions. Fails where a marked loop cannot; what other loops lack is said in `why`.
Diagnostics loops_to_device(NkiKernel& kernel, const EmitOptions& options, std::string& why);

/// An index over the loops and counts whose values are given by symbol; none of a form that the text has not.
std::optional<int64_t> evaluate(const Expr& e, const std::vector<int64_t>& values);

}  // namespace heddle::neuron
