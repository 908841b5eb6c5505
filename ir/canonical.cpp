// The canonical program of an op: one nest per equation, in order. Everything that a schedule does starts from here.
#include "ir/op.h"
#include "ir/visit.h"

namespace heddle::ir {
namespace {

struct Nest {
  Program& program;
  const Stage& stage;

  SymbolId loop_for(const Axis& axis) {
    const Symbol& symbol = program.symbol(axis.symbol);
    return program.add(Symbol{symbol.name, SymbolKind::loop, ScalarType::index, stage.name, symbol.place});
  }
};

// Axis symbols of the stage -> loop variables, for bounds that mention earlier axes.
Expr over_loops(const Expr& e, const Substitution& loops) { return e.known() ? substitute(e, loops) : e; }

// The windows that a reduction fills at one point of the map axes: a cell of each written buffer, whole field axes.
std::vector<Window> windows_of(const Program& program, const Equation& eq, const Substitution& loops) {
  std::vector<Window> windows;
  for (const Assign& a : eq.assigns) {
    Window w{a.buffer, {}};
    const Buffer& buffer = program.buffer(a.buffer);
    size_t own = a.subs.size() - a.over.size();
    for (size_t i = 0; i < a.subs.size(); ++i) {
      if (i >= own) {
        w.ranges.push_back({buffer.box[i].lo, buffer.box[i].hi});
        continue;
      }
      Expr at = over_loops(a.subs[i], loops);
      w.ranges.push_back({at, at + 1});
    }
    windows.push_back(std::move(w));
  }
  return windows;
}

StmtRef nest(Program& program, const Equation& eq) {
  const Stage stage = program.stage(eq.stage);
  Nest make{program, stage};
  Substitution loops;
  std::vector<For> map_loops, reduce_loops;
  Leaf leaf;
  leaf.stage = eq.stage;
  leaf.reducer = eq.reducer;
  leaf.assigns = eq.assigns;
  for (const Axis& axis : stage.axes) {
    For l;
    l.loop = make.loop_for(axis);
    l.lo = over_loops(axis.lo, loops);
    l.hi = over_loops(axis.hi, loops);
    loops.emplace_back(axis.symbol, var(l.loop));
    leaf.bindings.push_back(var(l.loop));
    (axis.cls == AxisClass::reduce ? reduce_loops : map_loops).push_back(std::move(l));
  }
  leaf.predicate = over_loops(stage.where, loops);

  auto wrap = [&](StmtRef inner, std::vector<For>& nests) {
    for (auto l = nests.rbegin(); l != nests.rend(); ++l) {
      l->body = {inner};
      inner = make_stmt(std::move(*l), stage.place);
    }
    return inner;
  };
  StmtRef inner = wrap(make_stmt(std::move(leaf), stage.place), reduce_loops);
  if (!eq.reducer.empty()) {
    Reduce region;
    region.windows = windows_of(program, eq, loops);
    region.reducer = eq.reducer;
    region.body = {inner};
    inner = make_stmt(std::move(region), stage.place);
  }
  return wrap(inner, map_loops);
}

}  // namespace

Program canonical(const Op& op) {
  Program program = op.frame;
  program.body.clear();
  for (const Equation& eq : op.equations) {
    for (const StmtForm& check : eq.checks) program.body.push_back(make_stmt(check, program.stage(eq.stage).place));
    std::vector<BufferId> fresh;
    for (const Assign& a : eq.assigns)
      if (program.buffer(a.buffer).role == Role::temporary) fresh.push_back(a.buffer);
    if (!fresh.empty()) program.body.push_back(make_stmt(Alloc{fresh}, program.stage(eq.stage).place));
    program.body.push_back(nest(program, eq));
  }
  return program;
}

}  // namespace heddle::ir
