// The cpu family: what this machine offers, found by feature bits and by what the system saves, never by the processor's name
// (virtual machines lie about it).
#pragma once

#include <string>
#include <vector>

#include "ir/target.h"
#include "support/result.h"

namespace heddle::host {

/// The best member that this machine can run.
ir::Target host_target();

/// `cpu` (the best), `cpu/x86-64-v2`, `cpu/avx2`, `cpu/avx512`, `cpu/amx`; refused when this machine lacks it.
Result<ir::Target> target_named(const std::string& name);

/// The same without asking the machine: code for it may be emitted and printed, not run.
Result<ir::Target> target_for_emission(const std::string& name);

/// All members, the least first.
std::vector<std::string> target_names();

}  // namespace heddle::host
