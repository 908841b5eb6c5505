// See passes.h. A condition c*L + rest < 0 of every leaf below, at the values of the inner loops that make it weakest, says from
// which iteration of L on no leaf runs. The conditions stay where they are: they still tell the cells of the last blocks.
#include <algorithm>

#include "backend/host/passes.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::Expr;
using ir::For;
using ir::Leaf;
using ir::LoopKind;
using ir::StmtRef;

namespace {

struct Ends {
  ir::SymbolId loop;
  std::vector<const For*> inner;  ///< loops between it and the statement, outermost first
  std::vector<ir::BufferId> own;  ///< made in an iteration and gone after it: who fills them need not say where it ends
  std::vector<Expr> common;       ///< where it may end, by conditions that all leaves so far have
  bool first = true;

  bool is_own(ir::BufferId id) const { return std::find(own.begin(), own.end(), id) != own.end(); }
};

// Whether all that a leaf or a call writes is the iteration's own.
bool fills_own(const ir::Program& p, const Leaf* leaf, const ir::Call* call, const Ends& ends) {
  for (size_t o = 0; call && o < call->windows.size(); ++o)
    if (p.instr(call->instr)->operands[o].inout && !ends.is_own(call->windows[o].buffer)) return false;
  return call || std::all_of(leaf->assigns.begin(), leaf->assigns.end(),
                             [&](const ir::Assign& a) { return ends.is_own(a.buffer); });
}

// `d < 0` at the inner loops' values where d is least; nothing where d is not linear in them.
bool at_least(Expr& d, const std::vector<const For*>& inner) {
  for (size_t i = inner.size(); i-- > 0;) {
    if (!ir::mentions(d, inner[i]->loop)) continue;
    const ir::AffineIn in = ir::affine_in(d, inner[i]->loop);
    if (!in.ok) return false;
    d = in.rest + (in.coefficient > 0 ? inner[i]->lo : inner[i]->hi - 1) * in.coefficient;
  }
  return true;
}

// Where the loop may end because `d < 0` holds no longer.
void end_of(Expr d, const Ends& ends, std::vector<Expr>& out) {
  if (!at_least(d, ends.inner) || !ir::mentions(d, ends.loop)) return;
  const ir::AffineIn in = ir::affine_in(d, ends.loop);
  if (!in.ok || in.coefficient <= 0) return;
  out.push_back(ir::simplify(ir::ceildiv(ir::index_constant(0) - in.rest, ir::index_constant(in.coefficient))));
}

std::vector<Expr> ends_of(const ir::Program& p, const Leaf& leaf, const Ends& ends, bool below_region) {
  std::vector<Expr> out;
  for (const Expr& e : cell_conjuncts(p, leaf, below_region)) {
    Expr left, right;
    if (as_less(e, left, right)) end_of(left - right, ends, out);
  }
  return out;
}

// A window `lo .. min(.., E)` is empty, and with it the call, unless lo < E. Below a region cells without terms hold the identity: what
// counts is the window that is written.
std::vector<Expr> ends_of(const ir::Call& call, const Ends& ends, bool below_region) {
  std::vector<Expr> out;
  for (size_t i = 0; i < (below_region ? size_t{1} : call.windows.size()); ++i)
    for (const ir::Range& r : call.windows[i].ranges) {
      const auto* least = r.hi.as<ir::Binary>();
      if (!least || least->op != ir::BinaryOp::min) continue;
      end_of(r.lo - least->left, ends, out);
      end_of(r.lo - least->right, ends, out);
    }
  return out;
}

// False where a check stands below.
bool gather(const ir::Program& p, const Body& body, Ends& ends, bool below_region = false) {
  for (const StmtRef& s : body) {
    if (std::holds_alternative<ir::Check>(s->form)) return false;
    const auto* leaf = std::get_if<Leaf>(&s->form);
    const auto* call = std::get_if<ir::Call>(&s->form);
    if ((leaf || call) && !fills_own(p, leaf, call, ends)) {
      std::vector<Expr> own = leaf ? ends_of(p, *leaf, ends, below_region) : ends_of(*call, ends, below_region);
      if (ends.first) ends.common = own;
      else
        std::erase_if(ends.common, [&](const Expr& e) {
          return std::none_of(own.begin(), own.end(), [&](const Expr& o) { return same(e, o); });
        });
      ends.first = false;
      if (ends.common.empty()) return false;
    }
    const auto* l = std::get_if<For>(&s->form);
    if (l) ends.inner.push_back(l);
    const bool region = below_region || std::holds_alternative<ir::Reduce>(s->form);
    const bool fine = gather(p, ir::children(s), ends, region);
    if (l) ends.inner.pop_back();
    if (!fine) return false;
  }
  return true;
}

// Vectors of one row of a temporary: what reads the whole row computes with all of them, so they are filled, not left out. Sums are read cell
// by cell.
bool fills_a_row(const ir::Program& p, const For& l) {
  const auto* below = l.body.size() == 1 ? std::get_if<For>(&l.body[0]->form) : nullptr;
  const auto* leaf = below && below->kind == LoopKind::vector && below->body.size() == 1
                         ? std::get_if<Leaf>(&below->body[0]->form)
                         : nullptr;
  return leaf && leaf->assigns[0].kind == ir::AssignKind::define && ir::constant_value(ir::simplify(l.hi - l.lo)) &&
         p.buffer(leaf->assigns[0].buffer).role == ir::Role::temporary;
}

}  // namespace

namespace {

ir::Program bounded(ir::Program program, bool calls_only) {
  const ir::Program& p = program;
  program.body = ir::rewrite_body(program.body, [&](const StmtRef& s) -> Body {
    const auto* l = std::get_if<For>(&s->form);
    if (l && calls_only &&
        ir::path_to(l->body, [](const StmtRef& b) { return std::holds_alternative<ir::Call>(b->form); }).empty())
      return {s};
    if (!l || (l->kind != LoopKind::serial && l->kind != LoopKind::parallel) || fills_a_row(p, *l)) return {s};
    bool nest = false;
    for (const StmtRef& below : l->body) nest = nest || !ir::children(below).empty();
    Ends ends{l->loop, {}, calls_only ? ir::allocated_in(l->body) : std::vector<ir::BufferId>{}, {}};
    if (!nest || !gather(p, l->body, ends)) return {s};
    For out = *l;
    for (const Expr& end : ends.common) out.hi = ir::simplify(ir::min(out.hi, end));
    if (same(out.hi, l->hi)) return {s};
    return {ir::make_stmt(std::move(out), s->place)};
  });
  return program;
}

}  // namespace

ir::Program outer_bounds(ir::Program program) { return bounded(std::move(program), false); }
ir::Program call_bounds(ir::Program program, const ir::Target&) { return bounded(std::move(program), true); }

}  // namespace heddle::host
