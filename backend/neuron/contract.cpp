// Sums of products over partitions: one product of the PE array for each piece.
//
//   acc[i, j] sum= a(k, i) * b(k, j)   ->   nc_matmul(dst=acc[i, j], stationary=a[k, i], moving=b[k, j])
#include "backend/neuron/lowering.h"

namespace heddle::neuron {

using namespace ir;

namespace {

void factors_of(const Expr& e, std::vector<Expr>& out) {
  if (const Binary* b = e.as<Binary>(); b && b->op == BinaryOp::mul) {
    factors_of(b->left, out);
    factors_of(b->right, out);
  } else {
    out.push_back(e);
  }
}

}  // namespace

Value Lowering::operand(const std::vector<Expr>& factors, const Axes& axes, const std::vector<Expr>& mask) {
  Value v;
  if (factors.empty()) {
    v = number(1);
  } else {
    Expr product = factors[0];
    for (size_t i = 1; i < factors.size(); ++i) product = product * factors[i];
    for (const Expr& m : mask) product = ir::select(m, product, real_constant(product.type(), 0));
    v = eval(product, axes);
  }
  return v;
}

void Lowering::contract(const Leaf& l, const Expr& value, const Axes& axes, const BoundLoop& k, const View& psum,
                        const std::vector<Expr>& mask, const Region& region) {
  const Stage& stage = p_.stage(l.stage);
  std::vector<Expr> factors, stationary, moving;
  factors_of(value, factors);
  auto names = [&](const Expr& e, const std::optional<BoundLoop>& loop) { return loop && mentions(e, loop->loop); };
  for (const Expr& f : factors) {
    if (names(f, axes.partition) && names(f, axes.free)) {
      fail(codes::no_form,
           "`" + stage.name + "` is no sum of products of a part over `" + loop_name(axes.partition->loop) +
               "` and one over `" + loop_name(axes.free->loop) + "`",
           "what is summed over partitions is a product of two tiles");
      return;
    }
    (names(f, axes.partition) ? stationary : moving).push_back(f);
  }
  if (moving.empty() && !axes.free) std::swap(moving, stationary);
  Axes left{k, axes.partition}, right{k, axes.free};
  if (moving.size() == factors.size() && axes.partition && !axes.free && stationary.empty()) {
    // A matrix by a vector: the matrix is stationary where it names the partition loop, else it moves.
    for (auto it = moving.begin(); it != moving.end();)
      if (names(*it, axes.partition)) stationary.push_back(*it), it = moving.erase(it);
      else ++it;
  }
  std::vector<Expr> mask_left, mask_right;
  for (const Expr& m : mask) {
    if (names(m, axes.partition) && names(m, axes.free)) {
      fail(codes::no_form,
           "`" + stage.name + "` is limited by `" + ir::print(k_.program, m) + "` over both axes of its result");
      return;
    }
    if (names(m, axes.partition) && stationary.empty()) stationary.push_back(real_constant(ScalarType::f32, 1));
    (names(m, axes.partition) ? mask_left : mask_right).push_back(m);
  }
  Value a = operand(stationary, left, mask_left), b = operand(moving, right, mask_right);
  if (!failure_.empty()) return;
  auto full = [&](Value v, const Axes& over) {
    if (v.scalar && v.number && *v.number == 1) return v;
    v = spread(v, over, true, over.free.has_value());
    return in_sbuf(v, over);
  };
  a = full(a, left);
  b = full(b, right);
  auto ones = [&](const Axes& over, ScalarType type) {
    Value v;
    bool wide = bound_of(simple(over.frees())) > core_.partitions;
    if (wide) return spread(number(1), over, true, true);
    v.view = kernel_constant(type == ScalarType::bf16 ? "ones:bf16" : type == ScalarType::f16 ? "ones:f16" : "ones");
    v.view.axes[0].count = counted(over.partitions());
    v.view.axes[1].count = counted(over.frees());
    v.type = type == ScalarType::bf16 || type == ScalarType::f16 ? type : ScalarType::f32;
    v.over_partition = true;
    v.over_free = over.free.has_value();
    return v;
  };
  if (a.scalar) a = ones(left, b.scalar ? ScalarType::f32 : b.type);
  if (b.scalar) b = ones(right, a.type);
  if (a.type != b.type || !is_float(a.type)) {
    // Operands are of one type; in f32 nothing is lost.
    a = converted(a, ScalarType::f32, left);
    b = converted(b, ScalarType::f32, right);
  }
  std::vector<Argument> arguments = {{"dst", psum}, {"stationary", a.view}, {"moving", b.view}};
  if (region.iterations) {
    Expr past = index_constant(0);
    for (const Expr& e : *region.iterations) past = past + e;
    past = counted(simple(past));
    index_texts_.push_back(past);
    arguments.push_back({"accumulate", is_constant(past, 0)
                                           ? std::string("False")
                                           : "(@" + std::to_string(index_texts_.size() - 1) + "@ > 0)"});
  }
  emit("nc_matmul", std::move(arguments));
}

}  // namespace heddle::neuron
