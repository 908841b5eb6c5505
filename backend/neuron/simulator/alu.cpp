#include "backend/neuron/simulator/alu.h"

#include <array>
#include <cmath>
#include <limits>

namespace heddle::neuron::sim {
namespace {

constexpr std::array<std::string_view, 29> alu_names = {
    "bypass",     "invert",   "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift",  "right_shift",   "add",
    "subtract",   "multiply", "maximum",     "minimum",    "equal",       "not_equal",   "greater_equal", "greater",
    "less_equal", "less",     "logical_and", "logical_or", "logical_xor", "logical_not", "power",         "abs_max",
    "abs_min",    "abs",      "square",      "relu",       "rsqrt"};
constexpr std::array<std::string_view, 23> function_names = {"copy",
                                                             "square",
                                                             "abs",
                                                             "sign",
                                                             "relu",
                                                             "sigmoid",
                                                             "tanh",
                                                             "silu",
                                                             "silu_dx",
                                                             "gelu",
                                                             "gelu_dx",
                                                             "gelu_apprx_tanh",
                                                             "gelu_apprx_sigmoid",
                                                             "softplus",
                                                             "mish",
                                                             "erf",
                                                             "exp",
                                                             "log",
                                                             "sin",
                                                             "arctan",
                                                             "sqrt",
                                                             "rsqrt",
                                                             "reciprocal"};

template <class F>
void each(const float* a, int as, const float* b, int bs, int64_t n, float* out, F f) {
  if (as == 1 && bs == 1)
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
  else if (as == 1)
    for (int64_t i = 0, y = 0; i < n; ++i) (void)y, out[i] = f(a[i], *b);
  else if (bs == 1)
    for (int64_t i = 0; i < n; ++i) out[i] = f(*a, b[i]);
  else
    for (int64_t i = 0; i < n; ++i) out[i] = f(*a, *b);
}

}  // namespace

std::string_view alu_name(AluOp op) {
  return op == AluOp::reciprocal ? "reciprocal" : alu_names[static_cast<size_t>(op)];
}
std::optional<AluOp> alu_named(std::string_view name) {
  if (name == "reciprocal") return AluOp::reciprocal;
  if (name == "max") return AluOp::maximum;  // nl.max and nl.min are named beside them where reductions are documented
  if (name == "min") return AluOp::minimum;
  for (size_t i = 0; i < alu_names.size(); ++i)
    if (alu_names[i] == name) return static_cast<AluOp>(i);
  return std::nullopt;
}

bool is_comparison(AluOp op) { return op >= AluOp::equal && op <= AluOp::less; }

bool is_reduction(AluOp op) {
  switch (op) {
    case AluOp::add:
    case AluOp::subtract:
    case AluOp::multiply:
    case AluOp::maximum:
    case AluOp::minimum:
    case AluOp::bitwise_and:
    case AluOp::bitwise_or:
    case AluOp::bitwise_xor:
    case AluOp::logical_and:
    case AluOp::logical_or:
    case AluOp::logical_xor: return true;
    default: return false;
  }
}

float reduction_start(AluOp op) {
  switch (op) {
    case AluOp::multiply:
    case AluOp::logical_and: return 1;
    case AluOp::maximum: return -std::numeric_limits<float>::infinity();
    case AluOp::minimum: return std::numeric_limits<float>::infinity();
    default: return 0;
  }
}

void apply_alu(AluOp op, const float* a, int as, const float* b, int bs, int64_t n, float* out) {
  auto run = [&](auto f) { each(a, as, b, bs, n, out, f); };
  switch (op) {
    case AluOp::add: return run([](float x, float y) { return x + y; });
    case AluOp::subtract: return run([](float x, float y) { return x - y; });
    case AluOp::multiply: return run([](float x, float y) { return x * y; });
    // A NaN on either side gives NaN.
    case AluOp::maximum: return run([](float x, float y) { return x != x ? x : y != y ? y : x > y ? x : y; });
    case AluOp::minimum: return run([](float x, float y) { return x != x ? x : y != y ? y : x < y ? x : y; });
    case AluOp::equal: return run([](float x, float y) { return x == y ? 1.0f : 0.0f; });
    case AluOp::not_equal: return run([](float x, float y) { return x != y ? 1.0f : 0.0f; });
    case AluOp::greater_equal: return run([](float x, float y) { return x >= y ? 1.0f : 0.0f; });
    case AluOp::greater: return run([](float x, float y) { return x > y ? 1.0f : 0.0f; });
    case AluOp::less_equal: return run([](float x, float y) { return x <= y ? 1.0f : 0.0f; });
    case AluOp::less: return run([](float x, float y) { return x < y ? 1.0f : 0.0f; });
    case AluOp::logical_and: return run([](float x, float y) { return x != 0 && y != 0 ? 1.0f : 0.0f; });
    case AluOp::logical_or: return run([](float x, float y) { return x != 0 || y != 0 ? 1.0f : 0.0f; });
    case AluOp::logical_xor: return run([](float x, float y) { return (x != 0) != (y != 0) ? 1.0f : 0.0f; });
    case AluOp::logical_not: return run([](float x, float) { return x == 0 ? 1.0f : 0.0f; });
    case AluOp::power: return run([](float x, float y) { return std::pow(x, y); });
    case AluOp::abs_max: return run([](float x, float y) { return std::fmax(std::fabs(x), std::fabs(y)); });
    case AluOp::abs_min: return run([](float x, float y) { return std::fmin(std::fabs(x), std::fabs(y)); });
    case AluOp::abs: return run([](float x, float) { return std::fabs(x); });
    case AluOp::square: return run([](float x, float) { return x * x; });
    case AluOp::relu: return run([](float x, float) { return x > 0 ? x : x != x ? x : 0.0f; });
    case AluOp::rsqrt:
      return run([](float x, float) { return static_cast<float>(1 / std::sqrt(static_cast<double>(x))); });
    case AluOp::reciprocal: return run([](float x, float) { return 1 / x; });
    default: return run([](float x, float) { return x; });
  }
}

int64_t apply_integer(AluOp op, int64_t a, int64_t b) {
  const uint64_t ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
  switch (op) {
    case AluOp::invert: return ~a;
    case AluOp::bitwise_and: return a & b;
    case AluOp::bitwise_or: return a | b;
    case AluOp::bitwise_xor: return a ^ b;
    case AluOp::left_shift: return ub < 64 ? static_cast<int64_t>(ua << ub) : 0;
    case AluOp::right_shift:
      return ub < 64 ? static_cast<int64_t>(ua >> ub) : 0;  // logical, over the element's own bits
    case AluOp::add: return static_cast<int64_t>(ua + ub);
    case AluOp::subtract: return static_cast<int64_t>(ua - ub);
    case AluOp::multiply: return static_cast<int64_t>(ua * ub);
    case AluOp::maximum: return a > b ? a : b;
    case AluOp::minimum: return a < b ? a : b;
    case AluOp::equal: return a == b;
    case AluOp::not_equal: return a != b;
    case AluOp::greater_equal: return a >= b;
    case AluOp::greater: return a > b;
    case AluOp::less_equal: return a <= b;
    case AluOp::less: return a < b;
    case AluOp::logical_and: return a && b;
    case AluOp::logical_or: return a || b;
    case AluOp::logical_xor: return !a != !b;
    case AluOp::logical_not: return !a;
    case AluOp::abs_max: return std::max(a < 0 ? -a : a, b < 0 ? -b : b);
    case AluOp::abs_min: return std::min(a < 0 ? -a : a, b < 0 ? -b : b);
    case AluOp::abs: return a < 0 ? -a : a;
    case AluOp::square: return static_cast<int64_t>(ua * ua);
    case AluOp::relu: return a > 0 ? a : 0;
    default: return a;
  }
}

std::string_view function_name(Function f) { return function_names[static_cast<size_t>(f)]; }
std::optional<Function> function_named(std::string_view name) {
  for (size_t i = 0; i < function_names.size(); ++i)
    if (function_names[i] == name) return static_cast<Function>(i);
  return std::nullopt;
}

bool in_domain(Function f, float x) {
  if (std::isnan(x)) return true;  // NaN in, NaN out
  const double v = x, a = std::fabs(v);
  switch (f) {
    case Function::log: return v >= std::ldexp(1, -64) && v <= std::ldexp(1, 64);
    case Function::sin: return a <= M_PI + 1e-6;
    case Function::arctan: return a <= M_PI / 2 + 1e-6;
    case Function::sqrt: return v == 0 || (v >= std::ldexp(1, -116) && v <= std::ldexp(1, 118));
    case Function::rsqrt: return v >= std::ldexp(1, -87) && v <= std::ldexp(1, 97);
    case Function::reciprocal: return a >= std::ldexp(1, -42) && a <= std::ldexp(1, 42);
    default: return true;
  }
}

float apply_function(Function f, float x) {
  const double v = x;
  auto sigmoid = [](double t) { return 1 / (1 + std::exp(-t)); };
  auto softplus = [](double t) { return t > 30 ? t : std::log1p(std::exp(t)); };
  switch (f) {
    case Function::copy: return x;
    case Function::square: return x * x;
    case Function::abs: return std::fabs(x);
    case Function::sign: return x > 0 ? 1.0f : x < 0 ? -1.0f : x;
    case Function::relu: return x > 0 ? x : x != x ? x : 0.0f;
    case Function::sigmoid: return static_cast<float>(sigmoid(v));
    case Function::tanh: return std::tanh(x);
    case Function::silu: return static_cast<float>(std::isinf(x) ? (x > 0 ? v : 0.0) : v * sigmoid(v));
    case Function::silu_dx: return static_cast<float>(sigmoid(v) * (1 + v * (1 - sigmoid(v))));
    case Function::gelu: return static_cast<float>(0.5 * v * std::erfc(-v * M_SQRT1_2));
    case Function::gelu_dx:
      return static_cast<float>(0.5 * std::erfc(-v * M_SQRT1_2) + v * std::exp(-0.5 * v * v) * 0.3989422804014327);
    case Function::gelu_apprx_tanh:
      return static_cast<float>(0.5 * v * (1 + std::tanh(0.7978845608028654 * (v + 0.044715 * v * v * v))));
    case Function::gelu_apprx_sigmoid: return static_cast<float>(v * sigmoid(1.702 * v));
    case Function::softplus: return static_cast<float>(softplus(v));
    case Function::mish: return static_cast<float>(v * std::tanh(softplus(v)));
    case Function::erf: return std::erf(x);
    case Function::exp: return static_cast<float>(std::exp(v));
    case Function::log: return static_cast<float>(std::log(v));
    case Function::sin: return static_cast<float>(std::sin(v));
    case Function::arctan: return static_cast<float>(std::atan(v));
    case Function::sqrt: return std::sqrt(x);
    case Function::rsqrt: return static_cast<float>(1 / std::sqrt(v));
    case Function::reciprocal: return 1 / x;
  }
  return x;
}

}  // namespace heddle::neuron::sim
