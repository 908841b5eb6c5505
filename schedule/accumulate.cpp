#include "ir/print.h"
#include "schedule/legality.h"
#include "schedule/names.h"
#include "schedule/partial.h"
#include "schedule/place.h"

namespace heddle::schedule {

using namespace ir;

namespace {

bool loop_name_taken(const Program& p, const std::string& owner, const std::string& name) {
  bool taken = false;
  walk(p.body, [&](const StmtRef& s) {
    if (const For* l = as<For>(s)) taken |= p.symbol(l->loop).owner == owner && p.symbol(l->loop).name == name;
    return !taken;
  });
  return taken;
}

// for i over the window { S[i] R= n[i, K] }: the leaf with its map axes bound to loops over the block. `at`: the facts
// there.
Result<StmtRef> combining_block(Step& step, const Reduction& r, Leaf leaf, const std::vector<Range>& own, Facts at) {
  Program& p = step.program;
  const Stage row = p.stage(r.stage);
  Substitution axes;
  std::vector<For> loops;
  size_t axis = 0;
  // Conditions on loops that are still around.
  std::vector<Expr> guards;
  for (const Expr& part : conjuncts(leaf.predicate)) {
    bool around = true;
    for (size_t i = r.at + 1; i < r.loops.size(); ++i) around &= !mentions(part, r.loops[i].loop);
    if (around) guards.push_back(part);
  }
  auto guard = [&](const Expr& condition) {
    bool known = false;
    for (const Expr& g : guards) known |= same(g, condition);
    if (!known && !prove(at, condition)) guards.push_back(condition);
  };
  const std::vector<Expr>& subs = leaf.assigns.front().subs;
  for (; axis < row.axes.size() && row.axes[axis].cls != AxisClass::reduce && row.axes[axis].cls != AxisClass::scatter;
       ++axis) {
    const Axis& a = row.axes[axis];
    size_t d = 0;
    while (d < own.size() && !(subs[d].as<Var>() && subs[d].as<Var>()->symbol == a.symbol)) ++d;
    if (d == own.size())
      return step.refusal(codes::not_a_reduction, "`" + row.name + "` does not define its cells by plain indices");
    Expr extent = simplify(own[d].hi - own[d].lo, at), value = own[d].lo;
    if (!is_constant(extent, 1)) {
      std::string name = p.symbol(a.symbol).name;
      while (loop_name_taken(p, row.name, name)) name += "c";
      For l;
      l.loop = p.add(Symbol{name, SymbolKind::loop, ScalarType::index, row.name, step.call.place});
      l.lo = index_constant(0);
      l.hi = extent;
      value = simplify(own[d].lo + var(l.loop));
      at.add_range(l.loop, l.lo, l.hi);
      loops.push_back(std::move(l));
    }
    axes.emplace_back(a.symbol, value);
    leaf.bindings[axis] = value;
    Expr lo = tidy(substitute(a.lo, axes)), hi = tidy(substitute(a.hi, axes));
    guard(less_equal(lo, value));
    guard(less(value, hi));
  }
  if (row.where.known())
    for (const Expr& part : conjuncts(tidy(substitute(row.where, axes)))) guard(part);
  leaf.predicate = conjoin(guards);
  StmtRef inner = make_stmt(std::move(leaf), r.leaf_stmt->place);
  for (size_t i = loops.size(); i-- > 0;) {
    loops[i].body = {inner};
    inner = make_stmt(std::move(loops[i]), step.call.place);
  }
  return inner;
}

}  // namespace

Result<Done> accumulate_at(Step& step, SymbolId loop, const std::string& name, Memory memory) {
  Program& p = step.program;
  Result<Reduction> found = reduction_of(step, loop, true);
  if (!found) return found.errors();
  Reduction& r = *found;
  bool carried = false;
  for (size_t i = 0; i <= r.at; ++i) {
    r.mapped[i] = r.reduces[i];
    carried |= r.reduces[i];
  }
  const std::string stage = p.stage(r.stage).name;
  if (!carried)
    return step.refusal(codes::not_a_reduction, "the reduction of `" + stage + "` lies all inside `" +
                                                    loop_name(p, loop) + "`: there is nothing to accumulate");
  Result<bool> leave = can_make_partials(step, r);
  if (!leave) return leave.errors();
  for (size_t i = r.at + 1; i < r.loops.size(); ++i)
    consume(step, loop_name(p, r.loops[i].loop), "moved to `" + name + "." + p.symbol(r.loops[i].loop).name + "`");

  // The block that one iteration combines into.
  Path path = path_to_loop(p, loop);
  Facts at = facts_at(p, path);
  Reduce block = r.form();
  block.body = loop_of(path).body;
  Result<std::vector<Window>> windows = region_windows(step, block, at);
  if (!windows) return windows.errors();
  // Blocks of different iterations that do not reduce may not meet: each cell is combined where its terms are.
  std::vector<For> apart;
  for (const StmtRef& s : path_to_stmt(p, r.region))
    if (const For* l = as<For>(s)) apart.push_back(*l);
  for (size_t i = 0; i <= r.at; ++i)
    if (!r.mapped[i]) apart.push_back(r.loops[i]);
  for (const Window& w : *windows)
    if (!disjoint_over(w, apart, at))
      return step.refusal(codes::not_shown, "cannot show that the blocks of `" + stage +
                                                "` that different iterations combine into do not overlap");
  std::vector<Range> ranges;
  for (size_t i = 0; i < r.loops.size(); ++i)
    if (r.mapped[i]) ranges.push_back({var(r.loops[i].loop), var(r.loops[i].loop) + 1});
  Result<Partial> made = make_partial(step, r, name, r.at + 1);
  if (!made) return made.errors();
  make_buffers(step, r, name, *windows, ranges, *made);
  Result<Memory> chosen = memory_for(step, made->buffers, memory);
  if (!chosen) return chosen.errors();
  for (BufferId id : made->buffers) p.buffers[id.value].memory = *chosen;
  StmtRef partial =
      partial_region(p, r, *made, *windows, ranges, in_partial_loops(r, *made, r.at + 1, partial_leaf(p, r, *made)));
  const Buffer& first = p.buffer((*windows)[0].buffer);
  std::vector<Range> own((*windows)[0].ranges.begin(), (*windows)[0].ranges.end() - first.field_dims);
  // The moved loops give their names free before the combining ones take them.
  For l = loop_of(path);
  l.body = {make_stmt(Alloc{made->buffers}, step.call.place), partial};
  StmtRef without = make_stmt(l, path.back()->place);
  replace(p, path.back(), {without});
  Result<StmtRef> combining = combining_block(step, r, combining_leaf(step, r, *made), own, at);
  if (!combining) return combining.errors();
  l.body.push_back(*combining);
  replace(p, without, {make_stmt(std::move(l), path.back()->place)});
  if (!*leave) return Done{};
  Path region = path_to_loop(p, loop);
  for (const StmtRef& s : region)
    if (const Reduce* open = as<Reduce>(s); open && open->windows.front().buffer == r.form().windows.front().buffer) {
      Reduce next = *open;
      next.reassociated = true;
      replace(p, s, {make_stmt(std::move(next), s->place)});
      break;
    }
  return Done{};
}

}  // namespace heddle::schedule
