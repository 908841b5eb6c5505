#include "ir/safety_races.h"

#include <algorithm>
#include <set>

#include "ir/codes.h"
#include "ir/layout.h"
#include "ir/print.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::ir {
namespace {

constexpr size_t most_pairs = 400;

class RaceChecker {
 public:
  RaceChecker(const Program& p, const For& loop, const Facts& at)
      : p_(p), loop_(loop), other_{static_cast<uint32_t>(p.symbols.size())}, at_(at) {}

  /// The one at an iteration, the other at a later one.
  bool apart_in_order(const Access& a, const Access& b) {
    if (a.window.empty()) return false;
    for (size_t d = 0; d < a.window.size() && d < b.window.size(); ++d)
      if (ordered_in(a, b, d)) return true;
    return never_meet(a, b);
  }

  /// The first two accesses that may meet.
  bool find(const Access*& first, const Access*& second) {
    for (BufferId id : allocated_in(loop_.body)) own_.insert(id);
    list_ = accesses(p_, loop_.body);
    size_t pairs = 0;
    for (const Access& w : list_) {
      if (!w.writes || own_.count(w.buffer)) continue;
      for (const Access& x : list_) {
        if (x.buffer != w.buffer || (x.writes && &x < &w) || repeats(w, x)) continue;
        if (++pairs <= most_pairs && apart(w, x)) continue;
        first = &w;
        second = &x;
        return true;
      }
    }
    return false;
  }

 private:
  // The read of an accumulator by its own combine is the same access.
  bool repeats(const Access& w, const Access& x) const { return &w != &x && w.by == x.by && w.combines && x.combines; }

  bool apart(const Access& a, const Access& b) {
    if (a.window.empty()) return false;
    for (size_t d = 0; d < a.window.size() && d < b.window.size(); ++d)
      if (apart_in(a, b, d)) return true;
    return recovers(a, b) || apart_in_a_row(a, b) || (never_meet(a, b) && (&a == &b || never_meet(b, a)));
  }

  // Both meet in one row at most, `c[r, place[r] + j]`: there data is the same for both, and another coordinate moves with the loop.
  bool apart_in_a_row(const Access& a, const Access& b) const {
    const auto cell = [](const Range& r) { return same(r.hi, r.lo + 1); };
    std::set<uint32_t> rows;
    for (size_t d = 0; d < a.window.size() && d < b.window.size(); ++d) {
      const Var* v = a.window[d].lo.as<Var>();
      if (v && same(a.window[d].lo, b.window[d].lo) && cell(a.window[d]) && cell(b.window[d]) &&
          !folds(p_.buffer(a.buffer), d))
        rows.insert(v->symbol.value);
    }
    if (rows.empty() || rows.count(loop_.loop.value)) return false;
    for (size_t d = 0; d < a.window.size() && d < b.window.size(); ++d)
      if (cell(a.window[d]) && cell(b.window[d]) && !folds(p_.buffer(a.buffer), d) && of_inputs(a.window[d].lo) &&
          of_inputs(b.window[d].lo) && differ_in_a_row(a, b, d, rows) && (&a == &b || differ_in_a_row(b, a, d, rows)))
        return true;
    return false;
  }

  bool differ_in_a_row(const Access& a, const Access& b, size_t d, const std::set<uint32_t>& rows) const {
    const TwoIterations two = two_iterations(a, b, at_, rows, false);
    const Expr apart = simplify(substitute(b.window[d].lo, two.there) - substitute(a.window[d].lo, two.here));
    return !mentions_load(apart) &&
           (prove(two.facts, less(index_constant(0), apart)) || prove(two.facts, less(apart, index_constant(0))));
  }

  // An access at an iteration and one at a later one, under the conditions of both.
  struct TwoIterations {
    Facts facts;
    Substitution here, there;
  };
  // Loops inside, but for those over `shared`, are at places of their own.
  TwoIterations two_iterations(const Access& a, const Access& b, const Facts& at, const std::set<uint32_t>& shared,
                               bool constant_ends) const {
    TwoIterations out{at, {}, {{loop_.loop, var(other_)}}};
    out.facts.add_range(loop_.loop, loop_.lo, loop_.hi);
    out.facts.add(less(var(loop_.loop), var(other_)));
    out.facts.add(less(var(other_), loop_.hi));
    uint32_t next = other_.value + 1;
    const auto place = [&](const Access& x, Substitution& names) {
      for (const SymbolRange& r : x.free) {
        if (shared.count(r.symbol.value)) continue;
        const Expr lo = substitute(r.lo, names), hi = substitute(constant_ends ? constant_part(r.hi) : r.hi, names);
        const SymbolId own{next++};
        names.emplace_back(r.symbol, var(own));
        out.facts.add_range(own, lo, hi);
      }
      if (x.condition.known())
        for (const Expr& c : conjuncts(x.condition))
          if (!mentions_load(c)) out.facts.add(substitute(c, names));
    };
    place(a, out.here);
    place(b, out.there);
    return out;
  }

