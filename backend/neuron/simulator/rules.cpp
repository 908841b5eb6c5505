#include "backend/neuron/simulator/rules.h"

#include "backend/neuron/simulator/refuse.h"

namespace heddle::neuron::sim {

std::span<const Rule> rules() {
  static constexpr Rule rows[] = {
#define NKI_RULE(name, number, code, text, path) {#name, number, codes::code, text, path},
#include "backend/neuron/simulator/rules.def"
#undef NKI_RULE
  };
  return rows;
}

const Rule& rule_of(RuleId id) { return rules()[static_cast<size_t>(id)]; }

void refuse_rule(RuleId id, Diagnostic diagnostic) {
  const Rule& rule = rule_of(id);
  diagnostic.code = rule.code.id;
  diagnostic.message += " (" + std::string(rule.path) + ")";
  std::string cite = "rule " + std::to_string(rule.number) + ": " + std::string(rule.text);
  diagnostic.help = diagnostic.help.empty() ? cite : diagnostic.help + "; " + cite;
  throw Refused{std::move(diagnostic)};
}

void refuse_rule(RuleId id, const Place& place, std::string message) {
  refuse_rule(id, Diagnostic(rule_of(id).code, place, std::move(message)));
}

}  // namespace heddle::neuron::sim
