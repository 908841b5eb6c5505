// The NeuronCore backend's surface: a scheduled program with constant dims becomes NKI text, or a refusal in the program's own words.
#pragma once

#include <string>
#include <vector>

#include "backend/neuron/nki.h"
#include "backend/neuron/target.h"
#include "support/result.h"

namespace heddle::neuron {

/// `full`: what NKI offers. `basic`: a small part of it that other tools run; see docs/neuron.md.
enum class Profile : uint8_t { full, basic };

struct EmitOptions {
  Profile profile = Profile::full;
  int64_t instructions = 50000;  ///< budget of unrolled instructions
};

struct Emission {
  std::string text;
  std::vector<Table> tables;
  int64_t instructions = 0;  ///< unrolled
  int64_t sbuf_bytes = 0;    ///< of a partition, at the worst moment
  int psum_banks = 0;
};

Result<Profile> profile_named(const std::string& name);
/// The whole story: lowered, checked against every rule by walking all iterations, printed.
Result<Emission> emit(const ir::Program& program, const Core& core, const EmitOptions& options);
/// The lowered kernel alone (tests).
Result<NkiKernel> lower(const ir::Program& program, const Core& core, const EmitOptions& options);

}  // namespace heddle::neuron
