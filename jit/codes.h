// Diagnostics of calls and of the run time, one row each in codes.def: HD0500 to HD0549.
#pragma once

#include "support/diagnostic.h"

namespace heddle::jit::codes {
#define HEDDLE_CODE(name, id, title, explain) inline constexpr Code name{id, title, explain};
#include "jit/codes.def"
#undef HEDDLE_CODE
}  // namespace heddle::jit::codes
