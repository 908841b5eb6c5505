// How dims get their values at a call. Nothing is solved for beyond one affine unknown.
#pragma once

#include <vector>

#include "ir/program.h"

namespace heddle::frontend {

/// `let n = value`, in the order of the text.
struct LetDim {
  ir::SymbolId dim;
  ir::Expr value;
};

/// Fills `program.dims` from the shapes of the inputs and the lets: first the bare dims in the order of the parameters,
/// then, until nothing changes, dims affine in one unknown, parts of composite dims, and lets. Gives the dims that stay
/// undefined.
std::vector<ir::SymbolId> define_dims(ir::Program& program, const std::vector<LetDim>& lets);

}  // namespace heddle::frontend
