// Layouts taken apart: each physical coordinate is a digit of one index, `i`, `i/n`, `i%n` or `(i/n)%m`.
#pragma once

#include <optional>
#include <vector>

#include "ir/program.h"
#include "ir/prove.h"

namespace heddle::ir {

/// Digits low .. low*size of one index; size 0: to the end.
struct Digit {
  size_t index = 0;
  int64_t low = 1, size = 0;
};

/// One coordinate over the indices `from`; nothing where it is more than a digit.
std::optional<Digit> digit_of(const Expr& e, const std::vector<SymbolId>& from);
/// Whether the digits of one index, by weight, follow each other without gap up to one without end: then no two elements share a place.
bool make_up(std::vector<Digit> digits);
/// The digits of all coordinates; nothing where one is no digit, or the digits of an index do not make it up.
std::optional<std::vector<Digit>> digits_of(const Layout& layout);
/// How many values a digit takes for an index below `extent`: its size, or up to the end.
Expr extent_of(const Digit& digit, const Expr& extent);
/// How many places a physical coordinate has for indices below `extents`. `i%4` has four, however short `i` is, as instructions see it and
/// packed inputs have it. Unknown where there is no bound.
Expr places_of(const Expr& coordinate, const std::vector<SymbolId>& from, const std::vector<Expr>& extents,
               const Facts& facts);

}  // namespace heddle::ir
