// Operands of a step, made from names and numbers.
#pragma once

#include <string>

#include "ir/program.h"
#include "ir/step_call.h"
#include "tests/fuzz/common/random.h"

namespace heddle::fuzz {

inline ir::Term path(const std::string& text) {
  ir::Term t;
  t.kind = ir::Term::Kind::path;
  t.text = text;
  return t;
}
inline ir::Term number(int64_t value) {
  ir::Term t;
  t.kind = ir::Term::Kind::integer;
  t.integer = value;
  t.text = std::to_string(value);
  return t;
}
/// `s.i`, as schedules name a loop.
inline std::string name_of(const ir::Program& p, ir::SymbolId loop) {
  return p.symbol(loop).owner + "." + p.symbol(loop).name;
}
inline ir::Term some_memory(Random& random) { return path(random.pick({"registers", "l1", "l2", "dram"})); }
inline ir::StepCall step(const std::string& name, const std::string& operand) {
  ir::StepCall c;
  c.name = name;
  c.operands.push_back(path(operand));
  return c;
}

}  // namespace heddle::fuzz
