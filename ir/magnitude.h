// How large the index values of a program may become. Index arithmetic is 64-bit and proofs speak of numbers without end: a call
// whose dims could make any index pass 64 bits is refused before anything runs.
#pragma once

#include <vector>

#include "ir/program.h"

namespace heddle::ir {

/// A dim is less than this: memory is not larger, only empty and repeated axes could be.
inline constexpr int64_t largest_dim = int64_t{1} << 44;
/// Index values stay below; the rest of 64 bits is for what lowering adds (a tile's width, one past the end).
inline constexpr double largest_index = 288230376151711744.0;  // 2^58

/// The sum of the terms bounds every index value that the program computes, as far as `dim < largest_dim` does not.
struct Magnitude {
  struct Term {
    double coefficient = 0;
    std::vector<SymbolId> dims;  ///< with repetition; none: a constant
  };
  std::vector<Term> terms;  ///< empty for most programs
  bool fits = true;         ///< false: never below `largest_index`, or too many terms
};

Magnitude index_magnitude(const Program& program);

}  // namespace heddle::ir
