#include "frontend/check/literal.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "frontend/codes.h"
#include "ir/float_format.h"

namespace heddle::frontend {
namespace {

using ir::ScalarType;

// The digits of an integer literal, decimal or hexadecimal; nothing past 64 bits.
std::optional<uint64_t> digits(const std::string& text) {
  uint64_t value = 0;
  bool hex = text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  const char* begin = text.data() + (hex ? 2 : 0);
  const char* end = text.data() + text.size();
  auto [stop, failure] = std::from_chars(begin, end, value, hex ? 16 : 10);
  if (failure != std::errc() || stop != end) return std::nullopt;
  return value;
}

// Decimal text to a float type in one rounding for f32 and f64; the narrow types round the f64 value.
double read_real(const std::string& text, ScalarType type) {
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  const char* end = text.data() + text.size();
  if (type == ScalarType::f32) {
    float value = 0;
    auto result = std::from_chars(text.data(), end, value);
    if (result.ec == std::errc()) return value;
  }
  double value = 0;
  auto result = std::from_chars(text.data(), end, value);
  if (result.ec == std::errc::result_out_of_range) {
    // Too small is zero, too large is infinite: the exponent's sign tells which.
    return text.find("e-") != std::string::npos || text.find("E-") != std::string::npos ? 0.0 : HUGE_VAL;
  }
  return rounded_to(type, value);
}

Diagnostic inexact(const std::string& text, ScalarType type, const Place& place) {
  std::string name(ir::scalar_type_name(type));
  const std::string shown = text.size() > 40 ? text.substr(0, 37) + ".." : text;
  return Diagnostic(codes::inexact_literal, place, "`" + shown + "` does not fit in `" + name + "` exactly")
      .with_help("write a value that `" + name + "` holds, or give the other side a type that holds this one");
}

Result<ir::Expr> integer_as_float(uint64_t bits, bool negative, const std::string& text, ScalarType type,
                                  const Place& place) {
  double value = static_cast<double>(bits);
  bool exact = value < 18446744073709551616.0 && static_cast<uint64_t>(value) == bits &&
               rounded_to(type, value) == value && value <= ir::scalar_row(type).max_finite;
  if (!exact) return inexact(text, type, place);
  return ir::real_constant(type, negative ? -value : value);
}

Result<ir::Expr> integer_as_integer(uint64_t bits, bool negative, const std::string& text, ScalarType type,
                                    const Place& place) {
  bool is_unsigned = !ir::is_signed(type);
  uint64_t most = is_unsigned ? static_cast<uint64_t>(ir::integer_max(type))
                              : static_cast<uint64_t>(ir::integer_max(type)) + negative;
  if (bits > most || (negative && is_unsigned && bits != 0)) return inexact(text, type, place);
  return ir::integer_constant(type, static_cast<int64_t>(negative ? 0 - bits : bits));
}

}  // namespace

double rounded_to(ScalarType type, double value) {
  double result = ir::round_to(type, value);
  return std::isnan(result) && !std::isnan(value) ? std::copysign(HUGE_VAL, value) : result;
}

std::optional<int64_t> integer_literal(const ast::Literal& literal) {
  if (literal.kind != ast::Literal::Kind::integer) return std::nullopt;
  auto bits = digits(literal.text);
  if (!bits || *bits > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<int64_t>(*bits);
}

std::optional<double> real_literal(const ast::Literal& literal) {
  if (literal.kind == ast::Literal::Kind::real) return read_real(literal.text, ScalarType::f64);
  if (literal.kind != ast::Literal::Kind::integer) return std::nullopt;
  auto bits = digits(literal.text);
  if (!bits) return std::nullopt;
  return static_cast<double>(*bits);
}

Result<ir::Expr> typed_literal(const ast::Literal& literal, bool negative, ScalarType type, const Place& place) {
  std::string text = (negative ? "-" : "") + literal.text;
  std::string name(ir::scalar_type_name(type));
  if (literal.kind == ast::Literal::Kind::text) return Diagnostic(codes::wrong_operand, place, "a text is no value");
  if (literal.kind == ast::Literal::Kind::boolean) {
    if (type != ScalarType::boolean || negative)
      return Diagnostic(codes::silent_conversion, place,
                        "`" + text + "` is a `bool`, and a `" + name + "` is needed here");
    return ir::bool_constant(literal.text == "true");
  }
  if (type == ScalarType::boolean)
    return Diagnostic(codes::silent_conversion, place, "`" + text + "` is a number, and a `bool` is needed here")
        .with_help("write `true` or `false`, or a comparison");
  if (literal.kind == ast::Literal::Kind::integer) {
    auto bits = digits(literal.text);
    if (!bits) return inexact(text, type, place);
    return ir::is_float(type) ? integer_as_float(*bits, negative, text, type, place)
                              : integer_as_integer(*bits, negative, text, type, place);
  }
  if (!ir::is_float(type)) {
    return type == ScalarType::index
               ? Diagnostic(codes::inexact_literal, place, "`" + text + "` is no integer, and an index is one")
               : inexact(text, type, place);
  }
  double value = read_real(literal.text, type);
  bool written_infinite = literal.text == "inf";
  if (std::isinf(value) && (!written_infinite || !ir::scalar_row(type).has_infinity)) return inexact(text, type, place);
  return ir::real_constant(type, negative ? -value : value);
}

}  // namespace heddle::frontend
