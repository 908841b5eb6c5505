#include "api/machine.h"

namespace heddle::api {

schedule::InstrTable instr_table(const frontend::Module& module) {
  schedule::InstrTable table;
  for (const auto& i : module.instrs) table.names.push_back(i->name.text);
  for (const auto& i : session().machine().instrs) table.names.push_back(i->name.text);
  table.add = [&module](const std::string& name, ir::Program& program) {
    return frontend::add_instr(module.instr(name) ? module : session().machine(), name, program);
  };
  return table;
}

}  // namespace heddle::api
