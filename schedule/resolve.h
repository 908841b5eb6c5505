// `tune`, `let`, `if` and derived steps, gone: what is left is a flat list of steps with constants.
#pragma once

#include "schedule/schedule.h"

namespace heddle::schedule {

struct FlatStep {
  ir::StepCall call;
  std::string
      contraction;  ///< `let c = contraction(s)`: the name that its parts are called by from here on; `call` names s
  std::vector<std::pair<Place, std::string>> expanded_from;  ///< calls of derived steps, outermost first
};

struct Resolved {
  std::vector<FlatStep> steps;
  std::map<std::string, int64_t> choices;
};

Result<Resolved> resolve(const ir::ScheduleText& text, const std::map<std::string, int64_t>& tune,
                         const ir::Target& target, const std::vector<ir::DerivedStep>& derived);

}  // namespace heddle::schedule
