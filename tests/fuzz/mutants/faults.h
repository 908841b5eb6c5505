// Faults that a wrong step or lowering pass could make: each turns a right program into one that is wrong somewhere. A row is a name, what
// went wrong, and the change; a fault that finds no place in a program gives nothing.
#pragma once

#include <optional>
#include <span>

#include "ir/program.h"
#include "tests/fuzz/common/random.h"

namespace heddle::fuzz {

struct Fault {
  const char* name;
  const char* what;
  std::optional<ir::Program> (*plant)(const ir::Program& program, Random& r);
};

std::span<const Fault> faults();

}  // namespace heddle::fuzz
