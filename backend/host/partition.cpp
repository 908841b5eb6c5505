// See passes.h. Splits one serial loop where all guards of a small body hold; the rest keeps them.
#include <algorithm>
#include <set>

#include "backend/host/passes.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::Expr;
using ir::For;
using ir::Leaf;
using ir::LoopKind;
using ir::StmtRef;

namespace {

class Partition {
 public:
  explicit Partition(const ir::Program& p) : p_(p) {}

  Body body(const Body& list) {
    Body out;
    for (const StmtRef& s : list) {
      const auto* l = std::get_if<For>(&s->form);
      if (l) loops_.push_back(s);
      StmtRef inner = s;
      if (const Body& below = ir::children(s); !below.empty()) inner = ir::with_children(s, body(below));
      if (l) loops_.pop_back();
      if (l && l->kind == LoopKind::serial) {
        Body parts = split(inner);
        out.insert(out.end(), parts.begin(), parts.end());
      } else {
        out.push_back(inner);
      }
    }
    return out;
  }

 private:
  static constexpr int64_t most_leaves = 32, shortest_loop = 8;

  // Only loops that are written out below: the guards are checked at each of few places.
  bool small(const Body& list) {
    bool fits = leaf_copies(list) <= most_leaves;
    ir::walk(list, [&](const StmtRef& s) {
      if (const auto* l = std::get_if<For>(&s->form)) {
        fits &= l->kind == LoopKind::vector || l->kind == LoopKind::unrolled;
        inner_.push_back({l->loop, l->lo, l->hi});
      } else {
        fits &= std::holds_alternative<Leaf>(s->form);
      }
      return fits;
    });
    return fits;
  }

  // The iterations of the loop in which `d < 0` holds for all of the inner ones: from `begin` on, or before `end`; one of them.
  struct Limit {
    Expr begin, end;
    bool known() const { return begin.known() || end.known(); }
  };
  Limit limit(const Expr& d, const For& l, const ir::Facts& facts) const {
    const ir::AffineIn in = ir::affine_in(d, l.loop);
    if (!in.ok || in.coefficient == 0 || in.coefficient == INT64_MIN) return {};
    const ir::Bounds worst = ir::bounds_over(in.rest, inner_, facts);
    if (!worst.ok) return {};
    if (in.coefficient > 0)
      return {{}, ir::simplify(ir::ceildiv(ir::index_constant(0) - worst.hi, ir::index_constant(in.coefficient)))};
    return {ir::simplify(ir::binary(ir::BinaryOp::div, worst.hi, ir::index_constant(-in.coefficient)) + 1), {}};
  }

  // The part of a loop that a split leaves without guards.
  struct Middle {
    Expr begin, end;
    std::vector<Expr> gone;
  };

  static void meet(Middle& middle, const Limit& limit, const ir::Facts& facts) {
    if (limit.end.known())
      middle.end = ir::prove(facts, ir::less_equal(limit.end, middle.end)) ? limit.end : ir::min(middle.end, limit.end);
    if (limit.begin.known() && !ir::prove(facts, ir::less_equal(limit.begin, middle.begin)))
      middle.begin = ir::prove(facts, ir::less_equal(middle.begin, limit.begin)) ? limit.begin
                                                                                 : ir::max(middle.begin, limit.begin);
  }

  // A read with `or` whose place the loop moves: what is left of its conditions where the loop meets the others; none where lanes
  // would still differ.
  std::optional<std::vector<Expr>> left_of(const ir::Load& load, const ir::Substitution& point, const For& l,
                                           const ir::Facts& facts, Middle* middle) const {
    const auto& box = p_.buffer(load.buffer).box;
    std::vector<Expr> left;
    std::vector<Limit> met;
    for (size_t d = 0; d < load.subs.size(); ++d) {
      const Expr sub = ir::substitute(load.subs[d], point);
      for (const bool above : {false, true}) {
        auto inside = [&](const Expr& at) { return above ? ir::less(at, box[d].hi) : ir::less_equal(box[d].lo, at); };
        if (ir::prove(facts, inside(sub))) continue;
        const Limit one = limit(above ? sub - box[d].hi : box[d].lo - sub - 1, l, facts);
        if (ir::mentions(sub, l.loop) && one.known()) {
          met.push_back(one);
          continue;
        }
        if (ir::mentions_loops(p_, above ? box[d].hi : box[d].lo)) return std::nullopt;
        left.push_back(inside(load.subs[d]));
        for (const ir::SymbolRange& v : inner_)
          if (ir::mentions(sub, v.symbol)) return std::nullopt;
      }
    }
    if (met.empty()) return std::nullopt;
    if (middle)
      for (const Limit& one : met) meet(*middle, one, facts);
    return left;
  }

