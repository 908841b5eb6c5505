// How the simulator gives up. Inside, a refusal travels as an exception, because it may arise in any expression of the text;
// `simulate` catches it, so outside it is a diagnostic like all others.
#pragma once

#include <string>

#include "backend/neuron/simulator/codes.h"
#include "backend/neuron/simulator/rules.h"

namespace heddle::neuron::sim {

struct Refused {
  Diagnostic diagnostic;
};

[[noreturn]] inline void refuse(const Code& code, const Place& place, std::string message, std::string help = {}) {
  throw Refused{Diagnostic(code, place, std::move(message)).with_help(std::move(help))};
}

/// A breach of a rule: the message says what was seen, the help cites the rule and its documentation path.
[[noreturn]] void refuse_rule(RuleId rule, const Place& place, std::string message);
[[noreturn]] void refuse_rule(RuleId rule, Diagnostic diagnostic);

}  // namespace heddle::neuron::sim
