// Instructions that move elements: DMA, copies, memset, shuffles.
#include <cmath>

#include "backend/neuron/simulator/isa_call.h"

namespace heddle::neuron::sim {

void make_dma_copy(IsaCall& c) {
  View dst = c.view("dst"), src = c.view("src");
  for (const View& v : {dst, src})
    if (c.in_psum(v)) c.broken(RuleId::dma_memory, v, c.named(v) + " lies in PSUM");
  if (dst.elements() != src.elements())
    c.broken(RuleId::dma_elements, c.named(dst) + " takes " + std::to_string(dst.elements()) + " elements, " +
                                       c.named(src) + " gives " + std::to_string(src.elements()));
  std::string mode = c.given("dge_mode") ? c.symbol("dge_mode", "nisa.dge_mode.") : "unknown";
  if (mode == "hwdge") {
    if (c.generation() < 3) c.broken(RuleId::newer_core, "hardware DGE begins with v3");
    if (dst.dtype != src.dtype)
      c.broken(RuleId::dma_dtype,
               "the DMA casts " + std::string(dtype_name(src.dtype)) + " to " + std::string(dtype_name(dst.dtype)));
  }
  if ((dst.rows_from >= 0 || src.rows_from >= 0) && (mode == "hwdge" || mode == "none"))
    c.broken(RuleId::newer_core, "an indirect access takes software DGE");
  if (c.given("engine")) {
    if (mode != "hwdge") c.broken(RuleId::engine_choice, "`engine` is chosen for hardware DGE only");
    c.engine(Engine::sync, {Engine::sync, Engine::scalar});
  }
  if (c.memory(dst) == Memory::parameter)
    c.broken(RuleId::output_buffer, dst,
             "the parameter " + c.named(dst) + " is written; outputs are tensors of their own");
  c.instruction.op = Opcode::dma_copy;
  c.instruction.engine = Engine::dma;
  c.input(src);
  c.output(dst);
}

void make_dma_transpose(IsaCall& c) {
  View dst = c.view("dst"), src = c.view("src");
  for (const View& v : {dst, src})
    if (c.in_psum(v)) c.broken(RuleId::dma_memory, v, c.named(v) + " lies in PSUM");
  if (c.memory(dst) != Memory::sbuf) c.broken(RuleId::dma_transpose, dst, c.named(dst) + " lies outside SBUF");
  std::vector<int64_t> axes;
  if (c.given("axes")) axes = c.integers("axes");
  else if (src.rank == 2) axes = {1, 0};
  else if (src.rank == 3) axes = {2, 1, 0};
  else axes = {3, 1, 2, 0};
  const std::vector<int64_t> legal[] = {{1, 0}, {2, 1, 0}, {3, 1, 2, 0}};
  if (src.rank < 2 || src.rank > 4 || axes != legal[src.rank - 2])
    c.broken(RuleId::dma_transpose, "the axes do not fit a tensor of " + std::to_string(src.rank) + " dims");
  if (c.generation() < 3) c.broken(RuleId::newer_core, "the DMA transposes from v3 on");
  if (src.dtype != dst.dtype || dtype_bytes(src.dtype) != 2)
    c.broken(RuleId::dma_transpose,
             "the elements are " + std::string(dtype_name(src.dtype)) + " and " + std::string(dtype_name(dst.dtype)));
  if (src.size[src.rank - 1] > 128)
    c.broken(RuleId::dma_transpose, src, "the last dim has " + std::to_string(src.size[src.rank - 1]) + " elements");
  const int64_t rows = src.size[0];
  if (c.given("dge_mode") && c.symbol("dge_mode", "nisa.dge_mode.") == "hwdge" && rows != 1 && rows != 2 && rows != 4 &&
      rows != 8 && rows != 16)
    c.broken(RuleId::dma_transpose, src, "hardware DGE transposes " + std::to_string(rows) + " rows");
  if (src.rank != dst.rank) c.broken(RuleId::dma_transpose, "dst has another number of dims");
  for (int i = 0; i < src.rank; ++i)
    if (dst.size[i] != src.size[axes[i]])
      c.broken(RuleId::dma_transpose, "dim " + std::to_string(i) + " of dst has " + std::to_string(dst.size[i]) +
                                          " elements, the transposed src " + std::to_string(src.size[axes[i]]));
  c.instruction.op = Opcode::dma_transpose;
  c.instruction.engine = Engine::dma;
  for (int64_t a : axes) c.instruction.mask.push_back(static_cast<int>(a));
  c.input(src);
  c.output(dst);
}

void make_tensor_copy(IsaCall& c) {
  View dst = c.tile("dst"), src = c.tile("src");
  c.same_elements(dst, src);
  c.instruction.op = Opcode::tensor_copy;
  c.instruction.engine = c.engine(Engine::vector, {Engine::vector, Engine::scalar, Engine::gpsimd});
  if (c.instruction.engine == Engine::scalar && c.generation() < 3)
    c.broken(RuleId::newer_core, "tensor_copy runs on the scalar engine from v3 on");
  c.gpsimd_reaches({dst, src});
  c.input(src);
  c.output(dst);
}

void make_tensor_copy_predicated(IsaCall& c) {
  View dst = c.tile("dst"), predicate = c.tile("predicate");
  c.same_elements(dst, predicate);
  if (predicate.dtype != Dtype::u8 && predicate.dtype != Dtype::u16 && predicate.dtype != Dtype::u32)
    c.broken(RuleId::predicate, predicate, c.named(predicate) + " is " + std::string(dtype_name(predicate.dtype)));
  c.instruction.op = Opcode::tensor_copy_predicated;
  c.instruction.engine = Engine::vector;
  c.instruction.reverse0 = c.flag("reverse_pred");
  c.input(predicate);
  if (c.value("src").as<View>()) {
    View src = c.tile("src");
    c.same_elements(dst, src);
    if (src.dtype != dst.dtype)
      c.broken(RuleId::predicate,
               "src is " + std::string(dtype_name(src.dtype)) + ", dst " + std::string(dtype_name(dst.dtype)));
    c.not_both_psum(src, predicate);
    c.instruction.operand0 = {.given = true, .tile = true, .input = 1};
    c.input(src);
  } else {
    c.instruction.operand0 = {.given = true, .value = static_cast<float>(c.number("src"))};
  }
  c.output(dst);
}

void make_memset(IsaCall& c) {
  View dst = c.tile("dst");
  const double value = c.number("value");
  if (!is_float(dst.dtype) && (value != std::floor(value) || !(value >= -0x1p31 && value < 0x1p32)))
    c.broken(RuleId::memset_type, dst,
             "the value " + std::to_string(value) + " goes into " + std::string(dtype_name(dst.dtype)));
  c.instruction.op = Opcode::memset;
  c.instruction.engine = c.engine(Engine::vector, {Engine::vector, Engine::gpsimd});
  c.gpsimd_reaches({dst});
  c.instruction.operand0 = {.given = true, .value = static_cast<float>(value)};
  if (!is_float(dst.dtype)) c.instruction.pattern_offset = static_cast<int64_t>(value);
  c.output(dst);
}

void make_nc_stream_shuffle(IsaCall& c) {
  View dst = c.tile("dst"), src = c.tile("src");
  if (dst.dtype != src.dtype || dst.free_elements() != src.free_elements())
    c.broken(RuleId::shuffle_quadrant, "src and dst differ in dtype or in elements of a partition");
  std::vector<int64_t> mask = c.integers("shuffle_mask");
  if (mask.size() != 32) c.broken(RuleId::shuffle_quadrant, "the mask has " + std::to_string(mask.size()) + " entries");
  int64_t quadrants = (std::max(dst.size[0], src.size[0]) + 31) / 32;
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] != 255 && (mask[i] < 0 || mask[i] > 31))
      c.broken(RuleId::shuffle_quadrant, "entry " + std::to_string(i) + " of the mask is " + std::to_string(mask[i]));
    c.instruction.mask.push_back(static_cast<int>(mask[i]));
  }
  for (int64_t p = 0; p < quadrants * 32; ++p)
    if (p < dst.size[0] && mask[p % 32] != 255 && p / 32 * 32 + mask[p % 32] >= src.size[0])
      c.broken(RuleId::shuffle_quadrant, "partition " + std::to_string(p) + " takes one that src does not have");
  c.instruction.op = Opcode::nc_stream_shuffle;
  c.instruction.engine = Engine::vector;
  c.input(src);
  c.output(dst);
}

}  // namespace heddle::neuron::sim
