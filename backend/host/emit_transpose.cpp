// Square blocks that change rows for columns: whole vectors are read along the rows, exchanged in registers and written along the
// columns, where lanes of the vector loop alone would each read an element of another line.
#include "backend/host/emitter.h"
#include "ir/prove.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Expr;
using llvm::Value;

namespace {

// Both loops from 0, to the same power of two; the outer one may end earlier, at the lesser of that and `end`.
struct Square {
  int extent = 0;
  Expr end;
};

Square square_of(const ir::For& outer, const ir::For& inner) {
  Square out;
  Expr hi = outer.hi;
  if (const auto* min = hi.as<ir::Binary>(); min && min->op == ir::BinaryOp::min) {
    const bool left = ir::constant_value(min->left) != nullptr;
    hi = left ? min->left : min->right;
    out.end = left ? min->right : min->left;
  }
  const int64_t *n = ir::constant_value(hi), *m = ir::constant_value(inner.hi);
  const bool square = n && m && *n == *m && ir::is_constant(outer.lo, 0) && ir::is_constant(inner.lo, 0);
  if (square && *n >= 4 && *n <= 16 && (*n & (*n - 1)) == 0) out.extent = static_cast<int>(*n);
  return out;
}

// The place of the loops' square where a condition that is linear in both holds last: where it holds there, it holds in all of it. Nothing
// for other conditions.
Expr at_worst(const Expr& condition, const ir::For& outer, const ir::For& inner, int n) {
  const auto* test = condition.as<ir::Binary>();
  if (!test || (test->op != ir::BinaryOp::lt && test->op != ir::BinaryOp::le) ||
      test->left.type() != ir::ScalarType::index || ir::mentions_load(condition))
    return {};
  const Expr ahead = ir::simplify(test->left - test->right);
  const ir::AffineIn over_outer = ir::affine_in(ahead, outer.loop);
  if (!over_outer.ok) return {};
  const ir::AffineIn over_inner = ir::affine_in(over_outer.rest, inner.loop);
  if (!over_inner.ok) return {};
  return ir::substitute(condition, {{outer.loop, ir::index_constant(over_outer.coefficient > 0 ? n - 1 : 0)},
                                    {inner.loop, ir::index_constant(over_inner.coefficient > 0 ? n - 1 : 0)}});
}

}  // namespace

// Rows become columns: blocks of n/2, n/4, .. 1 change places across the diagonal of each block twice as large.
void Emitter::exchange(std::vector<Value*>& rows) {
  const int n = static_cast<int>(rows.size());
  for (int d = n / 2; d > 0; d /= 2)
    for (int i = 0; i < n; ++i) {
      if (i & d) continue;
      std::vector<int> upper, lower;
      for (int e = 0; e < n; ++e) {
        upper.push_back(e & d ? n + e - d : e);
        lower.push_back(e & d ? n + e : e + d);
      }
      Value *a = rows[static_cast<size_t>(i)], *b = rows[static_cast<size_t>(i + d)];
      rows[static_cast<size_t>(i)] = b_.CreateShuffleVector(a, b, upper);
      rows[static_cast<size_t>(i + d)] = b_.CreateShuffleVector(a, b, lower);
    }
}

// for l in 0 .. 16 { for v in 0 .. 16 vector { y[.., l, .., v] = x[.., v, .., l] } }
// Where conditions keep some of a square out, `plainly` makes the code for what is not whole.
bool Emitter::transposed(const ir::For& loop, const Work& plainly) {
  const auto* lanes = loop.body.size() == 1 ? std::get_if<ir::For>(&loop.body[0]->form) : nullptr;
  if (!lanes || lanes->kind != ir::LoopKind::vector || arith_.width != 1 || mask_ || lanes->body.size() != 1)
    return false;
  const Square square = square_of(loop, *lanes);
  const int n = square.extent;
  const auto* leaf = std::get_if<ir::Leaf>(&lanes->body[0]->form);
  if (!n || !leaf || leaf->assigns.size() != 1) return false;
  std::vector<Expr> whole;
  if (square.end.known()) whole.push_back(ir::less_equal(ir::index_constant(n), square.end));
  for (const Expr& part : ir::conjuncts(leaf->predicate)) {
    whole.push_back(at_worst(part, loop, *lanes, n));
    if (!whole.back().known()) return false;
  }
  const ir::Assign& assign = leaf->assigns[0];
  const ir::Substitution point = ir::point_of(p_, *leaf);
  const auto* load = assign.value.as<ir::Load>();
  // What cells beyond an edge are filled with: a whole square has none.
  if (const auto* filled = assign.value.as<ir::Select>()) {
    load = filled->yes.as<ir::Load>();
    for (const Expr& part : ir::conjuncts(ir::substitute(filled->condition, point))) {
      whole.push_back(at_worst(part, loop, *lanes, n));
      if (!whole.back().known()) return false;
    }
  }
  if (!load || load->otherwise.known() || assign.kind != ir::AssignKind::define || !assign.over.empty()) return false;
  if (load->buffer == assign.buffer || redirects_.count(load->buffer.value) || redirects_.count(assign.buffer.value))
    return false;
  std::vector<Expr> from = ir::substitute(load->subs, point);
  const std::vector<Expr> to = ir::substitute(assign.subs, point);
  // Nor reads it the last row again, `min(i, rows - 1)`.
  for (Expr& e : from) {
    const auto* last = e.as<ir::Binary>();
    if (!last || last->op != ir::BinaryOp::min) continue;
    const bool left = ir::mentions(last->left, loop.loop) || ir::mentions(last->left, lanes->loop);
    const Expr at = left ? last->left : last->right, edge = left ? last->right : last->left;
    whole.push_back(at_worst(ir::less_equal(at, edge), loop, *lanes, n));
    if (!whole.back().known()) return false;
    e = at;
  }
  bool data = false;
  for (const Expr& e : from)
    ir::walk(e, [&](const Expr& node) {
      data |= node.as<ir::Load>() != nullptr;
      return !data;
    });
  if (data) return false;

  auto in_lanes = [&](const ir::For& l, const Work& work) {
    known_.emplace_back();
    with_lanes(l.loop, 0, n, work);
    known_.pop_back();
  };
  auto at = [](const ir::For& l, int i) { return ir::Substitution{{l.loop, ir::index_constant(i)}}; };
  bool rows = false, columns = false;
  in_lanes(loop, [&] { rows = spot(load->buffer, ir::substitute(from, at(*lanes, 0))).shape == Spot::contiguous; });
  in_lanes(*lanes, [&] {
    columns = spot(assign.buffer, ir::substitute(to, at(loop, 0))).shape == Spot::contiguous &&
              spot(load->buffer, ir::substitute(from, at(loop, 0))).shape == Spot::scattered;
  });
  if (!rows || !columns) return false;

  auto in_registers = [&] {
    std::vector<Value*> block;
    for (int i = 0; i < n; ++i)
      in_lanes(loop, [&] { block.push_back(this->load(load->buffer, ir::substitute(from, at(*lanes, i))).v); });
    exchange(block);
    for (int i = 0; i < n; ++i)
      in_lanes(*lanes, [&] {
        nontemporal_ = leaf->nontemporal;
        store(assign.buffer, ir::substitute(to, at(loop, i)), {block[static_cast<size_t>(i)], true});
        nontemporal_ = false;
      });
  };
  Value* all = b_.getTrue();
  for (const Expr& e : whole) all = b_.CreateAnd(all, condition(e).v);
  branch(all, in_registers);
  branch(b_.CreateNot(all), plainly);
  return true;
}

}  // namespace heddle::host
