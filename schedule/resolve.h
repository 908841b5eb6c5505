// `tune`, `let`, `if` and derived steps, gone: what is left is a flat list of steps with constants.
#pragma once

#include "schedule/schedule.h"

namespace heddle::schedule {

struct FlatStep {
  ir::StepCall call;
  std::string
      contraction;  ///< `let c = contraction(s)`: the name that its parts are called by from here on; `call` names s
  std::vector<std::pair<Place, std::string>> expanded_from;  ///< calls of derived steps, outermost first
  bool placed = false;  ///< of an applied schedule: its names are those of the caller already
};

/// Schedules of called ops, and what they may rely on.
struct Called {
  const ir::Program* program = nullptr;  ///< with its calls
  const std::vector<std::shared_ptr<const ir::ScheduleText>>* schedules = nullptr;
  ParameterOf parameter_of;
};

struct Resolved {
  std::vector<FlatStep> steps;
  std::map<std::string, int64_t> choices;
  std::vector<TunedName> tuned;  ///< of the schedule's own lines, in order
  std::vector<ir::Term> where;   ///< of applied schedules: as if the header said it
};

Result<Resolved> resolve(const ir::ScheduleText& text, const std::map<std::string, int64_t>& tune,
                         const ir::Target& target, const ir::DerivedSteps& derived, const Called& called = {});

}  // namespace heddle::schedule
