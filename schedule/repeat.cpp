// Iterations that compute again what others have: when that is harmless.
#include <algorithm>

#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

std::string quoted(const std::string& text) { return "`" + text + "`"; }

struct Stride {
  int64_t coefficient;
  For loop;
};

// Every whole number from the least to the greatest value of `e` is taken.
bool dense(const Expr& e, const std::vector<For>& loops, const Facts& facts) {
  std::vector<Stride> strides;
  for (const For& l : loops) {
    if (!mentions(e, l.loop)) continue;
    AffineIn a = affine_in(simplify(e), l.loop);
    if (!a.ok || a.coefficient < 1) return false;
    strides.push_back({a.coefficient, l});
  }
  std::sort(strides.begin(), strides.end(),
            [](const Stride& a, const Stride& b) { return a.coefficient < b.coefficient; });
  int64_t span = 1, more = 0;
  for (size_t i = 0; i < strides.size(); ++i) {
    if (strides[i].coefficient > span) return false;
    if (i + 1 == strides.size()) break;
    const Expr extent = simplify(strides[i].loop.hi - strides[i].loop.lo, facts);
    const int64_t* n = constant_value(extent);
    if (!n || *n < 1 || __builtin_mul_overflow(strides[i].coefficient, *n - 1, &more) ||
        __builtin_add_overflow(span, more, &span))
      return false;
  }
  return true;
}

// Where the condition is false the point lies outside of the buffer, or the term belongs to no iteration at all.
bool skips_nothing(const Program& p, const Expr& condition, const Access& cell, const Leaf& leaf,
                   const std::vector<For>& maps, Facts facts) {
  bool of_terms_only = true;
  for (size_t i = 0; i < leaf.bindings.size(); ++i)
    if (p.stage(leaf.stage).axes[i].cls == AxisClass::map)
      walk(leaf.bindings[i], [&](const Expr& e) {
        if (const Var* v = e.as<Var>(); v && p.symbol(v->symbol).kind == SymbolKind::loop)
          of_terms_only &= !mentions(condition, v->symbol);
        return true;
      });
  if (of_terms_only) return true;
  if (mentions_load(condition)) return false;
  for (const For& l : maps) facts.add_range(l.loop, l.lo, l.hi);
  facts.add(unary(UnaryOp::logical_not, condition));
  const std::vector<BoxDim>& box = p.buffer(cell.buffer).box;
  for (size_t d = 0; d < box.size() && d < cell.window.size(); ++d)
    if (prove(facts, less_equal(box[d].hi, cell.window[d].lo)) || prove(facts, less(cell.window[d].lo, box[d].lo)))
      return true;
  return false;
}

}  // namespace

Result<Done> combines_once(const Step& step, const Path& path) {
  const Program& p = step.program;
  const Reduce& region = std::get<Reduce>(path.back()->form);
  Facts facts = facts_at(p, path);
  for (const LeafSite& site : leaves(region.body)) {
    if (!site.leaf().recomputed || region_of(site.path) >= 0) continue;
    std::vector<For> maps;
    for (const StmtRef& s : site.path)
      if (const For* l = as<For>(s); l && !runs_a_reduction(p, site.leaf(), l->loop)) maps.push_back(*l);
    for (const For& l : maps) facts.add_range(l.loop, l.lo, l.hi);
    for (const Access& a : accesses(p, {site.path.back()})) {
      bool into = std::any_of(region.windows.begin(), region.windows.end(),
                              [&](const Window& w) { return w.buffer == a.buffer; });
      if (!into || !a.combines || disjoint_over({a.buffer, a.window}, maps, facts)) continue;
      return step
          .refusal(codes::order_matters, quoted(p.stage(site.leaf().stage).name) +
                                             " is computed again in some iterations, and terms would be added twice")
          .label(site.path.back()->place, "computed again here")
          .with_help("move the line that made it so (a halo, or a tail with `shift`) below this one");
    }
  }
  return Done{};
}

Result<Done> can_repeat(const Step& step, const Path& loop) {
  const Program& p = step.program;
  const For& l = loop_of(loop);
  const std::string name = quoted(loop_name(p, l.loop));
  auto refuse = [&](const std::string& why, const StmtRef& by) {
    Diagnostic d = step.refusal(codes::order_matters, "iterations of " + name + " cannot run twice: " + why);
    if (by && by->place.known()) d.labels.push_back({by->place, "here"});
    d.help = "write `with peel`, or leave the tail out (the last block is guarded)";
    return d;
  };
  for (const LeafSite& site : leaves(l.body)) {
    const Leaf& leaf = site.leaf();
    const Stage& row = p.stage(leaf.stage);
    for (const Axis& axis : row.axes)
      if (axis.cls != AxisClass::map && axis.cls != AxisClass::reduce)
        return refuse(quoted(row.name) + " goes on from one iteration to the next", site.path.back());
    for (const Assign& a : leaf.assigns) {
      if (a.kind == AssignKind::update || !row.pure)
        return refuse(quoted(row.name) + " updates its tensor in place", site.path.back());
      if (a.kind == AssignKind::combine && region_of(site.path) < 0)
        return refuse("the reduction of " + quoted(row.name) + " is open around it", site.path.back());
    }
  }
  std::vector<BufferId> own = allocated_in(l.body);
  std::vector<Access> list = accesses(p, l.body);
  for (const Access& w : list) {
    if (w.by && as<Call>(w.by)) return refuse("an instruction works in place", w.by);
    if (!w.writes || std::find(own.begin(), own.end(), w.buffer) != own.end()) continue;
    for (const Access& r : list)
      if (r.reads && !r.combines && r.buffer == w.buffer)
        return refuse("they read " + quoted(buffer_name(p, w.buffer)) + ", which others of them write", r.by);
  }
  return Done{};
}

bool fills_window(const Step& step, const Path& path, const Window& window) {
  const Program& p = step.program;
  const Facts facts = facts_at(p, path);
  for (const LeafSite& site : leaves(children(path.back()))) {
    const Leaf& leaf = site.leaf();
    std::vector<For> maps;
    for (const StmtRef& s : site.path)
      if (const For* l = as<For>(s); l && !runs_a_reduction(p, leaf, l->loop)) maps.push_back(*l);
    for (const Access& a : accesses(p, {site.path.back()}, window.buffer)) {
      if (!a.writes) continue;
      if (!a.combines || !leaf.recomputed || region_of(site.path) >= 0) return false;
      for (size_t d = 0; d < a.window.size(); ++d) {
        if (!dense(a.window[d].lo, maps, facts)) return false;
        for (const For& l : maps)  // each loop moves along one dim
          for (size_t other = 0; other < d; ++other)
            if (mentions(a.window[d].lo, l.loop) && mentions(a.window[other].lo, l.loop)) return false;
      }
      for (const Expr& c : conjuncts(leaf.predicate))
        if (!skips_nothing(p, c, a, leaf, maps, facts)) return false;
    }
  }
  return true;
}

}  // namespace heddle::schedule
