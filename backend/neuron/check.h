// Every rule of the machine, tried on every instruction that a kernel unrolls to. All dims are constants, so nothing is estimated.
#pragma once

#include "backend/neuron/emit.h"
#include "backend/neuron/nki.h"

namespace heddle::neuron {

struct Usage {
  int64_t instructions = 0;
  int64_t sbuf_bytes = 0;  ///< of a partition, at the worst moment
  int psum_banks = 0;
};

/// What the kernel uses, or the first rule that it breaks in the words of the op's own stages. A rule that no schedule can break
/// is reported as our own bug (HD0961). `why_not`: why no loop of a program over its budget runs on the device.
Result<Usage> check(const NkiKernel& kernel, const Core& core, const EmitOptions& options, std::string why_not = {});

}  // namespace heddle::neuron
