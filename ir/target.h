// A machine as plain data: what schedules may ask (`lanes(f32)`), what lowering may use. Each backend fills it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ir/scalar_type.h"

namespace heddle::ir {

/// The targets that a schedule may name: families and their members.
inline constexpr std::string_view target_names[] = {"cpu",    "cpu/x86-64-v2", "cpu/avx2",    "cpu/avx512", "cpu/amx",
                                                    "neuron", "neuron/trn1",   "neuron/trn2", "neuron/trn3"};

struct Target {
  std::string name;       ///< "cpu/avx512", "cpu/avx2", "cpu/x86-64-v2", "neuron/trn2"
  int vector_bytes = 16;  ///< width of a vector register
  int vector_registers = 16;
  bool has_fma = false;
  bool has_masks = false;  ///< per-lane write masks (AVX-512)
  bool has_amx = false;
  bool has_vnni = false;
  bool has_bf16 = false;
  std::vector<std::string> features;  ///< LLVM feature words, "+avx512f"
  int cores = 1;
  std::string family() const { return name.substr(0, name.find('/')); }
  int lanes(ScalarType type) const { return vector_bytes / scalar_bytes(type); }
};

}  // namespace heddle::ir
