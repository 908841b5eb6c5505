// The texts of stdlib/machine, built into the library: instructions that every schedule may name.
#pragma once

#include <vector>

#include "api/impl.h"
#include "schedule/schedule.h"

namespace heddle::api {

struct MachineText {
  const char* name;  ///< "machine/avx512.hd"
  const char* text;
};
/// One for each file, in the order of their names; the source is made by CMake.
std::vector<MachineText> machine_texts();

/// What the schedules of a module may name: its own instructions, then those of the machines.
schedule::InstrTable instr_table(const frontend::Module& module);

}  // namespace heddle::api
