// Diagnostics of requests, one row each in codes.def: HD0550 to HD0599.
#pragma once

#include "support/diagnostic.h"

namespace heddle::api::codes {
#define HEDDLE_CODE(name, id, title, explain) inline constexpr Code name{id, title, explain};
#include "api/codes.def"
#undef HEDDLE_CODE
}  // namespace heddle::api::codes
