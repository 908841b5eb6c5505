// Random ops as text: several stages over small symbolic dims, of every construct of the language that a schedule may meet.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "ir/scalar_type.h"
#include "tests/fuzz/common/random.h"

namespace heddle::fuzz {

/// What an integer input must hold, so that the op's checks on data pass.
struct Fill {
  enum class Kind {
    index,    ///< below the dim
    length,   ///< up to a little past the dim
    offsets,  ///< rising from 0, at most the dim
  } kind;
  std::string dim;
};

struct RandomOp {
  std::string text;                     ///< one op named `f`, after the reducers that it uses
  std::map<std::string, int64_t> dims;  ///< an extent for each symbol
  std::map<std::string, Fill> fills;    ///< of the inputs that need one, by name
  std::set<std::string> constructs;     ///< what is in it: "reduction", "gather", ..
  std::string schedule;                 ///< lines of a schedule of `f`, random steps among them
  std::string schedule_items;           ///< derived steps and schedules of called ops that those lines name
  bool long_schedule = false;           ///< of a product: the lines lead to an instruction
};

RandomOp random_op(Random& random);

}  // namespace heddle::fuzz
