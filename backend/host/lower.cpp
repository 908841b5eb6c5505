#include "backend/host/lower.h"

#include "backend/host/passes.h"
#include "ir/safety.h"
#include "ir/verify.h"
#include "support/stop.h"

namespace heddle::host {

namespace {

constexpr TargetPass target_passes[] = {
    {"plain_pipelines", [](ir::Program p, const ir::Target&) { return plain_pipelines(std::move(p)); },
     "pipelined loops run one iteration after another"},
    {"single_iterations", single_iterations,
     "loops of one iteration, around instructions, for threads or as facts say, are gone"},
    {"call_bounds", call_bounds, "loops around instructions end where no window has anything left"},
    {"fit_calls", fit_calls, "windows of instructions become whole where nothing can tell"},
    {"expand_calls", expand_calls, "instructions without machine code run as the loops that they mean"},
};
// From here on a call is one machine instruction.
constexpr LoweringPass passes[] = {
    {"skip_identities", skip_identities, "reductions whose terms are all the identity do not run"},
    {"skip_unread", skip_unread, "what is read under a condition only is not made where it does not hold"},
    {"known_guards", known_guards, "guards that the loops around imply are gone"},
    {"unread_ends", unread_ends, "loops end where nobody reads what they would make"},
    {"unroll_registers", unroll_registers, "small loops over registers are written out"},
    // From here on register buffers are reached at constant places only, where their loops allow it.
    {"outer_bounds", outer_bounds, "loops end where nothing below them runs"},
    {"guards_to_bounds", guards_to_bounds, "a guard that all leaves of a loop share becomes its bound"},
    {"explicit_padding", explicit_padding, "the cells that layouts add become cells of the box"},
    {"widen_windows", widen_windows, "windows of reductions end with their boxes, so that their extents are constant"},
    {"drop_guards", drop_guards, "cells beyond a range are computed where their temporary has room for them"},
    {"tile_guards_to_bounds", tile_guards_to_bounds, "what is left of them, for small tiles too"},
    {"partition", partition, "whole vectors run without guards and without asking where they read, the rest with them"},
    {"conditions_to_bounds", conditions_to_bounds,
     "conditions on data that are the same for all of a loop are looked at once"},
};

constexpr TargetPass last_passes[] = {
    {"unswitch", unswitch, "without masks: loops over whole vectors and over parts of them stand apart"},
};

}  // namespace

std::span<const LoweringPass> lowering_passes() { return passes; }

namespace {

Result<Done> holds([[maybe_unused]] const ir::Program& program, [[maybe_unused]] std::string_view after) {
#ifdef HEDDLE_VERIFY
  Diagnostics broken = ir::verify(program);
  if (broken.empty()) broken = ir::check_safety(program, {false, true});
  if (!broken.empty()) {
    broken.front().message = "after `" + std::string(after) + "`: " + broken.front().message;
    return broken;
  }
#endif
  return Done{};
}

}  // namespace

Result<ir::Program> lower(ir::Program program, const ir::Target& target) {
  Result<Done> fine = Done{};
  const auto ran = [&](std::string_view name, ir::Program next) {
    program = std::move(next);
    fine = holds(program, name);
    stop_point_now();
    return fine.ok();
  };
  stop_point_now();
  for (const TargetPass& pass : target_passes)
    if (!ran(pass.name, pass.run(std::move(program), target))) return fine.errors();
  for (const LoweringPass& pass : passes)
    if (!ran(pass.name, pass.run(std::move(program)))) return fine.errors();
  for (const TargetPass& pass : last_passes)
    if (!ran(pass.name, pass.run(std::move(program), target))) return fine.errors();
  return program;
}

}  // namespace heddle::host
