// Diagnostics of the schedule floor, one row each in codes.def: HD03xx; HD0931 is our own bug.
#pragma once

#include "support/diagnostic.h"

namespace heddle::schedule::codes {
#define HEDDLE_CODE(name, id, title, explain) inline constexpr Code name{id, title, explain};
#include "schedule/codes.def"
#undef HEDDLE_CODE
}  // namespace heddle::schedule::codes
