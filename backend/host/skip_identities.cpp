// See passes.h.
#include <algorithm>

#include "backend/host/passes.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::Expr;
using ir::StmtRef;

bool is_identity(const Expr& e, ir::BuiltinReducer reducer) {
  const int64_t* value = ir::constant_value(e);
  return value && ir::is_integer(e.type()) && reducer != ir::BuiltinReducer::none &&
         *value == ir::identity_of(reducer, e.type()).integer;
}

namespace {

class SkipIdentities {
 public:
  explicit SkipIdentities(const ir::Program& p) : p_(p) {}

  Body body(const Body& list) {
    Body out;
    for (const StmtRef& s : list) {
      if (const auto* leaf = std::get_if<ir::Leaf>(&s->form)) {
        out.push_back(without(*leaf, s));
        continue;
      }
      const Body& below = ir::children(s);
      if (below.empty()) {
        out.push_back(s);
        continue;
      }
      const std::vector<ir::SymbolId> outer = loops_;
      if (std::holds_alternative<ir::Reduce>(s->form)) loops_.clear();
      if (const auto* loop = std::get_if<ir::For>(&s->form)) loops_.push_back(loop->loop);
      out.push_back(ir::with_children(s, body(below)));
      loops_ = outer;
    }
    return out;
  }

 private:
  StmtRef without(const ir::Leaf& leaf, const StmtRef& s) {
    const ir::Reducer* reducer = leaf.reducer.empty() ? nullptr : p_.reducer(leaf.reducer);
    if (!reducer || leaf.assigns.size() != 1) return s;
    const auto* choice = leaf.assigns[0].value.as<ir::Select>();
    if (!choice || !is_identity(choice->no, reducer->builtin)) return s;
    const ir::Substitution point = ir::point_of(p_, leaf);
    std::vector<Expr> always, here = ir::conjuncts(leaf.predicate);
    const size_t before = here.size();
    for (const Expr& part : ir::conjuncts(choice->condition)) {
      const Expr at = ir::substitute(part, point);
      const bool varies =
          std::any_of(loops_.begin(), loops_.end(), [&](ir::SymbolId l) { return ir::mentions(at, l); });
      if (varies) always.push_back(part);
      else here.push_back(at);
    }
    if (here.size() == before) return s;
    ir::Leaf out = leaf;
    out.predicate = ir::conjoin(here);
    out.assigns[0].value = always.empty() ? choice->yes : ir::select(ir::conjoin(always), choice->yes, choice->no);
    return ir::make_stmt(std::move(out), s->place);
  }

  const ir::Program& p_;
  std::vector<ir::SymbolId> loops_;  // inside the innermost reduction
};

}  // namespace

ir::Program skip_identities(ir::Program program) {
  Body body = SkipIdentities(program).body(program.body);
  program.body = std::move(body);
  return program;
}

}  // namespace heddle::host
