#include "ir/safety.h"
#include "ir/bound.h"

#include <algorithm>
#include <map>

#include "ir/codes.h"
#include "ir/print.h"
#include "ir/safety_facts.h"
#include "ir/safety_races.h"
#include "ir/visit.h"
#include "support/limits.h"
#include "support/result.h"

namespace heddle::ir {
namespace {

// Questions to the prover for one program: many are answered in a microsecond, a hard one takes a millisecond.
constexpr int most_questions = 20'000;

std::string quoted(const std::string& text) { return "`" + text + "`"; }

class SafetyChecker {
 public:
  SafetyChecker(const Program& p, const SafetyOptions& options) : p_(p), options_(options) {}

  Diagnostics run() {
    for (const Parameter& q : p_.parameters)
      if (q.buffer.known()) layout(q.buffer, p_.buffer(q.buffer).place, SafeFacts(p_));
    SafeFacts facts(p_);
    body(p_.body, facts);
    return std::move(found_);
  }

 private:
  struct OpenRegion {
    const Reduce* region;
  };

  bool full() const { return found_.size() >= limits::diagnostics; }
  bool report(Diagnostic&& d) {
    if (!full()) found_.push_back(std::move(d));
    return false;
  }

  // --- what is shown -------------------------------------------------------------------------------------------------

  bool shown(SafeFacts& at, const Expr& condition, const Place& place) {
    if (++questions_ == most_questions)
      report(Diagnostic(
          codes::too_large_to_show, place,
          quoted(p_.name) + " reads and writes at more than " + std::to_string(most_questions / 4) + " places"));
    return questions_ >= most_questions || at.proves(condition) || unreachable(at.facts());
  }

  std::string missing(const Expr& condition) const {
    return condition.as<Constant>() ? "" : ": " + quoted(print(p_, condition)) + " does not follow";
  }

  // What to write so that the condition is known.
  std::string advice(const Expr& condition) const {
    if (condition.as<Constant>()) return "";
    const std::string text = print(p_, condition);
    bool loops = false;
    walk(condition, [&](const Expr& e) {
      if (const Var* v = e.as<Var>()) loops |= p_.symbol(v->symbol).kind != SymbolKind::dim;
      return true;
    });
    if (has_data(condition)) return "check it before: `check " + text + ", \"..\"`";
    if (!loops) return "say in the header that it holds: `facts (" + text + ")`";
    return "guard the leaf: `where " + text + "`, or say what makes it true in the header's `facts (..)`";
  }

  // lo <= at and to <= hi, where to is at + 1 for an element.
  bool inside(SafeFacts& facts, BufferId id, size_t dim, const Expr& from, const Expr& to, const char* verb,
              const Place& place) {
    const Buffer& b = p_.buffer(id);
    const BoxDim& box = b.box[dim];
    for (const Expr& c : {less_equal(box.lo, from), same(to, from + 1) ? less(from, box.hi) : less_equal(to, box.hi)}) {
      if (shown(facts, c, place)) continue;
      const std::string what = same(to, from + 1) ? print(p_, from) : print(p_, from) + " .. " + print(p_, to);
      Diagnostic d(codes::access_not_shown, place,
                   "cannot show that " + quoted(what) + " is inside " + quoted(name(id)) + ", which is " + verb +
                       " here" + missing(c));
      if (b.place.known())
        d.labels.push_back({b.place, "axis " + std::to_string(dim) + " of " + quoted(name(id)) + " runs over " +
                                         quoted(print(p_, box.lo) + " .. " + print(p_, box.hi))});
      d.help = advice(c);
      return report(std::move(d));
    }
    return true;
  }

  std::string name(BufferId id) const {
    const Buffer& b = p_.buffer(id);
    return b.field.empty() ? b.name : b.name + "." + b.field;
  }

  // --- reads ---------------------------------------------------------------------------------------------------------

