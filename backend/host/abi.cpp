#include "backend/host/abi.h"

#include "ir/array_axes.h"

namespace heddle::host {

ArgLayout arg_layout(const ir::Program& program) {
  ArgLayout layout;
  for (const ir::Parameter& p : program.parameters) {
    if (!p.buffer.known()) continue;
    const ir::Buffer& buffer = program.buffer(p.buffer);
    const int rank = static_cast<int>(ir::array_rank(buffer));
    layout.arrays.push_back({p.buffer, layout.words, rank});
    layout.words += 1 + rank;
  }
  for (const ir::DimDefinition& d : program.dims) layout.dims.emplace_back(d.dim, layout.words++);
  for (const ir::Parameter& p : program.parameters)
    if (p.scalar.known()) layout.scalars.emplace_back(p.scalar, layout.words++);
  return layout;
}

}  // namespace heddle::host
