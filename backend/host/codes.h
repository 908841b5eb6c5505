// Diagnostics of the host backend, one row each in codes.def: HD04xx.
#pragma once

#include "support/diagnostic.h"

namespace heddle::host::codes {
#define HEDDLE_CODE(name, id, title, explain) inline constexpr Code name{id, title, explain};
#include "backend/host/codes.def"
#undef HEDDLE_CODE
}  // namespace heddle::host::codes