  // Every read of an expression under the conditions of its path.
  void reads(const Expr& e, SafeFacts& at, const Place& place) {
    if (!e.known() || full() || questions_ >= most_questions) return;
    if (const Load* l = e.as<Load>()) {
      for (const Expr& sub : l->subs) reads(sub, at, place);
      if (l->otherwise.known()) return reads(l->otherwise, at, place);
      for (size_t i = 0; i < l->subs.size(); ++i)
        if (!inside(at, l->buffer, i, l->subs[i], l->subs[i] + 1, "read", place)) return;
      return;
    }
    if (const Select* s = e.as<Select>()) {
      reads(s->condition, at, place);
      lazily(s->yes, s->condition, true, at, place);
      return lazily(s->no, s->condition, false, at, place);
    }
    const Binary* b = e.as<Binary>();
    if (b && (b->op == BinaryOp::logical_and || b->op == BinaryOp::logical_or)) {
      reads(b->left, at, place);
      return lazily(b->right, b->left, b->op == BinaryOp::logical_and, at, place);
    }
    if (b) {
      reads(b->left, at, place);
      return reads(b->right, at, place);
    }
    if (const Unary* u = e.as<Unary>()) return reads(u->value, at, place);
    if (const Convert* c = e.as<Convert>()) return reads(c->value, at, place);
    if (const MathCall* m = e.as<MathCall>())
      for (const Expr& a : m->args) reads(a, at, place);
  }

  void lazily(const Expr& e, const Expr& condition, bool truth, const SafeFacts& at, const Place& place) {
    if (!mentions_load(e)) return;
    SafeFacts under = at;
    truth ? under.assume(condition) : under.assume_not(condition);
    reads(e, under, place);
  }

  // --- statements ----------------------------------------------------------------------------------------------------

  const std::set<BufferId>& written(const StmtRef& s) {
    auto [at, fresh] = written_.try_emplace(s.get());
    if (!fresh) return at->second;
    std::set<BufferId> all;
    for (const StmtRef& child : children(s)) {
      const std::set<BufferId>& below = written(child);
      all.insert(below.begin(), below.end());
    }
    auto windows = [&](const std::vector<Window>& list) {
      for (const Window& w : list) all.insert(w.buffer);
    };
    if (const auto* r = std::get_if<Reduce>(&s->form)) windows(r->windows);
    if (const auto* c = std::get_if<Call>(&s->form)) windows(c->windows);
    if (const auto* a = std::get_if<Alloc>(&s->form)) all.insert(a->buffers.begin(), a->buffers.end());
    if (const auto* l = std::get_if<Leaf>(&s->form))
      for (const Assign& a : l->assigns) all.insert(a.buffer);
    return written_[s.get()] = std::move(all);
  }

  void body(const Body& list, SafeFacts& facts) {
    for (const StmtRef& s : list) {
      if (full() || questions_ >= most_questions) return;
      facts.forget(written(s));
      std::visit([&](const auto& form) { stmt(form, s, facts); }, s->form);
    }
  }

  void stmt(const For& l, const StmtRef& s, SafeFacts& facts) {
    reads(l.lo, facts, s->place);
    reads(l.hi, facts, s->place);
    const bool at_once = runs_at_once(p_, l);
    if (at_once && options_.races)
      if (Diagnostics races = check_races(p_, l, s->place, facts.facts()); !races.empty())
        report(std::move(races.front()));
    SafeFacts inner = facts;
    if (at_once) inner.distrust(written(s));
    inner.assume_range(l.loop, l.lo, l.hi, written(s));
    body(l.body, inner);
    std::vector<SymbolRange> over{{l.loop, l.lo, l.hi}};
    passed(l.body, over, written(s), facts);
  }

  // Checks below a loop that has run to its end held at every iteration.
  void passed(const Body& list, std::vector<SymbolRange>& over, const std::set<BufferId>& changed, SafeFacts& facts) {
    for (const StmtRef& s : list) {
      if (const auto* c = std::get_if<Check>(&s->form)) {
        bool fixed = true;
        auto look = [&](const Expr& e) {
          walk(e, [&](const Expr& node) {
            if (const Load* l = node.as<Load>()) fixed &= !changed.count(l->buffer);
            return fixed;
          });
        };
        look(c->condition);
        for (const SymbolRange& r : over) look(r.lo), look(r.hi);
        if (fixed) facts.passed({over, c->condition});
      }
      const auto* l = std::get_if<For>(&s->form);
      if (l) over.push_back({l->loop, l->lo, l->hi});
      passed(children(s), over, changed, facts);
      if (l) over.pop_back();
    }
  }

  void stmt(const Alloc& a, const StmtRef& s, SafeFacts& facts) {
    for (BufferId id : a.buffers) {
      for (const BoxDim& d : p_.buffer(id).box)
        if (mentions_load(d.lo) || mentions_load(d.hi))
          report(Diagnostic(codes::box_of_data, s->place, "the box of " + quoted(name(id)) + " depends on data")
                     .with_help("give it a size that follows from the dims"));
      layout(id, s->place, facts);
    }
  }

