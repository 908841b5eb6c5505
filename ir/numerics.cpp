#include "ir/numerics.h"

#include <algorithm>

#include "ir/math.h"
#include "ir/program.h"
#include "ir/visit.h"

namespace heddle::ir {
namespace {

// f16, bf16 and fp8 compute in f32.
ScalarType computed_in(ScalarType type) { return type == ScalarType::f64 ? type : ScalarType::f32; }

bool is_product(const Expr& e) {
  const Binary* b = e.as<Binary>();
  return b && b->op == BinaryOp::mul && is_float(e.type());
}

// A conversion rounds where the type it comes from has values that the other has not.
bool narrows(ScalarType from, ScalarType to) {
  if (!is_float(to)) return is_float(from) && to != ScalarType::boolean;
  const ScalarRow &a = scalar_row(from), &b = scalar_row(to);
  if (!is_float(from)) return from != ScalarType::boolean && 8 * a.bytes > b.precision;
  return a.precision > b.precision || a.min_exponent - a.precision < b.min_exponent - b.precision ||
         a.max_exponent > b.max_exponent;
}

class Reader {
 public:
  Reader(const Program& program, StageNumerics& row) : program_(program), row_(row) {}

  void read(const Expr& e) {
    walk(e, [&](const Expr& part) {
      if (const Binary* b = part.as<Binary>()) binary(part, *b);
      if (const MathCall* m = part.as<MathCall>()) function(part, *m);
      if (const Convert* c = part.as<Convert>()) row_.rounds |= narrows(c->value.type(), part.type());
      return true;
    });
  }

 private:
  void binary(const Expr& e, const Binary& b) {
    if (!is_float(e.type())) return;
    const bool sum = b.op == BinaryOp::add || b.op == BinaryOp::sub;
    row_.rounds |= sum || b.op == BinaryOp::mul || b.op == BinaryOp::div;
    row_.contracts |= program_.allow.contract && sum && (is_product(b.left) || is_product(b.right));
  }

  void function(const Expr& e, const MathCall& m) {
    const MathRow* row = find_math(m.function);
    if (!row || !is_float(e.type())) return;
    const ScalarType type = computed_in(e.type());
    StageNumerics::Function f{m.function, type, type == ScalarType::f64 ? row->ulp_f64 : row->ulp_f32, row->exact};
    // `sqrt` is the nearest value; `abs`, `floor`, `min` are values as they stand.
    row_.rounds |= !f.exact || f.ulp > 0;
    auto same = [&](const auto& other) { return other.name == f.name && other.type == f.type; };
    if (std::none_of(row_.functions.begin(), row_.functions.end(), same)) row_.functions.push_back(f);
  }

  const Program& program_;
  StageNumerics& row_;
};

class Collector {
 public:
  explicit Collector(const Program& program) : program_(program) {}

  Numerics run() {
    walk(program_.body, [&](const StmtRef& s) {
      if (const Leaf* l = std::get_if<Leaf>(&s->form)) leaf(*l);
      if (const Call* c = std::get_if<Call>(&s->form)) call(*c);
      return true;
    });
    out_.flushes_denormals = program_.allow.flush_denormals;
    out_.one_answer = !out_.flushes_denormals && !by_instruction_;
    out_.portable = out_.one_answer;
    for (StageNumerics& row : out_.stages) {
      out_.rounds |= row.rounds;
      out_.one_answer &= !row.reassociated && !row.contracts;
      for (const auto& f : row.functions) out_.portable &= f.exact;
    }
    out_.portable &= out_.one_answer;
    return std::move(out_);
  }

 private:
  StageNumerics& row_of(StageId id) {
    const Stage& stage = program_.stage(id);
    for (StageNumerics& row : out_.stages)
      if (row.stage == stage.name) return row;
    StageNumerics& row = out_.stages.emplace_back();
    row.stage = stage.name;
    row.reducer = stage.reducer;
    if (!stage.writes.empty()) row.type = program_.buffer(stage.writes.front()).type;
    return row;
  }

  void leaf(const Leaf& l) {
    StageNumerics& row = row_of(l.stage);
    Reader reader(program_, row);
    for (const Assign& a : l.assigns) {
      reader.read(a.value);
      if (a.kind == AssignKind::combine) combine(row, l, a);
    }
  }

  void combine(StageNumerics& row, const Leaf& l, const Assign& a) {
    const ScalarType type = program_.buffer(a.buffer).type;
    const Reducer* reducer = program_.reducer(l.reducer);
    const bool exact = reducer && exact_on(*reducer, type);
    // Not only where a step relied on it: the host compiler sums short reductions as trees where the header lets it.
    row.reassociated |= !exact && program_.allow.reassociate;
    if (!reducer) return;
    if (reducer->builtin == BuiltinReducer::none) {
      Reader reader(program_, row);
      for (const ReducerLine& line : reducer->combine) reader.read(line.value);
    } else {
      row.rounds |= !exact;
      row.contracts |= program_.allow.contract && reducer->builtin == BuiltinReducer::sum && is_product(a.value);
    }
  }

  void call(const Call& c) {
    const Instr* instr = program_.instr(c.instr);
    std::string words;
    if (instr)
      for (const std::string& word : instr->numerics) {
        words += (words.empty() ? "" : ", ") + word;
        by_instruction_ |= word != "exact";
      }
    std::string text = c.instr + ": " + (words.empty() ? "exact" : words);
    if (std::find(out_.instructions.begin(), out_.instructions.end(), text) == out_.instructions.end())
      out_.instructions.push_back(text);
  }

  const Program& program_;
  Numerics out_;
  bool by_instruction_ = false;
};

}  // namespace

Numerics numerics_of(const Program& program) { return Collector(program).run(); }

}  // namespace heddle::ir
