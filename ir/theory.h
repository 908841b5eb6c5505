// Facts in affine form, and what follows from them. The prover asks; only ir/prove.cpp, simplify.cpp and bounds.cpp see this.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "ir/affine.h"
#include "ir/prove.h"

namespace heddle::ir {

/// Compared by value without wrapping surprises: `index`, and data integers but u64.
inline bool is_numeric(ScalarType type) {
  return type == ScalarType::index || (is_integer(type) && type != ScalarType::u64);
}
inline bool is_comparison(BinaryOp op) { return op >= BinaryOp::eq && op <= BinaryOp::ge; }
/// Of integers; with a NaN, !(x < y) is not x >= y.
BinaryOp negated(BinaryOp comparison);

class Theory : public AffineOracle {
 public:
  /// The theory of a list of conditions. `symbol == value` is substituted everywhere first.
  explicit Theory(const std::vector<Expr>& conditions);
  /// A theory that knows what `base` knows and may be told more. The base must outlive it.
  explicit Theory(const Theory* base);
  Theory(const Theory&) = delete;
  Theory& operator=(const Theory&) = delete;

  /// From here on the condition is true (or false). What is not understood is kept as an opaque truth.
  void assume(const Expr& condition, bool truth);
  /// a >= 0 follows.
  bool proves(const Affine& a);
  /// The condition, in the words that `assume` used, is a fact.
  bool states(const Expr& condition, bool truth);
  bool contradictory();
  /// A constant that bounds `a` from above.
  bool upper_bound(const Affine& a, int64_t& bound);

  AffineContext& context() { return context_; }

  bool positive(const Affine& a) override;

 private:
  using Rows = std::vector<Affine>;
  /// One of the alternatives holds. The id is the number of the atom (minimum, maximum or `if`) that is taken apart, or of a fact
  /// past all atoms.
  struct Split {
    std::vector<Rows> alternatives;
    uint64_t id = 0;
  };
  struct System;

  bool compare_rows(const Binary& b, bool truth, std::vector<Rows>& out);
  /// Alternatives that cover the condition, at most four; parts not understood are left out (they only weaken).
  std::vector<Rows> alternatives(const Expr& condition, bool truth, int depth);
  Split split_atom(uint32_t number);
  Rows rows_of_atom(uint32_t number);
  bool term_by_term(const Affine& a) const;
  bool refute(const Rows& seeds, std::vector<uint64_t>& spent, int& runs);
  bool bound_above(const Rows& seeds, Monomial target, std::vector<uint64_t>& spent, int& runs, int64_t& bound);
  void select(System& s, const Rows& seeds);
  void activate(System& s, const Affine& row);
  static bool take_row(System& s, const Affine& row);
  static void add_products(System& s);
  static void bound_factors(System& s, const std::vector<Monomial>& targets);
  static void pin_factors(System& s);

  const Theory* base_ = nullptr;
  AffineContext context_;
  std::deque<Affine> rows_;  ///< each >= 0
  std::deque<Split> splits_;
  std::vector<std::pair<Expr, bool>> truths_;
  int depth_ = 0;  ///< of proofs inside conversions inside proofs
};

}  // namespace heddle::ir
