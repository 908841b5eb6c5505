#include "backend/host/lower.h"

#include "ir/verify.h"

namespace heddle::host {

std::span<const LoweringPass> lowering_passes() { return {}; }

Result<ir::Program> lower(ir::Program program) {
  for (const LoweringPass& pass : lowering_passes()) {
    program = pass.run(std::move(program));
#ifdef HEDDLE_VERIFY
    if (Diagnostics broken = ir::verify(program); !broken.empty()) {
      broken.front().message = "after `" + std::string(pass.name) + "`: " + broken.front().message;
      return broken;
    }
#endif
  }
  return program;
}

}  // namespace heddle::host
