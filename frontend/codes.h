// The diagnostics of the frontend, one row each in codes.def.
#pragma once

#include <vector>

#include "support/diagnostic.h"

namespace heddle::frontend::codes {

#define HEDDLE_CODE(name, id, title, explain) inline constexpr Code name{id, title, explain};
#include "frontend/codes.def"
#undef HEDDLE_CODE

}  // namespace heddle::frontend::codes

namespace heddle::frontend {

/// All rows, in order: for `heddle list codes` and `heddle explain`.
inline std::vector<Code> all_codes() {
  return {
#define HEDDLE_CODE(name, id, title, explain) codes::name,
#include "frontend/codes.def"
#undef HEDDLE_CODE
  };
}

}  // namespace heddle::frontend
