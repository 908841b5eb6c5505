// Boxes that statements touch: what `compute_at`, `cache` and the legality checks ask of a piece of program.
//
// A point is the head of a body: its facts are `facts_at` the statements around it, its boxes speak of the symbols alive there
// (dims, scalars, loops around). All loops inside the body and all own axes of leaves are quantified away.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/program.h"
#include "ir/prove.h"

namespace heddle::ir {

struct Box {
  std::vector<BoxDim> dims;  ///< names as in the buffer's box
};

/// One access, before its loops are quantified away.
struct Access {
  BufferId buffer;
  bool reads = false;
  bool writes = false;            ///< a combine and an inout operand do both
  bool combines = false;          ///< a combine assign: its read of the old value is part of the reduction
  bool initialises = false;       ///< a reduce window: the identity is written
  bool tried = false;             ///< a read with `or`: outside the buffer's box nothing is touched
  std::vector<Range> window;      ///< half-open, one for each dim, over loops (bindings substituted) and `free`
  std::vector<SymbolRange> free;  ///< loops of the body, then own axes (`over`), outermost first: what is quantified
  Expr condition;                 ///< the leaf's predicate, or none
  StmtRef by;                     ///< the leaf, call, region, check or loop (its bounds) that touches
};

/// Every access of the statements, in their order; of one buffer, or of all when `buffer` is unknown.
std::vector<Access> accesses(const Program& program, const Body& body, BufferId buffer = {});

/// The buffers allocated in the body.
std::vector<BufferId> allocated_in(const Body& body);

/// The union of boxes that a body touches in one buffer.
struct TouchedBox {
  bool any = false;  ///< false: nothing touches the buffer, and there are no boxes
  /// Inside the buffer's box: clipped by max(lo, ..), min(hi, ..) only where it cannot be shown to be inside. May be empty
  /// (hi <= lo) where inner loops are.
  Box exact;
  /// Holds `exact`. Where a constant (`limits::bounded_extent` at most) bounds the extent: lo .. lo + extents[d], not clipped,
  /// so that a register buffer or an unrolled loop has a constant size; it may then reach outside the buffer's box. Elsewhere
  /// the same as `exact`.
  Box cover;
  std::vector<int64_t> extents;  ///< constant extent of `cover`; 0 where none is known
  std::vector<bool> whole;       ///< widened to the whole dim: a data subscript, or a bound that cannot be written
  StmtRef by;                    ///< the first statement that touches, for messages
};

/// What the body reads (loads, instruction operands; not the old value of a combine).
TouchedBox needed_box(const Program& program, BufferId buffer, const Body& body, const Facts& at);
/// What the body writes (defines, combines, updates, inout operands, windows of reduce regions).
TouchedBox written_box(const Program& program, BufferId buffer, const Body& body, const Facts& at);
/// Both.
TouchedBox touched_box(const Program& program, BufferId buffer, const Body& body, const Facts& at);
/// The union box of accesses that the caller chose; all of one buffer.
TouchedBox box_of(const Program& program, const std::vector<Access>& list, const Facts& at);

/// The facts inside the last statement of a path (`path_to`): of the program; for each loop lo <= i < hi; for a leaf its
/// predicate, its bindings (axis == binding) and the stage's domain (axes in range, `where`), which coverage promises.
Facts facts_at(const Program& program, const std::vector<StmtRef>& path);
/// Adds the facts of one more statement, when walking down by hand.
void add_facts_inside(Facts& facts, const Program& program, const StmtRef& stmt);

/// Whether the cell lies in its buffer's box.
bool inside(const Program& program, BufferId buffer, const std::vector<Expr>& subs, const Facts& facts);
/// Whether all that the expression reads lies in its buffer's box.
bool reads_inside(const Program& program, const Expr& e, const Facts& facts);

}  // namespace heddle::ir