  // `min(4, ceildiv(n - 8*o, 2))`, the end of a last block, as 4: what else it says fills the prover's system of rows.
  static Expr constant_part(const Expr& hi) {
    const Binary* least = hi.as<Binary>();
    if (!least || least->op != BinaryOp::min) return hi;
    return constant_value(least->left) ? least->left : constant_value(least->right) ? least->right : hi;
  }

  bool never_meet(const Access& a, const Access& b) const {
    bool shortened = false;
    for (const Access* x : {&a, &b})
      for (const SymbolRange& r : x->free) shortened |= !same(constant_part(r.hi), r.hi);
    const Facts near = facts_near(a, b);
    shortened |= near.conditions().size() < at_.conditions().size();
    return (shortened && never_meet(a, b, near, true)) || never_meet(a, b, at_, false);
  }

  // Facts that speak of nothing but what the accesses speak of: others fill the system too.
  Facts facts_near(const Access& a, const Access& b) const {
    std::set<uint32_t> near{loop_.loop.value};
    auto add = [&](const Expr& e) {
      walk(e, [&](const Expr& node) {
        if (const Var* v = node.as<Var>()) near.insert(v->symbol.value);
        return true;
      });
    };
    for (const Access* x : {&a, &b}) {
      for (const Range& r : x->window) add(r.lo), add(r.hi);
      for (const SymbolRange& r : x->free) near.insert(r.symbol.value), add(r.lo), add(constant_part(r.hi));
      if (x->condition.known()) add(x->condition);
    }
    Facts out;
    for (const Expr& fact : at_.conditions()) {
      bool inside = true;
      walk(fact, [&](const Expr& node) {
        const Var* v = node.as<Var>();
        inside = inside && (!v || near.count(v->symbol.value));
        return inside;
      });
      if (inside) out.add(fact);
    }
    return out;
  }

  // At two iterations, this one and a later one, under the conditions of both: no cell is in both windows.
  bool never_meet(const Access& a, const Access& b, const Facts& at, bool constant_ends) const {
    const auto [facts, here, there] = two_iterations(a, b, at, {}, constant_ends);
    auto meet = [&, &here = here, &there = there](Facts& out, size_t d) {
      if (folds(p_.buffer(a.buffer), d)) return false;
      const Range &x = a.window[d], &y = b.window[d];
      if (mentions_load(x.lo) || mentions_load(x.hi) || mentions_load(y.lo) || mentions_load(y.hi)) return false;
      const Expr x_lo = substitute(x.lo, here), y_lo = substitute(y.lo, there);
      if (same(x.hi, x.lo + 1) && same(y.hi, y.lo + 1)) {
        out.add(binary(BinaryOp::eq, x_lo, y_lo));
      } else {
        out.add(less(x_lo, substitute(y.hi, there)));
        out.add(less(y_lo, substitute(x.hi, here)));
      }
      return true;
    };
    // One coordinate often does; a system of all has too many variables for the prover.
    for (size_t d = 0; d < a.window.size() && d < b.window.size(); ++d) {
      if (Facts one = facts; meet(one, d) && unreachable(one)) return true;
      if (near_in_a_fold(a, b, d, here, there, facts)) return true;
    }
    Facts all = facts;
    for (size_t d = 0; d < a.window.size() && d < b.window.size(); ++d) meet(all, d);
    return unreachable(all);
  }

  // Two cells along a folded dim, neither one nor so far apart that they share a place.
  bool near_in_a_fold(const Access& a, const Access& b, size_t d, const Substitution& here, const Substitution& there,
                      const Facts& facts) const {
    const int64_t places = folded_places(p_.buffer(a.buffer), d);
    const Range &x = a.window[d], &y = b.window[d];
    if (places == 0 || !same(x.hi, x.lo + 1) || !same(y.hi, y.lo + 1) || mentions_load(x.lo) || mentions_load(y.lo))
      return false;
    const Expr from = substitute(x.lo, here), to = substitute(y.lo, there);
    for (const Expr& shared :
         {binary(BinaryOp::eq, from, to), less_equal(from + places, to), less_equal(to + places, from)}) {
      Facts one = facts;
      one.add(shared);
      if (!unreachable(one)) return false;
    }
    return true;
  }

  // The range of one dim at an iteration of the loop, over all loops inside.
  bool hull(const Access& a, size_t dim, const Facts& facts, Range& out) const {
    Bounds lo = bounds_over(a.window[dim].lo, a.free, facts), hi = bounds_over(a.window[dim].hi, a.free, facts);
    if (!lo.ok || !hi.ok) return false;
    out = {lo.lo, hi.hi, 0};
    return of_inputs(out.lo) && of_inputs(out.hi);
  }

