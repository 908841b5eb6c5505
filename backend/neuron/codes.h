// Diagnostics of the NeuronCore backend, one row each in codes.def: HD06xx; HD0961 is our own bug.
#pragma once

#include "support/diagnostic.h"

namespace heddle::neuron::codes {
#define HEDDLE_CODE(name, id, title, explain) inline constexpr Code name{id, title, explain};
#include "backend/neuron/codes.def"
#undef HEDDLE_CODE
}  // namespace heddle::neuron::codes
