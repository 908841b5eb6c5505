// The axes of array parameters: each is one logical dim, or the product of several.
#pragma once

#include <vector>

#include "ir/program.h"

namespace heddle::ir {

/// The logical dims of an array axis as half-open positions in the buffer's box.
struct AxisSpan {
  size_t begin = 0, end = 0;
};
std::vector<AxisSpan> array_axes(const Buffer& buffer);
size_t array_rank(const Buffer& buffer);
/// How many elements the axis has: the product of its dims.
Expr axis_extent(const Buffer& buffer, const AxisSpan& axis);

/// The dims that are an axis of an argument by themselves, each from the first such axis in the order of the parameters.
std::vector<DimDefinition> dims_of_whole_axes(const Program& program);

}  // namespace heddle::ir
