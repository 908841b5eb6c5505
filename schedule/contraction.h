// `contraction(stage)`: a sum of products by the part that each loop plays, for derived steps that block any of them.
#pragma once

#include <map>

#include "schedule/step.h"

namespace heddle::schedule {

/// Loops of the stage's nest by name, outermost first: `batch` moves both operands, `m` the first, `n` the second, `k` is summed over.
/// `a` and `b` are the operands.
using Contraction = std::map<std::string, std::vector<std::string>>;

/// Refused: the stage is no sum of products of two reads; an axis that neither operand uses, or a summed one that only one uses.
Result<Contraction> contraction_of(const ir::Program& program, ir::StageId stage, const Place& place);

/// The step with each `NAME.part` of the contractions known put in: all loops of the part where a list stands, its innermost one
/// elsewhere.
Result<ir::StepCall> with_contractions(const std::map<std::string, Contraction>& known, const ir::StepCall& call,
                                       bool takes_list);

}  // namespace heddle::schedule
