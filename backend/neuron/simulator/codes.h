// Diagnostics of the simulator of NKI texts, one row each in codes.def: HD0650 .. HD0669.
#pragma once

#include "support/diagnostic.h"

namespace heddle::neuron::sim::codes {
#define HEDDLE_CODE(name, id, title, explain) inline constexpr Code name{id, title, explain};
#include "backend/neuron/simulator/codes.def"
#undef HEDDLE_CODE
}  // namespace heddle::neuron::sim::codes
