// The rules that the simulator enforces, as data: number, text, documentation path. One row each in rules.def.
#pragma once

#include <span>
#include <string_view>

#include "support/diagnostic.h"

namespace heddle::neuron::sim {

enum class RuleId : unsigned char {
#define NKI_RULE(name, number, code, text, path) name,
#include "backend/neuron/simulator/rules.def"
#undef NKI_RULE
};

struct Rule {
  std::string_view name;
  int number;  ///< of the list in docs/neuron-model.md
  Code code;   ///< of the diagnostic that a breach gives
  std::string_view text;
  std::string_view path;  ///< in the aws-neuron-sdk documentation tree
};

std::span<const Rule> rules();
const Rule& rule_of(RuleId id);

}  // namespace heddle::neuron::sim
