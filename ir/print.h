// Text of programs and their parts. Printed programs are legal input (frontend/program_text reads them back).
#pragma once

#include <string>

#include "ir/program.h"

namespace heddle::ir {

std::string print(const Program& program);
/// An expression with the names of the program's tables; loops print with their stage.
std::string print(const Program& program, const Expr& e);
std::string print(const Program& program, const StmtRef& s, int indent = 0);
std::string print_instr(const Instr& instr, const Program& program);

/// Structural hash and equality up to names, places and consumed names: symbols and buffers are numbered in the order of their
/// first use.
uint64_t structural_hash(const Program& program);
bool equal_up_to_names(const Program& a, const Program& b);

}  // namespace heddle::ir
