// Operands of a step, made from names and numbers.
#pragma once

#include <string>

#include "ir/step_call.h"

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
inline ir::StepCall step(const std::string& name, const std::string& operand) {
  ir::StepCall c;
  c.name = name;
  c.operands.push_back(path(operand));
  return c;
}

}  // namespace heddle::fuzz
