#include "ir/integer.h"

namespace heddle::ir {
namespace {

uint64_t bits(int64_t value) { return static_cast<uint64_t>(value); }
int64_t wrap(ScalarType type, uint64_t value) { return wrap_integer(type, static_cast<int64_t>(value)); }

}  // namespace

int64_t wrap_integer(ScalarType type, int64_t value) {
  if (type == ScalarType::boolean) return value != 0;
  const int spare = 64 - scalar_bits(type);
  const uint64_t high = bits(value) << spare;
  return is_signed(type) ? static_cast<int64_t>(high) >> spare : static_cast<int64_t>(high >> spare);
}

int64_t saturate_integer(ScalarType to, ScalarType from, int64_t value) {
  if (to == ScalarType::boolean) return value != 0;
  const bool negative = is_signed(from) && value < 0;
  if (negative) {
    const int64_t least = integer_min(to);
    return value < least ? least : value;
  }
  const int64_t greatest = integer_max(to);  // both sides are at least 0 here: u64 compares as its bits
  return bits(value) > bits(greatest) ? greatest : value;
}

int64_t integer_add(ScalarType type, int64_t a, int64_t b) { return wrap(type, bits(a) + bits(b)); }
int64_t integer_sub(ScalarType type, int64_t a, int64_t b) { return wrap(type, bits(a) - bits(b)); }
int64_t integer_mul(ScalarType type, int64_t a, int64_t b) { return wrap(type, bits(a) * bits(b)); }

int64_t integer_div(ScalarType type, int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (!is_signed(type)) return static_cast<int64_t>(bits(a) / bits(b));
  if (b == -1) return integer_sub(type, 0, a);  // INT64_MIN / -1 traps on x86
  const int64_t quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t integer_mod(ScalarType type, int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (!is_signed(type)) return static_cast<int64_t>(bits(a) % bits(b));
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t integer_shift_left(ScalarType type, int64_t a, int64_t count) {
  return bits(count) >= static_cast<uint64_t>(scalar_bits(type)) ? 0 : wrap(type, bits(a) << count);
}

int64_t integer_shift_right(ScalarType type, int64_t a, int64_t count) {
  if (bits(count) >= static_cast<uint64_t>(scalar_bits(type))) return 0;
  return is_signed(type) ? a >> count : static_cast<int64_t>(bits(a) >> count);
}

int64_t integer_abs(ScalarType type, int64_t a) { return is_signed(type) && a < 0 ? integer_sub(type, 0, a) : a; }

}  // namespace heddle::ir
