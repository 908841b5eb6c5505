// Expressions over dims and scalars as short code: what a call evaluates of shapes, facts and `where`.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/program.h"
#include "support/bytes.h"

namespace heddle::jit {

/// An expression, flattened: evaluated on a small stack, floats as the bits of a double. Overflow of an index is an
/// error, as everywhere in shapes.
class IndexCode {
 public:
  static constexpr int max_stack = 64;
  /// Symbols become positions in `symbols`. False when the expression holds another symbol, a function or a read, or is too deep.
  bool compile(const ir::Expr& e, const std::vector<ir::SymbolId>& symbols);
  /// False on overflow.
  bool run(const int64_t* values, int64_t& out) const;
  bool is_constant(int64_t& value) const;
  /// The position of the only symbol, or -1.
  int symbol_only() const;
  void write(ByteWriter& out) const;
  /// False where the bytes are no code over so many symbols that keeps to its stack.
  bool read(ByteReader& in, int symbols);

 private:
  struct Step {
    enum Kind : uint8_t { push_constant, push_symbol, binary, unary, select, convert } kind;
    uint8_t op;
    ir::ScalarType type;  ///< of the operands
    int64_t value;        ///< convert: the type it gives, and 256 where it saturates
  };
  static bool step(const Step& s, int64_t a, int64_t b, int64_t& out);
  bool emit(const ir::Expr& e, const std::vector<ir::SymbolId>& symbols, int depth);
  std::vector<Step> steps_;
};

}  // namespace heddle::jit
