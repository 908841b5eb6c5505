#include "schedule/slide.h"

#include <algorithm>

namespace heddle::schedule {

using namespace ir;

namespace {

// A condition that a point of the nest is skipped by is the same at every iteration that has the point.
bool about_the_point(const Expr& condition, const ProducerNest::Loop& moving, SymbolId around, SymbolId point) {
  if (!mentions(condition, moving.form.loop) && !mentions(condition, around)) return true;
  if (mentions_load(condition)) return false;
  Expr at_point = tidy(substitute(condition, {{moving.form.loop, simplify(var(point) - moving.rest)}}));
  return !mentions(at_point, around) && !mentions(at_point, moving.form.loop);
}

}  // namespace

std::optional<StmtRef> slid(const Step& step, const ProducerNest& nest, const For& around) {
  const Program& p = step.program;
  if (around.kind != LoopKind::serial || is_case_loop(around)) return std::nullopt;
  const ProducerNest::Loop* moving = nullptr;
  for (const ProducerNest::Loop& l : nest.loops) {
    if (mentions(l.form.lo, around.loop) || mentions(l.form.hi, around.loop)) return std::nullopt;
    if (!mentions(l.rest, around.loop)) continue;
    if (moving || p.stage(nest.stage).axes[l.axis].cls != AxisClass::map) return std::nullopt;
    moving = &l;
  }
  if (!moving) return std::nullopt;
  // Axes of one iteration have no loop; they stay where they are.
  const Leaf& leaf = nest.leaf();
  for (size_t i = 0; i < leaf.bindings.size(); ++i)
    if (i != moving->axis && mentions(leaf.bindings[i], around.loop)) return std::nullopt;
  const AffineIn step_of = affine_in(simplify(moving->rest), around.loop);
  const Expr length = simplify(moving->form.hi - moving->form.lo);
  const int64_t* n = constant_value(length);
  if (!step_of.ok || step_of.coefficient < 1 || !n || step_of.coefficient >= *n || !is_constant(moving->form.lo, 0))
    return std::nullopt;
  // Any symbol that is no loop of the program will do for the point.
  const SymbolId point = p.stage(nest.stage).axes[moving->axis].symbol;
  for (const Expr& c : conjuncts(leaf.predicate))
    if (!about_the_point(c, *moving, around.loop, point)) return std::nullopt;
  // The region of a reduction opens inside the loop: what is kept is complete.
  bool inside = false;
  for (const StmtRef& s : nest.chain) {
    if (const For* l = as<For>(s)) inside |= l->loop == moving->form.loop;
    if (as<Reduce>(s) && !inside) return std::nullopt;
  }
  const Expr first = binary(BinaryOp::eq, var(around.loop), around.lo);
  const Expr from = select(first, index_constant(0), index_constant(*n - step_of.coefficient));
  Body out = rewrite_body({nest.chain.front()}, [&](const StmtRef& s) -> Body {
    const For* l = as<For>(s);
    if (!l || l->loop != moving->form.loop) return {s};
    For next = *l;
    next.lo = from;
    return {make_stmt(std::move(next), s->place)};
  });
  return out.front();
}

}  // namespace heddle::schedule
