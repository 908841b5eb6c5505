// What may be taken for granted at a point of a program: as `Facts`, but only what holds in 64-bit arithmetic and as long as it
// holds. Only ir/safety*.cpp sees this.
//
// Data is a value of an integer array or a run-time scalar inside index arithmetic. It may be any 64-bit number, and sums with it
// wrap; so a condition says something about data only where each piece of it stands bare on one side of a comparison, or is known
// to lie between two values that do not come from data. A loop that runs between two pieces of data of which that is not known is
// data itself. What a load gives is known until its buffer is written.
#pragma once

#include <set>
#include <vector>

#include "ir/program.h"
#include "ir/prove.h"

namespace heddle::ir {

/// A check that was passed for every iteration of the loops.
struct PassedCheck {
  std::vector<SymbolRange> over;
  Expr condition;
};

class SafeFacts {
 public:
  explicit SafeFacts(const Program& program);

  /// Parts that say nothing reliable are left out.
  void assume(const Expr& condition);
  void assume_not(const Expr& condition);
  /// The bounds are computed once: what the loop writes (`written`) does not change them, and they say nothing about it.
  void assume_range(SymbolId symbol, const Expr& lo, const Expr& hi, const std::set<BufferId>& written = {});
  void passed(PassedCheck check);

  /// From here on nothing is known of what these buffers hold, until it is checked again.
  void forget(const std::set<BufferId>& written);
  /// As above, for as long as these facts live: other iterations write at any time.
  void distrust(const std::set<BufferId>& written);

  /// Whether the condition follows. Checks that speak of the condition's loads are brought in.
  bool proves(const Expr& condition);
  const Facts& facts() const { return facts_; }

 private:
  void settle_ranges();
  bool touches_data(const Expr& e) const;
  bool usable(const Expr& condition) const;
  bool bounded(const Expr& index) const;
  bool is_tame(const Expr& data) const;
  bool follows_bound(const Expr& data, bool upper) const;
  void note_bounds(const Expr& condition);
  bool lasting(const Expr& condition, const std::set<BufferId>& written = {}) const;
  Expr as_index(const Expr& e, bool look_inside = true) const;
  void assume_at(const Expr& condition, int depth);  // depth: of matching checks to what checks tell
  void bring_in_loads(const Expr& e, int depth);
  void bring_in(const Expr& load, int depth);
  void match(const PassedCheck& check, const Expr& pattern, const Expr& load, int depth);

  const Program* program_;
  Facts facts_;
  mutable std::vector<Expr> at_least_, at_most_;  ///< data with a lower, an upper bound
  mutable std::vector<Expr> open_;                ///< data for which none was found, by these facts
  std::vector<SymbolId> wild_;                    ///< loops over data
  std::vector<SymbolRange> unsettled_;  ///< of them those whose ends are chosen by a condition that is not known yet
  std::vector<PassedCheck> checks_;
  std::vector<Expr> brought_;  ///< loads whose checks are in
  std::set<BufferId> changing_;
};

/// Whether the expression holds a load or a conversion.
bool has_data(const Expr& e);

}  // namespace heddle::ir
