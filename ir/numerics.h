// What a user may rely on of a program's numbers: which stages round, in which order they combine, and by how much their functions may be
// off. Read off the program, so it holds for what runs, after all steps (docs/numerics.md has the meaning of each word).
#pragma once

#include <string>
#include <vector>

#include "ir/scalar_type.h"

namespace heddle::ir {

struct Program;

/// One stage of the program.
struct StageNumerics {
  std::string stage;
  ScalarType type = ScalarType::f32;  ///< of what it writes; of a state its first field
  std::string reducer;                ///< empty when it reduces nothing
  bool rounds = false;                ///< some operation of it rounds; else its results are exact in its reads
  bool reassociated = false;  ///< its terms may be combined in another order than the text's, with other roundings
  bool contracts = false;     ///< a product and a sum of it may round once
  struct Function {
    std::string name;
    ScalarType type = ScalarType::f32;  ///< computed in
    double ulp = 0;      ///< bound on the error, in units in the last place of that type; 0.5: correctly rounded
    bool exact = false;  ///< the nearest value of the type
  };
  std::vector<Function> functions;
};

struct Numerics {
  std::vector<StageNumerics> stages;
  std::vector<std::string> instructions;  ///< what runs as instructions, with their own words: "amx_dot: reassociates"
  bool flushes_denormals = false;
  bool rounds = false;  ///< some stage rounds
  bool one_answer =
      false;  ///< the text and its arguments determine every bit, for targets with FMA or without: no leave is used
  bool portable = false;  ///< and for all targets alike
};

Numerics numerics_of(const Program& program);

}  // namespace heddle::ir
