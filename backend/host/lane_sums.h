// Sums over the lanes of vectors, several at once.
#pragma once

#include <llvm/IR/Module.h>

namespace heddle::host {

/// before: a = reduce.fadd(x) ; b = reduce.fadd(y)
/// after:  z = halves(x, y).low + halves(x, y).high ; .. ; a = z[0] ; b = z[1]
/// Each sum is a tree: halves are added until one lane is left. Two trees of one block share a vector from the first level on, so that
/// sixteen of sixteen lanes take 15 additions for 64. Which lanes meet, and so each bit of a sum, does not depend on its neighbours.
void lane_sums(llvm::Module& module);

}  // namespace heddle::host
