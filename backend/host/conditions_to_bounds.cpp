// See passes.h. One of the last passes: ends with choices in them are nothing that others understand.
#include <algorithm>

#include "backend/host/passes.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::Expr;
using ir::StmtRef;

namespace {

class ConditionsToBounds {
 public:
  explicit ConditionsToBounds(const ir::Program& p) : p_(p) {}

  Body body(const Body& list) {
    Body out;
    for (const StmtRef& s : list) {
      const auto* loop = std::get_if<ir::For>(&s->form);
      const StmtRef now = loop && loop->kind == ir::LoopKind::serial ? bounded(*loop, s) : s;
      path_.push_back(now);
      const Body& below = ir::children(now);
      out.push_back(below.empty() ? now : ir::with_children(now, body(below)));
      path_.pop_back();
    }
    return out;
  }

 private:
  StmtRef bounded(const ir::For& loop, const StmtRef& s) const {
    const std::vector<Expr> found = common(loop);
    if (found.empty()) return s;
    ir::For out = loop;
    out.hi = ir::select(ir::conjoin(found), loop.hi, loop.lo);
    out.body = without(loop.body, found);
    return ir::make_stmt(std::move(out), s->place);
  }

  // Conditions on data that all leaves below have, and that nothing below changes. Around a region they are not the loop's: of cells
  // without terms it stores the identity.
  std::vector<Expr> common(const ir::For& loop) const {
    std::vector<ir::SymbolId> inner = {loop.loop};
    std::vector<Expr> found;
    bool plain = true, any = false;
    ir::walk(loop.body, [&](const StmtRef& s) {
      if (const auto* below = std::get_if<ir::For>(&s->form)) inner.push_back(below->loop);
      if (const auto* leaf = std::get_if<ir::Leaf>(&s->form)) {
        const std::vector<Expr> here = ir::conjuncts(leaf->predicate);
        if (any) std::erase_if(found, [&](const Expr& e) { return !contains(here, e); });
        else found = here;
        any = true;
      }
      plain = plain && !std::holds_alternative<ir::Call>(s->form) && !std::holds_alternative<ir::Check>(s->form) &&
              !std::holds_alternative<ir::Reduce>(s->form);
      return plain;
    });
    if (!plain || found.empty()) return {};
    const ir::Facts facts = ir::facts_at(p_, path_);
    std::erase_if(found, [&](const Expr& e) {
      return !ir::mentions_load(e) || !reads_inside(p_, e, facts) || changes(p_, loop.body, e) ||
             std::any_of(inner.begin(), inner.end(), [&](ir::SymbolId l) { return ir::mentions(e, l); });
    });
    return found;
  }

  const ir::Program& p_;
  std::vector<StmtRef> path_;
};

}  // namespace

ir::Program conditions_to_bounds(ir::Program program) {
  Body body = ConditionsToBounds(program).body(program.body);
  program.body = std::move(body);
  return program;
}

}  // namespace heddle::host
