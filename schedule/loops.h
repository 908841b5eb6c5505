// Rewritings of single loops that several steps share.
#pragma once

#include "schedule/step.h"
#include "schedule/tree.h"

namespace heddle::schedule {

enum class Tail { guard, exact, peel, shift };

struct SplitLoops {
  ir::SymbolId outer, inner;
};

/// The rewriting of `split` (its before -> after stands in steps/split.cpp), for a loop that may be rewritten.
Result<SplitLoops> split_loop(Step& step, ir::SymbolId loop, int64_t n, const std::string& outer,
                              const std::string& inner, Tail tail);

/// lo .. hi of a loop as 0 .. extent, where the extent is not negative: what blocks are counted of.
ir::Expr extent_of(const ir::For& loop, const ir::Facts& facts);

/// `L by n`: splits and gives the inner loop, whose name ends in `suffix`; without `by` the loop itself.
Result<ir::SymbolId> split_off(Step& step, ir::SymbolId loop, int64_t n, const std::string& suffix);

/// Marks a serial loop; the statement's place becomes the step's.
void set_kind(Step& step, ir::SymbolId loop, ir::LoopKind kind);

/// After a step: a loop no longer asks for a tensor that is gone or has moved inside.
void drop_idle_prefetches(ir::Program& program);

/// lo .. hi becomes 0 .. hi - lo, with lo added where the loop is used: vector loops start at zero.
void start_at_zero(Step& step, ir::SymbolId loop);

}  // namespace heddle::schedule
