#include "ir/array_axes.h"

#include <algorithm>

namespace heddle::ir {

size_t array_rank(const Buffer& buffer) { return buffer.groups.empty() ? buffer.box.size() : buffer.groups.size(); }

std::vector<AxisSpan> array_axes(const Buffer& buffer) {
  std::vector<AxisSpan> axes;
  size_t next = 0;
  for (size_t axis = 0; axis < array_rank(buffer); ++axis) {
    const size_t parts = buffer.groups.empty() ? 1 : static_cast<size_t>(buffer.groups[axis]);
    axes.push_back({next, next + parts});
    next += parts;
  }
  return axes;
}

Expr axis_extent(const Buffer& buffer, const AxisSpan& axis) {
  Expr extent = index_constant(1);
  for (size_t d = axis.begin; d < axis.end; ++d) extent = extent * (buffer.box[d].hi - buffer.box[d].lo);
  return extent;
}

std::vector<DimDefinition> dims_of_whole_axes(const Program& program) {
  std::vector<DimDefinition> dims;
  for (const Parameter& q : program.parameters) {
    if (!q.buffer.known() || program.buffer(q.buffer).role == Role::out) continue;
    const Buffer& b = program.buffer(q.buffer);
    int axis = -1;
    for (const AxisSpan& span : array_axes(b)) {
      ++axis;
      const Var* v = span.end - span.begin == 1 ? b.box[span.begin].hi.as<Var>() : nullptr;
      if (!v || program.symbol(v->symbol).kind != SymbolKind::dim) continue;
      if (std::none_of(dims.begin(), dims.end(), [&](const DimDefinition& d) { return d.dim == v->symbol; }))
        dims.push_back({v->symbol, q.buffer, axis, index_constant(0), index_constant(1), {}});
    }
  }
  return dims;
}

}  // namespace heddle::ir
