#include "frontend/schedule_text.h"

#include <algorithm>

#include "frontend/check/literal.h"
#include "frontend/codes.h"
#include "ir/target.h"

namespace heddle::frontend {
namespace {

constexpr const char* binary_text[] = {"+", "-",  "*",  "/", "%",  "<<", ">>", "&",  "|",
                                       "^", "==", "!=", "<", "<=", ">",  ">=", "&&", "||"};

class ScheduleReader {
 public:
  std::vector<ir::ScheduleLine> lines(const std::vector<ast::Line>& list) {
    std::vector<ir::ScheduleLine> out;
    for (const ast::Line& l : list) out.push_back(std::visit([&](const auto& form) { return line(form); }, l.form));
    return out;
  }

  ir::Term term(const ast::Expr& e) {
    ir::Term t;
    t.place = e.place;
    std::visit([&](const auto& form) { fill(t, form); }, e.form);
    return t;
  }

  Diagnostics found;

 private:
  using Kind = ir::Term::Kind;

  void refuse(const Place& place, const std::string& message) {
    found.push_back(Diagnostic(codes::bad_schedule, place, message));
  }

  void fill(ir::Term& t, const ast::Literal& l) {
    switch (l.kind) {
      case ast::Literal::Kind::integer:
        t.kind = Kind::integer;
        if (auto value = integer_literal(l)) t.integer = *value;
        else refuse(t.place, "`" + l.text + "` is too large for a schedule");
        return;
      case ast::Literal::Kind::real:
        t.kind = Kind::real;
        t.real = real_literal(l).value_or(0);
        t.text = l.text;
        return;
      case ast::Literal::Kind::text:
        t.kind = Kind::text;
        t.text = l.text;
        return;
      case ast::Literal::Kind::boolean:
        t.kind = Kind::path;
        t.text = l.text;
        return;
    }
  }

  void fill(ir::Term& t, const ast::Read& r) {
    if (r.otherwise) refuse(r.otherwise->place, "`or` belongs to a read, not to a schedule");
    reference(t, r.ref);
  }

  void reference(ir::Term& t, const ast::Ref& ref) {
    t.kind = Kind::path;
    t.text = ref.path.text();
    if (!ref.subscripted) return;
    ir::Term head = t;
    head.place = ref.path.place;
    if (ref.field) head.text += "." + ref.field->text;
    t.kind = Kind::subscript;
    t.text.clear();
    t.args.push_back(std::move(head));
    for (const ast::Entry& e : ref.subs) t.args.push_back(entry(e));
    for (const ast::Entry& e : ref.field_subs) t.args.push_back(entry(e));
  }

  void fill(ir::Term& t, const ast::Call& c) {
    t.kind = Kind::call;
    t.text = c.callee.text();
    t.args = entries(c.args);
  }
  void fill(ir::Term& t, const ast::Tuple& tuple) {
    t.kind = Kind::tuple;
    t.args = entries(tuple.entries);
  }
  void fill(ir::Term& t, const ast::List& list) {
    t.kind = Kind::list;
    t.args = entries(list.entries);
  }
  void fill(ir::Term& t, const ast::Unary& u) {
    t.kind = Kind::unary;
    t.text = u.op == ast::UnaryOp::negate ? "-" : u.op == ast::UnaryOp::logical_not ? "!" : "~";
    t.args.push_back(term(*u.value));
    // A negative number is a number.
    if (t.text == "-" && (t.args[0].kind == Kind::integer || t.args[0].kind == Kind::real)) {
      Place whole = t.place;
      t = ir::Term(t.args[0]);
      t.place = whole;
      t.integer = -t.integer;
      t.real = -t.real;
    }
  }
  void fill(ir::Term& t, const ast::Binary& b) {
    t.kind = Kind::binary;
    t.text = binary_text[static_cast<int>(b.op)];
    t.args.push_back(term(*b.left));
    t.args.push_back(term(*b.right));
  }
  void fill(ir::Term& t, const ast::If&) {
    refuse(t.place, "`if .. then .. else ..` is no operand; choose between steps by `if COND { .. }`");
  }

  std::vector<ir::Term> entries(const ast::Entries& list) {
    std::vector<ir::Term> out;
    for (const ast::Entry& e : list) out.push_back(entry(e));
    return out;
  }

  ir::Term entry(const ast::Entry& e) {
    if (e.kind == ast::Entry::Kind::pack) {
      ir::Term t;
      t.text = "..." + e.pack.text;
      t.place = e.place;
      return t;
    }
    if (e.kind == ast::Entry::Kind::range) {
      ir::Term t;
      t.kind = Kind::range;
      t.place = e.place;
      if (e.bound) t.bound = e.bound->text;
      t.args.push_back(term(*e.value));
      t.args.push_back(term(*e.hi));
      if (e.max) t.args.push_back(term(*e.max));
      return t;
    }
    ir::Term value = term(*e.value);
    if (!e.target) return value;
    // `x = 4`: the target on the left of a binary `=`.
    ir::Term t;
    t.kind = Kind::binary;
    t.text = "=";
    t.place = e.place;
    ir::Term left;
    left.place = e.target->place;
    reference(left, *e.target);
    t.args = {std::move(left), std::move(value)};
    return t;
  }

