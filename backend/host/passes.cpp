#include "backend/host/passes.h"

#include <algorithm>
#include <set>

#include "ir/layout.h"
#include "ir/region.h"
#include "ir/visit.h"
#include "support/limits.h"

namespace heddle::host {

using ir::Body;
using ir::Expr;
using ir::For;
using ir::Leaf;
using ir::LoopKind;
using ir::StmtRef;

namespace {

constexpr int64_t longest_unrolled_loop = 32;
constexpr int64_t most_unrolled_leaves = 256;

bool in_registers(const ir::Program& p, ir::BufferId id) {
  const ir::Memory m = p.buffer(id).memory;
  return p.buffer(id).role == ir::Role::temporary && (m == ir::Memory::registers || m == ir::Memory::tile);
}

// Whether a leaf reaches a register buffer at a place that moves with the loop, beside where the buffer itself begins.
bool walks_registers(const ir::Program& p, const Body& body, ir::SymbolId loop) {
  bool found = false;
  for (const ir::Access& a : ir::accesses(p, body)) {
    if (found || !in_registers(p, a.buffer)) continue;
    const std::vector<ir::BoxDim>& box = p.buffer(a.buffer).box;
    for (size_t d = 0; d < box.size(); ++d)
      for (const Expr& edge : {a.window[d].lo, a.window[d].hi})
        found |= (ir::mentions(edge, loop) || ir::mentions(box[d].lo, loop)) &&
                 ir::mentions(ir::simplify(edge - box[d].lo), loop);
  }
  return found;
}

}  // namespace

bool contains(const std::vector<ir::BufferId>& list, ir::BufferId id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

bool contains(const std::vector<Expr>& list, const Expr& e) {
  return std::any_of(list.begin(), list.end(), [&](const Expr& other) { return ir::same(other, e); });
}

bool changes(const ir::Program& program, const Body& body, const Expr& e) {
  bool written = false;
  ir::walk(e, [&](const Expr& node) {
    if (const auto* load = node.as<ir::Load>())
      for (const ir::Access& a : ir::accesses(program, body, load->buffer)) written = written || a.writes;
    return !written;
  });
  return written;
}

void add_allocated(const StmtRef& s, std::vector<ir::BufferId>& out) {
  if (const auto* alloc = std::get_if<ir::Alloc>(&s->form))
    out.insert(out.end(), alloc->buffers.begin(), alloc->buffers.end());
}

const int64_t* constant_extent(const For& l, Expr& keep) {
  keep = ir::simplify(l.hi - l.lo);
  return ir::constant_value(keep);
}

int64_t leaf_copies(const Body& body) {
  int64_t n = 0;
  for (const StmtRef& s : body) {
    if (std::holds_alternative<Leaf>(s->form) || std::holds_alternative<ir::Call>(s->form)) n += 1;
    const auto* l = std::get_if<For>(&s->form);
    Expr keep;
    const int64_t* extent = l && l->kind == LoopKind::unrolled ? constant_extent(*l, keep) : nullptr;
    n += leaf_copies(ir::children(s)) * (extent ? std::max<int64_t>(*extent, 1) : 1);
  }
  return n;
}

Body without(const Body& body, const std::vector<Expr>& gone) {
  return ir::rewrite_body(body, [&](const StmtRef& s) -> Body {
    const auto* leaf = std::get_if<Leaf>(&s->form);
    if (!leaf || !leaf->predicate.known()) return {s};
    std::vector<Expr> left = conjuncts(leaf->predicate);
    const size_t before = left.size();
    std::erase_if(left, [&](const Expr& e) { return contains(gone, e); });
    if (left.size() == before) return {s};
    Leaf out = *leaf;
    out.predicate = conjoin(left);
    return {ir::make_stmt(std::move(out), s->place)};
  });
}

std::optional<size_t> ranged_axis(const ir::Program& program, const Leaf& leaf, const Expr& condition) {
  Expr left, right;
  if (!as_less(condition, left, right)) return std::nullopt;
  const ir::Stage& stage = program.stage(leaf.stage);
  const ir::Substitution point = ir::point_of(program, leaf);
  for (size_t i = 0; i < stage.axes.size(); ++i) {
    if (stage.axes[i].cls != ir::AxisClass::map) continue;
    const Expr hi = ir::substitute(stage.axes[i].hi, point);
    if (ir::equal(left - right, leaf.bindings[i] - hi)) return i;
  }
  return std::nullopt;
}

std::vector<Expr> cell_conjuncts(const ir::Program& program, const Leaf& leaf, bool below_region) {
  std::vector<Expr> out = conjuncts(leaf.predicate);
  // Of a cell whose terms are all left out, too, the region stores the identity: whatever else a condition is about, it is one on terms.
  if (below_region) std::erase_if(out, [&](const Expr& e) { return !ranged_axis(program, leaf, e); });
  return out;
}

bool as_less(const Expr& comparison, Expr& left, Expr& right) {
  const auto* c = comparison.as<ir::Binary>();
  if (!c || c->op < ir::BinaryOp::lt || c->left.type() != ir::ScalarType::index) return false;
  // What comes from data stays where it is: its sums wrap, and a read may need the guards before it.
  bool data = false;
  ir::walk(comparison, [&](const Expr& e) {
    data |= e.as<ir::Load>() || e.as<ir::Convert>();
    return !data;
  });
  if (data) return false;
  const bool swap = c->op == ir::BinaryOp::gt || c->op == ir::BinaryOp::ge;
  left = swap ? c->right : c->left;
  right = swap ? c->left : c->right;
  if (c->op == ir::BinaryOp::le || c->op == ir::BinaryOp::ge) right = right + 1;
  return c->op <= ir::BinaryOp::ge;
}

// ---------------------------------------------------------------------------------------------------------------------

ir::Program plain_pipelines(ir::Program program) {
  program.body = ir::rewrite_body(program.body, [&](const StmtRef& s) -> Body {
    const auto* l = std::get_if<ir::For>(&s->form);
    if (!l || l->kind != LoopKind::pipelined) return {s};
    ir::For out = *l;
    out.kind = LoopKind::serial;
    out.stages = 0;
    out.stage_of.clear();
    return {ir::make_stmt(std::move(out), s->place)};
  });
  for (ir::Buffer& b : program.buffers) b.copies = 1;
  return program;
}

ir::Program unroll_registers(ir::Program program) {
  const ir::Program& p = program;
  program.body = ir::rewrite_body(program.body, [&](const StmtRef& s) -> Body {
    const auto* l = std::get_if<For>(&s->form);
    if (!l || l->kind != LoopKind::serial) return {s};
    Expr keep;
    const int64_t* n = constant_extent(*l, keep);
    if (!n || *n < 1 || *n > longest_unrolled_loop || *n * leaf_copies(l->body) > most_unrolled_leaves) return {s};
    if (!walks_registers(p, l->body, l->loop)) return {s};
    For out = *l;
    out.kind = LoopKind::unrolled;
    out.prefetch.clear();  // nothing is ahead of what is written out
    return {ir::make_stmt(std::move(out), s->place)};
  });
  return program;
}

// ---------------------------------------------------------------------------------------------------------------------

namespace {

// Conjuncts that every leaf below has; none where something else than loops, regions, allocations and leaves stands below.
bool shared_conjuncts(const ir::Program& p, const Body& body, std::vector<Expr>& shared, bool& first,
                      bool below_region = false) {
  for (const StmtRef& s : body) {
    if (std::holds_alternative<ir::Call>(s->form) || std::holds_alternative<ir::Check>(s->form)) return false;
    if (const auto* leaf = std::get_if<Leaf>(&s->form)) {
      std::vector<Expr> own = cell_conjuncts(p, *leaf, below_region);
      if (first) shared = own;
      else
        std::erase_if(shared, [&](const Expr& e) {
          return std::none_of(own.begin(), own.end(), [&](const Expr& o) { return same(e, o); });
        });
      first = false;
    }
    const bool region = below_region || std::holds_alternative<ir::Reduce>(s->form);
    if (!shared_conjuncts(p, ir::children(s), shared, first, region)) return false;
  }
  return true;
}

// Loops between this one and the leaves: a conjunct that mentions one of them belongs to it.
bool mentions_loop_below(const Body& body, const Expr& e) {
  bool found = false;
  ir::walk(body, [&](const StmtRef& s) {
    if (const auto* l = std::get_if<For>(&s->form)) found |= ir::mentions(e, l->loop);
    return !found;
  });
  return found;
}

// Packing a small tile: its rows beyond the edge are better filled (drop_guards) than left as they are, because what reads the whole
// tile would then compute with garbage, and denormal garbage is slow.
bool fills_a_tile(const ir::Program& p, const For& l) {
  Expr keep;
  const int64_t* n = constant_extent(l, keep);
  if (!n || *n > 16) return false;
  bool temporaries = true;
  ir::walk(l.body, [&](const StmtRef& s) {
    if (const auto* leaf = std::get_if<Leaf>(&s->form))
      for (const ir::Assign& a : leaf->assigns)
        temporaries &= p.buffer(a.buffer).role == ir::Role::temporary && a.kind == ir::AssignKind::define;
    return temporaries;
  });
  return temporaries;
}

// Guards that a first pass left because of tiles, and drop_guards could not drop, become bounds after all.
ir::Program bounds(ir::Program program, bool tiles) {
  const ir::Program& p = program;
  program.body = ir::rewrite_body(program.body, [&](const StmtRef& s) -> Body {
    const auto* l = std::get_if<For>(&s->form);
    if (!l || (l->kind != LoopKind::serial && l->kind != LoopKind::parallel)) return {s};
    if (!tiles && fills_a_tile(p, *l)) return {s};
    std::vector<Expr> shared;
    bool first = true;
    if (!shared_conjuncts(p, l->body, shared, first)) return {s};
    For out = *l;
    std::vector<Expr> gone;
    for (const Expr& e : shared) {
      Expr left, right;
      if (!ir::mentions(e, l->loop) || mentions_loop_below(l->body, e) || !as_less(e, left, right)) continue;
      const ir::AffineIn in = ir::affine_in(left - right, l->loop);  // c*i + rest < 0
      if (!in.ok || in.coefficient == 0 || in.coefficient == INT64_MIN) continue;
      const Expr zero = ir::index_constant(0);
      if (in.coefficient > 0) {
        out.hi = ir::min(out.hi, ir::simplify(ir::ceildiv(zero - in.rest, ir::index_constant(in.coefficient))));
      } else {
        out.lo = ir::max(out.lo,
                         ir::simplify(ir::binary(ir::BinaryOp::div, in.rest, ir::index_constant(-in.coefficient)) + 1));
      }
      gone.push_back(e);
    }
    if (gone.empty()) return {s};
    out.body = without(l->body, gone);
    return {ir::make_stmt(std::move(out), s->place)};
  });
  return program;
}

}  // namespace

ir::Program guards_to_bounds(ir::Program program) { return bounds(std::move(program), false); }
ir::Program tile_guards_to_bounds(ir::Program program) { return bounds(std::move(program), true); }

// ---------------------------------------------------------------------------------------------------------------------

namespace {

// The number by which a layout divides a logical dim: the greatest, where it is a multiple of all others; else 1.
int64_t block_of(const ir::Layout& layout, ir::SymbolId from) {
  int64_t most = 1;
  bool nested = true;
  for (const Expr& to : layout.to)
    ir::walk(to, [&](const Expr& e) {
      const auto* op = e.as<ir::Binary>();
      const auto* v = op ? op->left.as<ir::Var>() : nullptr;
      if (!v || v->symbol != from || (op->op != ir::BinaryOp::div && op->op != ir::BinaryOp::mod)) return true;
      const int64_t* n = ir::constant_value(op->right);
      if (!n || *n < 1) return true;
      nested = nested && (*n % most == 0 || most % *n == 0);
      most = std::max(most, *n);
      return true;
    });
  return nested ? most : 1;
}

// Buffers whose box says more than what may be touched: reads with `or` and windows of calls end there.
std::set<ir::BufferId> boxes_with_meaning(const ir::Program& p) {
  std::set<ir::BufferId> out;
  for (const ir::Access& a : ir::accesses(p, p.body))
    if (a.tried || std::holds_alternative<ir::Call>(a.by->form)) out.insert(a.buffer);
  return out;
}

}  // namespace

std::optional<Expr> padded_end(const ir::Buffer& buffer, size_t d) {
  if (!buffer.layout) return {};
  const int64_t block = block_of(*buffer.layout, buffer.layout->from[d]);
  const ir::BoxDim& dim = buffer.box[d];
  if (block <= 1) return {};
  return ir::simplify(dim.lo + ir::ceildiv(dim.hi - dim.lo, ir::index_constant(block)) * block);
}

ir::Program explicit_padding(ir::Program program) {
  const std::set<ir::BufferId> fixed = boxes_with_meaning(program);
  for (uint32_t id = 0; id < program.buffers.size(); ++id) {
    ir::Buffer& buffer = program.buffers[id];
    if (!buffer.layout || ir::folds(buffer) || (buffer.role != ir::Role::temporary && buffer.role != ir::Role::in) ||
        fixed.count(ir::BufferId{id}))
      continue;
    for (size_t d = 0; d < buffer.box.size(); ++d)
      if (const std::optional<Expr> hi = padded_end(buffer, d)) buffer.box[d].hi = *hi;
  }
  return program;
}

}  // namespace heddle::host
