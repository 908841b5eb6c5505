// The operators of the engines: ALU ops (nki/api/nki.api.shared.rst) and activation functions, with what each computes in fp32.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace heddle::neuron::sim {

enum class AluOp : uint8_t {
  bypass,
  // bitvec
  invert,
  bitwise_and,
  bitwise_or,
  bitwise_xor,
  left_shift,
  right_shift,
  // arithmetic
  add,
  subtract,
  multiply,
  maximum,
  minimum,
  equal,
  not_equal,
  greater_equal,
  greater,
  less_equal,
  less,
  logical_and,
  logical_or,
  logical_xor,
  logical_not,
  power,
  abs_max,
  abs_min,
  // unary arithmetic
  abs,
  square,
  relu,
  rsqrt,
  reciprocal
};

std::optional<AluOp> alu_named(std::string_view nki_name);
std::string_view alu_name(AluOp op);
inline bool is_bitvec(AluOp op) { return op >= AluOp::invert && op <= AluOp::right_shift; }
inline bool is_unary(AluOp op) { return op == AluOp::invert || op == AluOp::logical_not || op >= AluOp::abs; }
bool is_comparison(AluOp op);
bool is_reduction(AluOp op);

/// `out[i] = a[i] op b[i]`; a stride of 0 broadcasts one value. `out` may be `a` or `b`.
void apply_alu(AluOp op, const float* a, int a_step, const float* b, int b_step, int64_t count, float* out);
int64_t apply_integer(AluOp op, int64_t a, int64_t b);
float reduction_start(AluOp op);

enum class Function : uint8_t {
  copy,
  square,
  abs,
  sign,
  relu,
  sigmoid,
  tanh,
  silu,
  silu_dx,
  gelu,
  gelu_dx,
  gelu_apprx_tanh,
  gelu_apprx_sigmoid,
  softplus,
  mish,
  erf,
  exp,
  log,
  sin,
  arctan,
  sqrt,
  rsqrt,
  reciprocal
};
std::optional<Function> function_named(std::string_view nki_name);
std::string_view function_name(Function f);
/// Whether the result is defined: log, sin, arctan, sqrt, rsqrt and reciprocal have a documented range.
bool in_domain(Function f, float x);
float apply_function(Function f, float x);

}  // namespace heddle::neuron::sim
