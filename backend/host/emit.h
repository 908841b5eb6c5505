// Program -> LLVM module with `kernel` and `kernel_arena` of abi.h. LLVM types stay in backend/host and jit/engine.cpp.
#pragma once

#include <vector>

#include "backend/host/abi.h"
#include "backend/host/memory_plan.h"
#include "ir/target.h"
#include "support/result.h"

namespace llvm {
class Module;
}

namespace heddle::host {

/// The program must have passed `lower`. `entry`: a name, for code made ahead of time: the C functions of c_header.h come first, and
/// `kernel` is not exported. The checks are in the order of their numbers in reports.
Result<std::vector<ir::Check>> emit(llvm::Module& module, const ir::Program& program, const MemoryPlan& plan,
                                    const ir::Target& target, const std::vector<ArgTraits>& traits,
                                    bool zero_registers = false, const std::string& entry = {});

}  // namespace heddle::host
