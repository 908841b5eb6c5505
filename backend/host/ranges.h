// Constant bounds of loops, in one pass of interval arithmetic: enough to resolve the `/` and `%` of layouts and the predicates of
// unrolled loops at each leaf copy, at a small part of the prover's cost.
#pragma once

#include <unordered_map>

#include "ir/affine.h"

namespace heddle::host {

struct Interval {
  int64_t lo = INT64_MIN, hi = INT64_MAX;  ///< the ends mean unbounded
};

class Ranges {
 public:
  void set(ir::SymbolId symbol, Interval range) { known_[symbol.value] = range; }
  void forget(ir::SymbolId symbol) { known_.erase(symbol.value); }

  Interval of(ir::SymbolId symbol) const;
  Interval of(const ir::AffineContext& context, const ir::Affine& a) const;
  Interval of(const ir::Expr& index);

  /// 1 = holds, 0 = does not hold, -1 = not decided. Of comparisons of index expressions.
  int decide(const ir::Expr& condition);

  /// The oracle of a context made over these ranges; `context` is set by the maker.
  struct Oracle : ir::AffineOracle {
    const Ranges* ranges;
    const ir::AffineContext* context = nullptr;
    explicit Oracle(const Ranges* r) : ranges(r) {}
    bool positive(const ir::Affine& a) override { return ranges->of(*context, a).lo > 0; }
    bool nonnegative(const ir::Affine& a) override { return ranges->of(*context, a).lo >= 0; }
  };

 private:
  Interval of_atom(const ir::AffineContext& context, uint32_t number, int depth) const;
  Interval of(const ir::AffineContext& context, const ir::Affine& a, int depth) const;
  std::unordered_map<uint32_t, Interval> known_;
};

/// A context whose divisions are resolved by ranges.
struct RangedContext {
  Ranges::Oracle oracle;
  ir::AffineContext context;
  explicit RangedContext(const Ranges& ranges) : oracle(&ranges), context(&oracle) { oracle.context = &context; }
  RangedContext(const RangedContext&) = delete;
};

}  // namespace heddle::host
