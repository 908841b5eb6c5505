// The prover: affine normal form, a few case splits, Fourier-Motzkin. Its answer is yes or *unknown*; never no.
#pragma once

#include <memory>
#include <vector>

#include "ir/expr.h"

namespace heddle::ir {

struct Program;
class Theory;

/// What is known at a point of a program or op: conditions that hold there.
class Facts {
 public:
  /// A boolean expression over index symbols; conjunctions are taken apart, parts that are not affine are kept as opaque truths.
  void add(const Expr& condition);
  /// lo <= symbol < hi
  void add_range(SymbolId symbol, const Expr& lo, const Expr& hi);

  const std::vector<Expr>& conditions() const { return conditions_; }

  /// The conditions in affine form, made at the first question after an `add`: a Facts value is for one thread at a time.
  const Theory& theory() const;

 private:
  std::vector<Expr> conditions_;
  mutable std::shared_ptr<const Theory> theory_;
};

/// Facts of a program: dims >= 0 and its `facts`.
Facts facts_of(const Program& program);

/// Whether `condition` follows from the facts: true = shown; false = unknown. Comparisons (==, <, ...), conjunctions,
/// disjunctions (each arm tried alone), negations of comparisons. Index expressions: + - *, constant / and %, products of symbols
/// as atoms, ceildiv, min and max by case split, `if` arms by case split (at most 4 splits in all).
bool prove(const Facts& facts, const Expr& condition);

/// The facts contradict each other: the point is never reached.
bool unreachable(const Facts& facts);

/// Canonical simplification of an index or boolean expression: affine normal form, rebuilt in a stable, readable order; with facts,
/// min, max, /, % and conditions that the facts decide are resolved.
Expr simplify(const Expr& e);
Expr simplify(const Expr& e, const Facts& facts);
/// Index parts of a condition in normal form, in the order that they stand in.
Expr tidy(const Expr& e);

/// Equality of index expressions in normal form (a - b simplifies to 0).
bool equal(const Expr& a, const Expr& b);
bool equal(const Expr& a, const Expr& b, const Facts& facts);

/// If `e` is affine in `symbol` with an integer constant coefficient: that coefficient and the rest; e = coefficient*symbol + rest.
struct AffineIn {
  bool ok = false;
  int64_t coefficient = 0;
  Expr rest;
};
AffineIn affine_in(const Expr& e, SymbolId symbol);

/// Symbolic bounds of `e` (inclusive lo, inclusive hi) when each listed symbol runs over [lo, hi) in the given order (later
/// ranges may mention earlier symbols); symbols not listed stay. Not ok when a bound cannot be written.
struct SymbolRange {
  SymbolId symbol;
  Expr lo, hi;
};
struct Bounds {
  bool ok = false;
  Expr lo, hi;
};
Bounds bounds_over(const Expr& e, const std::vector<SymbolRange>& ranges, const Facts& facts);

/// A constant upper bound of `e` under the facts, if one can be shown (for the extent of a register buffer, an unroll, a window).
bool constant_upper_bound(const Expr& e, const Facts& facts, int64_t& bound);

}  // namespace heddle::ir
