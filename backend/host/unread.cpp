// See passes.h. Two passes over the same places: statements that only make cells of temporaries allocated beside them. Where nobody reads
// those cells under some condition, they are not made under it (skip_unread); from where on nobody reads them, their loop ends
// (unread_ends). Where a temporary ends to be read is said by the loops and the conditions of its readers, at the values of their loops that
// reach furthest.
#include <algorithm>

#include "backend/host/passes.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Access;
using ir::Body;
using ir::Expr;
using ir::For;
using ir::StmtRef;

namespace {

/// A statement of a body, the temporaries that the body allocates, and the statements around it.
struct Site {
  const Body& list;
  size_t index;
  const std::vector<ir::BufferId>& own;
  const std::vector<StmtRef>& around;
};

// Consumers come last in a body, so bodies are walked from their end: what a changed producer no longer computes, it no longer reads, and
// what made that for it is changed for the same reason. `change` gives what a statement beside allocations becomes.
template <class F>
Body from_the_end(Body list, std::vector<StmtRef>& around, const F& change) {
  std::vector<ir::BufferId> own;
  for (const StmtRef& s : list) add_allocated(s, own);
  for (size_t i = list.size(); i-- > 0;) {
    if (!own.empty()) list[i] = change(Site{list, i, own, around});
    around.push_back(list[i]);
    if (const Body& below = ir::children(list[i]); !below.empty())
      list[i] = ir::with_children(list[i], from_the_end(below, around, change));
    around.pop_back();
  }
  return list;
}

// What the statement writes, where that is cells of `own` alone; nothing where it does more.
std::vector<Access> cells_made(const ir::Program& p, const Site& site) {
  const StmtRef& s = site.list[site.index];
  std::vector<ir::BufferId> inside;
  bool plain = true;
  auto see = [&](const StmtRef& part) {
    add_allocated(part, inside);
    plain = plain && !std::holds_alternative<ir::Call>(part->form) && !std::holds_alternative<ir::Check>(part->form);
    return plain;
  };
  if (std::holds_alternative<ir::Alloc>(s->form) || !see(s)) return {};
  ir::walk(ir::children(s), see);
  if (!plain) return {};
  std::vector<Access> out;
  for (Access& a : ir::accesses(p, {s})) {
    if (!a.writes || contains(inside, a.buffer)) continue;
    if (!contains(site.own, a.buffer)) return {};
    out.push_back(std::move(a));
  }
  return out;
}

// ---------------------------------------------------------------------------------------------------------------------

class SkipUnread {
 public:
  explicit SkipUnread(const ir::Program& p) : p_(p) {}

  StmtRef operator()(const Site& site) const {
    const StmtRef& s = site.list[site.index];
    const std::vector<Expr> needed = conditions(site);
    return needed.empty() ? s : only(s, needed);
  }

 private:
  // What holds wherever something reads what the statement makes.
  std::vector<Expr> conditions(const Site& site) const {
    std::vector<ir::BufferId> made;
    for (const Access& a : cells_made(p_, site))
      if (!contains(made, a.buffer)) made.push_back(a.buffer);
    if (made.empty()) return {};
    std::vector<Expr> common;
    bool any = false;
    for (size_t j = 0; j < site.list.size(); ++j) {
      if (j == site.index) continue;
      for (const Access& a : ir::accesses(p_, {site.list[j]})) {
        if (!contains(made, a.buffer)) continue;
        // Cells that another statement makes, too, would keep what this one leaves out.
        if (j < site.index || a.writes || !std::holds_alternative<ir::Leaf>(a.by->form)) return {};
        std::vector<Expr> here = outside(a, site, j);
        if (any) std::erase_if(common, [&](const Expr& e) { return !contains(here, e); });
        else common = std::move(here);
        any = true;
        if (common.empty()) return {};
      }
    }
    return common;
  }

  // Of a reader's condition the parts that read data and are the same at the producer; a part that speaks of loops alone shortens
  // loops elsewhere (unread_ends).
  std::vector<Expr> outside(const Access& read, const Site& site, size_t reader) const {
    const ir::Facts facts = ir::facts_at(p_, site.around);
    const Body between(site.list.begin() + static_cast<std::ptrdiff_t>(site.index),
                       site.list.begin() + static_cast<std::ptrdiff_t>(reader) + 1);
    std::vector<Expr> out;
    for (const Expr& e : ir::conjuncts(read.condition)) {
      if (!ir::mentions_load(e)) continue;
      // No other part of the condition keeps its reads inside there.
      const bool inner = std::any_of(read.free.begin(), read.free.end(),
                                     [&](const ir::SymbolRange& v) { return ir::mentions(e, v.symbol); });
      if (!inner && !changes(p_, between, e) && reads_inside(p_, e, facts)) out.push_back(e);
    }
    return out;
  }

  static StmtRef only(const StmtRef& s, const std::vector<Expr>& needed) {
    if (const auto* leaf = std::get_if<ir::Leaf>(&s->form)) {
      ir::Leaf out = *leaf;
      std::vector<Expr> all = needed;
      for (const Expr& e : ir::conjuncts(leaf->predicate)) all.push_back(e);
      out.predicate = ir::conjoin(all);
      return ir::make_stmt(std::move(out), s->place);
    }
    Body below = ir::children(s);
    if (below.empty()) return s;
    for (StmtRef& inner : below) inner = only(inner, needed);
    return ir::with_children(s, below);
  }

