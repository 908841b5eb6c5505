// The sign of a zero that `max` or `min` gives is free (docs/numerics.md), and with it what is computed from it: 1 / min(0, -0) is one
// infinity or the other.
#pragma once

#include <array>
#include <cstdint>

#include "ir/program.h"

namespace heddle::fuzz {

/// The program with a sign for each zero of `max` and `min` of floats: of operations, of terms of reductions, in the lines of reducers.
/// Bit n of `signs` is that of the nth of them in the text, negative where it is set, and of the 64th after it.
ir::Program with_zeros_of_extrema(const ir::Program& program, uint64_t signs);

/// All alike, and so that any two among sixteen neighbours get both pairs of different signs.
constexpr std::array<uint64_t, 10> signs_to_try = {
    0,
    ~0ull,
    0xaaaaaaaaaaaaaaaaull,
    0x5555555555555555ull,
    0xccccccccccccccccull,
    0x3333333333333333ull,
    0xf0f0f0f0f0f0f0f0ull,
    0x0f0f0f0f0f0f0f0full,
    0xff00ff00ff00ff00ull,
    0x00ff00ff00ff00ffull,
};

}  // namespace heddle::fuzz
