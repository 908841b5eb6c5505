// Diagnostics of the program floor, one row each in codes.def: HD02xx.
#pragma once

#include "support/diagnostic.h"

namespace heddle::ir::codes {
#define HEDDLE_CODE(name, id, title, explain) inline constexpr Code name{id, title, explain};
#include "ir/codes.def"
#undef HEDDLE_CODE
}  // namespace heddle::ir::codes