  // What it loads is the same at every iteration that loads it.
  bool of_inputs(const Expr& e) const {
    bool fine = true;
    walk(e, [&](const Expr& node) {
      const Load* l = node.as<Load>();
      fine = fine && (!l || p_.buffer(l->buffer).role == Role::in);
      return fine;
    });
    return fine;
  }

  // a <= b, where data is on both sides or on none: it may be any number, and a sum with it may wrap.
  static bool shown_below(const Facts& facts, const Expr& a, const Expr& b) {
    const Expr apart = simplify(b - a);
    return !mentions_load(apart) && prove(facts, less_equal(index_constant(0), apart));
  }

  // Ranges of one dim at an iteration (`x` of `a`) and at a later one (`later` of `b`): one lies wholly before the other, and along a
  // folded dim so near that no two cells of both share a place.
  bool ordered_in(const Access& a, const Access& b, size_t dim) {
    const int64_t places = folded_places(p_.buffer(a.buffer), dim);
    if (places == 0 && folds(p_.buffer(a.buffer), dim)) return false;
    Facts here = at_;
    here.add_range(loop_.loop, loop_.lo, loop_.hi);
    Range x, y;
    if (!hull(a, dim, here, x) || !hull(b, dim, here, y)) return false;
    const Substitution later{{loop_.loop, var(other_)}};
    here.add(less(var(loop_.loop), var(other_)));
    here.add(less(var(other_), loop_.hi));
    const Range then{substitute(y.lo, later), substitute(y.hi, later), 0};
    auto before = [&](const Range& first, const Range& second) {
      return shown_below(here, first.hi, second.lo) && (places == 0 || shown_below(here, second.hi, first.lo + places));
    };
    return before(x, then) || before(then, x);
  }

  bool apart_in(const Access& a, const Access& b, size_t dim) {
    if (!mentions(a.window[dim].lo, loop_.loop) && !through_loops(a, dim)) return false;
    return ordered_in(a, b, dim) && (&a == &b || ordered_in(b, a, dim));
  }

  // A bound of an inner loop may carry the loop variable.
  bool through_loops(const Access& a, size_t dim) const {
    for (const SymbolRange& r : a.free)
      if (mentions(a.window[dim].lo, r.symbol) && (mentions(r.lo, loop_.loop) || mentions(r.hi, loop_.loop)))
        return true;
    return false;
  }

  // Coordinates such as q / n and q % n say together which iteration q it is.
  bool recovers(const Access& a, const Access& b) const {
    std::vector<Expr> fixed;
    for (size_t d = 0; d < a.window.size() && d < b.window.size(); ++d) {
      const Expr& e = a.window[d].lo;
      if (folds(p_.buffer(a.buffer), d)) continue;
      bool inner = !same(e, b.window[d].lo) || !same(a.window[d].hi, e + 1) || !same(b.window[d].hi, e + 1);
      for (const SymbolRange& r : a.free) inner |= mentions(e, r.symbol);
      if (!inner) fixed.push_back(e);
    }
    return recovered(var(loop_.loop), fixed, 0);
  }

  bool recovered(const Expr& e, const std::vector<Expr>& known, int depth) const {
    if (depth > 8) return false;
    for (const Expr& k : known) {
      if (equal(k, e)) return true;
      const Binary* m = k.as<Binary>();
      if (!m || m->op != BinaryOp::mod || !equal(m->left, e)) continue;
      if (recovered(binary(BinaryOp::div, e, m->right), known, depth + 1)) return true;
    }
    return false;
  }

  const Program& p_;
  const For& loop_;
  SymbolId other_;
  const Facts& at_;
  std::set<BufferId> own_;
  std::vector<Access> list_;
};

}  // namespace

bool never_meet_later(const Program& program, const For& loop, const Facts& at, const Access& first,
                      const Access& second) {
  return RaceChecker(program, loop, at).apart_in_order(first, second);
}

Diagnostics check_races(const Program& program, const For& loop, const Place& place, const Facts& at) {
  const Access *first = nullptr, *second = nullptr;
  RaceChecker checker(program, loop, at);
  if (!checker.find(first, second)) return {};
  const Buffer& b = program.buffer(first->buffer);
  const std::string name = b.field.empty() ? b.name : b.name + "." + b.field;
  Diagnostic d(codes::race_not_shown, place,
               "cannot show that iterations of `" + program.symbol(loop.loop).name +
                   "`, which run at the same time, keep to cells of `" + name + "` of their own");
  if (first->by && first->by->place.known()) d.labels.push_back({first->by->place, "written here"});
  if (second != first && second->by && second->by->place.known())
    d.labels.push_back({second->by->place, second->writes ? "also written here" : "read here"});
  d.help = "make the loop serial, or let one coordinate move with it alone";
  return {std::move(d)};
}

}  // namespace heddle::ir
