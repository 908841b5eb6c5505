// NKI text as a tree: the small part of Python that kernels use. Places are byte ranges of the source.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "support/source.h"

namespace heddle::neuron::sim {

struct Expr {
  enum class Kind : uint8_t {
    none,  ///< no expression: an absent bound of a slice
    integer,
    real,
    string,
    name,       ///< also None, True and False
    attribute,  ///< kids[0].text
    call,       ///< kids[0](kids[1..]); keywords[i] names kids[i + 1], empty for positional ones
    subscript,  ///< kids[0][kids[1..]]; `text` is "," when the index was a tuple
    slice,      ///< kids: start, stop, step
    tuple,
    list,
    unary,    ///< text kids[0]
    binary,   ///< kids[0] text kids[1]
    compare,  ///< kids[0] ops[0] kids[1] ops[1] ..., operators in `keywords`
    all,      ///< and
    any,      ///< or
    choose,   ///< kids[1] if kids[0] else kids[2]
  };
  Kind kind = Kind::none;
  uint32_t begin = 0, end = 0;
  int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<Expr> kids;
  std::vector<std::string> keywords;
};

struct Parameter {
  std::string name;
  uint32_t begin = 0, end = 0;
  Expr fallback;  ///< kind none without a default
};

struct Stmt {
  enum class Kind : uint8_t {
    expression,  ///< value
    assign,      ///< target = value
    augment,     ///< target text= value
    loop,        ///< for target in value: body
    branch,      ///< if value: body else: other
    returning,   ///< return value (kind none: nothing)
    define,      ///< def text(parameters): body
    with,        ///< with value: body
    assertion,   ///< assert value
    pass,
    import,  ///< text = module path, target.text = the local name
  };
  Kind kind = Kind::pass;
  uint32_t begin = 0, end = 0;
  Expr target, value;
  std::string text;
  std::vector<Parameter> parameters;
  std::vector<Expr> decorators;
  std::vector<Stmt> body, other;
};

struct Text {
  SourceRef source;
  std::vector<Stmt> statements;
};

/// Reads a text, or throws Refused at the first place that does not parse or that the kernel language lacks.
Text parse_text(SourceRef source);

}  // namespace heddle::neuron::sim
