// The nest of a stage that no step has changed yet: what place steps (`compute_at`, `rfactor`) take.
#pragma once

#include "schedule/step.h"
#include "schedule/tree.h"

namespace heddle::schedule {

/// alloc BUFFERS ; NEST, one after the other in one body. The nest is a chain of serial loops, with at most one region,
/// down to the stage's only leaf. Each loop drives one axis: that axis is bound to `loop + rest`, where `rest` speaks
/// of loops around.
struct ProducerNest {
  ir::StageId stage;
  std::vector<ir::BufferId> buffers;  ///< one, or the fields of a state
  ir::StmtRef alloc;
  Path outer;                      ///< statements around the alloc
  std::vector<ir::StmtRef> chain;  ///< the nest, down to and with the leaf
  struct Loop {
    ir::For form;
    size_t axis = 0;  ///< of the stage
    ir::Expr rest;
    size_t dim = 0;  ///< of the buffers' boxes, for a map axis
  };
  std::vector<Loop> loops;

  const ir::Leaf& leaf() const { return std::get<ir::Leaf>(chain.back()->form); }
};

/// Refused, with the line that changed it, when the stage has been rewritten; when it is no temporary, or no pure
/// stage.
Result<ProducerNest> untouched_nest(const Step& step, ir::StageId stage);

/// The dim of the buffers that a map axis of a stage stands bare in.
std::optional<size_t> dim_of_axis(const ir::Program& program, const ir::Leaf& leaf, size_t axis);

/// The least stretch of a body that begins with the first statement for which `f` holds of it or of something below.
std::optional<size_t> first_with(const ir::Body& body, const std::function<bool(const ir::StmtRef&)>& f);

/// Whether a statement, not counting those below it, reads one of the buffers.
bool reads_itself(const ir::StmtRef& s, const std::vector<ir::BufferId>& buffers);
bool loads_from(const ir::Expr& e, const std::vector<ir::BufferId>& buffers);

/// Expressions of a statement alone: bounds, windows, bindings, predicates and the leaf's body, not those of statements
/// below.
void own_exprs(const ir::StmtRef& s, const std::function<void(const ir::Expr&)>& f);

/// A serial loop over the same range, empty: what was said of how the other one runs is not said of this one.
ir::For plain_loop(const ir::For& l);

/// Rewrites the loads of a body, in leaves as in bounds. `f` gets each load with its parts already rewritten.
ir::Body map_loads(const ir::Body& body, const std::vector<ir::BufferId>& buffers,
                   const std::function<ir::Expr(const ir::Expr&, const ir::Load&)>& f);

/// Refused where an instruction reads a window of the buffer, which `map_loads` does not reach.
Result<Done> no_instruction_reads(const Step& step, ir::BufferId buffer);

}  // namespace heddle::schedule
