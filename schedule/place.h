// Putting a stage inside a loop, and a reduction in two: the rewritings behind compute_at, rfactor and cache.
#pragma once

#include <optional>

#include "ir/region.h"
#include "schedule/step.h"
#include "schedule/tree.h"

namespace heddle::schedule {

/// The rewriting of `compute_at`; without a memory, registers for a constant box up to the limit, else dram.
Result<Done> compute_at_loop(Step& step, ir::StageId stage, ir::SymbolId loop, std::optional<ir::Memory> memory);

/// The rewriting of `rfactor` for a loop as it is. `of`: the partial results are computed by the reducer's whole-range form, a stage
/// `name.line` for each of its lines.
Result<Done> rfactor_loop(Step& step, ir::SymbolId loop, const std::string& name, bool of = false);

/// The rewriting of an accumulating `cache`: partial results of one iteration of a loop of an open reduction.
Result<Done> accumulate_at(Step& step, ir::SymbolId loop, const std::string& name, ir::Memory memory);

/// The rewriting of `cache` for a tensor, or the fields of a state, that an iteration of the loop writes: made in a copy, written back
/// once. `written`: the window's ranges, none where they are inferred.
Result<Done> write_back_at(Step& step, const std::vector<ir::BufferId>& to, ir::SymbolId loop, const std::string& name,
                           ir::Memory memory, const std::vector<std::optional<ir::Range>>& written);

/// A range of a box: the constant stretch where there is one, else the exact range.
ir::Range range_of(const ir::TouchedBox& box, size_t dim);

/// Bytes of a box, or nothing when an extent is not constant.
std::optional<int64_t> constant_bytes(const ir::Program& program, ir::BufferId buffer);
/// The memory asked for, or the default; refuses registers for a box that is not constant.
Result<ir::Memory> memory_for(const Step& step, const std::vector<ir::BufferId>& buffers,
                              std::optional<ir::Memory> asked);

/// The loop may hold what is placed in it: it is no vector loop and stands in none.
Result<Done> can_hold(const Step& step, const Path& loop);

}  // namespace heddle::schedule
