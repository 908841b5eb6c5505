// The passes from a scheduled program to one that is written out as it stands.
#pragma once

#include <span>
#include <string_view>

#include "ir/program.h"
#include "ir/target.h"
#include "support/result.h"

namespace heddle::host {

struct LoweringPass {
  std::string_view name;
  ir::Program (*run)(ir::Program);
  std::string_view does;  ///< before -> after, in a line
};

/// One that asks the target: which instructions it has.
struct TargetPass {
  std::string_view name;
  ir::Program (*run)(ir::Program, const ir::Target&);
  std::string_view does;
};

/// The list, in order; passes that ask the target come before and after.
std::span<const LoweringPass> lowering_passes();

/// Runs them all; in builds with HEDDLE_VERIFY the program is verified after each.
Result<ir::Program> lower(ir::Program program, const ir::Target& target);

}  // namespace heddle::host
