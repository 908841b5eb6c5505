// Operands of a step, made from names and numbers.
#pragma once

#include <functional>
#include <string>

#include "ir/program.h"
#include "ir/step_call.h"
#include "ir/visit.h"
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

/// Calls `f` with each load in the body that a conversion stands right above, and with the type that this gives.
inline void converted_loads(const ir::Body& body, const std::function<void(const ir::Load&, ir::ScalarType)>& f) {
  ir::walk(body, [&](const ir::StmtRef& s) {
    const auto* leaf = std::get_if<ir::Leaf>(&s->form);
    if (!leaf) return true;
    for (const ir::Assign& a : leaf->assigns)
      ir::walk(a.value, [&](const ir::Expr& e) {
        const auto* c = e.as<ir::Convert>();
        if (const auto* load = c ? c->value.as<ir::Load>() : nullptr) f(*load, e.type());
        return true;
      });
    return true;
  });
}

}  // namespace heddle::fuzz
