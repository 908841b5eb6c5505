// See passes.h. A guard is dropped only if it is the range of a map axis: then the points beyond lie outside the stage's domain,
// their cells belong to no point of it, and nothing reads them.
#include <algorithm>

#include "backend/host/passes.h"
#include "ir/layout.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::Expr;
using ir::Leaf;
using ir::StmtRef;

namespace {

class DropGuards {
 public:
  explicit DropGuards(const ir::Program& p) : p_(p) {}

  Body body(const Body& list) {
    Body out;
    for (const StmtRef& s : list) {
      if (const auto* leaf = std::get_if<Leaf>(&s->form)) {
        out.push_back(leaf->predicate.known() ? drop(*leaf, s) : s);
        continue;
      }
      const auto* l = std::get_if<ir::For>(&s->form);
      const auto* r = std::get_if<ir::Reduce>(&s->form);
      if (l) loops_.push_back(s);
      if (r) regions_.push_back(r);
      const Body& below = ir::children(s);
      out.push_back(below.empty() ? s : ir::with_children(s, body(below)));
      if (l) loops_.pop_back();
      if (r) regions_.pop_back();
    }
    return out;
  }

 private:
  struct Guard {
    Expr condition;
    size_t axis = 0;
    bool in_lanes = false;  // differs between lanes of a vector loop: reads cannot be moved, but may be left out
    enum Mode { kept, dropped, clamped, filled } mode = kept;
  };

  bool mentions_vector(const Expr& e) const {
    for (const StmtRef& s : loops_) {
      const auto& l = std::get<ir::For>(s->form);
      if (l.kind == ir::LoopKind::vector && ir::mentions(e, l.loop)) return true;
    }
    return false;
  }

  bool is_own_subscript(const Leaf& leaf, size_t axis) const {
    const ir::SymbolId symbol = p_.stage(leaf.stage).axes[axis].symbol;
    for (const Expr& sub : leaf.assigns[0].subs) {
      const auto* v = sub.as<ir::Var>();
      if (v && v->symbol == symbol) return true;
    }
    return false;
  }

  // The cell lies in its box, and in the window of the region that it is combined in.
  bool writable(const ir::Assign& assign, const ir::Facts& facts) const {
    if (!inside(p_, assign.buffer, assign.subs, facts)) return false;
    for (const ir::Reduce* region : regions_)
      for (const ir::Window& w : region->windows) {
        if (w.buffer != assign.buffer) continue;
        for (size_t i = 0; i < assign.subs.size(); ++i)
          if (!ir::prove(facts, ir::less_equal(w.ranges[i].lo, assign.subs[i])) ||
              !ir::prove(facts, ir::less(assign.subs[i], w.ranges[i].hi)))
            return false;
      }
    return true;
  }

  // Moves a guard whose axis the subscripts mention to `mode`; false when there is none in `from`.
  bool retreat(std::vector<Guard>& guards, const Leaf& leaf, const std::vector<Expr>& subs, Guard::Mode from,
               Guard::Mode to, bool in_lanes) const {
    for (Guard& g : guards) {
      if (g.mode != from || g.in_lanes != in_lanes) continue;
      const ir::SymbolId axis = p_.stage(leaf.stage).axes[g.axis].symbol;
      if (std::none_of(subs.begin(), subs.end(), [&](const Expr& e) { return ir::mentions(e, axis); })) continue;
      g.mode = to;
      return true;
    }
    return false;
  }

  // A condition on data that stays reads its tensor before anything else is decided: the guards of that read stay too.
  void keep_guards_of_reads(const Expr& condition, std::vector<Guard>& guards) const {
    ir::walk(condition, [&](const Expr& e) {
      const auto* l = e.as<ir::Load>();
      if (!l) return true;
      for (const StmtRef& s : loops_) {
        const ir::SymbolId loop = std::get<ir::For>(s->form).loop;
        if (!ir::mentions(e, loop)) continue;
        for (Guard& g : guards)
          if (ir::mentions(g.condition, loop)) g.mode = Guard::kept;
      }
      return true;
    });
  }

