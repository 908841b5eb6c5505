// A checked op: types, ranges and shapes resolved for one choice of element types, consts and ranks. The canonical program
// follows from it mechanically: one nest per equation, in order.
#pragma once

#include "ir/program.h"

namespace heddle::ir {

/// One equation with its ranges resolved. The stage row has its axes: map axes in the order of the left side, then reduce
/// axes in the order of the binders.
struct Equation {
  StageId stage;
  std::vector<Assign> assigns;
  std::string reducer;  ///< of a reduction, else empty
  std::vector<StmtForm>
      checks;     ///< `Check`s on data that must hold before this stage runs; inside a scan at each of its steps
  int scan = -1;  ///< index of its scan block, or -1; the stages of a block follow one another
};

/// Stages that run together, one step after the other. Each has an axis of class scan or scan_reverse over this range.
struct ScanBlock {
  SymbolId axis;  ///< names the loop
  Expr lo, hi;
  bool reverse = false;
};

struct Op {
  Program frame;                 ///< tables, parameters, dims, facts, requirements; an empty body
  std::vector<StmtForm> checks;  ///< on inputs alone: before the first write
  std::vector<Equation> equations;
  std::vector<ScanBlock> scans;
  std::string doc;
};

/// The canonical program: every temporary allocated in dram before its first use, one serial nest per equation, reductions
/// as regions around their reduce loops, loops named as their axes. A scan block is one serial loop, named by its last stage,
/// around the nests of its stages; temporaries that are read at their own step only are allocated inside it.
Program canonical(const Op& op);

}  // namespace heddle::ir
