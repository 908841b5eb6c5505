// Math functions: one activation each in `full`; in `basic` composed of exp, sqrt, rsqrt and reciprocal.
#include <cmath>

#include "backend/neuron/lowering.h"

namespace heddle::neuron {

using namespace ir;

Value Lowering::activation(const std::string& name, Value a, const Axes& axes, const Destination* to,
                           const View* bias) {
  if (a.scalar) a = spread(a, axes, axes.partition.has_value(), false);
  Value out = a;
  out.view = space_for(axes, a.over_partition, a.over_free, ScalarType::f32, to, {&a});
  bool direct = to && out.view.tile == to->view.tile;
  out.type = direct ? to->type : ScalarType::f32;
  out.temporary = !direct;
  std::vector<Argument> arguments = {{"dst", out.view}, {"op", "nl." + name}, {"data", a.view}};
  if (bias) arguments.push_back({"bias", *bias});
  emit("activation", std::move(arguments));
  return out;
}

// f(a - b) with a column b in one instruction: the Scalar engine adds one number for each partition, in f32 as well.
Value Lowering::activation_of(const std::string& name, const Expr& e, const Axes& axes, const Destination* to) {
  const Binary* b = e.as<Binary>();
  if (basic() || !b || (b->op != BinaryOp::add && b->op != BinaryOp::sub) || e.type() != ScalarType::f32)
    return activation(name, eval(e, axes), axes, to);
  const bool minus = b->op == BinaryOp::sub;
  Value left = eval(b->left, axes), right = eval(b->right, axes);
  if (left.scalar || right.scalar || !left.over_free || right.over_free || !right.over_partition ||
      left.over_partition != axes.partition.has_value() || right.type != ScalarType::f32)
    return activation(name, arith(minus ? "subtract" : "add", left, right, axes, nullptr), axes, to);
  Axes column = axes;
  column.free.reset();
  right = minus ? scaled(right, "multiply", "-1.0", column) : in_sbuf(right, column);
  return activation(name, left, axes, to, &right.view);
}

Value Lowering::reciprocal(Value a, const Axes& axes, const Destination* to) {
  if (a.scalar) a = spread(a, axes, axes.partition.has_value(), false);
  Value out = a;
  out.view = space_for(axes, a.over_partition, a.over_free, ScalarType::f32, to, {&a});
  bool direct = to && out.view.tile == to->view.tile;
  out.type = direct ? to->type : ScalarType::f32;
  out.temporary = !direct;
  emit("reciprocal", {{"dst", out.view}, {"data", a.view}});
  return out;
}

// 1 / (1 + exp(-x)), where an infinite exp gives 0.
Value Lowering::sigmoid(Value a, const Axes& axes, const Destination* to) {
  if (!basic()) return activation("sigmoid", a, axes, to);
  Value v = scaled(a, "multiply", "-1.0", axes);
  v = activation("exp", v, axes, nullptr);
  v = scaled(v, "add", "1.0", axes);
  return reciprocal(v, axes, to);
}

// Seven square roots bring x near 1, where log is 2(r - 1)/(r + 1) up to the third order; then three steps of Halley's iteration,
// y + 2(x - exp(y))/(x + exp(y)), each of which cubes the error.
Value Lowering::log(Value a, const Axes& axes, const Destination* to) {
  if (!basic()) return activation("log", a, axes, to);
  a = in_sbuf(a, axes);
  a.temporary = false;
  Value r = a;
  for (int i = 0; i < 7; ++i) r = activation("sqrt", r, axes, nullptr);
  Value above = r;
  above.temporary = false;
  above = scaled(above, "add", "1.0", axes);
  above = reciprocal(above, axes, nullptr);
  Value y = scaled(r, "subtract", "1.0", axes);
  y = arith("multiply", y, above, axes, nullptr);
  y = scaled(y, "multiply", "256.0", axes);
  for (int i = 0; i < 3; ++i) {
    Value from = y;
    from.temporary = false;
    Value e = activation("exp", from, axes, nullptr);
    Value kept = e;
    kept.temporary = false;
    Value sum = arith("add", a, kept, axes, nullptr);
    sum = reciprocal(sum, axes, nullptr);
    Value step = arith("subtract", a, e, axes, nullptr);
    step = arith("multiply", step, sum, axes, nullptr);
    step = scaled(step, "multiply", "2.0", axes);
    y = arith("add", y, step, axes, i == 2 ? to : nullptr);
  }
  return y;
}

// Abramowitz and Stegun 7.1.26, within 1.5e-7: 1 - t(a1 + t(a2 + ..)) exp(-x^2) with t = 1/(1 + p|x|), and the sign of x.
Value Lowering::erf(Value a, const Axes& axes, const Destination* to) {
  if (!basic()) return activation("erf", a, axes, to);
  static constexpr double c[] = {1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592};
  a = in_sbuf(a, axes);
  a.temporary = false;
  Value minus = scaled(a, "multiply", "-1.0", axes);
  Value size = arith("maximum", minus, a, axes, nullptr);
  Value kept = size;
  kept.temporary = false;
  Value t = scaled(kept, "multiply", "0.3275911", axes);
  t = scaled(t, "add", "1.0", axes);
  t = reciprocal(t, axes, nullptr);
  t.temporary = false;
  Value poly = scaled(t, "multiply", number_text(c[0]), axes);
  for (int i = 1; i < 5; ++i) {
    poly = scaled(poly, "add", number_text(c[i]), axes);
    poly = arith("multiply", poly, t, axes, nullptr);
  }
  size = scaled(size, "minimum", "9.0", axes);
  Value square = arith("multiply", size, size, axes, nullptr);
  square = scaled(square, "multiply", "-1.0", axes);
  Value e = activation("exp", square, axes, nullptr);
  poly = arith("multiply", poly, e, axes, nullptr);
  poly = scaled(poly, "multiply", "-1.0", axes);
  poly = scaled(poly, "add", "1.0", axes);
  Value sign = compare(BinaryOp::gt, a, number(0), axes, false);
  sign = scaled(sign, "multiply", "2.0", axes);
  sign = scaled(sign, "subtract", "1.0", axes);
  return arith("multiply", poly, sign, axes, to);
}

Value Lowering::function(const MathCall& m, const Axes& axes, const Destination* to) {
  const std::string& f = m.function;
  if (m.args.size() == 2 && (f == "min" || f == "max") && !(exact_integer(m.args[0]) && exact_integer(m.args[1]))) {
    fail(codes::no_integers, "`" + f + "` of integers that f32 may round",
         "convert to a float first where the numbers stay below 2^24");
    return number(0);
  }
  if (m.args.size() == 2 && (f == "min" || f == "max"))
    return arith(f == "min" ? "minimum" : "maximum", eval(m.args[0], axes), eval(m.args[1], axes), axes, to,
                 held(m.args[0].type()));
  if (m.args.size() != 1 || m.args[0].type() == ScalarType::f64) {
    fail(codes::no_form, "`" + f + "` has no form on a NeuronCore yet");
    return number(0);
  }
  if (f == "abs") {
    Value a = eval(m.args[0], axes);
    if (!basic()) return activation("abs", a, axes, to);
    a = in_sbuf(a, axes);
    a.temporary = false;
    Value minus = scaled(a, "multiply", "-1.0", axes);
    return arith("maximum", minus, a, axes, to);
  }
  if (f == "exp" || f == "sqrt" || f == "rsqrt") return activation_of(f, m.args[0], axes, to);
  if (f == "sigmoid") return sigmoid(eval(m.args[0], axes), axes, to);
  if (f == "log") return log(eval(m.args[0], axes), axes, to);
  if (f == "erf") return erf(eval(m.args[0], axes), axes, to);
  if (f == "tanh") {
    Value a = eval(m.args[0], axes);
    if (!basic()) return activation("tanh", a, axes, to);
    // 2 sigmoid(2x) - 1
    Value v = scaled(a, "multiply", "2.0", axes);
    v = sigmoid(v, axes, nullptr);
    v = scaled(v, "multiply", "2.0", axes);
    return scaled(v, "subtract", "1.0", axes, to);
  }
  fail(codes::no_form, "`" + f + "` has no form on a NeuronCore yet");
  return number(0);
}

}  // namespace heddle::neuron
