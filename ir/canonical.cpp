// The canonical program of an op: one nest per equation, in order. Everything that a schedule does starts from here.
#include <algorithm>
#include <functional>

#include "ir/op.h"
#include "ir/prove.h"
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

bool scatters(const Stage& stage) {
  return std::any_of(stage.axes.begin(), stage.axes.end(), [](const Axis& a) { return a.cls == AxisClass::scatter; });
}

// Positions of the axes of a scatter in the order of their loops: as the left side mentions them, then the others, each after those
// that its range speaks of.
std::vector<size_t> scatter_order(const Stage& stage, const Assign& assign) {
  std::vector<size_t> wanted, order;
  for (const Expr& sub : assign.subs)
    for (size_t i = 0; i < stage.axes.size(); ++i)
      if (mentions(sub, stage.axes[i].symbol) && std::find(wanted.begin(), wanted.end(), i) == wanted.end())
        wanted.push_back(i);
  for (size_t i = 0; i < stage.axes.size(); ++i)
    if (std::find(wanted.begin(), wanted.end(), i) == wanted.end()) wanted.push_back(i);
  while (!wanted.empty()) {
    auto ready = std::find_if(wanted.begin(), wanted.end(), [&](size_t i) {
      return std::none_of(wanted.begin(), wanted.end(), [&](size_t j) {
        return j != i &&
               (mentions(stage.axes[i].lo, stage.axes[j].symbol) || mentions(stage.axes[i].hi, stage.axes[j].symbol));
      });
    });
    order.push_back(*ready);
    wanted.erase(ready);
  }
  return order;
}

// reduce the whole of y { for .. { y[id[i], e] R= .. } }: cells that no point hits keep the identity.
StmtRef scatter_nest(Program& program, const Equation& eq) {
  const Stage stage = program.stage(eq.stage);
  Nest make{program, stage};
  Substitution loops;
  Leaf leaf;
  leaf.stage = eq.stage;
  leaf.reducer = eq.reducer;
  leaf.assigns = eq.assigns;
  leaf.bindings.resize(stage.axes.size());
  std::vector<For> nests;
  for (size_t i : scatter_order(stage, eq.assigns[0])) {
    const Axis& axis = stage.axes[i];
    For l;
    l.loop = make.loop_for(axis);
    l.lo = over_loops(axis.lo, loops);
    l.hi = over_loops(axis.hi, loops);
    loops.emplace_back(axis.symbol, var(l.loop));
    leaf.bindings[i] = var(l.loop);
    nests.push_back(std::move(l));
  }
  leaf.predicate = over_loops(stage.where, loops);
  Window whole{eq.assigns[0].buffer, {}};
  for (const BoxDim& d : program.buffer(whole.buffer).box) whole.ranges.push_back({d.lo, d.hi});
  StmtRef inner = make_stmt(std::move(leaf), stage.place);
  for (auto l = nests.rbegin(); l != nests.rend(); ++l) {
    l->body = {inner};
    inner = make_stmt(std::move(*l), stage.place);
  }
  Reduce region;
  region.windows = {std::move(whole)};
  region.reducer = eq.reducer;
  region.body = {inner};
  return make_stmt(std::move(region), stage.place);
}

bool is_scan(AxisClass cls) { return cls == AxisClass::scan || cls == AxisClass::scan_reverse; }

