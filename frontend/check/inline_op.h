// A checked op as part of another one: its dims and scalars become expressions of the caller, its tensors the caller's, its stages get
// names behind a prefix.
#pragma once

#include <string>
#include <vector>

#include "ir/op.h"

namespace heddle::frontend {

class InlinedOp {
 public:
  InlinedOp(ir::Op& to, const ir::Op& from, std::string prefix);

  /// What a dim, const or scalar of the op stands for; before anything that mentions it is mapped.
  void bind(ir::SymbolId symbol, ir::Expr value) { symbols_[symbol.value] = std::move(value); }
  bool bound(ir::SymbolId symbol) const { return symbols_[symbol.value].known(); }
  void bind(ir::BufferId buffer, ir::BufferId with) { buffers_[buffer.value] = with; }

  /// An expression of the op as one of the caller.
  ir::Expr map(const ir::Expr& e) const;

  /// Once all is bound: temporaries, reducers, stages and scans go over. The equations, in order.
  std::vector<ir::Equation> equations();
  /// The checks that the op makes before its first write; after `equations`.
  std::vector<ir::StmtForm> first_checks() const;

 private:
  ir::SymbolId symbol(ir::SymbolId id) const;
  std::string name(const std::string& own) const { return prefix_ + "." + own; }
  void locals();
  void temporaries();
  void reducers();
  std::string reducer(const std::string& name) const;
  ir::ReducerLine line(ir::ReducerLine l) const;
  std::vector<ir::Axis> axes(std::vector<ir::Axis> list) const;
  ir::StmtForm statement(const ir::StmtForm& form) const;

  ir::Op& to_;
  const ir::Op& from_;
  std::string prefix_;
  std::vector<ir::Expr> symbols_;      // by the op's ids
  std::vector<ir::BufferId> buffers_;  // by the op's ids
  std::vector<std::pair<std::string, std::string>> reducers_;
};

}  // namespace heddle::frontend
