// layout b[i, j] to (i/16, j, i%16) [with PAD]
//
//   alloc b: T[..] in M  ->  alloc b: T[..] in M layout(i, j) -> (i/16, j, i%16) pad PAD
//   program f(in b: T[..] in dram)  ->  program f(in b: T[..] in dram layout(i, j) -> (i/16, j, i%16) pad PAD)
//
// An input with a layout is packed once outside the call, `k.pack(b=b)`; a call that gets it as it is packs it first.
// Logical subscripts stay as they are; coordinates of the layout count from the box's origin. The pad fills what blocks
// add past the box. `...r` in front stands for all indices but those named after it, in `to` for the same, so that one
// line serves tensors of any rank.
//
// Refused: b is an output, or has a layout; of an input, an axis made of several dims that are not constant; an index is missing from the layout or stands there twice; the parts of an index do not
// make it up again.
#include "ir/digits.h"
#include "schedule/names.h"
#include "schedule/tree.h"

namespace heddle::schedule {

using namespace ir;

namespace {

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

// Packing sees one array: an axis of several dims can be taken apart only where all but one are constant.
Result<Done> axes_known(const Step& step, const Buffer& b) {
  if (b.role != Role::in || b.groups.empty()) return Done{};
  size_t dim = 0;
  for (int parts : b.groups) {
    int open = 0;
    for (int i = 0; i < parts; ++i, ++dim) open += constant_value(simplify(b.box[dim].hi - b.box[dim].lo)) == nullptr;
    if (parts > 1 && open > 1)
      return step
          .refusal(codes::not_constant,
                   "an axis of `" + b.name + "` is made of several dims whose extents are not constant")
          .with_help("`fix` all but one of them");
  }
  return Done{};
}

bool is_pack(const Term& t) { return t.kind == Term::Kind::path && t.text.starts_with("..."); }

// The operand's indices with `...r` written out as `r0`, `r1`, ..; `to` the same.
Result<Done> spread(Step& step, size_t rank, std::vector<Term>& from, std::vector<Term>& to) {
  std::string pack;
  std::vector<Term> leading;
  if (!from.empty() && is_pack(from[0])) {
    pack = from[0].text;
    if (from.size() - 1 > rank)
      return Diagnostic(codes::bad_layout, from[0].place,
                        "there are " + std::to_string(rank) + " indices, fewer than stand after `" + pack + "`");
    for (size_t i = 0; i + from.size() <= rank; ++i) {
      Term t = from[0];
      t.text = pack.substr(3) + std::to_string(i);
      leading.push_back(std::move(t));
    }
    from.erase(from.begin());
    from.insert(from.begin(), leading.begin(), leading.end());
  }
  std::vector<Term> out;
  for (Term& t : to) {
    if (!is_pack(t)) out.push_back(std::move(t));
    else if (t.text == pack) out.insert(out.end(), leading.begin(), leading.end());
    else return step.refusal(codes::bad_layout, "`" + t.text + "` does not stand in front of the indices");
  }
  to = std::move(out);
  return Done{};
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
  if (b.role == Role::out || b.role == Role::inout)
    return step
        .refusal(codes::bad_layout, "`" + b.name + "` is an output: where its elements lie is the caller's choice")
        .with_help("write it through a copy, `cache " + b.name + " in .. at ..`, and give the copy a layout");
  if (b.layout) return step.refusal(codes::bad_layout, "`" + b.name + "` has a layout already");
  std::vector<Term> from(operand.args.begin() + 1, operand.args.end());
  const std::vector<Term>& written = step.call.with.at("to");
  std::vector<Term> terms = written.size() == 1 && written[0].kind == Term::Kind::tuple ? written[0].args : written;
  if (Result<Done> all = spread(step, b.box.size(), from, terms); !all) return all;
  if (from.size() != b.box.size())
    return Diagnostic(
        codes::bad_layout, operand.place,
        "`" + b.name + "` has " + std::to_string(b.box.size()) + " indices, not " + std::to_string(from.size()));

  if (Result<Done> known = axes_known(step, b); !known) return known;
  Layout layout;
  for (const Term& index : from) {
    Result<std::string> name = name_of(step, index);
    if (!name) return name.errors();
    for (SymbolId other : layout.from)
      if (p.symbol(other).name == *name)
        return Diagnostic(codes::bad_layout, index.place, "`" + *name + "` stands here twice");
    layout.from.push_back(p.add(Symbol{*name, SymbolKind::local, ScalarType::index, {}, index.place}));
  }
  std::vector<std::vector<Digit>> digits(layout.from.size());
  for (const Term& t : terms) {
    Result<Expr> e = index_expr(p, t, layout.from);
    if (!e) return e.errors();
    std::optional<Digit> digit = digit_of(*e, layout.from);
    if (!digit)
      return Diagnostic(codes::bad_layout, t.place,
                        "a part of a layout is an index, or its quotient or remainder by a constant");
    digits[digit->index].push_back(*digit);
    layout.to.push_back(*e);
  }
  for (size_t i = 0; i < digits.size(); ++i)
    if (!make_up(digits[i]))
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