  ir::ScheduleLine line(const ast::Step& s) {
    ir::ScheduleLine out;
    out.place = s.place;
    ir::StepCall& call = out.step;
    call.name = s.name.text();
    call.place = s.place;
    call.name_place = s.name.place;
    call.operands = entries(s.operands);
    for (const ast::Preposition& p : s.prepositions) {
      if (call.with.count(p.word.text)) refuse(p.word.place, "`" + p.word.text + "` stands twice in one step");
      call.with[p.word.text] = entries(p.operands);
    }
    return out;
  }

  ir::ScheduleLine line(const ast::Tune& t) {
    ir::ScheduleLine out;
    out.kind = ir::ScheduleLine::Kind::tune;
    out.place = t.place;
    out.name = t.name.text;
    out.value = term(*t.value);
    if (t.choices) {
      ir::Term list = term(*t.choices);
      if (list.kind != Kind::list || list.args.empty())
        refuse(t.choices->place, "the choices of `tune` are a list such as `[1, 2, 4]`");
      out.choices = std::move(list.args);
    } else {
      out.range = {term(*t.lo), term(*t.hi)};
      if (t.factor) out.range.push_back(term(*t.factor));
    }
    if (t.condition) {
      out.has_where = true;
      out.where = term(*t.condition);
    }
    return out;
  }

  ir::ScheduleLine line(const ast::Let& l) {
    ir::ScheduleLine out;
    out.kind = ir::ScheduleLine::Kind::let;
    out.place = l.place;
    out.name = l.name.text;
    out.value = term(*l.value);
    return out;
  }

  ir::ScheduleLine line(const ast::Branch& b) {
    ir::ScheduleLine out;
    out.kind = ir::ScheduleLine::Kind::branch;
    out.place = b.place;
    out.value = term(*b.condition);
    out.then = lines(b.then);
    out.otherwise = lines(b.otherwise);
    return out;
  }
};

}  // namespace

Result<ir::ScheduleText> read_schedule(const ast::ScheduleItem& item) {
  ScheduleReader reader;
  ir::ScheduleText out;
  out.op = item.op.text();
  out.name = item.name.text;
  out.target = item.target.text;
  if (std::ranges::find(ir::target_names, out.target) == std::end(ir::target_names)) {
    std::string near = nearest(out.target, {std::begin(ir::target_names), std::end(ir::target_names)});
    reader.found.push_back(Diagnostic(codes::bad_schedule, item.target.place, "there is no target `" + out.target + "`")
                               .with_help(near.empty()
                                              ? "the families are `cpu` and `neuron`, members such as `cpu/avx2`"
                                              : "did you mean `" + near + "`?"));
  }
  out.doc = item.doc;
  out.place = item.name.place;
  for (const ast::Name& a : item.allow) {
    bool known = a.text == "reassociate" || a.text == "flush_denormals" || a.text == "contract";
    if (!known)
      reader.found.push_back(Diagnostic(codes::bad_schedule, a.place, "there is no leave `" + a.text + "`")
                                 .with_help("a schedule may `allow reassociate, flush_denormals, contract`"));
    out.allow.emplace_back(a.text, a.place);
  }
  if (item.condition) {
    out.has_where = true;
    out.where = reader.term(*item.condition);
  }
  out.lines = reader.lines(item.lines);
  if (!reader.found.empty()) return std::move(reader.found);
  return out;
}

Result<ir::DerivedStep> read_derived_step(const ast::StepItem& item) {
  ScheduleReader reader;
  ir::DerivedStep out;
  out.name = item.name.text;
  out.doc = item.doc;
  out.place = item.name.place;
  for (const ast::StepItem::Param& p : item.params) {
    static constexpr const char* kinds[] = {"loop", "stage", "int", "name", "memory"};
    bool known = false;
    for (const char* kind : kinds) known |= p.kind.text == kind;
    if (!known)
      reader.found.push_back(
          Diagnostic(codes::bad_schedule, p.kind.place, "there is no kind of operand `" + p.kind.text + "`")
              .with_help("the kinds are `loop`, `stage`, `int`, `name` and `memory`"));
    out.params.push_back({p.name.text, p.kind.text});
  }
  out.lines = reader.lines(item.lines);
  if (!reader.found.empty()) return std::move(reader.found);
  return out;
}

Result<std::vector<ir::ScheduleLine>> read_lines(const std::vector<ast::Line>& lines) {
  ScheduleReader reader;
  std::vector<ir::ScheduleLine> out = reader.lines(lines);
  if (!reader.found.empty()) return std::move(reader.found);
  return out;
}

Result<ir::Term> read_term(const ast::Expr& e) {
  ScheduleReader reader;
  ir::Term out = reader.term(e);
  if (!reader.found.empty()) return std::move(reader.found);
  return out;
}

}  // namespace heddle::frontend
