// Schedules as data. The frontend parses a step call without knowing any step; schedule/ gives it meaning; Python builds the
// same values. Nothing here is typed: names are resolved against a program when the step is applied.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/diagnostic.h"

namespace heddle::ir {

/// An untyped term of a schedule: `8`, `block`, `y@tail.ri`, `lanes(f32)`, `acc[i in 0 .. 4, j]`, `rows % 8 == 0`, `[1, 2, 4]`.
struct Term {
  enum class Kind { integer, real, text, path, call, subscript, unary, binary, range, list, tuple };
  Kind kind = Kind::path;
  int64_t integer = 0;
  double real = 0;
  std::string
      text;  ///< path: dotted, as written ("y@tail.ri"); call, unary, binary: function or operator; text: content
  std::vector<Term> args;  ///< subscript: the tensor's path, then one term per subscript; range: lo, hi; binary: two
  std::string bound;       ///< of a subscript `i in lo .. hi`: the index name (on its range term)
  Place place;
};

/// One line: `NAME operands (PREPOSITION operands)*`.
struct StepCall {
  std::string name;
  std::vector<Term> operands;
  std::map<std::string, std::vector<Term>>
      with;  ///< by preposition: "by", "into", "at", "as", "in", "to", "with", "when", "after"
  std::string
      own;  ///< of a line of a derived step: what stands in front of the names that it makes by default, "tile_"
  Place place;
  Place name_place;
};

struct ScheduleLine {
  enum class Kind { step, tune, let, branch };
  Kind kind = Kind::step;
  StepCall step;
  // tune NAME = value in choices | let NAME = value
  std::string name;
  Term value;
  std::vector<Term> choices;  ///< `in [..]`: the values; `in lo .. hi by *f`: empty, see range
  std::vector<Term> range;    ///< lo, hi, factor
  Term where;                 ///< of tune; text empty and no args = none
  bool has_where = false;
  // if value { then } else { otherwise }
  std::vector<ScheduleLine> then, otherwise;
  Place place;
};

struct ScheduleText {
  std::string op;      ///< "softmax"
  std::string name;    ///< "rows"
  std::string target;  ///< "cpu", "cpu/avx512", "neuron", ...
  std::vector<std::pair<std::string, Place>> allow;
  bool has_where = false;
  Term where;
  std::vector<ScheduleLine> lines;
  std::string doc;
  Place place;
};

/// `step NAME(l: loop, n: int, ..) { .. }`: a step made of smaller ones.
struct DerivedStep {
  struct Param {
    std::string name, kind;  ///< kind: loop, stage, int, name, memory
  };
  std::string name;
  std::vector<Param> params;
  std::vector<ScheduleLine> lines;
  std::string doc;
  Place place;
};

/// What a module declares and imports.
using DerivedSteps = std::vector<std::shared_ptr<const DerivedStep>>;

}  // namespace heddle::ir
