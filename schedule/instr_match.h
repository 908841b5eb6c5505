// Whether a nest of loops around one leaf means what an instruction means: what `replace` asks.
#pragma once

#include "schedule/step.h"
#include "schedule/tree.h"

namespace heddle::schedule {

/// for L1 { .. for Ln { at s(..) where G { c[..] R= body } } }, serial loops with nothing else between them.
struct InstrNest {
  Path around;  ///< statements around the outermost loop
  std::vector<ir::For> loops;
  ir::StmtRef leaf_stmt;
  const ir::Leaf& leaf() const { return std::get<ir::Leaf>(leaf_stmt->form); }
};

/// The call that stands for the nest, or the first difference between the two meanings.
Result<ir::Call> match_instr(const Step& step, const InstrNest& nest, const ir::Instr& instr);

/// The first of the windows whose memory or layout is not the operand's; nothing where all are as the instruction needs.
Result<Done> match_places(const Step& step, const ir::Call& call, const ir::Instr& instr, const ir::Facts& at);

}  // namespace heddle::schedule