  // No coordinate that a layout gives is negative; the greatest ones make the size.
  void layout(BufferId id, const Place& place, const SafeFacts& facts) {
    const Buffer& b = p_.buffer(id);
    if (!b.layout) return;
    SafeFacts at = facts;
    for (size_t i = 0; i < b.box.size(); ++i)
      at.assume_range(b.layout->from[i], index_constant(0), simplify(b.box[i].hi - b.box[i].lo));
    for (const Expr& to : b.layout->to)
      if (mentions_load(to) || !shown(at, less_equal(index_constant(0), to), place))
        report(Diagnostic(codes::layout_not_shown, place,
                          "cannot show that " + quoted(print(p_, to)) + " in the layout of " + quoted(name(id)) +
                              " is never negative"));
  }

  bool writable(BufferId id, const Place& place) {
    if (p_.buffer(id).role != Role::in) return true;
    Diagnostic d(codes::input_written, place, "the input " + quoted(name(id)) + " is written");
    if (p_.buffer(id).place.known()) d.labels.push_back({p_.buffer(id).place, "declared here"});
    d.help = "declare it `inout`";
    return report(std::move(d));
  }

  void stmt(const Reduce& r, const StmtRef& s, SafeFacts& facts) {
    for (const Window& w : r.windows) {
      for (const Range& range : w.ranges) reads(range.lo, facts, s->place), reads(range.hi, facts, s->place);
      writable(w.buffer, s->place);
      in_region(w.buffer, w.ranges, facts, s->place);
    }
    regions_.push_back({&r});
    body(r.body, facts);
    regions_.pop_back();
  }

  // What is written lies in the windows of every open region of the buffer: outside of them nothing is kept.
  bool in_region(BufferId id, const std::vector<Range>& ranges, SafeFacts& facts, const Place& place) {
    for (const OpenRegion& open : regions_)
      for (const Window& w : open.region->windows) {
        if (w.buffer != id) continue;
        for (size_t i = 0; i < w.ranges.size(); ++i)
          for (const Expr& c : {less_equal(w.ranges[i].lo, ranges[i].lo), less_equal(ranges[i].hi, w.ranges[i].hi)}) {
            if (shown(facts, c, place)) continue;
            Diagnostic d(codes::outside_region, place,
                         "cannot show that " + quoted(print(p_, ranges[i].lo)) + " is inside the window of " +
                             quoted(name(id)) + " that is reduced here" + missing(c));
            d.help = "widen the window of the `reduce`, or guard the leaf";
            return report(std::move(d));
          }
      }
    return true;
  }

  void stmt(const Leaf& l, const StmtRef& s, SafeFacts& scope) {
    const Stage& stage = p_.stage(l.stage);
    for (const Expr& e : l.bindings) reads(e, scope, s->place);
    reads(l.predicate, scope, s->place);
    SafeFacts at = scope;
    at.distrust(written(s));
    at.assume(l.predicate);
    const Substitution point = point_of(p_, l);
    const size_t before = found_.size();
    if (options_.domains) domain(l, stage, point, at, s->place);
    // One finding for each leaf: the others follow from it.
    for (const Assign& a : l.assigns)
      if (found_.size() == before) assign(l, a, point, at, s->place);
  }

  void domain(const Leaf& l, const Stage& stage, const Substitution& point, SafeFacts& at, const Place& place) {
    std::vector<Expr> promises;
    for (size_t i = 0; i < stage.axes.size(); ++i) {
      promises.push_back(less_equal(substitute(stage.axes[i].lo, point), l.bindings[i]));
      promises.push_back(less(l.bindings[i], substitute(stage.axes[i].hi, point)));
    }
    if (stage.where.known()) promises.push_back(substitute(stage.where, point));
    for (const Expr& c : promises) {
      reads(c, at, place);
      // That a range of data is covered is a matter of answers, not of memory: the prover knows too little of data to ask for it.
      if (has_data(c) || shown(at, c, place)) continue;
      Diagnostic d(codes::domain_not_shown, place,
                   "cannot show that this leaf stays in the domain of " + quoted(stage.name) + missing(c));
      if (stage.place.known()) d.labels.push_back({stage.place, "the domain is given here"});
      d.help = advice(c);
      report(std::move(d));
      return;
    }
  }

