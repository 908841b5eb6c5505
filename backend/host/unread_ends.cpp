// See passes.h. Where a temporary ends to be read is said by the loops and the conditions of its readers, at the values of their loops
// that reach furthest. Consumers come last in a body, so bodies are walked from their end: what a shortened loop no longer computes,
// it no longer reads.
#include <algorithm>

#include "backend/host/passes.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Access;
using ir::Body;
using ir::Expr;
using ir::For;
using ir::StmtRef;

namespace {

std::vector<ir::SymbolRange> without(std::vector<ir::SymbolRange> ranges, ir::SymbolId symbol) {
  std::erase_if(ranges, [&](const ir::SymbolRange& r) { return r.symbol == symbol; });
  return ranges;
}

class UnreadEnds {
 public:
  explicit UnreadEnds(const ir::Program& p) : p_(p) {}

  Body body(Body list) {
    std::vector<ir::BufferId> own;
    for (const StmtRef& s : list) add_allocated(s, own);
    for (size_t i = list.size(); i-- > 0;) {
      if (!own.empty()) list[i] = shortened(list, i, own);
      const bool loop = std::holds_alternative<For>(list[i]->form);
      if (loop) loops_.push_back(list[i]);
      if (const Body& below = ir::children(list[i]); !below.empty()) list[i] = ir::with_children(list[i], body(below));
      if (loop) loops_.pop_back();
    }
    return list;
  }

 private:
  // The statement with an earlier end, where it is a loop that only makes cells of `own` which nobody reads from some iteration on.
  StmtRef shortened(const Body& list, size_t index, const std::vector<ir::BufferId>& own) const {
    const auto* loop = std::get_if<For>(&list[index]->form);
    if (!loop || loop->kind != ir::LoopKind::serial) return list[index];
    std::vector<ir::BufferId> inside;
    bool plain = true;
    ir::walk(loop->body, [&](const StmtRef& s) {
      add_allocated(s, inside);
      plain = plain && !std::holds_alternative<ir::Call>(s->form) && !std::holds_alternative<ir::Check>(s->form);
      return plain;
    });
    if (!plain) return list[index];
    const ir::Facts facts = ir::facts_at(p_, loops_);
    Expr end;
    for (const Access& a : ir::accesses(p_, {list[index]})) {
      if (!a.writes || contains(inside, a.buffer)) continue;
      if (!contains(own, a.buffer) || a.combines || a.initialises) return list[index];
      const Expr one = last_needed(list, index, a, *loop, facts);
      if (!one.known()) return list[index];
      end = !end.known() || ir::equal(end, one) ? one : ir::max(end, one);
    }
    if (!end.known()) return list[index];
    For out = *loop;
    out.hi = ir::simplify(ir::min(out.hi, end));
    return ir::equal(out.hi, loop->hi) ? list[index] : ir::make_stmt(std::move(out), list[index]->place);
  }

  // The iteration from which on this access writes nothing that is read; none where that cannot be said.
  Expr last_needed(const Body& list, size_t index, const Access& write, const For& loop, const ir::Facts& facts) const {
    for (size_t d = 0; d < write.window.size(); ++d) {
      if (!ir::mentions(write.window[d].lo, loop.loop)) continue;
      const ir::Bounds least = ir::bounds_over(write.window[d].lo, without(write.free, loop.loop), facts);
      if (!least.ok) continue;
      const ir::AffineIn in = ir::affine_in(least.lo, loop.loop);
      if (!in.ok || in.coefficient <= 0) continue;
      const Expr end = read_end(list, index, write.buffer, d, facts);
      if (end.known()) return ir::simplify(ir::ceildiv(end - in.rest, ir::index_constant(in.coefficient)));
    }
    return {};
  }

  Expr read_end(const Body& list, size_t index, ir::BufferId buffer, size_t d, const ir::Facts& facts) const {
    Expr end;
    for (size_t i = 0; i < list.size(); ++i)
      for (const Access& a : ir::accesses(p_, {list[i]}, buffer)) {
        if (!a.reads) continue;
        if (i <= index || a.tried || !std::holds_alternative<ir::Leaf>(a.by->form)) return {};
        const Expr one = end_of(a, d, facts);
        if (!one.known()) return {};
        end = !end.known() || ir::equal(end, one) ? one : ir::max(end, one);
      }
    return end;
  }

  // At the loop nothing is known of the guards of its readers: data that its end speaks of is there for every iteration around.
  bool readable(const Expr& e, const ir::Facts& facts) const {
    bool inputs = true;
    ir::walk(e, [&](const Expr& node) {
      if (const auto* load = node.as<ir::Load>()) inputs = inputs && p_.buffer(load->buffer).role == ir::Role::in;
      return inputs;
    });
    return inputs && reads_inside(p_, e, facts);
  }

  // Of the conditions only a `where`: by guards of ranges, tiles read past them (drop_guards).
  Expr end_of(const Access& a, size_t d, const ir::Facts& facts) const {
    const auto& leaf = std::get<ir::Leaf>(a.by->form);
    const bool limited = p_.stage(leaf.stage).where.known();
    const Expr& hi = a.window[d].hi;
    const ir::Bounds whole = ir::bounds_over(hi, a.free, facts);
    Expr end = whole.ok && readable(whole.hi, facts) ? whole.hi : Expr{};
    for (const ir::SymbolRange& v : a.free) {
      const ir::AffineIn place = ir::affine_in(hi, v.symbol);
      if (!place.ok || place.coefficient != 1) continue;
      for (const Expr& e : limited ? conjuncts(a.condition) : std::vector<Expr>{}) {
        Expr left, right;
        if (!as_less(e, left, right) || ranged_axis(p_, leaf, e)) continue;
        const ir::AffineIn in = ir::affine_in(left - right, v.symbol);  // v + rest < 0
        if (!in.ok || in.coefficient != 1) continue;
        const ir::Bounds most = ir::bounds_over(place.rest - in.rest - 1, without(a.free, v.symbol), facts);
        if (most.ok && !ir::mentions(most.hi, v.symbol) && readable(most.hi, facts))
          end = end.known() ? ir::min(end, most.hi) : most.hi;
      }
    }
    return end.known() ? ir::simplify(end) : end;
  }

  const ir::Program& p_;
  std::vector<StmtRef> loops_;
};

}  // namespace

ir::Program unread_ends(ir::Program program) {
  const bool limited =
      std::any_of(program.stages.begin(), program.stages.end(), [](const ir::Stage& s) { return s.where.known(); });
  if (!limited) return program;
  program.body = UnreadEnds(program).body(program.body);
  return program;
}

}  // namespace heddle::host
