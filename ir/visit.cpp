#include "ir/visit.h"

#include "support/result.h"

namespace heddle::ir {
namespace {

bool map_list(std::vector<Expr>& list, const std::function<Expr(const Expr&)>& f) {
  bool changed = false;
  for (Expr& e : list) {
    Expr next = e.known() ? f(e) : e;
    changed |= !next.is(e);
    e = std::move(next);
  }
  return changed;
}

bool map_one(Expr& e, const std::function<Expr(const Expr&)>& f) {
  if (!e.known()) return false;
  Expr next = f(e);
  bool changed = !next.is(e);
  e = std::move(next);
  return changed;
}

// Rebuilds a node from mapped parts through the folding builders.
Expr rebuild(const Expr& e, const std::function<Expr(const Expr&)>& f) {
  return std::visit(overloaded{
                        [&](const Constant&) { return e; },
                        [&](const Var&) { return e; },
                        [&](Load l) {
                          bool changed = map_list(l.subs, f);
                          changed |= map_one(l.otherwise, f);
                          return changed ? make_expr(e.type(), std::move(l)) : e;
                        },
                        [&](StateField s) { return map_list(s.subs, f) ? make_expr(e.type(), std::move(s)) : e; },
                        [&](Unary u) { return map_one(u.value, f) ? unary(u.op, u.value) : e; },
                        [&](Binary b) {
                          bool changed = map_one(b.left, f);
                          changed |= map_one(b.right, f);
                          return changed ? binary(b.op, b.left, b.right) : e;
                        },
                        [&](Select s) {
                          bool changed = map_one(s.condition, f);
                          changed |= map_one(s.yes, f);
                          changed |= map_one(s.no, f);
                          return changed ? select(s.condition, s.yes, s.no) : e;
                        },
                        [&](MathCall c) { return map_list(c.args, f) ? make_expr(e.type(), std::move(c)) : e; },
                        [&](Convert c) { return map_one(c.value, f) ? convert(e.type(), c.value, c.mode) : e; },
                    },
                    e->form);
}

bool map_axes(std::vector<Axis>& axes, const std::function<Expr(const Expr&)>& f) {
  bool changed = false;
  for (Axis& a : axes) {
    changed |= map_one(a.lo, f);
    changed |= map_one(a.hi, f);
  }
  return changed;
}

bool map_windows(std::vector<Window>& windows, const std::function<Expr(const Expr&)>& f) {
  bool changed = false;
  for (Window& w : windows)
    for (Range& r : w.ranges) {
      changed |= map_one(r.lo, f);
      changed |= map_one(r.hi, f);
    }
  return changed;
}

using Map = std::function<Expr(const Expr&)>;

StmtRef map_stmt(const StmtRef& s, const Map& f, bool leaf_bodies);

bool map_body(Body& body, const Map& f, bool leaf_bodies) {
  bool changed = false;
  for (StmtRef& child : body) {
    StmtRef next = map_stmt(child, f, leaf_bodies);
    changed |= next != child;
    child = std::move(next);
  }
  return changed;
}

bool map_form(For& l, const Map& f, bool leaf_bodies) {
  bool changed = map_one(l.lo, f);
  changed |= map_one(l.hi, f);
  changed |= map_body(l.body, f, leaf_bodies);
  return changed;
}
bool map_form(Alloc&, const Map&, bool) { return false; }
bool map_form(Reduce& r, const Map& f, bool leaf_bodies) {
  bool changed = map_windows(r.windows, f);
  changed |= map_body(r.body, f, leaf_bodies);
  return changed;
}
bool map_form(Leaf& l, const Map& f, bool leaf_bodies) {
  bool changed = map_list(l.bindings, f);
  changed |= map_one(l.predicate, f);
  if (!leaf_bodies) return changed;
  for (Assign& a : l.assigns) {
    changed |= map_list(a.subs, f);
    changed |= map_axes(a.over, f);
    changed |= map_one(a.value, f);
  }
  return changed;
}
bool map_form(Call& c, const Map& f, bool) { return map_windows(c.windows, f); }
bool map_form(Check& c, const Map& f, bool) {
  bool changed = map_one(c.condition, f);
  changed |= map_list(c.coordinates, f);
  return changed;
}

StmtRef map_stmt(const StmtRef& s, const Map& f, bool leaf_bodies) {
  return std::visit(
      [&](auto form) { return map_form(form, f, leaf_bodies) ? make_stmt(std::move(form), s->place) : s; }, s->form);
}

}  // namespace

void walk(const Expr& e, const std::function<bool(const Expr&)>& f) {
  if (!e.known() || !f(e)) return;
  auto list = [&](const std::vector<Expr>& parts) {
    for (const Expr& p : parts) walk(p, f);
  };
  std::visit(overloaded{
                 [&](const Constant&) {},
                 [&](const Var&) {},
                 [&](const Load& l) {
                   list(l.subs);
                   walk(l.otherwise, f);
                 },
                 [&](const StateField& s) { list(s.subs); },
                 [&](const Unary& u) { walk(u.value, f); },
                 [&](const Binary& b) {
                   walk(b.left, f);
                   walk(b.right, f);
                 },
                 [&](const Select& s) {
                   walk(s.condition, f);
                   walk(s.yes, f);
                   walk(s.no, f);
                 },
                 [&](const MathCall& c) { list(c.args); },
                 [&](const Convert& c) { walk(c.value, f); },
             },
             e->form);
}

Expr rewrite(const Expr& e, const std::function<Expr(const Expr&)>& f) {
  if (!e.known()) return e;
  return f(rebuild(e, [&](const Expr& part) { return rewrite(part, f); }));
}

Expr substitute(const Expr& e, const Substitution& map) {
  if (map.empty()) return e;
  return rewrite(e, [&](const Expr& node) {
    if (const Var* v = node.as<Var>())
      for (const auto& [symbol, value] : map)
        if (symbol == v->symbol) return value;
    return node;
  });
}

std::vector<Expr> substitute(const std::vector<Expr>& list, const Substitution& map) {
  std::vector<Expr> out;
  for (const Expr& e : list) out.push_back(substitute(e, map));
  return out;
}

Substitution point_of(const Program& program, const Leaf& leaf) {
  const Stage& stage = program.stage(leaf.stage);
  Substitution out;
  for (size_t i = 0; i < stage.axes.size(); ++i) out.emplace_back(stage.axes[i].symbol, leaf.bindings[i]);
  return out;
}

bool mentions_load(const Expr& e) {
  bool found = false;
  walk(e, [&](const Expr& node) {
    found |= node.as<Load>() != nullptr;
    return !found;
  });
  return found;
}

bool mentions_loops(const Program& p, const Expr& e) {
  bool found = false;
  walk(e, [&](const Expr& node) {
    if (const Var* v = node.as<Var>()) found |= p.symbol(v->symbol).kind == SymbolKind::loop;
    return !found;
  });
  return found;
}

bool mentions(const Expr& e, SymbolId symbol) {
  bool found = false;
  walk(e, [&](const Expr& node) {
    if (const Var* v = node.as<Var>()) found |= v->symbol == symbol;
    return !found;
  });
  return found;
}

bool mentions(const StmtRef& s, SymbolId symbol) {
  bool found = false;
  map_exprs(s, [&](const Expr& e) {
    found = found || mentions(e, symbol);
    return e;
  });
  return found;
}

StmtRef map_exprs(const StmtRef& s, const std::function<Expr(const Expr&)>& f) { return map_stmt(s, f, true); }
StmtRef map_loop_exprs(const StmtRef& s, const std::function<Expr(const Expr&)>& f) { return map_stmt(s, f, false); }
StmtRef substitute_loops(const StmtRef& s, const Substitution& map) {
  return map_loop_exprs(s, [&](const Expr& e) { return substitute(e, map); });
}

const Body& children(const StmtRef& s) {
  static const Body none;
  if (const For* l = std::get_if<For>(&s->form)) return l->body;
  if (const Reduce* r = std::get_if<Reduce>(&s->form)) return r->body;
  return none;
}

StmtRef with_children(const StmtRef& s, Body body) {
  if (const For* l = std::get_if<For>(&s->form)) {
    For next = *l;
    next.body = std::move(body);
    return make_stmt(std::move(next), s->place);
  }
  if (const Reduce* r = std::get_if<Reduce>(&s->form)) {
    Reduce next = *r;
    next.body = std::move(body);
    return make_stmt(std::move(next), s->place);
  }
  return s;
}

Body rewrite_body(const Body& body, const std::function<Body(const StmtRef&)>& f) {
  Body out;
  for (const StmtRef& s : body) {
    StmtRef current = s;
    const Body& inside = children(s);
    if (!inside.empty()) {
      Body next = rewrite_body(inside, f);
      if (next != inside) current = with_children(s, std::move(next));
    }
    for (StmtRef& made : f(current)) out.push_back(std::move(made));
  }
  return out;
}

void walk(const Body& body, const std::function<bool(const StmtRef&)>& f) {
  for (const StmtRef& s : body)
    if (f(s)) walk(children(s), f);
}

std::vector<StmtRef> path_to(const Body& body, const std::function<bool(const StmtRef&)>& f) {
  for (const StmtRef& s : body) {
    if (f(s)) return {s};
    std::vector<StmtRef> below = path_to(children(s), f);
    if (below.empty()) continue;
    below.insert(below.begin(), s);
    return below;
  }
  return {};
}

}  // namespace heddle::ir
