// Diagnostics of the command, one row each in codes.def: HD0700 to HD0749.
#pragma once

#include "support/diagnostic.h"

namespace heddle::tools::codes {
#define HEDDLE_CODE(name, id, title, explain) inline constexpr Code name{id, title, explain};
#include "tools/codes.def"
#undef HEDDLE_CODE
}  // namespace heddle::tools::codes
