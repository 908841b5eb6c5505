// See passes.h. Consumers come last in a body, so bodies are walked from their end: a producer that is left out reads nothing either,
// and what made that for it is left out by the same condition.
#include <algorithm>

#include "backend/host/passes.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Access;
using ir::Body;
using ir::Expr;
using ir::StmtRef;

namespace {

class SkipUnread {
 public:
  explicit SkipUnread(const ir::Program& p) : p_(p) {}

  Body body(Body list) {
    std::vector<ir::BufferId> own;
    for (const StmtRef& s : list) add_allocated(s, own);
    for (size_t i = list.size(); i-- > 0;) {
      if (!own.empty())
        if (const std::vector<Expr> needed = conditions(list, i, own); !needed.empty()) list[i] = only(list[i], needed);
      path_.push_back(list[i]);
      if (const Body& below = ir::children(list[i]); !below.empty()) list[i] = ir::with_children(list[i], body(below));
      path_.pop_back();
    }
    return list;
  }

 private:
  // What holds wherever something reads what the statement makes; nothing where it does more than to make cells of `own`.
  std::vector<Expr> conditions(const Body& list, size_t index, const std::vector<ir::BufferId>& own) const {
    std::vector<ir::BufferId> made, inside;
    bool plain = !std::holds_alternative<ir::Alloc>(list[index]->form);
    auto see = [&](const StmtRef& s) {
      add_allocated(s, inside);
      plain = plain && !std::holds_alternative<ir::Call>(s->form) && !std::holds_alternative<ir::Check>(s->form);
    };
    see(list[index]);
    ir::walk(ir::children(list[index]), [&](const StmtRef& s) {
      see(s);
      return plain;
    });
    if (!plain) return {};
    for (const Access& a : ir::accesses(p_, {list[index]})) {
      if (!a.writes || contains(inside, a.buffer)) continue;
      if (!contains(own, a.buffer)) return {};
      if (!contains(made, a.buffer)) made.push_back(a.buffer);
    }
    if (made.empty()) return {};
    std::vector<Expr> common;
    bool any = false;
    for (size_t j = 0; j < list.size(); ++j) {
      if (j == index) continue;
      for (const Access& a : ir::accesses(p_, {list[j]})) {
        if (!contains(made, a.buffer)) continue;
        // Cells that another statement makes, too, would keep what this one leaves out.
        if (j < index || a.writes || !std::holds_alternative<ir::Leaf>(a.by->form)) return {};
        std::vector<Expr> here = outside(a, list, index, j);
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
  std::vector<Expr> outside(const Access& read, const Body& list, size_t index, size_t reader) const {
    const ir::Facts facts = ir::facts_at(p_, path_);
    const Body between(list.begin() + static_cast<std::ptrdiff_t>(index),
                       list.begin() + static_cast<std::ptrdiff_t>(reader) + 1);
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
  std::vector<StmtRef> path_;
};

}  // namespace

ir::Program skip_unread(ir::Program program) {
  program.body = SkipUnread(program).body(program.body);
  return program;
}

}  // namespace heddle::host
