// Instructions that a schedule asks for by `replace`: what stands for those of stdlib/machine/neuron.hd in NKI text.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "ir/program.h"

namespace heddle::neuron {

struct InstrRow {
  /// plain: one call of `nki`. The others are other words in `basic`, of which some are a few instructions in `full` too: calls.cpp, moments.cpp.
  enum class Kind : uint8_t { plain, multiply_add, summed, summed_exp, summed_spread, turned };
  std::string_view name;
  std::string_view meaning;           ///< as ir::print_instr writes it: the name alone is not enough
  std::string_view nki;               ///< the entry point of nki.isa
  std::vector<const char*> keywords;  ///< of the operands, in order
  std::vector<std::pair<const char*, const char*>> more = {};
  Kind kind = Kind::plain;
};

std::span<const InstrRow> instr_rows();
/// The row for an instruction with the meaning that the row has; none for another.
const InstrRow* spelled(const ir::Program& program, const ir::Instr& instr);

}  // namespace heddle::neuron
