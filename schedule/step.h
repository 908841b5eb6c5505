// What a step function works on, and the declarations of all of them.
#pragma once

#include "schedule/codes.h"
#include "schedule/schedule.h"

namespace heddle::schedule {

/// One application: the program is rewritten in place and thrown away if the step refuses.
struct Step {
  const Context& context;
  const ir::StepCall& call;
  ir::Program program;
  Certificate certificate;

  void relied_on(std::string what) {
    for (const std::string& known : certificate.relied_on)
      if (known == what) return;
    certificate.relied_on.push_back(std::move(what));
  }
  /// A refusal at the step's own line.
  Diagnostic refusal(const Code& code, std::string message) const {
    return Diagnostic(code, call.place, std::move(message));
  }
};

// split_step, reorder_step, ..: `inline` is a word of C++, so each has a suffix.
#define HEDDLE_STEP(name, operands, prepositions, required, usage, help) Result<Done> name##_step(Step& step);
#include "schedule/steps.def"
#undef HEDDLE_STEP

}  // namespace heddle::schedule
