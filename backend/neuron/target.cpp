#include "backend/neuron/target.h"

#include "backend/neuron/codes.h"

namespace heddle::neuron {
namespace {

constexpr Core table[] = {
    // name, platform, version, SBUF, PSUM bank, banks, partitions, clocks, DMA engines, B/ns each, HBM GB/s, hardware DGE
    {"neuron/trn1", "trn1", 2, 180224, 2048, 8, 128, 2.8, 1.12, 1.4, 1.4, 16, 17, 820, false},
    {"neuron/trn2", "trn2", 3, 212984, 2048, 8, 128, 2.4, 0.96, 1.2, 1.2, 16, 23, 3000, true},
    {"neuron/trn3", "trn3", 4, 245752, 2048, 8, 128, 2.4, 1.2, 1.2, 1.2, 16, 33, 4700, true},
};

}  // namespace

std::span<const Core> cores() { return table; }

Result<const Core*> core_named(std::string_view name) {
  if (name == "neuron") name = "neuron/trn2";
  for (const Core& core : table)
    if (name == core.name || name == core.platform) return &core;
  return Diagnostic(codes::unknown_target, {}, "`" + std::string(name) + "` is no NeuronCore")
      .with_help("members: `neuron/trn1`, `neuron/trn2`, `neuron/trn3`; `neuron` is `neuron/trn2`");
}

ir::Target target_of(const Core& core) {
  ir::Target t;
  t.name = core.name;
  t.vector_bytes = static_cast<int>(core.psum_bank_bytes);  // lanes(f32): what one PSUM bank holds for a partition
  t.vector_registers = core.psum_banks;
  t.has_bf16 = true;
  t.cores = 1;
  return t;
}

}  // namespace heddle::neuron
