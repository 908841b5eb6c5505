#include "schedule/nest.h"

#include <algorithm>

#include "ir/print.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

bool holds(const std::vector<BufferId>& list, BufferId id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

// The refusal, with the newest step that used up a loop of the stage.
Diagnostic touched(const Step& step, const std::string& stage, std::string why, const Place& where) {
  Diagnostic d =
      step.refusal(codes::touched_producer, "`" + stage + "` is no longer as the op made it: " + std::move(why));
  for (auto c = step.program.consumed.rbegin(); c != step.program.consumed.rend(); ++c) {
    if (c->name.rfind(stage + ".", 0) != 0 || !c->place.known()) continue;
    d.labels.push_back({c->place, "`" + c->name + "` was " + c->became + " here"});
    d.help = "move this line above `" + std::string(c->place.text()) + "`";
    return d;
  }
  if (where.known()) d.labels.push_back({where, "changed here"});
  d.help = "move this line above the step that changed it";
  return d;
}

}  // namespace

std::optional<size_t> dim_of_axis(const Program& program, const Leaf& leaf, size_t axis) {
  SymbolId symbol = program.stage(leaf.stage).axes[axis].symbol;
  const std::vector<Expr>& subs = leaf.assigns.front().subs;
  for (size_t d = 0; d < subs.size(); ++d)
    if (const Var* v = subs[d].as<Var>(); v && v->symbol == symbol) return d;
  return std::nullopt;
}

namespace {

// Fills `loops`: which axis each loop of the chain drives.
Result<Done> read_loops(const Step& step, ProducerNest& nest) {
  const Program& p = step.program;
  const std::string& name = p.stage(nest.stage).name;
  for (const StmtRef& s : nest.chain)
    if (const For* l = as<For>(s)) {
      if (l->kind != LoopKind::serial)
        return touched(step, name, "`" + loop_name(p, l->loop) + "` is not serial", s->place);
      nest.loops.push_back({*l, 0, {}, 0});
    }
  const Leaf& leaf = nest.leaf();
  for (ProducerNest::Loop& l : nest.loops) {
    int driven = 0;
    for (size_t i = 0; i < leaf.bindings.size(); ++i) {
      if (!mentions(leaf.bindings[i], l.form.loop)) continue;
      AffineIn a = affine_in(simplify(leaf.bindings[i]), l.form.loop);
      bool alone = a.ok && a.coefficient == 1;
      for (const ProducerNest::Loop& other : nest.loops) alone &= !(alone && mentions(a.rest, other.form.loop));
      if (!alone || ++driven > 1)
        return touched(step, name, "its loops were rewritten",
                       leaf.assigns.empty() ? Place{} : nest.chain.back()->place);
      l.axis = i;
      l.rest = a.rest;
    }
    if (driven == 0)
      return touched(step, name, "`" + loop_name(p, l.form.loop) + "` drives none of its indices", Place{});
    if (p.stage(nest.stage).axes[l.axis].cls != AxisClass::map) continue;
    std::optional<size_t> dim = dim_of_axis(p, leaf, l.axis);
    if (!dim) return touched(step, name, "its left side is not made of plain indices", Place{});
    l.dim = *dim;
  }
  return Done{};
}

}  // namespace