  StmtRef drop(const Leaf& leaf, const StmtRef& s) {
    if (leaf.assigns.size() != 1 || !leaf.assigns[0].over.empty()) return s;
    const ir::Assign& assign = leaf.assigns[0];
    if (assign.kind == ir::AssignKind::update || p_.buffer(assign.buffer).role != ir::Role::temporary) return s;
    if (ir::folds(p_.buffer(assign.buffer))) return s;  // another cell may lie there
    std::vector<Guard> guards;
    bool any = false;
    for (const Expr& e : conjuncts(leaf.predicate)) {
      Guard g{e};
      if (const auto axis = ranged_axis(p_, leaf, e); axis && is_own_subscript(leaf, *axis))
        g.axis = *axis, g.mode = Guard::dropped, any = true;
      g.in_lanes = mentions_vector(e);
      guards.push_back(std::move(g));
    }
    for (const Guard& g : guards)
      if (g.mode == Guard::kept) keep_guards_of_reads(g.condition, guards);
    // Where data says how far a loop goes, it is read for points of the domain alone.
    for (const StmtRef& around : loops_) {
      const auto& l = std::get<ir::For>(around->form);
      for (const Expr& binding : leaf.bindings)
        if (ir::mentions(binding, l.loop))
          for (const Expr& end : {l.lo, l.hi}) keep_guards_of_reads(end, guards);
    }
    any = any && std::any_of(guards.begin(), guards.end(), [](const Guard& g) { return g.mode == Guard::dropped; });
    if (!any) return s;
    while (!settle(guards, leaf)) {
    }
    return rebuilt(guards, leaf, s);
  }

  ir::Facts facts_with(const std::vector<Guard>& guards, const Leaf& leaf, bool filled) const {
    ir::Facts facts = ir::facts_at(p_, loops_);
    const ir::Stage& stage = p_.stage(leaf.stage);
    for (size_t i = 0; i < stage.axes.size(); ++i)
      facts.add(ir::binary(ir::BinaryOp::eq, ir::var(stage.axes[i].symbol), leaf.bindings[i]));
    for (const Guard& g : guards)
      if (g.mode == Guard::kept || (filled && g.mode == Guard::filled)) facts.add(g.condition);
    return facts;
  }

  // Checks the choice of modes; on a failure changes one mode and returns false.
  bool settle(std::vector<Guard>& guards, const Leaf& leaf) const {
    const ir::Assign& assign = leaf.assigns[0];
    if (!writable(assign, facts_with(guards, leaf, false))) {
      for (Guard::Mode from : {Guard::dropped, Guard::clamped, Guard::filled})
        for (bool lanes : {true, false})
          if (retreat(guards, leaf, assign.subs, from, Guard::kept, lanes)) return false;
      // Not even the guarded point can be shown inside: leave the leaf as it is.
      for (Guard& g : guards) g.mode = Guard::kept;
      return true;
    }
    const ir::Facts facts = facts_with(guards, leaf, true);
    bool settled = true;
    ir::walk(assign.value, [&](const Expr& e) {
      const auto* l = e.as<ir::Load>();
      if (!settled || !l || l->otherwise.known()) return settled;
      if (inside(p_, l->buffer, clamped(*l, guards, leaf), facts)) return true;
      const bool define = assign.kind == ir::AssignKind::define;
      settled = !(retreat(guards, leaf, l->subs, Guard::dropped, define ? Guard::filled : Guard::kept, true) ||
                  retreat(guards, leaf, l->subs, Guard::dropped, made_beside(l->buffer) ? Guard::kept : Guard::clamped,
                          false) ||
                  retreat(guards, leaf, l->subs, Guard::filled, Guard::kept, true) ||
                  retreat(guards, leaf, l->subs, Guard::clamped, Guard::kept, false));
      if (settled)  // the guards of this read's axes are all kept, yet it cannot be shown inside: keep the others too
        for (Guard& g : guards) settled = settled && g.mode == Guard::kept, g.mode = Guard::kept;
      return false;
    });
    return settled;
  }

  // Whether iterations that run at the same time make cells of the tensor: the last row is then another one's, which may be at it now.
  bool made_beside(ir::BufferId buffer) const {
    return std::any_of(loops_.begin(), loops_.end(), [&](const StmtRef& s) {
      const auto& l = std::get<ir::For>(s->form);
      if (l.kind != ir::LoopKind::parallel && l.kind != ir::LoopKind::bound) return false;
      const Body allocated = ir::path_to(l.body, [&](const StmtRef& below) {
        std::vector<ir::BufferId> own;
        add_allocated(below, own);
        return contains(own, buffer);
      });
      const std::vector<ir::Access> touched = ir::accesses(p_, l.body, buffer);
      return allocated.empty() &&
             std::any_of(touched.begin(), touched.end(), [](const ir::Access& a) { return a.writes; });
    });
  }

