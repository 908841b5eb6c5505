// Every floor's rows in one list, for `heddle explain` and `heddle list codes`.
#include "api/codes.h"

#include <algorithm>

#include "api/heddle/heddle.h"

namespace heddle {

std::vector<Code> codes() {
  std::vector<Code> rows = {
#define HEDDLE_CODE(name, id, title, explain) Code{id, title, explain},
#include "api/codes.def"
#include "backend/host/codes.def"
#include "backend/neuron/codes.def"
#include "backend/neuron/simulator/codes.def"
#include "frontend/codes.def"
#include "ir/codes.def"
#include "jit/codes.def"
#include "schedule/codes.def"
#undef HEDDLE_CODE
  };
  std::sort(rows.begin(), rows.end(), [](const Code& a, const Code& b) { return a.id < b.id; });
  return rows;
}

}  // namespace heddle
