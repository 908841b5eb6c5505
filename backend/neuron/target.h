// The neuron family as data: what each NeuronCore offers. Sources stand in docs/neuron.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ir/target.h"
#include "support/result.h"

namespace heddle::neuron {

/// One NeuronCore. Rates are documented figures; nothing here was measured on a device.
struct Core {
  std::string_view name;      ///< "neuron/trn2"
  std::string_view platform;  ///< what the vendor's compiler calls it
  int version;                ///< NeuronCore-vN
  int64_t sbuf_bytes;         ///< usable for each partition
  int64_t psum_bank_bytes;    ///< for each partition
  int psum_banks;
  int partitions;
  double tensor_ghz, vector_ghz, scalar_ghz, gpsimd_ghz;
  int dma_engines;
  double dma_bytes_per_ns;  ///< of one engine, effective
  double hbm_gb_per_s;      ///< of the chip
  bool hardware_dge;
};

/// trn1, trn2, trn3.
std::span<const Core> cores();
/// `neuron` (trn2), `neuron/trn1`, `trn1`, ..
Result<const Core*> core_named(std::string_view name);
/// What schedules may ask: names and sizes in the terms of all targets.
ir::Target target_of(const Core& core);

}  // namespace heddle::neuron
