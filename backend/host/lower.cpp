#include "backend/host/lower.h"

#include "backend/host/passes.h"
#include "ir/safety.h"
#include "ir/verify.h"
#include "support/stop.h"

namespace heddle::host {

namespace {

constexpr LoweringPass passes[] = {
    {"plain_pipelines", plain_pipelines, "pipelined loops run one iteration after another"},
    {"expand_calls", expand_calls, "instructions without machine code run as the loops that they mean"},
    {"unroll_registers", unroll_registers, "small loops over registers are written out"},
    // From here on register buffers are reached at constant places only, where their loops allow it.
    {"outer_bounds", outer_bounds, "loops end where nothing below them runs"},
    {"guards_to_bounds", guards_to_bounds, "a guard that all leaves of a loop share becomes its bound"},
    {"explicit_padding", explicit_padding, "the cells that layouts add become cells of the box"},
    {"widen_windows", widen_windows, "windows of reductions end with their boxes, so that their extents are constant"},
    {"drop_guards", drop_guards, "cells beyond a range are computed where their temporary has room for them"},
    {"tile_guards_to_bounds", tile_guards_to_bounds, "what is left of them, for small tiles too"},
    {"partition", partition, "whole vectors run without guards, the rest with them"},
};

}  // namespace

std::span<const LoweringPass> lowering_passes() { return passes; }

Result<ir::Program> lower(ir::Program program) {
  for (const LoweringPass& pass : lowering_passes()) {
    stop_point_now();
    program = pass.run(std::move(program));
#ifdef HEDDLE_VERIFY
    Diagnostics broken = ir::verify(program);
    if (broken.empty()) broken = ir::check_safety(program, {false, true});
    if (!broken.empty()) {
      broken.front().message = "after `" + std::string(pass.name) + "`: " + broken.front().message;
      return broken;
    }
#endif
  }
  return program;
}

}  // namespace heddle::host
