// Where each temporary lives: its shape in memory, and its place in the arena.
//
// `registers` with a constant box become stack slots that LLVM turns into SSA values. All else lives in the arena: offsets follow
// the nesting of the program as a stack does, so temporaries of disjoint scopes share bytes, and one whose last use has passed
// gives its place to a later one of the same body; the place is as large as the largest that holds it. What a parallel loop allocates inside comes from each thread's slice at the
// same offsets; what stands outside of it comes from the slice of the calling thread and is shared.
#pragma once

#include <string>
#include <vector>

#include "ir/program.h"
#include "ir/target.h"
#include "support/result.h"

namespace heddle::host {

struct Placement {
  enum class Kind { none, parameter, registers, arena } kind = Kind::none;
  std::vector<ir::Expr>
      extents;              ///< physical, row-major; constants, or over dims: bounds where the box varies in loops
  int64_t elements = 0;     ///< of registers
  ir::Expr offset;          ///< of the arena, in bytes
  int group = -1;           ///< buffers of one group may share bytes
  ir::SymbolId inside;      ///< of temporaries: the innermost loop around the alloc, unknown at the top
  ir::StmtRef first, last;  ///< of that body: the statements that use it first and last; none where nothing does
};

struct MemoryPlan {
  std::vector<Placement> buffers;  ///< by buffer id
  ir::Expr bytes;                  ///< of the arena, for each thread
};

/// Refused when a temporary's extent has no bound that can be computed from the dims.
Result<MemoryPlan> plan_memory(const ir::Program& program);
/// The plan of a scheduled program on a target, for people: each temporary with its shape, its memory and place, its bytes and
/// from which statement to which it is used, one on a line.
Result<std::string> memory_text(const ir::Program& program, const ir::Target& target);

}  // namespace heddle::host
