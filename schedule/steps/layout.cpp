// layout b[i, j] to (i/16, j, i%16) [with PAD]
//
//   alloc b: T[..] in M  ->  alloc b: T[..] in M layout(i, j) -> (i/16, j, i%16) pad PAD
//
// Logical subscripts stay as they are; coordinates of the layout count from the box's origin. The pad fills what blocks
// add past the box.
//
// Refused: b is a parameter; an index is missing from the layout or stands there twice; the parts of an index do not
// make it up again.
#include <algorithm>

#include "schedule/names.h"
#include "schedule/tree.h"

namespace heddle::schedule {

using namespace ir;

namespace {

/// `i`, `i/n`, `i%n` or `(i/n)%m`: digits low .. low*size of one index; size 0 = to the end.
struct Digit {
  size_t index = 0;
  int64_t low = 1, size = 0;
};

bool read_digit(const Expr& e, const std::vector<SymbolId>& from, Digit& out) {
  if (const Var* v = e.as<Var>()) {
    for (size_t i = 0; i < from.size(); ++i)
      if (from[i] == v->symbol) return out = {i, 1, 0}, true;
    return false;
  }
  const Binary* b = e.as<Binary>();
  const int64_t* n = b ? constant_value(b->right) : nullptr;
  if (!n || *n < 1 || !read_digit(b->left, from, out)) return false;
  if (b->op == BinaryOp::div) {
    if (out.size && out.size % *n) return false;
    if (__builtin_mul_overflow(out.low, *n, &out.low)) return false;
    if (out.size) out.size /= *n;
    return true;
  }
  if (b->op != BinaryOp::mod || (out.size && out.size % *n)) return false;
  out.size = *n;
  return true;
}

// The digits of each index, sorted by weight, must follow each other without gap up to one without end.
bool covers(std::vector<Digit> digits) {
  std::sort(digits.begin(), digits.end(), [](const Digit& a, const Digit& b) { return a.low < b.low; });
  int64_t next = 1;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (digits[i].low != next) return false;
    if (digits[i].size == 0) return i + 1 == digits.size();
    if (__builtin_mul_overflow(next, digits[i].size, &next)) return false;
  }
  return false;
}

Result<Expr> pad_value(const Step& step, ScalarType type) {
  const Term& term = step.call.with.at("with")[0];
  if (term.kind == Term::Kind::integer) {
    if (is_float(type)) return real_constant(type, static_cast<double>(term.integer));
    if (is_integer(type) && term.integer >= integer_min(type) &&
        (type == ScalarType::u64 ? term.integer >= 0 : term.integer <= integer_max(type)))
      return integer_constant(type, term.integer);
  }
  if (term.kind == Term::Kind::real && is_float(type)) return real_constant(type, term.real);
  return Diagnostic(codes::bad_layout, term.place,
                    "the pad is not a number of type `" + std::string(scalar_type_name(type)) + "`");
}

}  // namespace

Result<Done> layout_step(Step& step) {
  Program& p = step.program;
  const Term& operand = step.call.operands[0];
  if (operand.kind != Term::Kind::subscript)
    return Diagnostic(codes::wrong_operands, operand.place,
                      "`layout` takes a tensor with a name for each index: `layout b[i, j] to (i/16, j, i%16)`");
  Result<std::vector<BufferId>> buffers = find_buffers(step, operand.args[0]);
  if (!buffers) return buffers.errors();
  if (buffers->size() != 1)
    return step.refusal(codes::bad_layout, "`" + operand.args[0].text + "` has several fields; they keep their layout");
  const BufferId id = (*buffers)[0];
  const Buffer& b = p.buffer(id);
  if (b.role != Role::temporary)
    return step
        .refusal(codes::step_not_built,
                 "the layout of a parameter is the caller's; prepacked parameters are not built yet")
        .with_help("copy it with `cache " + b.name + " in .. at ..` and give the copy a layout");
  if (operand.args.size() - 1 != b.box.size())
    return Diagnostic(codes::bad_layout, operand.place,
                      "`" + b.name + "` has " + std::to_string(b.box.size()) + " indices, not " +
                          std::to_string(operand.args.size() - 1));

  Layout layout;
  for (size_t i = 1; i < operand.args.size(); ++i) {
    Result<std::string> name = name_of(step, operand.args[i]);
    if (!name) return name.errors();
    for (SymbolId other : layout.from)
      if (p.symbol(other).name == *name)
        return Diagnostic(codes::bad_layout, operand.args[i].place, "`" + *name + "` stands here twice");
    layout.from.push_back(p.add(Symbol{*name, SymbolKind::local, ScalarType::index, {}, operand.args[i].place}));
  }
  const std::vector<Term>& to = step.call.with.at("to");
  const std::vector<Term>& terms = to.size() == 1 && to[0].kind == Term::Kind::tuple ? to[0].args : to;
  std::vector<std::vector<Digit>> digits(layout.from.size());
  for (const Term& t : terms) {
    Result<Expr> e = index_expr(p, t, layout.from);
    if (!e) return e.errors();
    Digit digit;
    if (!read_digit(*e, layout.from, digit))
      return Diagnostic(codes::bad_layout, t.place,
                        "a part of a layout is an index, or its quotient or remainder by a constant");
    digits[digit.index].push_back(digit);
    layout.to.push_back(*e);
  }
  for (size_t i = 0; i < digits.size(); ++i)
    if (!covers(digits[i]))
      return Diagnostic(codes::bad_layout, terms.empty() ? step.call.place : terms[0].place,
                        "the parts of `" + p.symbol(layout.from[i]).name +
                            "` do not make it up again, so elements would share a place")
          .with_help("write it as `i`, or as `i/n` and `i%n`");
  if (has(step.call, "with")) {
    Result<Expr> pad = pad_value(step, b.type);
    if (!pad) return pad.errors();
    p.buffers[id.value].pad = *pad;
  }
  p.buffers[id.value].layout = std::move(layout);
  return Done{};
}

}  // namespace heddle::schedule
