// Instructions of the Tensor engine (rules 7 to 9).
#include "backend/neuron/simulator/isa_call.h"

namespace heddle::neuron::sim {

void make_nc_matmul(IsaCall& c) {
  View dst = c.tile("dst"), stationary = c.tile("stationary"), moving = c.tile("moving");
  for (const View& v : {stationary, moving})
    if (c.memory(v) != Memory::sbuf) c.broken(RuleId::matmul_memory, v, c.named(v) + " is read outside SBUF");
  if (!c.in_psum(dst)) c.broken(RuleId::matmul_memory, dst, c.named(dst) + " is written outside PSUM");
  if (c.flag("is_transpose"))
    c.not_followed("the simulator follows `nisa.nc_transpose`, not `is_transpose` of nc_matmul");
  for (const char* name : {"tile_position", "tile_size"})
    if (c.given(name) && !c.integers(name).empty())
      c.not_followed("the simulator does not follow the tiling of the PE array");
  bool twice = c.given("perf_mode") && c.symbol("perf_mode", "nisa.matmul_perf_mode.") == "double_row";
  int64_t m = stationary.free_elements(), n = moving.free_elements();
  const int64_t k = stationary.size[0];
  if (twice) {
    if (c.generation() < 3) c.broken(RuleId::double_row, "double_row begins with v3");
    if (!is_fp8(stationary.dtype) || !is_fp8(moving.dtype))
      c.broken(RuleId::double_row, "the operands are " + std::string(dtype_name(stationary.dtype)) + " and " +
                                       std::string(dtype_name(moving.dtype)));
    if (stationary.rank < 3 || moving.rank < 3 || stationary.size[1] != 2 || moving.size[1] != 2)
      c.broken(RuleId::double_row, "the first free dim of an operand is not 2");
    m /= 2, n /= 2;
  }
  if (k != moving.size[0])
    c.broken(RuleId::matmul_shape, c.named(stationary) + " contracts " + std::to_string(k) + " partitions, " +
                                       c.named(moving) + " " + std::to_string(moving.size[0]));
  int64_t most = c.generation() >= 4 ? (dst.dtype == Dtype::bf16 ? 8192 : 4096) : 512;
  if (k > 128 || m > 128 || n > most)
    c.broken(RuleId::matmul_extent,
             "K, M, N are " + std::to_string(k) + ", " + std::to_string(m) + ", " + std::to_string(n));
  if (dst.size[0] != m || dst.free_elements() != n)
    c.broken(RuleId::matmul_shape, dst,
             c.named(dst) + " has " + std::to_string(dst.size[0]) + " x " + std::to_string(dst.free_elements()) +
                 " elements; the product has " + std::to_string(m) + " x " + std::to_string(n));
  for (const View& v : {stationary, moving})
    if (!is_float(v.dtype)) c.broken(RuleId::matmul_dtype, v, c.named(v) + " is " + std::string(dtype_name(v.dtype)));
  if (is_wide_float(stationary.dtype) != is_wide_float(moving.dtype))
    c.broken(RuleId::matmul_dtype, "the operands are " + std::string(dtype_name(stationary.dtype)) + " and " +
                                       std::string(dtype_name(moving.dtype)));
  if ((stationary.dtype == Dtype::f8e4m3 && moving.dtype == Dtype::f8e4m3fn) ||
      (stationary.dtype == Dtype::f8e4m3fn && moving.dtype == Dtype::f8e4m3))
    c.broken(RuleId::matmul_dtype, "float8_e4m3 and float8_e4m3fn in one product");
  if (dst.dtype != Dtype::f32 && !(c.generation() >= 4 && dst.dtype == Dtype::bf16))
    c.broken(RuleId::matmul_dtype, dst, c.named(dst) + " is " + std::string(dtype_name(dst.dtype)));
  c.instruction.op = Opcode::nc_matmul;
  c.instruction.engine = Engine::tensor;
  c.instruction.double_row = twice;
  if (c.given("accumulate")) c.instruction.accumulate = c.flag("accumulate") ? Accumulate::add : Accumulate::overwrite;
  c.input(stationary);
  c.input(moving);
  c.output(dst);
}

void make_nc_transpose(IsaCall& c) {
  View dst = c.tile("dst"), data = c.tile("data");
  const int64_t p = data.size[0], f = data.free_elements();
  if (dst.dtype != data.dtype)
    c.broken(RuleId::transpose_dtype,
             "data is " + std::string(dtype_name(data.dtype)) + ", dst " + std::string(dtype_name(dst.dtype)));
  const bool pe = !c.in_psum(data) && c.in_psum(dst) && p <= 128 && f <= 128;
  c.instruction.engine = c.engine(pe ? Engine::tensor : Engine::vector, {Engine::tensor, Engine::vector});
  if (c.instruction.engine == Engine::tensor) {
    if (c.in_psum(data) || !c.in_psum(dst))
      c.broken(RuleId::transpose_extent, "the Tensor engine reads SBUF and writes PSUM");
    if (p > 128 || f > 128)
      c.broken(RuleId::transpose_extent, data,
               "data has " + std::to_string(p) + " x " + std::to_string(f) + " elements");
  } else if (p > 32 || f > 32) {
    c.broken(
        RuleId::transpose_extent, data,
        "data has " + std::to_string(p) + " x " + std::to_string(f) + " elements, and the Vector engine transposes it");
  }
  if (dst.size[0] != f || dst.free_elements() != p)
    c.broken(RuleId::same_elements, dst,
             c.named(dst) + " has " + std::to_string(dst.size[0]) + " x " + std::to_string(dst.free_elements()) +
                 " elements; the transpose has " + std::to_string(f) + " x " + std::to_string(p));
  c.instruction.op = Opcode::nc_transpose;
  c.input(data);
  c.output(dst);
}

}  // namespace heddle::neuron::sim