Result<ProducerNest> untouched_nest(const Step& step, StageId stage) {
  const Program& p = step.program;
  const Stage& row = p.stage(stage);
  ProducerNest nest;
  nest.stage = stage;
  std::vector<LeafSite> sites = leaves_of(p, stage);
  if (sites.size() != 1) return touched(step, row.name, "its nest was copied", row.place);
  const Leaf& leaf = sites[0].leaf();
  for (const Assign& a : leaf.assigns) {
    if (p.buffer(a.buffer).role != Role::temporary)
      return step.refusal(codes::touched_producer,
                          "`" + row.name + "` is an output of the op; only temporaries can be placed");
    if (a.kind == AssignKind::update || !row.pure)
      return step.refusal(codes::touched_producer,
                          "`" + row.name + "` updates its tensor in place; only pure stages can be placed");
    nest.buffers.push_back(a.buffer);
  }
  nest.outer = path_to_alloc(p, nest.buffers[0]);
  nest.alloc = nest.outer.back();
  nest.outer.pop_back();
  const Body& around = nest.outer.empty() ? p.body : children(nest.outer.back());
  size_t depth = nest.outer.size();
  bool here = sites[0].path.size() > depth;
  for (size_t i = 0; here && i < depth; ++i) here = sites[0].path[i] == nest.outer[i];
  if (!here || std::find(around.begin(), around.end(), nest.alloc) == around.end())
    return touched(step, row.name, "it does not stand beside its allocation", row.place);
  nest.chain.assign(sites[0].path.begin() + depth, sites[0].path.end());
  int regions = 0;
  for (size_t i = 0; i + 1 < nest.chain.size(); ++i) {
    regions += as<Reduce>(nest.chain[i]) != nullptr;
    if (children(nest.chain[i]).size() == 1) continue;
    if (const For* l = as<For>(nest.chain[i]); l && runs_a_reduction(p, leaf, l->loop) && regions == 0)
      return step.refusal(codes::touched_producer, "`" + row.name + "` is a stage of the scan over `" +
                                                       loop_name(p, l->loop) + "`, which reads it at other steps");
    const Body& body = children(nest.chain[i]);
    const StmtRef& other = body[0] == nest.chain[i + 1] ? body[1] : body[0];
    return touched(step, row.name, "another statement stands inside its loops", other->place);
  }
  if (regions > 1) return touched(step, row.name, "it is reduced in parts", row.place);
  Result<Done> read = read_loops(step, nest);
  if (!read) return read.errors();
  return nest;
}

bool loads_from(const Expr& e, const std::vector<BufferId>& buffers) {
  bool found = false;
  walk(e, [&](const Expr& node) {
    if (const Load* l = node.as<Load>()) found |= holds(buffers, l->buffer);
    return !found;
  });
  return found;
}

void own_exprs(const StmtRef& s, const std::function<void(const Expr&)>& f) {
  StmtRef alone = children(s).empty() ? s : with_children(s, {});
  map_exprs(alone, [&](const Expr& e) {
    f(e);
    return e;
  });
}

bool reads_itself(const StmtRef& s, const std::vector<BufferId>& buffers) {
  bool found = false;
  own_exprs(s, [&](const Expr& e) { found = found || loads_from(e, buffers); });
  if (const Call* c = as<Call>(s))
    for (const Window& w : c->windows) found |= holds(buffers, w.buffer);
  return found;
}

std::optional<size_t> first_with(const Body& body, const std::function<bool(const StmtRef&)>& f) {
  for (size_t i = 0; i < body.size(); ++i)
    if (!path_to({body[i]}, f).empty()) return i;
  return std::nullopt;
}

For plain_loop(const For& l) {
  For out;
  out.loop = l.loop;
  out.lo = l.lo;
  out.hi = l.hi;
  return out;
}

Body map_loads(const Body& body, const std::vector<BufferId>& buffers,
               const std::function<Expr(const Expr&, const Load&)>& f) {
  Body out;
  for (const StmtRef& s : body)
    out.push_back(map_exprs(s, [&](const Expr& e) {
      if (!loads_from(e, buffers)) return e;
      return rewrite(e, [&](const Expr& node) {
        const Load* l = node.as<Load>();
        return l && holds(buffers, l->buffer) ? f(node, *l) : node;
      });
    }));
  return out;
}

Result<Done> no_instruction_reads(const Step& step, BufferId buffer) {
  StmtRef found;
  walk(step.program.body, [&](const StmtRef& s) {
    const Call* c = as<Call>(s);
    if (c && std::any_of(c->windows.begin(), c->windows.end(), [&](const Window& w) { return w.buffer == buffer; }))
      found = s;
    return !found;
  });
  if (!found) return Done{};
  return step.refusal(codes::bad_window, "`" + buffer_name(step.program, buffer) + "` is an operand of an instruction")
      .label(found->place, "here")
      .with_help("move this line above the `replace` that made it");
}

}  // namespace heddle::schedule
