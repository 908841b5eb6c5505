// Index expressions in few words, for the tests of the prover.
#pragma once

#include <string>

#include "ir/print.h"
#include "ir/program.h"

namespace heddle::ir {

// Names for symbols, in the order of first use; a text of index expressions would need the frontend.
class Names {
 public:
  Expr operator()(const std::string& name) {
    for (size_t i = 0; i < program.symbols.size(); ++i)
      if (program.symbols[i].name == name) return var({static_cast<uint32_t>(i)});
    return var(program.add(Symbol{name, SymbolKind::dim}));
  }
  std::string text(const Expr& e) const { return print(program, e); }
  Program program;
};

inline Expr c(int64_t value) { return index_constant(value); }
inline Expr operator/(const Expr& a, const Expr& b) { return binary(BinaryOp::div, a, b); }
inline Expr operator%(const Expr& a, const Expr& b) { return binary(BinaryOp::mod, a, b); }
inline Expr operator<(const Expr& a, const Expr& b) { return less(a, b); }
inline Expr operator<=(const Expr& a, const Expr& b) { return less_equal(a, b); }
inline Expr equals(const Expr& a, const Expr& b) { return binary(BinaryOp::eq, a, b); }
inline Expr either(const Expr& a, const Expr& b) { return binary(BinaryOp::logical_or, a, b); }
inline Expr differs(const Expr& a, const Expr& b) { return binary(BinaryOp::ne, a, b); }
inline Expr inverse(const Expr& a) { return unary(UnaryOp::logical_not, a); }

}  // namespace heddle::ir