  const ir::Program& p_;
};

// ---------------------------------------------------------------------------------------------------------------------

std::vector<ir::SymbolRange> without(std::vector<ir::SymbolRange> ranges, ir::SymbolId symbol) {
  std::erase_if(ranges, [&](const ir::SymbolRange& r) { return r.symbol == symbol; });
  return ranges;
}

class UnreadEnds {
 public:
  explicit UnreadEnds(const ir::Program& p) : p_(p) {}

  // The statement with an earlier end, where it is a loop that makes cells which nobody reads from some iteration on.
  StmtRef operator()(const Site& site) const {
    const StmtRef& s = site.list[site.index];
    const auto* loop = std::get_if<For>(&s->form);
    if (!loop || loop->kind != ir::LoopKind::serial) return s;
    const std::vector<Access> made = cells_made(p_, site);
    if (made.empty()) return s;
    const ir::Facts facts = ir::facts_at(p_, site.around);
    Expr end;
    for (const Access& a : made) {
      if (a.combines || a.initialises) return s;
      const Expr one = last_needed(site, a, *loop, facts);
      if (!one.known()) return s;
      end = !end.known() || ir::equal(end, one) ? one : ir::max(end, one);
    }
    For out = *loop;
    out.hi = ir::simplify(ir::min(out.hi, end));
    return ir::equal(out.hi, loop->hi) ? s : ir::make_stmt(std::move(out), s->place);
  }

 private:
  // The iteration from which on this access writes nothing that is read; none where that cannot be said.
  Expr last_needed(const Site& site, const Access& write, const For& loop, const ir::Facts& facts) const {
    for (size_t d = 0; d < write.window.size(); ++d) {
      if (!ir::mentions(write.window[d].lo, loop.loop)) continue;
      const ir::Bounds least = ir::bounds_over(write.window[d].lo, without(write.free, loop.loop), facts);
      if (!least.ok) continue;
      const ir::AffineIn in = ir::affine_in(least.lo, loop.loop);
      if (!in.ok || in.coefficient <= 0) continue;
      const Expr end = read_end(site, write.buffer, d, facts);
      if (end.known()) return ir::simplify(ir::ceildiv(end - in.rest, ir::index_constant(in.coefficient)));
    }
    return {};
  }

  Expr read_end(const Site& site, ir::BufferId buffer, size_t d, const ir::Facts& facts) const {
    Expr end;
    for (size_t i = 0; i < site.list.size(); ++i)
      for (const Access& a : ir::accesses(p_, {site.list[i]}, buffer)) {
        if (!a.reads) continue;
        if (i <= site.index || a.tried || !std::holds_alternative<ir::Leaf>(a.by->form)) return {};
        const Expr one = end_of(a, d, facts);
        if (!one.known()) return {};
        end = !end.known() || ir::equal(end, one) ? one : ir::max(end, one);
      }
    return end;
  }

  // At the loop nothing is known of the guards of its readers: data that its end speaks of is there for every iteration around.
  bool readable(const Expr& e, const ir::Facts& facts) const {
    bool inputs = true;
    ir::walk(e, [&](const Expr& node) {
      if (const auto* load = node.as<ir::Load>()) inputs = inputs && p_.buffer(load->buffer).role == ir::Role::in;
      return inputs;
    });
    return inputs && reads_inside(p_, e, facts);
  }

  // Of the conditions only a `where`: by guards of ranges, tiles read past them (drop_guards).
  Expr end_of(const Access& a, size_t d, const ir::Facts& facts) const {
    const auto& leaf = std::get<ir::Leaf>(a.by->form);
    const bool limited = p_.stage(leaf.stage).where.known();
    const Expr& hi = a.window[d].hi;
    const ir::Bounds whole = ir::bounds_over(hi, a.free, facts);
    Expr end = whole.ok && readable(whole.hi, facts) ? whole.hi : Expr{};
    for (const ir::SymbolRange& v : a.free) {
      const ir::AffineIn place = ir::affine_in(hi, v.symbol);
      if (!place.ok || place.coefficient != 1) continue;
      for (const Expr& e : limited ? conjuncts(a.condition) : std::vector<Expr>{}) {
        Expr left, right;
        if (!as_less(e, left, right) || ranged_axis(p_, leaf, e)) continue;
        const ir::AffineIn in = ir::affine_in(left - right, v.symbol);  // v + rest < 0
        if (!in.ok || in.coefficient != 1) continue;
        const ir::Bounds most = ir::bounds_over(place.rest - in.rest - 1, without(a.free, v.symbol), facts);
        if (most.ok && !ir::mentions(most.hi, v.symbol) && readable(most.hi, facts))
          end = end.known() ? ir::min(end, most.hi) : most.hi;
      }
    }
    return end.known() ? ir::simplify(end) : end;
  }

  const ir::Program& p_;
};

}  // namespace

ir::Program skip_unread(ir::Program program) {
  std::vector<StmtRef> around;
  program.body = from_the_end(program.body, around, SkipUnread(program));
  return program;
}

ir::Program unread_ends(ir::Program program) {
  const bool limited =
      std::any_of(program.stages.begin(), program.stages.end(), [](const ir::Stage& s) { return s.where.known(); });
  if (!limited) return program;
  std::vector<StmtRef> around;
  program.body = from_the_end(program.body, around, UnreadEnds(program));
  return program;
}

}  // namespace heddle::host
