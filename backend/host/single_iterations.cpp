// See passes.h.
#include "backend/host/passes.h"
#include "ir/prove.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::StmtRef;

namespace {

// Whether a loop runs once: as its bounds are constant, which what comes later sees too, where an instruction stands below, or as facts of
// the program say so.
bool runs_once(const ir::For& loop, const ir::Facts& facts) {
  const ir::Expr extent = ir::simplify(loop.hi - loop.lo);
  if (!ir::constant_value(extent)) return ir::equal(extent, ir::index_constant(1), facts);
  return ir::is_constant(extent, 1) &&
         !ir::path_to(loop.body, [](const StmtRef& s) { return std::holds_alternative<ir::Call>(s->form); }).empty();
}

}  // namespace

ir::Program single_iterations(ir::Program program, const ir::Target&) {
  const ir::Facts facts = ir::facts_of(program);
  program.body = ir::rewrite_body(program.body, [&](const StmtRef& s) -> Body {
    const auto* l = std::get_if<ir::For>(&s->form);
    const bool plain = l && (l->kind == ir::LoopKind::serial || l->kind == ir::LoopKind::unrolled);
    if (!plain || !runs_once(*l, facts)) return {s};
    const ir::Substitution at = {{l->loop, l->lo}};
    Body out;
    for (const StmtRef& below : l->body) out.push_back(ir::substitute_loops(below, at));
    for (ir::BufferId id : ir::allocated_in(out))
      for (ir::BoxDim& box : program.buffers[id.value].box) {
        box.lo = ir::simplify(ir::substitute(box.lo, at));
        box.hi = ir::simplify(ir::substitute(box.hi, at));
      }
    return out;
  });
  return program;
}

}  // namespace heddle::host
