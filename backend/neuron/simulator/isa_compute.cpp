// Instructions of the Vector, Scalar and GpSimd engines (rule 10).
#include <algorithm>

#include "backend/neuron/simulator/isa_call.h"

namespace heddle::neuron::sim {
namespace {

// What may run an ALU op, and which dtypes it takes.
void check_op_class(IsaCall& c, AluOp op, const std::vector<View>& views) {
  if (!is_bitvec(op)) return;
  for (const View& v : views)
    if (is_float(v.dtype))
      c.broken(RuleId::op_classes, v, "`nl." + std::string(alu_name(op)) + "` on " + std::string(dtype_name(v.dtype)));
}

void check_reduction(IsaCall& c, AluOp op) {
  if (!is_reduction(op)) c.broken(RuleId::reduce_ops, "`nl." + std::string(alu_name(op)) + "` is no reduction");
}

bool plain_multiply_add(AluOp op0, AluOp op1) {
  return (op0 == AluOp::multiply && (op1 == AluOp::add || op1 == AluOp::bypass)) ||
         (op0 == AluOp::add && op1 == AluOp::bypass);
}

}  // namespace

void make_tensor_tensor(IsaCall& c) {
  View dst = c.tile("dst"), a = c.tile("data1"), b = c.tile("data2");
  AluOp op = c.alu("op");
  if (is_unary(op)) c.broken(RuleId::op_unknown, "`nl." + std::string(alu_name(op)) + "` takes one operand");
  c.same_elements(dst, a);
  c.same_elements(a, b);
  c.not_both_psum(a, b);
  check_op_class(c, op, {dst, a, b});
  bool integers = is_int32(dst.dtype) && is_int32(a.dtype) && is_int32(b.dtype);
  bool psum = c.in_psum(dst) || c.in_psum(a) || c.in_psum(b);
  Engine fallback = op == AluOp::power || (integers && !psum && !is_bitvec(op)) ? Engine::gpsimd : Engine::vector;
  c.instruction.op = Opcode::tensor_tensor;
  c.instruction.op0 = op;
  c.instruction.engine = c.engine(fallback, {Engine::vector, Engine::gpsimd});
  if (op == AluOp::power && c.instruction.engine != Engine::gpsimd)
    c.broken(RuleId::engine_choice, "`nl.power` runs on GpSimd");
  c.instruction.exact_integer = integers && c.instruction.engine == Engine::gpsimd;
  c.gpsimd_reaches({dst, a, b});
  c.input(a);
  c.input(b);
  c.output(dst);
}

void make_tensor_scalar(IsaCall& c) {
  View dst = c.tile("dst"), data = c.tile("data");
  c.same_elements(dst, data);
  Instruction& i = c.instruction;
  i.op = Opcode::tensor_scalar;
  i.op0 = c.alu("op0");
  i.op1 = c.given("op1") ? c.alu("op1") : AluOp::bypass;
  i.reverse0 = c.flag("reverse0"), i.reverse1 = c.flag("reverse1");
  i.engine = c.engine(Engine::vector, {Engine::vector, Engine::scalar, Engine::gpsimd});
  check_op_class(c, i.op0, {dst, data});
  if (c.given("op1") && is_bitvec(i.op0) != is_bitvec(i.op1))
    c.broken(RuleId::op_classes,
             "`nl." + std::string(alu_name(i.op0)) + "` is paired with `nl." + std::string(alu_name(i.op1)) + "`");
  c.input(data);
  auto take = [&](const char* name, AluOp op) -> Operand {
    if (!c.given(name)) {
      if (!is_unary(op)) c.wrong("`" + std::string(name) + "` is missing");
      return {};
    }
    return c.operand(name, data, RuleId::scalar_operand, is_bitvec(op));
  };
  i.operand0 = take("operand0", i.op0);
  if (c.given("op1")) i.operand1 = take("operand1", i.op1);
  else if (c.given("operand1")) c.wrong("`operand1` is given without `op1`");
  if (i.engine == Engine::scalar && !plain_multiply_add(i.op0, i.op1))
    c.broken(RuleId::scalar_engine_ops, "the Scalar engine is asked for `nl." + std::string(alu_name(i.op0)) + "`");
  if (i.engine == Engine::scalar && c.generation() < 3)
    c.broken(RuleId::newer_core, "tensor_scalar runs on the scalar engine from v3 on");
  if (is_bitvec(i.op0) && i.engine != Engine::vector)
    c.broken(RuleId::engine_choice, "bitvec ops run on the Vector engine");
  std::vector<View> all = i.in;
  all.push_back(dst);
  c.gpsimd_reaches(all);
  c.output(dst);
}

void make_scalar_tensor_tensor(IsaCall& c) {
  View dst = c.tile("dst"), data = c.tile("data"), other = c.tile("operand1");
  c.same_elements(dst, data);
  c.same_elements(data, other);
  c.not_both_psum(data, other);
  Instruction& i = c.instruction;
  i.op = Opcode::scalar_tensor_tensor;
  i.engine = Engine::vector;
  i.op0 = c.alu("op0"), i.op1 = c.alu("op1");
  for (AluOp op : {i.op0, i.op1})
    if (is_bitvec(op)) c.broken(RuleId::op_classes, "`nl." + std::string(alu_name(op)) + "` is a bitvec op");
  i.reverse0 = c.flag("reverse0"), i.reverse1 = c.flag("reverse1");
  c.input(data);
  c.input(other);
  i.operand0 = c.operand("operand0", data, RuleId::scalar_operand, true);
  c.output(dst);
}

void make_tensor_scalar_reduce(IsaCall& c) {
  View dst = c.tile("dst"), data = c.tile("data"), result = c.tile("reduce_res");
  c.same_elements(dst, data);
  c.one_element(result, data, "`reduce_res`");
  Instruction& i = c.instruction;
  i.op = Opcode::tensor_scalar_reduce;
  i.engine = Engine::vector;
  i.op0 = c.alu("op0"), i.op1 = c.alu("reduce_op");
  if (is_bitvec(i.op0)) c.broken(RuleId::op_classes, "`nl." + std::string(alu_name(i.op0)) + "` is a bitvec op");
  if (i.op1 != AluOp::add && i.op1 != AluOp::multiply && i.op1 != AluOp::maximum && i.op1 != AluOp::minimum)
    c.broken(RuleId::reduce_ops, "`nl." + std::string(alu_name(i.op1)) + "` of tensor_scalar_reduce");
  if (c.reduce_command(ReduceCommand::reset_reduce) != ReduceCommand::reset_reduce || c.given("reduce_init"))
    c.not_followed("the simulator follows `reset_reduce` of tensor_scalar_reduce");
  i.reverse0 = c.flag("reverse0");
  c.input(data);
  i.operand0 = c.operand("operand0", data, RuleId::scalar_operand, false);
  c.output(dst);
  c.output(result);
}

void make_tensor_reduce(IsaCall& c) {
  View dst = c.tile("dst"), data = c.tile("data");
  Instruction& i = c.instruction;
  i.op = Opcode::tensor_reduce;
  i.engine = Engine::vector;
  i.op0 = c.alu("op");
  check_reduction(c, i.op0);
  check_op_class(c, i.op0, {dst, data});
  i.negate = c.flag("negate");
  if (i.negate && is_bitvec(i.op0)) c.broken(RuleId::op_classes, "`negate` of a bitvec reduction");
  std::vector<int64_t> axes = c.integers("axis");
  std::sort(axes.begin(), axes.end());
  for (size_t k = 0; k < axes.size(); ++k) {
    int64_t axis = axes[k] < 0 ? axes[k] + data.rank : axes[k];
    if (axis == 0) c.broken(RuleId::reduce_axes, "axis 0 is the partition axis");
    if (axis != data.rank - static_cast<int64_t>(axes.size() - k))
      c.broken(RuleId::reduce_axes, "the axes are not the last ones of " + std::to_string(data.rank) + " dims");
  }
  if (axes.empty()) c.broken(RuleId::reduce_axes, "no axis is reduced");
  i.reduced_axes = static_cast<int>(axes.size());
  int64_t kept = 1;
  for (int d = 1; d < data.rank - i.reduced_axes; ++d) kept *= data.size[d];
  if (dst.size[0] != data.size[0] || dst.free_elements() != kept)
    c.broken(RuleId::same_elements, dst,
             c.named(dst) + " has " + std::to_string(dst.size[0]) + " x " + std::to_string(dst.free_elements()) +
                 " elements; the reduction has " + std::to_string(data.size[0]) + " x " + std::to_string(kept));
  c.input(data);
  c.output(dst);
}

void make_tensor_partition_reduce(IsaCall& c) {
  View dst = c.tile("dst"), data = c.tile("data");
  c.instruction.op = Opcode::tensor_partition_reduce;
  c.instruction.engine = Engine::gpsimd;
  c.instruction.op0 = c.alu("op");
  if (c.instruction.op0 != AluOp::add && c.instruction.op0 != AluOp::maximum)
    c.broken(RuleId::reduce_ops, "the simulator follows add and maximum across partitions");
  if (dst.size[0] != 1 || dst.free_elements() != data.free_elements())
    c.broken(RuleId::same_elements, dst,
             c.named(dst) + " is not one partition of " + std::to_string(data.free_elements()) + " elements");
  c.gpsimd_reaches({dst, data});
  c.input(data);
  c.output(dst);
}

void make_tensor_tensor_scan(IsaCall& c) {
  View dst = c.tile("dst"), a = c.tile("data0"), b = c.tile("data1");
  c.same_elements(dst, a);
  c.same_elements(a, b);
  c.not_both_psum(a, b);
  Instruction& i = c.instruction;
  i.op = Opcode::tensor_tensor_scan;
  i.engine = Engine::vector;
  i.op0 = c.alu("op0"), i.op1 = c.alu("op1");
  for (AluOp op : {i.op0, i.op1})
    if (is_bitvec(op) || is_unary(op)) c.broken(RuleId::op_classes, "`nl." + std::string(alu_name(op)) + "` of a scan");
  i.reverse0 = c.flag("reverse0"), i.reverse1 = c.flag("reverse1");
  c.input(a);
  c.input(b);
  i.operand0 = c.operand("initial", a, RuleId::scalar_operand, true);
  c.output(dst);
}

namespace {

void finish_activation(IsaCall& c, ReduceCommand command) {
  View dst = c.tile("dst"), data = c.tile("data");
  c.same_elements(dst, data);
  Instruction& i = c.instruction;
  i.op = Opcode::activation;
  i.engine = Engine::scalar;
  i.function = c.function("op");
  i.reduce = command;
  c.input(data);
  if (c.given("scale")) i.operand0 = c.operand("scale", data, RuleId::activation_bias, false);
  if (c.given("bias")) {
    if (!c.value("bias").as<View>() && c.generation() < 3 && c.number("bias") != 0)
      c.broken(RuleId::activation_bias, "the bias is an immediate, and this is v2");
    i.operand1 = c.operand("bias", data, RuleId::activation_bias, true);
    if (i.operand1.tile && i.in.back().dtype == Dtype::tf32) c.broken(RuleId::activation_bias, "the bias is tfloat32");
  }
  if (c.given("reduce_op") && c.alu("reduce_op") != AluOp::add)
    c.broken(RuleId::reduce_ops, "`nl." + std::string(alu_name(c.alu("reduce_op"))) + "` of activation");
  if ((command == ReduceCommand::reduce || command == ReduceCommand::reset_reduce) && !c.given("reduce_op"))
    c.wrong("`reduce_op` is missing");
  c.output(dst);
  if (c.given("reduce_res")) {
    View result = c.tile("reduce_res");
    c.one_element(result, data, "`reduce_res`");
    c.output(result);
  }
}

}  // namespace

void make_activation(IsaCall& c) {
  ReduceCommand command = c.reduce_command(ReduceCommand::idle);
  if (command == ReduceCommand::load_reduce) c.wrong("`load_reduce` is no command of activation");
  finish_activation(c, command);
}

void make_activation_reduce(IsaCall& c) { finish_activation(c, ReduceCommand::reset_reduce); }

void make_reciprocal(IsaCall& c) {
  View dst = c.tile("dst"), data = c.tile("data");
  c.same_elements(dst, data);
  c.instruction.op = Opcode::reciprocal;
  c.instruction.engine = Engine::vector;
  c.input(data);
  c.output(dst);
}

void make_iota(IsaCall& c) {
  View dst = c.tile("dst");
  if (c.in_psum(dst)) c.broken(RuleId::gpsimd_sbuf, dst, c.named(dst) + " lies in PSUM");
  c.instruction.op = Opcode::iota;
  c.instruction.engine = Engine::gpsimd;
  c.pattern_of(dst);
  c.output(dst);
}

void make_affine_select(IsaCall& c) {
  View dst = c.tile("dst"), data = c.tile("on_true_tile");
  for (const View& v : {dst, data})
    if (c.in_psum(v)) c.broken(RuleId::gpsimd_sbuf, v, c.named(v) + " lies in PSUM");
  c.same_elements(dst, data);
  c.instruction.op = Opcode::affine_select;
  c.instruction.engine = Engine::gpsimd;
  c.instruction.op0 = c.given("cmp_op") ? c.alu("cmp_op") : AluOp::equal;
  if (!is_comparison(c.instruction.op0))
    c.broken(RuleId::op_unknown, "`nl." + std::string(alu_name(c.instruction.op0)) + "` is no comparison");
  c.pattern_of(dst);
  c.instruction.operand0 = {.given = true, .value = static_cast<float>(c.number("on_false_value"))};
  c.input(data);
  c.output(dst);
}

void make_bn_stats(IsaCall& c) {
  View dst = c.tile("dst"), data = c.tile("data");
  if (data.free_elements() > 512 || dst.free_elements() != 6 || dst.size[0] != data.size[0])
    c.broken(RuleId::bn_stats_extent, data,
             "data has " + std::to_string(data.free_elements()) + " elements of a partition, dst " +
                 std::to_string(dst.free_elements()));
  c.instruction.op = Opcode::bn_stats;
  c.instruction.engine = Engine::vector;
  c.input(data);
  c.output(dst);
}

void make_bn_aggr(IsaCall& c) {
  View dst = c.tile("dst"), data = c.tile("data");
  if (data.free_elements() % 3 || dst.free_elements() != 2 || dst.size[0] != data.size[0])
    c.broken(RuleId::bn_stats_extent, data,
             "data has " + std::to_string(data.free_elements()) + " elements of a partition, dst " +
                 std::to_string(dst.free_elements()));
  c.instruction.op = Opcode::bn_aggr;
  c.instruction.engine = Engine::vector;
  c.input(data);
  c.output(dst);
}

void make_nc_n_gather(IsaCall& c) {
  View dst = c.tile("dst"), data = c.tile("data"), indices = c.tile("indices");
  for (const View& v : {dst, data, indices})
    if (c.in_psum(v)) c.broken(RuleId::gather, v, c.named(v) + " lies in PSUM");
  c.same_elements(dst, indices);
  if (data.size[0] != dst.size[0])
    c.broken(RuleId::gather, data,
             "data has " + std::to_string(data.size[0]) + " partitions, dst " + std::to_string(dst.size[0]));
  if (indices.dtype != Dtype::u32) c.broken(RuleId::gather, indices, "the indices are no uint32");
  if (data.dtype != dst.dtype) c.broken(RuleId::gather, dst, c.named(dst) + " has another dtype than the data");
  c.instruction.op = Opcode::nc_n_gather;
  c.instruction.engine = Engine::gpsimd;
  c.input(data);
  c.input(indices);
  c.output(dst);
}

void make_max8(IsaCall& c) {
  View dst = c.tile("dst"), src = c.tile("src");
  if (src.free_elements() < 8 || src.free_elements() > 16'384 || dst.free_elements() != 8 || dst.size[0] != src.size[0])
    c.broken(RuleId::max8_extent, src,
             "src has " + std::to_string(src.free_elements()) + " elements of a partition, dst " +
                 std::to_string(dst.free_elements()));
  c.instruction.op = Opcode::max8;
  c.instruction.engine = Engine::vector;
  c.input(src);
  c.output(dst);
}

}  // namespace heddle::neuron::sim
