// The instructions of nisa as rows: their parameters, in order; each has a function that checks a call and makes an instruction.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace heddle::neuron::sim {

class IsaCall;

struct IsaRow {
  std::string_view name;
  std::string_view parameters;  ///< "dst src engine?": a question mark where it may be left out
  void (*make)(IsaCall&);
};

const IsaRow* isa_row(std::string_view name);
std::vector<std::string_view> isa_names();

}  // namespace heddle::neuron::sim
