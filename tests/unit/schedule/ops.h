// Ops as text, and the check that a schedule keeps their meaning: before = after in the interpreter, on random data.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/interpret.h"
#include "schedule/schedule.h"

namespace heddle::schedule::testing {

extern const char* const matmul;  ///< c = a * b with an accumulator
extern const char* const softmax;
extern const char* const conv;     ///< 1-D convolution over channels, padded by `or 0`
extern const char* const stencil;  ///< s -> t -> y on one axis, t reads s at i - 1 and i + 1 by `or`
extern const char* const cumsum;   ///< sum over 0 .. i + 1
extern const char* const ragged;   ///< sums over c < len[r]

ir::Program canonical_of(const std::string& op);

/// Extents by dim name.
using Dims = std::map<std::string, int64_t>;

/// Applies the steps; fails the test where one refuses. Every state is verified, read back from its text, run on all dims and
/// compared with the canonical program: bit-equal, or within a rounding bound when the schedule may reassociate.
ir::Program check_schedule(const std::string& op, const std::string& steps, const std::vector<Dims>& dims,
                           bool reassociate = false);

/// The diagnostics of a schedule that must be refused. The first step stands on line 2.
Diagnostics refused(const std::string& op, const std::string& steps, bool reassociate = false);

ir::Target wide_target();  ///< 16 lanes of f32

bool has_text(const std::string& all, const std::string& part);

}  // namespace heddle::schedule::testing
