#include "backend/host/tiles.h"

#include "backend/host/instr_rows.h"
#include "ir/instr_layout.h"
#include "ir/prove.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::StmtRef;

namespace {

class Planner {
 public:
  Planner(const ir::Program& p, const ir::Target& target) : p_(p), target_(target) {}

  TilePlan run() {
    if (!target_.has_amx) return {};
    body(p_.body, 0);
    for (const ir::Access& a : ir::accesses(p_, p_.body)) fine_ = fine_ && (!in_tiles(a.buffer) || touches_well(a));
    return fine_ ? std::move(plan_) : TilePlan{};
  }

 private:
  bool in_tiles(ir::BufferId id) const { return p_.buffer(id).memory == ir::Memory::tile; }

  // Tiles are taken as buffers come alive, and given back with their body.
  void body(const Body& list, int64_t used) {
    for (const StmtRef& s : list) {
      if (const auto* a = std::get_if<ir::Alloc>(&s->form)) {
        for (ir::BufferId id : a->buffers) {
          if (!in_tiles(id)) continue;
          const std::optional<int64_t> n = ir::tile_count(p_.buffer(id));
          fine_ = fine_ && n && used + *n <= ir::tile_registers && p_.buffer(id).copies == 1;
          if (!fine_) return;
          plan_[id] = static_cast<int>(used);
          used += *n;
        }
        continue;
      }
      const auto* l = std::get_if<ir::For>(&s->form);
      // Its body is a function of its own, which begins with empty tiles.
      fine_ = fine_ && !(l && l->kind == ir::LoopKind::parallel && used > 0);
      if (l) loops_.push_back(*l);
      if (const auto* call = std::get_if<ir::Call>(&s->form)) fine_ = fine_ && known_place(*call);
      body(ir::children(s), used);
      if (l) loops_.pop_back();
    }
  }

  // The tile is a constant once unrolled loops are written out.
  bool known_place(const ir::Call& call) const {
    for (const ir::Window& w : call.windows) {
      if (!in_tiles(w.buffer)) continue;
      const ir::Expr number = ir::tile_of(p_, w);
      if (!number.known()) return false;
      bool known = true;
      ir::walk(number, [&](const ir::Expr& e) {
        const auto* v = e.as<ir::Var>();
        if (!v) return known;
        bool unrolled = false;
        for (const ir::For& l : loops_)
          unrolled |=
              l.loop == v->symbol && l.kind == ir::LoopKind::unrolled && ir::constant_value(ir::simplify(l.hi - l.lo));
        known = known && unrolled;
        return known;
      });
      if (!known) return false;
    }
    return true;
  }

  bool touches_well(const ir::Access& a) const {
    if (const auto* call = std::get_if<ir::Call>(&a.by->form)) {
      const InstrRow* row = spelled(p_, *p_.instr(call->instr), target_);
      return row && row->in_tiles() && is_machine_code(p_, *call, target_);
    }
    const auto* region = std::get_if<ir::Reduce>(&a.by->form);
    if (!region || p_.reducer(region->reducer)->builtin != ir::BuiltinReducer::sum) return false;
    for (const ir::Window& w : region->windows)
      for (size_t d = 0; d < w.ranges.size(); ++d) {
        const ir::BoxDim& box = p_.buffer(w.buffer).box[d];
        if (!ir::equal(w.ranges[d].lo, box.lo) || !ir::equal(w.ranges[d].hi, box.hi)) return false;
      }
    return true;
  }

  const ir::Program& p_;
  const ir::Target& target_;
  TilePlan plan_;
  std::vector<ir::For> loops_;
  bool fine_ = true;
};

}  // namespace

TilePlan plan_tiles(const ir::Program& program, const ir::Target& target) { return Planner(program, target).run(); }

}  // namespace heddle::host
