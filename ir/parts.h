// Parts: copies of a nest that steps and passes make (tails, special cases). A copy has loops, temporaries and stages of its own;
// the names of `y` become those of `y@tail`, and plain names go on meaning the main part.
#pragma once

#include <string>
#include <vector>

#include "ir/program.h"
#include "ir/visit.h"

namespace heddle::ir {

struct Part {
  std::string name;  ///< "tail"; "tail2", .. where that is taken
  Body body;
};

/// A copy of the body. `loops` says what loops around it become; those inside get new symbols. Stages that write only
/// what is outside keep their row: each of their points is still run once, by the one copy or the other. `owner` is a
/// stage whose loops the part will also get, `place` the line that asks for it.
Part copy_part(Program& program, const Place& place, const Body& body, const std::string& part,
               const std::string& owner, Substitution loops);

/// The first of `part`, `part2`, .. that is no part of any of the stages.
std::string free_part(const Program& program, const std::vector<std::string>& owners, const std::string& part);

/// "y" of "y@tail"; "y@tail" of "y", and "y@head_tail" of the part "y@head".
std::string main_part(const std::string& name);
std::string part_name(const std::string& name, const std::string& part);

}  // namespace heddle::ir