// `step`: of a stage in a scan, the value of its scan axis inside the loop around.
StmtRef nest(Program& program, const Equation& eq, const Expr& step = {}) {
  const Stage stage = program.stage(eq.stage);
  Nest make{program, stage};
  Substitution loops;
  std::vector<For> map_loops, reduce_loops;
  Leaf leaf;
  leaf.stage = eq.stage;
  leaf.reducer = eq.reducer;
  leaf.assigns = eq.assigns;
  for (const Axis& axis : stage.axes) {
    if (is_scan(axis.cls)) {
      loops.emplace_back(axis.symbol, step);
      leaf.bindings.push_back(step);
      continue;
    }
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

const Axis* scan_axis(const Stage& stage) {
  auto at = std::find_if(stage.axes.begin(), stage.axes.end(), [](const Axis& a) { return is_scan(a.cls); });
  return at == stage.axes.end() ? nullptr : &*at;
}

// The dim of the written buffers that the scan axis runs over.
size_t scan_dim(const Stage& stage, const Assign& assign) {
  for (size_t d = 0; d < assign.subs.size(); ++d)
    if (const Var* v = assign.subs[d].as<Var>(); v && v->symbol == scan_axis(stage)->symbol) return d;
  return 0;
}

void each_load(const Expr& e, const std::function<void(const Load&)>& f) {
  walk(e, [&](const Expr& node) {
    if (const Load* l = node.as<Load>()) f(*l);
    return true;
  });
}

void each_load(const StmtForm& form, const std::function<void(const Load&)>& f) {
  map_exprs(make_stmt(form), [&](const Expr& e) {
    each_load(e, f);
    return e;
  });
}

// Whether what a stage of a scan writes is read inside the block alone, and at the step that wrote it.
bool lives_one_step(const Op& op, const Equation& writer) {
  const Program& p = op.frame;
  const size_t dim = scan_dim(p.stage(writer.stage), writer.assigns[0]);
  bool local = true;
  for (const Equation& eq : op.equations) {
    const Stage& stage = p.stage(eq.stage);
    const Axis* now = eq.scan == writer.scan ? scan_axis(stage) : nullptr;
    auto note = [&](const Load& l) {
      for (const Assign& a : writer.assigns) {
        if (a.buffer != l.buffer) continue;
        const Var* v = l.subs[dim].as<Var>();
        local &= now && v && v->symbol == now->symbol;
      }
    };
    for (const Assign& a : eq.assigns) {
      each_load(a.value, note);
      for (const Expr& sub : a.subs) each_load(sub, note);
    }
    for (const Axis& a : stage.axes) each_load(a.lo, note), each_load(a.hi, note);
    each_load(stage.where, note);
    for (const StmtForm& check : eq.checks) each_load(check, note);
  }
  return local;
}

std::vector<BufferId> temporaries(const Program& program, const Equation& eq) {
  std::vector<BufferId> out;
  for (const Assign& a : eq.assigns)
    if (program.buffer(a.buffer).role == Role::temporary) out.push_back(a.buffer);
  return out;
}

// for t { nests of the stages }, after the temporaries that are read across steps.
void scan_nest(Program& program, const Op& op, size_t first, size_t end) {
  const ScanBlock& block = op.scans[op.equations[first].scan];
  const std::string last = program.stage(op.equations[end - 1].stage).name;
  const Symbol& axis = program.symbol(block.axis);
  For loop;
  loop.loop = program.add(Symbol{axis.name, SymbolKind::loop, ScalarType::index, last, axis.place});
  loop.lo = block.lo;
  loop.hi = block.hi;
  Expr step = var(loop.loop);
  if (block.reverse) step = simplify(block.lo + block.hi - index_constant(1) - step);
  for (size_t i = first; i < end; ++i) {
    const Equation& eq = op.equations[i];
    const Stage stage = program.stage(eq.stage);
    for (const StmtForm& check : eq.checks)
      loop.body.push_back(map_exprs(make_stmt(check, stage.place),
                                    [&](const Expr& e) { return substitute(e, {{scan_axis(stage)->symbol, step}}); }));
    std::vector<BufferId> fresh = temporaries(program, eq);
    if (!fresh.empty()) {
      bool local = lives_one_step(op, eq);
      for (BufferId id : fresh) {
        BoxDim& dim = program.buffers[id.value].box[scan_dim(stage, eq.assigns[0])];
        if (local) dim.lo = step, dim.hi = simplify(step + 1);
      }
      (local ? loop.body : program.body).push_back(make_stmt(Alloc{fresh}, stage.place));
    }
    loop.body.push_back(nest(program, eq, step));
  }
  program.body.push_back(make_stmt(std::move(loop), program.stage(op.equations[end - 1].stage).place));
}

}  // namespace

Program canonical(const Op& op) {
  Program program = op.frame;
  program.body.clear();
  for (const StmtForm& check : op.checks)
    program.body.push_back(make_stmt(check, program.stage(op.equations[0].stage).place));
  for (size_t i = 0; i < op.equations.size();) {
    const Equation& eq = op.equations[i];
    if (eq.scan >= 0) {
      size_t end = i;
      while (end < op.equations.size() && op.equations[end].scan == eq.scan) ++end;
      scan_nest(program, op, i, end);
      i = end;
      continue;
    }
    for (const StmtForm& check : eq.checks) program.body.push_back(make_stmt(check, program.stage(eq.stage).place));
    std::vector<BufferId> fresh = temporaries(program, eq);
    if (!fresh.empty()) program.body.push_back(make_stmt(Alloc{fresh}, program.stage(eq.stage).place));
    program.body.push_back(scatters(program.stage(eq.stage)) ? scatter_nest(program, eq) : nest(program, eq));
    ++i;
  }
  return program;
}

}  // namespace heddle::ir
