#include "backend/host/lower.h"

#include "backend/host/passes.h"
#include "ir/verify.h"

namespace heddle::host {

namespace {

constexpr LoweringPass passes[] = {
    {"unroll_registers", unroll_registers, "small loops over registers are written out"},
    // From here on register buffers are reached at constant places only, where their loops allow it.
    {"guards_to_bounds", guards_to_bounds, "a guard that all leaves of a loop share becomes its bound"},
    {"drop_guards", drop_guards, "cells beyond a range are computed where their temporary has room for them"},
    {"tile_guards_to_bounds", tile_guards_to_bounds, "what is left of them, for small tiles too"},
    {"partition", partition, "whole vectors run without guards, the rest with them"},
};

}  // namespace

std::span<const LoweringPass> lowering_passes() { return passes; }

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
