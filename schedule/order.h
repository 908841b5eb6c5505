// What may be done before what: statements of one loop that run, or are to run, in loops of their own.
#pragma once

#include "schedule/step.h"
#include "schedule/tree.h"

namespace heddle::schedule {

/// Whether `for L { first ; second }` and `for L { first } ; for L { second }` do the same: `second` at an iteration and
/// `first` at a later one touch no common cell that one of them writes. `at`: the facts around the loop.
Result<Done> iterations_commute(const Step& step, const ir::For& loop, const ir::Body& first, const ir::Body& second,
                                const ir::Facts& at);

/// The statements bound their reads by no check on data, which must stay before what relies on it.
Result<Done> no_checks(const Step& step, const ir::Body& body);

/// Whether a statement of the body, or one below, reads, writes or resets one of the buffers.
bool touches(const ir::Program& program, const ir::Body& body, const std::vector<ir::BufferId>& buffers);

}  // namespace heddle::schedule