  void assign(const Leaf& l, const Assign& a, const Substitution& point, const SafeFacts& leaf, const Place& place) {
    if (!writable(a.buffer, place)) return;
    SafeFacts at = leaf;
    for (const Axis& x : a.over) {
      const Expr lo = substitute(x.lo, point), hi = substitute(x.hi, point);
      reads(lo, at, place), reads(hi, at, place);
      at.assume_range(x.symbol, lo, hi);
    }
    if (a.kind == AssignKind::combine && !whole_fields(l, a, point, at, place)) return;
    std::vector<Range> cell;
    for (size_t i = 0; i < a.subs.size(); ++i) {
      const Expr sub = substitute(a.subs[i], point);
      reads(sub, at, place);
      cell.push_back({sub, sub + 1});
    }
    for (size_t i = 0; i < cell.size(); ++i)
      if (!inside(at, a.buffer, i, cell[i].lo, cell[i].hi, "written", place)) return;
    if (!in_region(a.buffer, cell, at, place)) return;
    reads(substitute(a.value, point), at, place);
  }

  // The lines of a user reducer read fields at each other's axes: every axis runs over the field's whole extent.
  bool whole_fields(const Leaf& l, const Assign& a, const Substitution& point, SafeFacts& at, const Place& place) {
    const Reducer* reducer = p_.reducer(l.reducer);
    if (!reducer || reducer->builtin != BuiltinReducer::none) return true;
    for (const ReducerField& f : reducer->fields) {
      if (f.name != p_.buffer(a.buffer).field) continue;
      for (size_t k = 0; k < a.over.size() && k < f.extents.size(); ++k) {
        const Expr lo = substitute(a.over[k].lo, point), hi = substitute(a.over[k].hi, point);
        if (is_constant(lo, 0) && equal(hi, f.extents[k], at.facts())) continue;
        return report(Diagnostic(codes::access_not_shown, place,
                                 "the axis of the field " + quoted(f.name) + " runs over " +
                                     quoted(print(p_, lo) + " .. " + print(p_, hi)) + ", not over " +
                                     quoted("0 .. " + print(p_, f.extents[k]))));
      }
    }
    return true;
  }

  void stmt(const Call& c, const StmtRef& s, SafeFacts& facts) {
    const Instr& instr = *p_.instr(c.instr);
    std::vector<std::pair<SymbolId, Expr>> extents;
    for (size_t i = 0; i < c.windows.size(); ++i) {
      const Window& w = c.windows[i];
      const InstrOperand& operand = instr.operands[i];
      for (const Range& r : w.ranges) reads(r.lo, facts, s->place), reads(r.hi, facts, s->place);
      if (operand.inout) {
        writable(w.buffer, s->place);
        in_region(w.buffer, w.ranges, facts, s->place);
      }
      for (size_t d = 0, own = 0; d < w.ranges.size(); ++d) {
        const Range& r = w.ranges[d];
        if (!inside(facts, w.buffer, d, r.lo, r.hi, operand.inout ? "written" : "read", s->place)) break;
        if (r.point) continue;
        const SymbolId own_dim = operand.dims[own];
        const Expr extent = simplify(r.hi - r.lo);
        for (int64_t most : {operand.max_extents[own++], r.max_extent})
          if (most > 0 && !shown(facts, less_equal(extent, index_constant(most)), s->place))
            report(Diagnostic(codes::wide_window, s->place,
                              "cannot show that " + quoted(print(p_, r.lo) + " .. " + print(p_, r.hi)) + " of " +
                                  quoted(name(w.buffer)) + " has at most " + std::to_string(most) + " elements, as " +
                                  quoted(instr.name) + " needs"));
        for (const auto& [dim, other] : extents)
          if (dim == own_dim && !shown(facts, binary(BinaryOp::eq, extent, other), s->place))
            report(Diagnostic(codes::wide_window, s->place,
                              "cannot show that two operands of " + quoted(instr.name) + " agree on " +
                                  quoted(p_.symbol(dim).name) + ": " + quoted(print(p_, extent)) + " and " +
                                  quoted(print(p_, other))));
        extents.emplace_back(own_dim, extent);
      }
    }
  }

  void stmt(const Check& c, const StmtRef& s, SafeFacts& facts) {
    reads(c.condition, facts, s->place);
    SafeFacts failed = facts;
    failed.assume_not(c.condition);
    for (const Expr& e : c.coordinates) reads(e, failed, s->place);
    facts.assume(c.condition);
  }

  const Program& p_;
  SafetyOptions options_;
  std::vector<OpenRegion> regions_;
  std::map<const Stmt*, std::set<BufferId>> written_;
  int questions_ = 0;
  Diagnostics found_;
};

}  // namespace

Diagnostics check_safety(const Program& program, const SafetyOptions& options) {
  return SafetyChecker(program, options).run();
}

}  // namespace heddle::ir
