// Schedules and derived steps from syntax to data. No step is known here: names are resolved against a program when a
// step is applied.
#pragma once

#include "frontend/ast.h"
#include "ir/step_call.h"
#include "support/result.h"

namespace heddle::frontend {

Result<ir::ScheduleText> read_schedule(const ast::ScheduleItem& item);
Result<ir::DerivedStep> read_derived_step(const ast::StepItem& item);
Result<std::vector<ir::ScheduleLine>> read_lines(const std::vector<ast::Line>& lines);

/// An expression as an untyped term, for `where` and the values of `tune`.
Result<ir::Term> read_term(const ast::Expr& e);

}  // namespace heddle::frontend
