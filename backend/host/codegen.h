// Program -> machine code, in one call: lowering passes, LLVM module, few chosen LLVM passes, object file.
#pragma once

#include <string>
#include <vector>

#include "backend/host/abi.h"
#include "ir/target.h"
#include "support/result.h"

namespace heddle::host {

struct CompileOptions {
  bool keep_llvm = false;      ///< text of the module after the passes
  bool keep_assembly = false;  ///< text of the machine code
  bool zero_registers =
      false;          ///< registers that a program may read before it writes them hold 0: nothing that LLVM may make up
  std::string entry;  ///< a C identifier: exports the functions of c_header.h instead of `kernel` and `kernel_arena`
};

struct Compiled {
  std::vector<char> object;  ///< ELF, relocatable; exports `kernel`, and `kernel_arena` where there are temporaries
  std::string llvm_ir;
  std::string assembly;
  ArgLayout layout;
  std::vector<ir::Check> checks;  ///< by their number in reports
  double lower_ms = 0;            ///< to the LLVM module
  double llvm_ms = 0;             ///< LLVM's passes and code generation
};

/// `traits` say what is known of each array parameter, in order; fewer than parameters: nothing is known of the rest.
Result<Compiled> compile(const ir::Program& program, const ir::Target& target, const std::vector<ArgTraits>& traits,
                         const CompileOptions& options = {});

/// Waits for compiles whose callers were stopped (support/stop.h) and left. Runs by itself when the process ends; a host that tears
/// libraries down before that calls it first.
void finish_abandoned();
/// The version and build of LLVM; empty where its build cannot be told.
std::string llvm_build();

}  // namespace heddle::host
