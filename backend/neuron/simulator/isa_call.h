// One call of an instruction: its arguments by name, the checks that many instructions share, and the instruction being made.
#pragma once

#include <initializer_list>

#include "backend/neuron/simulator/evaluator.h"
#include "backend/neuron/simulator/isa.h"

namespace heddle::neuron::sim {

class IsaCall {
 public:
  IsaCall(Evaluator& evaluator, const IsaRow& row, const Place& place, Arguments& arguments);

  const Machine& machine() const { return evaluator_.machine_; }
  const Tensor& tensor(const View& v) const { return evaluator_.trace_.tensors[v.tensor]; }
  Memory memory(const View& v) const { return tensor(v).memory; }
  bool in_psum(const View& v) const { return memory(v) == Memory::psum; }
  int generation() const { return machine().generation; }

  bool given(std::string_view name) const;
  const Value& value(std::string_view name) const;
  /// A tensor anywhere.
  View view(std::string_view name) const;
  /// A tile in SBUF or PSUM whose access pattern the engines can follow (rules 1 to 3).
  View tile(std::string_view name) const;
  AluOp alu(std::string_view name) const;
  Function function(std::string_view name) const;
  /// An immediate, or a tile of one element for each partition of `data`, which becomes an input.
  Operand operand(std::string_view name, const View& data, RuleId rule, bool any_dtype);
  bool flag(std::string_view name) const;
  int64_t integer(std::string_view name, int64_t fallback) const;
  double number(std::string_view name) const;
  std::vector<int64_t> integers(std::string_view name) const;
  /// The engine asked for, or `fallback`; refuses one that is not among `allowed`, and GpSimd on PSUM.
  Engine engine(Engine fallback, std::initializer_list<Engine> allowed) const;
  std::string symbol(std::string_view name, std::string_view prefix) const;
  ReduceCommand reduce_command(ReduceCommand fallback) const;

  /// Same partitions, same number of elements in each.
  void same_elements(const View& a, const View& b) const;
  void one_element(const View& small, const View& data, const char* what) const;
  void not_both_psum(const View& a, const View& b) const;
  void gpsimd_reaches(const std::vector<View>& views) const;
  void pattern_of(const View& dst);

  void input(const View& v) { instruction.in.push_back(v); }
  void output(const View& v);
  std::string named(const View& v) const;
  [[noreturn]] void broken(RuleId rule, std::string message) const { refuse_rule(rule, place_, std::move(message)); }
  [[noreturn]] void broken(RuleId rule, const View& v, std::string message) const;
  [[noreturn]] void wrong(std::string message) const { refuse(codes::nki_value, place_, std::move(message)); }
  [[noreturn]] void not_followed(std::string message) const { refuse(codes::nki_subset, place_, std::move(message)); }

  Instruction instruction;

 private:
  void check_access(const View& v) const;
  int slot(std::string_view name) const;

  Evaluator& evaluator_;
  const IsaRow& row_;
  Place place_;
  std::vector<std::string_view> names_;
  std::vector<const Value*> values_;
};

// isa_move.cpp
void make_dma_copy(IsaCall& c);
void make_dma_transpose(IsaCall& c);
void make_tensor_copy(IsaCall& c);
void make_tensor_copy_predicated(IsaCall& c);
void make_memset(IsaCall& c);
void make_nc_stream_shuffle(IsaCall& c);
// isa_matmul.cpp
void make_nc_matmul(IsaCall& c);
void make_nc_transpose(IsaCall& c);
// isa_compute.cpp
void make_tensor_tensor(IsaCall& c);
void make_tensor_scalar(IsaCall& c);
void make_scalar_tensor_tensor(IsaCall& c);
void make_tensor_scalar_reduce(IsaCall& c);
void make_tensor_reduce(IsaCall& c);
void make_tensor_partition_reduce(IsaCall& c);
void make_tensor_tensor_scan(IsaCall& c);
void make_activation(IsaCall& c);
void make_activation_reduce(IsaCall& c);
void make_reciprocal(IsaCall& c);
void make_iota(IsaCall& c);
void make_affine_select(IsaCall& c);
void make_bn_stats(IsaCall& c);
void make_bn_aggr(IsaCall& c);
void make_max8(IsaCall& c);
void make_nc_n_gather(IsaCall& c);

}  // namespace heddle::neuron::sim
