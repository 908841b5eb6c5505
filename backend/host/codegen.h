// Program -> relocatable object: lowering passes, LLVM IR, few chosen LLVM passes, machine code. No LLVM type in sight.
#pragma once

#include <string>
#include <vector>

#include "backend/host/abi.h"
#include "ir/target.h"
#include "support/result.h"

namespace heddle::host {

struct CompileOptions {
  bool keep_llvm = false;      ///< fill Compiled::llvm_ir, after the passes
  bool keep_assembly = false;  ///< fill Compiled::assembly
};

struct Compiled {
  std::vector<char> object;  ///< defines `kernel` and `kernel_arena` of abi.h
  std::string llvm_ir, assembly;
  ArgLayout layout;
  std::vector<ir::Check> checks;  ///< indexed by CheckReport::check
  double lower_ms = 0, llvm_ms = 0;
};

/// `traits`: for each array parameter in order. A program that this target cannot run is refused at the place that asks for it.
Result<Compiled> compile(const ir::Program& program, const ir::Target& target, const std::vector<ArgTraits>& traits,
                         const CompileOptions& options = {});

}  // namespace heddle::host
