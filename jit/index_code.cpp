#include "jit/index_code.h"

#include <bit>

#include "ir/float_format.h"
#include "ir/interpret/typed.h"

namespace heddle::jit {

using ir::BinaryOp;
using ir::Expr;

bool IndexCode::compile(const Expr& e, const std::vector<ir::SymbolId>& symbols) {
  steps_.clear();
  return emit(e, symbols, 1);
}

bool IndexCode::emit(const Expr& e, const std::vector<ir::SymbolId>& symbols, int depth) {
  if (!e.known() || depth > max_stack - 4) return false;
  if (const int64_t* c = ir::constant_value(e)) {
    steps_.push_back({Step::push_constant, 0, e.type(), *c});
    return true;
  }
  if (const ir::Constant* c = e.as<ir::Constant>()) {
    steps_.push_back(
        {Step::push_constant, 0, e.type(), ir::is_float(e.type()) ? std::bit_cast<int64_t>(c->real) : c->integer});
    return true;
  }
  if (const ir::Convert* c = e.as<ir::Convert>()) {
    if (!emit(c->value, symbols, depth)) return false;
    const int64_t saturates = c->mode == ir::ConvertMode::saturate ? 256 : 0;
    steps_.push_back({Step::convert, 0, c->value.type(), static_cast<int64_t>(e.type()) + saturates});
    return true;
  }
  if (const ir::Var* v = e.as<ir::Var>()) {
    auto at = std::find(symbols.begin(), symbols.end(), v->symbol);
    if (at == symbols.end()) return false;
    steps_.push_back({Step::push_symbol, 0, e.type(), at - symbols.begin()});
    return true;
  }
  if (const ir::Unary* u = e.as<ir::Unary>()) {
    if (!emit(u->value, symbols, depth)) return false;
    steps_.push_back({Step::unary, static_cast<uint8_t>(u->op), u->value.type(), 0});
    return true;
  }
  if (const ir::Binary* b = e.as<ir::Binary>()) {
    if (!emit(b->left, symbols, depth) || !emit(b->right, symbols, depth + 1)) return false;
    steps_.push_back({Step::binary, static_cast<uint8_t>(b->op), b->left.type(), 0});
    return true;
  }
  if (const ir::Select* s = e.as<ir::Select>()) {
    if (!emit(s->condition, symbols, depth) || !emit(s->yes, symbols, depth + 1) || !emit(s->no, symbols, depth + 2))
      return false;
    steps_.push_back({Step::select, 0, e.type(), 0});
    return true;
  }
  return false;
}

namespace {

using ir::ScalarType;
using ir::interpreter::compare_integers, ir::interpreter::compare_values, ir::interpreter::is_comparison;

bool binary(BinaryOp op, ScalarType type, int64_t a, int64_t b, int64_t& out) {
  if (op == BinaryOp::logical_and || op == BinaryOp::logical_or)
    return out = op == BinaryOp::logical_and ? a && b : a || b, true;
  if (ir::is_float(type)) {
    const double x = std::bit_cast<double>(a), y = std::bit_cast<double>(b);
    if (is_comparison(op)) return out = compare_values(op, x, y), true;
    double v = 0;
    if (!ir::interpreter::Typed::with_real_binary(op, type, [&](auto f) { v = f(x, y); })) return false;
    return out = std::bit_cast<int64_t>(v), true;
  }
  if (is_comparison(op)) return out = compare_integers(op, type, a, b), true;
  if (type == ScalarType::index) return ir::interpreter::index_binary(op, a, b, out);
  return out = ir::interpreter::integer_binary(op, type, a, b), true;
}

bool unary(ir::UnaryOp op, ScalarType type, int64_t a, int64_t& out) {
  if (op == ir::UnaryOp::logical_not) return out = !a, true;
  if (op == ir::UnaryOp::bit_not) return out = ir::wrap_integer(type, ~a), true;
  if (ir::is_float(type)) return out = std::bit_cast<int64_t>(-std::bit_cast<double>(a)), true;
  if (type == ScalarType::index) return !__builtin_sub_overflow(int64_t{0}, a, &out);
  return out = ir::integer_sub(type, 0, a), true;
}

int64_t converted(ScalarType from, ScalarType to, bool saturate, int64_t a) {
  const double x = std::bit_cast<double>(a);
  if (ir::is_float(from) && ir::is_float(to))
    return std::bit_cast<int64_t>(saturate ? ir::saturate_float(to, x) : ir::round_to(to, x));
  if (ir::is_float(from)) return ir::float_to_integer(to, x);
  if (ir::is_float(to)) return std::bit_cast<int64_t>(ir::integer_to_float(to, from, a));
  if (to == ScalarType::index) return a;
  return saturate ? ir::saturate_integer(to, from, a) : ir::wrap_integer(to, a);
}

}  // namespace

bool IndexCode::step(const Step& s, int64_t a, int64_t b, int64_t& out) {
  switch (s.kind) {
    case Step::unary: return unary(static_cast<ir::UnaryOp>(s.op), s.type, a, out);
    case Step::binary: return binary(static_cast<BinaryOp>(s.op), s.type, a, b, out);
    default: out = converted(s.type, static_cast<ScalarType>(s.value & 255), s.value & 256, a); return true;
  }
}

bool IndexCode::run(const int64_t* values, int64_t& out) const {
  int64_t stack[max_stack];
  int top = 0;
  for (const Step& s : steps_) {
    switch (s.kind) {
      case Step::push_constant: stack[top++] = s.value; break;
      case Step::push_symbol: stack[top++] = values[s.value]; break;
      case Step::unary:
      case Step::convert:
        if (!step(s, stack[top - 1], 0, stack[top - 1])) return false;
        break;
      case Step::binary:
        --top;
        if (!step(s, stack[top - 1], stack[top], stack[top - 1])) return false;
        break;
      case Step::select:
        top -= 2;
        stack[top - 1] = stack[top - 1] ? stack[top] : stack[top + 1];
        break;
    }
  }
  out = stack[0];
  return true;
}

bool IndexCode::is_constant(int64_t& value) const {
  if (steps_.size() != 1 || steps_[0].kind != Step::push_constant) return false;
  value = steps_[0].value;
  return true;
}

int IndexCode::symbol_only() const {
  return steps_.size() == 1 && steps_[0].kind == Step::push_symbol ? static_cast<int>(steps_[0].value) : -1;
}

void IndexCode::write(ByteWriter& out) const {
  out.list(steps_, [&](const Step& s) {
    out.put(s.kind);
    out.put(s.op);
    out.put(s.type);
    out.put(s.value);
  });
}

bool IndexCode::read(ByteReader& in, int symbols) {
  steps_.clear();
  int depth = 0;
  bool good = true;
  in.list([&] {
    Step s{in.get<Step::Kind>(), in.get<uint8_t>(), in.get<ir::ScalarType>(), in.get<int64_t>()};
    good &= s.type <= ir::ScalarType::index;
    switch (s.kind) {
      case Step::push_constant: ++depth; break;
      case Step::push_symbol:
        ++depth;
        good &= s.value >= 0 && s.value < symbols;
        break;
      case Step::unary: good &= depth >= 1; break;
      case Step::convert:
        good &= depth >= 1 && s.value >= 0 && (s.value & 255) <= int64_t(ir::ScalarType::index);
        break;
      case Step::binary:
        good &= depth >= 2;
        --depth;
        break;
      case Step::select:
        good &= depth >= 3;
        depth -= 2;
        break;
      default: good = false;
    }
    good &= depth <= max_stack;
    if (good) steps_.push_back(s);
  });
  return good && !in.broken() && (steps_.empty() || depth == 1);
}

}  // namespace heddle::jit
