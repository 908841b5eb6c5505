#include "ir/bound.h"

#include <algorithm>

#include "ir/visit.h"

namespace heddle::ir {
namespace {

bool carries(const Program& p, const Body& body, SymbolId loop, std::vector<BufferId>& opened) {
  bool found = false;
  for (const StmtRef& s : body) {
    const size_t before = opened.size();
    if (const Reduce* r = std::get_if<Reduce>(&s->form))
      for (const Window& w : r->windows) opened.push_back(w.buffer);
    if (const Leaf* l = std::get_if<Leaf>(&s->form)) {
      const Stage& stage = p.stage(l->stage);
      for (const Assign& a : l->assigns) {
        if (a.kind != AssignKind::combine || std::find(opened.begin(), opened.end(), a.buffer) != opened.end())
          continue;
        for (size_t i = 0; i < stage.axes.size(); ++i)
          found |= stage.axes[i].cls == AxisClass::reduce && mentions(l->bindings[i], loop);
      }
    }
    found |= carries(p, children(s), loop, opened);
    opened.resize(before);
  }
  return found;
}

}  // namespace

bool is_tile_axis(const std::string& axis) { return axis == "partition" || axis == "free"; }

bool runs_at_once(const Program& program, const For& loop) {
  if (loop.kind == LoopKind::parallel || loop.kind == LoopKind::vector) return true;
  if (loop.kind != LoopKind::bound || !is_tile_axis(loop.axis)) return false;
  std::vector<BufferId> opened;
  return !carries(program, loop.body, loop.loop, opened);
}

}  // namespace heddle::ir
