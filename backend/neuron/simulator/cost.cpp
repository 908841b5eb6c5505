// Cycles of each instruction: the table that the documentation held until December 2025 (nki/api/nki/isa/__init__.py).
#include <algorithm>

#include "backend/neuron/simulator/time.h"

namespace heddle::neuron::sim {
namespace {

bool packed_bf16(const Trace& trace, const View& v) {
  return v.dtype == Dtype::bf16 && trace.tensors[v.tensor].memory == Memory::sbuf &&
         (v.rank < 2 || v.stride[v.rank - 1] == 1 || v.size[v.rank - 1] == 1);
}

bool sum_like(AluOp op) { return op == AluOp::add || op == AluOp::subtract || op == AluOp::multiply; }

}  // namespace

double instruction_cycles(const Trace& trace, const Instruction& i) {
  auto psum = [&](const View& v) { return trace.tensors[v.tensor].memory == Memory::psum; };
  const double n = i.in.empty() ? i.out[0].free_elements() : i.in[0].free_elements();
  const double least = std::max(64.0, n);
  switch (i.op) {
    case Opcode::nc_matmul: {
      const double halves = i.double_row ? 2 : 1;
      const double rows = std::max(std::min(64.0, n / halves), i.in[1].free_elements() / halves);
      return rows * (is_wide_float(i.in[0].dtype) && i.in[0].dtype == Dtype::f32 ? 4 : 1) *
             (i.double_row ? 0.5 * 2 : 1);
    }
    case Opcode::nc_transpose:
      return i.engine == Engine::tensor ? std::max<double>(i.in[0].size[0], std::min(64.0, n)) : least;
    case Opcode::tensor_tensor: {
      if (psum(i.in[0]) != psum(i.in[1])) return least;
      bool fast =
          sum_like(i.op0) && packed_bf16(trace, i.in[0]) && packed_bf16(trace, i.in[1]) && packed_bf16(trace, i.out[0]);
      return fast ? least : std::max(64.0, 2 * n);
    }
    case Opcode::scalar_tensor_tensor: {
      bool fast = (i.op1 == AluOp::subtract || i.op1 == AluOp::multiply) && static_cast<int64_t>(n) % 2 == 0 &&
                  packed_bf16(trace, i.in[0]) && packed_bf16(trace, i.in[1]);
      return std::max(64.0, fast ? n : 2 * n);
    }
    case Opcode::tensor_scalar_reduce: return least + 64;
    case Opcode::activation: return least + (i.out.size() > 1 ? 64 : 0);
    case Opcode::tensor_reduce: {
      bool fast = (i.op0 == AluOp::add || i.op0 == AluOp::maximum) && packed_bf16(trace, i.in[0]);
      return std::max(64.0, fast ? n / 2 : n);
    }
    case Opcode::tensor_tensor_scan: return std::max(64.0, 2 * n);
    case Opcode::reciprocal: return std::max(64.0, 8 * n);
    case Opcode::memset: return i.operand0.value == 0 && packed_bf16(trace, i.out[0]) ? std::max(64.0, n / 2) : least;
    case Opcode::iota:
    case Opcode::affine_select: return 150 + static_cast<double>(i.out[0].free_elements());
    case Opcode::bn_aggr: return std::max(64.0, 13 * n / 3);
    case Opcode::tensor_copy_predicated: return std::max(64.0, i.operand0.tile ? 2 * n : n);
    case Opcode::max8: return n;
    // Of each index (inferred: as local_gather's row begins).
    case Opcode::nc_n_gather: return 150 + static_cast<double>(i.out[0].free_elements());
    // Across partitions (inferred: the partitions one after the other, 16 lanes to a GpSimd core).
    case Opcode::tensor_partition_reduce:
      return 150 + n * std::max<double>(1, static_cast<double>(i.in[0].size[0]) / 8);
    default: return least;
  }
}

}  // namespace heddle::neuron::sim
