// Untyped literals take the type of their other side, and are refused where that type cannot hold them.
#pragma once

#include "frontend/ast.h"
#include "ir/expr.h"
#include "support/result.h"

namespace heddle::frontend {

/// The constant of a literal (with a minus before it) in a type. Decimal fractions round to nearest in a float type; an
/// integer must be exact in its type; a fraction or `inf` is never an integer.
Result<ir::Expr> typed_literal(const ast::Literal& literal, bool negative, ir::ScalarType type, const Place& place);

/// The value of an integer literal as index, or nothing when it is no integer or too large.
std::optional<int64_t> integer_literal(const ast::Literal& literal);
/// The value of a real or integer literal.
std::optional<double> real_literal(const ast::Literal& literal);

/// `value` rounded to nearest even in a float type; past the greatest finite number it becomes an infinity.
double rounded_to(ir::ScalarType type, double value);

}  // namespace heddle::frontend
