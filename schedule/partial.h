// Partial results of a reduction: the parts that rfactor and the accumulating cache share.
#pragma once

#include "schedule/step.h"
#include "schedule/tree.h"

namespace heddle::schedule {

/// The reduction that a loop carries: a region, and the chain of loops from it down to its only leaf.
struct Reduction {
  ir::StageId stage;
  ir::StmtRef region;
  std::vector<ir::For> loops;  ///< of the region, outermost first
  std::vector<bool> reduces;   ///< whether each drives a reduce axis
  std::vector<bool> mapped;    ///< whether each becomes a map axis of the partial results
  size_t at = 0;               ///< the loop asked for
  ir::StmtRef leaf_stmt;

  const ir::Leaf& leaf() const { return std::get<ir::Leaf>(leaf_stmt->form); }
  const ir::Reduce& form() const { return std::get<ir::Reduce>(region->form); }
};

/// `open`: the loop only stands in the open region, and need not carry the reduction itself.
Result<Reduction> reduction_of(const Step& step, ir::SymbolId loop, bool open = false);

/// Partial results of blocks in order need no more than associativity; of interleaved blocks, also that terms commute.
Result<bool> can_make_partials(Step& step, const Reduction& r);

/// The stage of partial results while it is made.
struct Partial {
  ir::StageId stage;
  ir::Substitution loops;    ///< loops of the region -> loops of the new stage; those that stay stand for themselves
  ir::Substitution to_axes;  ///< loops that drive reductions -> axes of the new stage
  ir::Substitution body;     ///< axes of the old stage -> expressions over axes of the new one
  std::vector<ir::BufferId> buffers;  ///< in the order of the region's windows
  std::vector<ir::SymbolId> axes;     ///< the new map axes, in the order of their loops
};

/// The new stage's row: the old map axes, then an axis for each reduce loop. Loops from index `own` on get new symbols.
Result<Partial> make_partial(Step& step, const Reduction& r, const std::string& name, size_t own);

/// One buffer for each field: `windows` (of the region's buffers), then `ranges` of the new map axes, then the field's
/// own dims.
void make_buffers(Step& step, const Reduction& r, const std::string& name, const std::vector<ir::Window>& windows,
                  const std::vector<ir::Range>& ranges, Partial& made);

/// The leaf of partial results, over the new loops.
ir::StmtRef partial_leaf(ir::Program& program, const Reduction& r, const Partial& made);
/// Loops from index `from` on around a statement, as loops of the new stage.
ir::StmtRef in_partial_loops(const Reduction& r, const Partial& made, size_t from, ir::StmtRef inner);
/// The region around the partial results.
ir::StmtRef partial_region(const ir::Program& program, const Reduction& r, const Partial& made,
                           const std::vector<ir::Window>& windows, const std::vector<ir::Range>& ranges,
                           ir::StmtRef inner);

/// Makes the old stage reduce the partial results, and gives its leaf: bindings of its map axes as they were, then of
/// the loops that became map axes; conditions on the reduction are gone, as an empty partial result holds the identity.
ir::Leaf combining_leaf(Step& step, const Reduction& r, const Partial& made);

}  // namespace heddle::schedule
