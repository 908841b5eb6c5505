// The proof that a program stays in its memory: what stands between printed programs, which anybody may type, and machine code.
#pragma once

#include "ir/program.h"

namespace heddle::ir {

struct SafetyOptions {
  /// Leaves stay in the domain of their stage. True of programs as steps make them; lowering computes beyond where there is room.
  bool domains = true;
  /// Iterations of parallel and vector loops touch different cells.
  bool races = true;
};

/// What cannot be shown of a program that obeys ir/verify.h, at the statement it concerns; empty when all is shown:
///
///   access    every read without `or`, every write and every window of a call lies inside its buffer's box; a subscript that comes
///             from data is covered by a `check` that dominates it
///   domain    the bindings of a leaf lie in the ranges and the `where` of its stage, where these do not come from data: nothing is
///             taken from that promise
///   region    what is written into a buffer whose reduction is open lies in the region's windows
///   race      two iterations of a parallel, vector or hardware loop touch no common cell that one of them writes
///   memory    inputs are not written; boxes do not depend on data; layouts give no negative coordinates
///
/// Given are the dims (at least 0), the facts over dims that each call enforces, loop ranges, predicates, arms of `if`, checks.
/// Reading a temporary that was never written is wrong but safe, and not looked at. Sizes past 64 bits: see ir/magnitude.h.
Diagnostics check_safety(const Program& program, const SafetyOptions& options = {});

}  // namespace heddle::ir
