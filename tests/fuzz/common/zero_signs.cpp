#include "tests/fuzz/common/zero_signs.h"

#include "ir/visit.h"

namespace heddle::fuzz {
namespace {

bool is_extremum(const ir::Expr& e) {
  if (!ir::is_float(e.type())) return false;
  if (const auto* b = e.as<ir::Binary>()) return b->op == ir::BinaryOp::max || b->op == ir::BinaryOp::min;
  const auto* c = e.as<ir::MathCall>();
  return c && (c->function == "max" || c->function == "min");
}

// v + 0 is v, and 0 where v is either zero.
ir::Expr positive_zero(const ir::Expr& v) { return ir::binary(ir::BinaryOp::add, v, ir::real_constant(v.type(), 0.0)); }
ir::Expr with_zero(const ir::Expr& v, bool negative) {
  if (!negative) return positive_zero(v);
  return ir::unary(ir::UnaryOp::negate, positive_zero(ir::unary(ir::UnaryOp::negate, v)));
}

}  // namespace

ir::Program with_zeros_of_extrema(const ir::Program& program, uint64_t signs) {
  ir::Program out = program;
  int place = 0;
  auto signed_zero = [&](const ir::Expr& v) { return with_zero(v, (signs >> (place++ % 64) & 1) != 0); };
  auto in_values = [&](const ir::Expr& e) {
    return ir::rewrite(e, [&](const ir::Expr& node) { return is_extremum(node) ? signed_zero(node) : node; });
  };
  out.body = ir::rewrite_body(out.body, [&](const ir::StmtRef& s) -> ir::Body {
    const auto* leaf = std::get_if<ir::Leaf>(&s->form);
    if (!leaf) return {s};
    ir::Leaf next = *leaf;
    const ir::Reducer* reducer = next.reducer.empty() ? nullptr : program.reducer(next.reducer);
    const bool extremum =
        reducer && (reducer->builtin == ir::BuiltinReducer::max || reducer->builtin == ir::BuiltinReducer::min);
    for (ir::Assign& a : next.assigns) {
      a.value = in_values(a.value);
      if (extremum && a.kind == ir::AssignKind::combine && ir::is_float(a.value.type())) a.value = signed_zero(a.value);
    }
    return {ir::make_stmt(std::move(next), s->place)};
  });
  for (ir::Reducer& r : out.reducers)
    for (ir::ReducerLine& line : r.combine) line.value = in_values(line.value);
  return out;
}

}  // namespace heddle::fuzz