  // Where a read goes: to the last row again, but for what is made beside.
  std::vector<Expr> clamped(const ir::Load& read, const std::vector<Guard>& guards, const Leaf& leaf) const {
    const ir::Stage& stage = p_.stage(leaf.stage);
    ir::Substitution last;
    for (const Guard& g : guards)
      if (g.mode == Guard::clamped) {
        const ir::Axis& axis = stage.axes[g.axis];
        last.emplace_back(axis.symbol, ir::min(ir::var(axis.symbol), axis.hi - 1));
      }
    return last.empty() || made_beside(read.buffer) ? read.subs : ir::substitute(read.subs, last);
  }

  StmtRef rebuilt(const std::vector<Guard>& guards, const Leaf& leaf, const StmtRef& s) const {
    Leaf out = leaf;
    std::vector<Expr> kept;
    Expr in_range = ir::bool_constant(true);
    const ir::Stage& stage = p_.stage(leaf.stage);
    for (const Guard& g : guards) {
      if (g.mode == Guard::kept) kept.push_back(g.condition);
      if (g.mode == Guard::filled)
        in_range = ir::both(in_range, ir::less(ir::var(stage.axes[g.axis].symbol), stage.axes[g.axis].hi));
    }
    if (kept.size() == guards.size()) return s;
    out.predicate = conjoin(kept);
    ir::Assign& a = out.assigns[0];
    const ir::Facts facts = facts_with(guards, leaf, true);
    a.value = ir::rewrite(a.value, [&](const Expr& e) {
      const auto* l = e.as<ir::Load>();
      if (!l || l->otherwise.known() || inside(p_, l->buffer, l->subs, facts)) return e;
      return ir::load(e.type(), l->buffer, clamped(*l, guards, leaf));
    });
    if (!ir::is_constant(in_range, 1)) {
      const Expr zero =
          ir::is_float(a.value.type()) ? ir::real_constant(a.value.type(), 0) : ir::integer_constant(a.value.type(), 0);
      a.value = ir::select(in_range, a.value, zero);
    }
    return ir::make_stmt(std::move(out), s->place);
  }

  const ir::Program& p_;
  std::vector<StmtRef> loops_;
  std::vector<const ir::Reduce*> regions_;
};

}  // namespace

namespace {

// The end of the domain of the map axis that moves along this dim of the window, over what is inside the region.
Expr domain_end(const ir::Program& p, const ir::Reduce& region, ir::BufferId buffer, size_t dim) {
  Expr end;
  ir::walk(region.body, [&](const StmtRef& s) {
    const auto* leaf = std::get_if<Leaf>(&s->form);
    if (!leaf || leaf->assigns.size() != 1 || leaf->assigns[0].buffer != buffer) return true;
    const auto* v = leaf->assigns[0].subs[dim].as<ir::Var>();
    for (const ir::Axis& axis : p.stage(leaf->stage).axes)
      if (v && axis.symbol == v->symbol && axis.cls == ir::AxisClass::map) end = axis.hi;
    return true;
  });
  return end;
}

}  // namespace

ir::Program widen_windows(ir::Program program) {
  const ir::Program& p = program;
  program.body = ir::rewrite_body(program.body, [&](const StmtRef& s) -> Body {
    const auto* region = std::get_if<ir::Reduce>(&s->form);
    if (!region) return {s};
    ir::Reduce out = *region;
    bool changed = false;
    for (ir::Window& w : out.windows) {
      if (p.buffer(w.buffer).role != ir::Role::temporary || ir::folds(p.buffer(w.buffer))) continue;
      for (size_t d = 0; d < w.ranges.size(); ++d) {
        const auto* end = w.ranges[d].hi.as<ir::Binary>();
        if (!end || end->op != ir::BinaryOp::min) continue;
        const Expr domain = domain_end(p, *region, w.buffer, d);
        if (!domain.known()) continue;
        const bool right = ir::equal(end->right, domain);
        if (!right && !ir::equal(end->left, domain)) continue;
        const Expr wide = right ? end->left : end->right;
        if (!ir::equal(wide, p.buffer(w.buffer).box[d].hi)) continue;
        w.ranges[d].hi = wide;
        changed = true;
      }
    }
    return changed ? Body{ir::make_stmt(std::move(out), s->place)} : Body{s};
  });
  return program;
}

ir::Program drop_guards(ir::Program program) {
  program.body = DropGuards(program).body(program.body);
  return program;
}

}  // namespace heddle::host
