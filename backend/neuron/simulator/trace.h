// A kernel after specialisation: tensors, and the straight list of instructions on them in program order.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "backend/neuron/simulator/alu.h"
#include "backend/neuron/simulator/element.h"
#include "backend/neuron/simulator/machine.h"
#include "support/source.h"

namespace heddle::neuron::sim {

enum class Memory : uint8_t { sbuf, psum, hbm, shared_hbm, private_hbm, parameter };
inline bool on_chip(Memory m) { return m <= Memory::psum; }

inline constexpr int max_rank = 6;

/// One nl.ndarray or one parameter of the kernel. Elements lie in row-major order; on chip dim 0 is the partition.
struct Tensor {
  Memory memory = Memory::sbuf;
  Dtype dtype = Dtype::f32;
  std::vector<int64_t> shape;
  std::string name;  ///< of the variable it was first assigned to, or of the parameter
  Place place;
  int64_t elements = 0;
  int64_t row = 0;             ///< elements of a partition on chip
  int64_t fixed_address = -1;  ///< bytes in a partition, when the text gives it
  // Filled by the plan of memory:
  int64_t address = -1;  ///< bytes in a partition; a bank's first byte in PSUM
  int32_t first_use = -1, last_use = -1;

  int64_t row_bytes() const { return row * dtype_bytes(dtype); }
};

/// A strided window of a tensor. `lo`, `hi` bound it in the tensor's own dims when it came from slices alone (`boxed`).
struct View {
  uint32_t tensor = 0;
  Dtype dtype = Dtype::f32;
  int8_t rank = 0;
  bool boxed = true;
  int64_t offset = 0;  ///< elements
  std::array<int64_t, max_rank> size{}, stride{};
  std::array<int8_t, max_rank> axis{};  ///< of the tensor, for boxed views
  std::array<int64_t, max_rank> lo{}, hi{};
  int32_t rows_from = -1;  ///< an indirect access: index into Trace::indirect

  int64_t partitions() const { return rank ? size[0] : 1; }
  int64_t free_elements() const {
    int64_t n = 1;
    for (int i = 1; i < rank; ++i) n *= size[i];
    return n;
  }
  int64_t elements() const { return partitions() * free_elements(); }
  /// The first and one past the last element it touches.
  int64_t first() const;
  int64_t limit() const;
};

/// A scalar operand: an immediate, or a (P, 1) tile.
struct Operand {
  bool given = false, tile = false;
  float value = 0;
  uint8_t input = 0;  ///< which of Instruction::in holds the tile
};

enum class Opcode : uint8_t {
  dma_copy,
  dma_transpose,
  nc_matmul,
  nc_transpose,
  tensor_copy,
  tensor_copy_predicated,
  memset,
  tensor_tensor,
  tensor_scalar,
  scalar_tensor_tensor,
  tensor_reduce,
  tensor_tensor_scan,
  tensor_scalar_reduce,
  tensor_partition_reduce,
  activation,
  reciprocal,
  iota,
  affine_select,
  bn_stats,
  bn_aggr,
  max8,
  nc_n_gather,
  nc_stream_shuffle
};
std::string_view opcode_name(Opcode op);

enum class Accumulate : uint8_t { automatic, overwrite, add };
enum class ReduceCommand : uint8_t { idle, reset, reduce, reset_reduce, load_reduce };

struct Instruction {
  Opcode op = Opcode::dma_copy;
  Engine engine = Engine::dma;
  uint32_t begin = 0, end = 0;  ///< place in the text
  std::vector<View> in;
  std::vector<View> out;  ///< one dst; a second one for reduce_res
  AluOp op0 = AluOp::bypass, op1 = AluOp::bypass;
  Function function = Function::copy;
  Operand operand0, operand1;  ///< of activation: scale, bias
  bool reverse0 = false, reverse1 = false, negate = false, double_row = false, exact_integer = false;
  Accumulate accumulate = Accumulate::automatic;
  ReduceCommand reduce = ReduceCommand::idle;
  int reduced_axes = 0;                         ///< trailing
  std::vector<std::array<int64_t, 2>> pattern;  ///< [step, size] of iota and affine_select
  int64_t pattern_offset = 0, channel_multiplier = 0;
  std::vector<int> mask;   ///< of nc_stream_shuffle; axes of dma_transpose
  uint32_t repeat_of = 0;  ///< which static instruction: iterations of a dynamic loop share one
  int32_t epoch = 0;       ///< dynamic loop iterations do not overlap
};

/// An indirect access of DMA: row `index[p]` of dim 0 for partition p.
struct Indirect {
  View index;
  int64_t row_stride = 0, rows = 0;
};

struct Trace {
  SourceRef source;
  std::string kernel;
  std::vector<Tensor> tensors;  ///< parameters first
  std::vector<Instruction> instructions;
  std::vector<Indirect> indirect;
  std::vector<uint32_t> outputs;
  int64_t static_instructions = 0;  ///< the body of a dynamic loop counts once

  Place place(const Instruction& i) const { return {source, i.begin, i.end}; }
};

}  // namespace heddle::neuron::sim
