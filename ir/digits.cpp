#include "ir/digits.h"

#include <algorithm>

#include "ir/prove.h"

namespace heddle::ir {

std::optional<Digit> digit_of(const Expr& e, const std::vector<SymbolId>& from) {
  if (const Var* v = e.as<Var>()) {
    for (size_t i = 0; i < from.size(); ++i)
      if (from[i] == v->symbol) return Digit{i, 1, 0};
    return std::nullopt;
  }
  const Binary* b = e.as<Binary>();
  const int64_t* n = b ? constant_value(b->right) : nullptr;
  if (!n || *n < 1) return std::nullopt;
  std::optional<Digit> out = digit_of(b->left, from);
  if (!out) return out;
  if (b->op == BinaryOp::div) {
    if (out->size && out->size % *n) return std::nullopt;
    if (__builtin_mul_overflow(out->low, *n, &out->low)) return std::nullopt;
    if (out->size) out->size /= *n;
    return out;
  }
  if (b->op != BinaryOp::mod || (out->size && out->size % *n)) return std::nullopt;
  out->size = *n;
  return out;
}

bool make_up(std::vector<Digit> digits) {
  std::sort(digits.begin(), digits.end(), [](const Digit& a, const Digit& b) { return a.low < b.low; });
  int64_t next = 1;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (digits[i].low != next) return false;
    if (digits[i].size == 0) return i + 1 == digits.size();
    if (__builtin_mul_overflow(next, digits[i].size, &next)) return false;
  }
  return false;
}

std::optional<std::vector<Digit>> digits_of(const Layout& layout) {
  std::vector<Digit> out;
  std::vector<std::vector<Digit>> of_index(layout.from.size());
  for (const Expr& e : layout.to) {
    std::optional<Digit> digit = digit_of(e, layout.from);
    if (!digit) return std::nullopt;
    out.push_back(*digit);
    of_index[digit->index].push_back(*digit);
  }
  for (const std::vector<Digit>& own : of_index)
    if (!make_up(own)) return std::nullopt;
  return out;
}

Expr extent_of(const Digit& digit, const Expr& extent) {
  return simplify(digit.size ? index_constant(digit.size) : ceildiv(extent, index_constant(digit.low)));
}

Expr places_of(const Expr& coordinate, const std::vector<SymbolId>& from, const std::vector<Expr>& extents,
               const Facts& facts) {
  if (const std::optional<Digit> digit = digit_of(coordinate, from)) return extent_of(*digit, extents[digit->index]);
  std::vector<SymbolRange> ranges;
  for (size_t i = 0; i < from.size(); ++i) ranges.push_back({from[i], index_constant(0), extents[i]});
  const Bounds bounds = bounds_over(coordinate, ranges, facts);
  return bounds.ok ? simplify(bounds.hi + 1) : Expr();
}

}  // namespace heddle::ir