  // The value with such reads as plain ones.
  Expr plain_reads(const Expr& value, const ir::Substitution& point, const For& l, const ir::Facts& facts,
                   Middle* middle) const {
    return ir::rewrite(value, [&](const Expr& e) {
      const auto* load = e.as<ir::Load>();
      if (!load || !load->otherwise.known()) return e;
      const std::optional<std::vector<Expr>> left = left_of(*load, point, l, facts, middle);
      if (!left) return e;
      const Expr read = ir::load(e.type(), load->buffer, load->subs);
      return left->empty() ? read : ir::select(ir::conjoin(*left), read, load->otherwise);
    });
  }

  Body with_plain_reads(const Body& list, const For& l, Middle& middle, bool& changed) const {
    std::vector<StmtRef> around = loops_;
    around.push_back(ir::make_stmt(l));
    ir::Facts facts = ir::facts_at(p_, around);
    for (const ir::SymbolRange& v : inner_) facts.add_range(v.symbol, v.lo, v.hi);
    return ir::rewrite_body(list, [&](const StmtRef& s) -> Body {
      const auto* leaf = std::get_if<Leaf>(&s->form);
      if (!leaf) return {s};
      Leaf out = *leaf;
      const ir::Substitution point = ir::point_of(p_, *leaf);
      for (ir::Assign& a : out.assigns) {
        const Expr now = a.over.empty() ? plain_reads(a.value, point, l, facts, &middle) : a.value;
        changed = changed || !ir::same(now, a.value);
        a.value = now;
      }
      return {ir::make_stmt(std::move(out), s->place)};
    });
  }

  Body split(const StmtRef& s) {
    const For& l = std::get<For>(s->form);
    inner_.clear();
    Expr keep;
    const int64_t* extent = constant_extent(l, keep);
    if ((extent && *extent <= shortest_loop) || !small(l.body) || inner_.empty()) return {s};
    std::vector<Expr> guards;
    ir::walk(l.body, [&](const StmtRef& at) {
      if (const auto* leaf = std::get_if<Leaf>(&at->form))
        for (const Expr& e : conjuncts(leaf->predicate))
          if (ir::mentions(e, l.loop) && !contains(guards, e)) guards.push_back(e);
      return true;
    });
    const ir::Facts facts = ir::facts_at(p_, loops_);
    Middle middle{l.lo, l.hi, {}};
    for (const Expr& e : guards) {
      Expr left, right;
      if (!as_less(e, left, right)) continue;
      const Limit one = limit(left - right, l, facts);
      if (!one.end.known()) continue;
      meet(middle, one, facts);
      middle.gone.push_back(e);
    }
    bool plain_reads = false;
    Body body = with_plain_reads(without(l.body, middle.gone), l, middle, plain_reads);
    if (middle.gone.empty() && !plain_reads) return {s};
    // Without the help of loops: what comes later must see at once that the rest begins inside.
    std::set<uint32_t> symbols;
    ir::walk(middle.end, [&](const Expr& e) {
      if (const auto* v = e.as<ir::Var>()) symbols.insert(v->symbol.value);
      return true;
    });
    const bool plain = symbols.size() <= 1 && ir::prove(ir::facts_of(p_), ir::less_equal(middle.begin, middle.end));
    For first = l, main = l, rest = l;
    main.lo = middle.begin;
    main.hi = middle.end;
    main.body = std::move(body);
    rest.lo = plain ? middle.end : ir::max(middle.begin, middle.end);
    Body out;
    if (!ir::equal(middle.begin, l.lo)) {
      first.hi = ir::min(middle.begin, l.hi);
      out.push_back(ir::make_stmt(std::move(first), s->place));
    }
    out.push_back(ir::make_stmt(std::move(main), s->place));
    out.push_back(ir::make_stmt(std::move(rest), s->place));
    return out;
  }

  const ir::Program& p_;
  std::vector<StmtRef> loops_;
  std::vector<ir::SymbolRange> inner_;
};

}  // namespace

ir::Program partition(ir::Program program) {
  program.body = Partition(program).body(program.body);
  return program;
}

}  // namespace heddle::host
