// Tokens of an NKI text: Python's, with lines and indentation as tokens, brackets joining lines.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "support/source.h"

namespace heddle::neuron::sim {

struct Token {
  enum class Kind : uint8_t { name, integer, real, string, op, newline, indent, dedent, end };
  Kind kind = Kind::end;
  uint32_t begin = 0, finish = 0;
};

inline constexpr uint32_t nki_text_bytes = 8u
                                           << 20;  ///< unrolled kernels are long; 50,000 instructions take about 5 MiB
inline constexpr int nki_nesting = 100;            ///< brackets, blocks, and expressions inside each other

/// Throws Refused.
std::vector<Token> tokenize(const SourceRef& source);

}  // namespace heddle::neuron::sim
