// Terms as index expressions: windows, layouts and the schedule's `where`.
#include <algorithm>

#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

class Converter {
 public:
  Converter(const Program& program, const std::vector<SymbolId>& loops) : p_(program), loops_(loops) {}

  Result<Expr> convert(const Term& t) {
    switch (t.kind) {
      case Term::Kind::integer: return index_constant(t.integer);
      case Term::Kind::path: return path(t);
      case Term::Kind::tuple:
        if (t.args.size() == 1) return convert(t.args[0]);
        break;
      case Term::Kind::unary: return unary_term(t);
      case Term::Kind::binary: return binary_term(t);
      case Term::Kind::call: return call(t);
      default: break;
    }
    return refuse(t, "this is no expression over indices and dims");
  }

 private:
  static Diagnostic refuse(const Term& t, std::string text) {
    return Diagnostic(codes::bad_value, t.place, std::move(text));
  }

  Result<Expr> path(const Term& t) {
    if (t.text == "true" || t.text == "false") return bool_constant(t.text == "true");
    for (auto l = loops_.rbegin(); l != loops_.rend(); ++l) {
      const Symbol& s = p_.symbol(*l);
      if (s.name == t.text || s.owner + "." + s.name == t.text) return var(*l);
    }
    std::vector<std::string> known;
    if (const InlinedCall* own = own_values(p_))
      for (const auto& [name, value] : own->values) {
        if (name == t.text) return value;
        known.push_back(name);
      }
    for (size_t i = 0; i < p_.symbols.size(); ++i) {
      const Symbol& s = p_.symbols[i];
      bool index = s.type == ScalarType::index && (s.kind == SymbolKind::dim || s.kind == SymbolKind::constant);
      if (!index) continue;
      if (s.name == t.text) return var(SymbolId{static_cast<uint32_t>(i)});
      known.push_back(s.name);
    }
    if (const std::vector<SymbolId> dims = pack_dims(t.text); !dims.empty()) return var(dims.back());
    Diagnostic d(codes::unknown_name, t.place,
                 "`" + t.text + "` is no dim" + (own_values(p_) ? " or const" : "") +
                     (loops_.empty() ? "" : " and no loop around this place"));
    std::string near = nearest(t.text, known);
    if (!near.empty()) d.help = "did you mean `" + near + "`?";
    for (const Buffer& b : p_.buffers)
      if (b.name == t.text)
        d.help = "what a tensor holds is known only at the call; its type is `type(" + b.name + ")`";
    for (const Symbol& s : p_.symbols)
      if (s.name == t.text && s.kind == SymbolKind::scalar) d.help = "a scalar is known only at the call";
    return d;
  }

  // `r_0`, `r_1`, .. of a pack `r`.
  std::vector<SymbolId> pack_dims(const std::string& pack) const {
    std::vector<SymbolId> out;
    for (size_t i = 0; i < p_.symbols.size(); ++i) {
      const Symbol& s = p_.symbols[i];
      if (s.kind == SymbolKind::dim && s.name == pack + "_" + std::to_string(out.size()))
        out.push_back(SymbolId{static_cast<uint32_t>(i)});
    }
    return out;
  }

  Result<Expr> unary_term(const Term& t) {
    Result<Expr> e = convert(t.args[0]);
    if (!e) return e;
    bool boolean = e->type() == ScalarType::boolean;
    if (t.text == "-" && !boolean) return folded(index_constant(0) - *e, {*e});
    if (t.text == "!" && boolean) return folded(unary(UnaryOp::logical_not, *e), {*e});
    return refuse(t, "`" + t.text + "` does not apply here");
  }

  Result<Expr> binary_term(const Term& t) {
    struct Row {
      const char* text;
      BinaryOp op;
      bool logic;
    };
    static constexpr Row rows[] = {
        {"+", BinaryOp::add, false},        {"-", BinaryOp::sub, false}, {"*", BinaryOp::mul, false},
        {"/", BinaryOp::div, false},        {"%", BinaryOp::mod, false}, {"==", BinaryOp::eq, false},
        {"!=", BinaryOp::ne, false},        {"<", BinaryOp::lt, false},  {"<=", BinaryOp::le, false},
        {">", BinaryOp::gt, false},         {">=", BinaryOp::ge, false}, {"&&", BinaryOp::logical_and, true},
        {"||", BinaryOp::logical_or, true},
    };
    if (t.text == "==" || t.text == "!=")
      for (int side : {0, 1})
        if (t.args[side].kind == Term::Kind::call && t.args[side].text == "type")
          return type_is(t.args[side], t.args[1 - side], t.text == "==");
    Result<Expr> a = convert(t.args[0]), b = convert(t.args[1]);
    if (!a) return a;
    if (!b) return b;
    for (const Row& row : rows) {
      if (t.text != row.text) continue;
      ScalarType wanted = row.logic ? ScalarType::boolean : ScalarType::index;
      if (a->type() != wanted || b->type() != wanted)
        return refuse(t, "`" + t.text + "` does not apply to these sides");
      // What types and consts decide leaves no trace.
      for (const Expr& side : {*a, *b})
        if (const int64_t* known = row.logic ? constant_value(side) : nullptr) {
          if ((*known != 0) == (row.op == BinaryOp::logical_or)) return side;
          return side.is(*a) ? *b : *a;
        }
      return folded(binary(row.op, *a, *b), {*a, *b});
    }
    return refuse(t, "`" + t.text + "` does not apply to indices");
  }

  // `type(a) == bf16`; of an applied schedule a parameter may stand for any tensor of the caller.
  Result<Expr> type_is(const Term& call, const Term& type, bool wanted) {
    const std::string name = call.args.size() == 1 && call.args[0].kind == Term::Kind::path ? call.args[0].text : "";
    std::vector<std::string> known;
    for (const Buffer& b : p_.buffers) {
      if (b.role != Role::temporary) known.push_back(b.name);
      if (b.name != name) continue;
      const std::optional<ScalarType> scalar =
          type.kind == Term::Kind::path ? parse_scalar_type(type.text) : std::nullopt;
      if (!scalar) return refuse(type, "`type(" + name + ")` is compared with a type such as `bf16`");
      return bool_constant((b.type == *scalar) == wanted);
    }
    const std::string near = nearest(name, known);
    return refuse(call, "`type` takes a parameter of the op")
        .with_help(near.empty() ? "such as `type(" + (known.empty() ? "a" : known[0]) + ")`"
                                : "did you mean `" + near + "`?");
  }

  Result<Expr> call(const Term& t) {
    if (t.text == "product" && t.args.size() == 1 && t.args[0].kind == Term::Kind::path) {
      const std::vector<SymbolId> dims = pack_dims(t.args[0].text);
      if (dims.empty())
        return Diagnostic(codes::unknown_name, t.place, "`" + t.args[0].text + "_0` is no dim")
            .with_help("`product` takes a pack of dims, `r` of `...r`");
      Expr all = var(dims[0]);
      for (size_t i = 1; i < dims.size(); ++i) all = all * var(dims[i]);
      return all;
    }
    bool known = t.text == "min" || t.text == "max" || t.text == "ceildiv";
    if (!known || t.args.size() != 2)
      return refuse(t, "`" + t.text + "` is no function of indices")
          .with_help("`min`, `max` and `ceildiv` take two indices, `product` a pack of dims");
    Result<Expr> a = convert(t.args[0]), b = convert(t.args[1]);
    if (!a) return a;
    if (!b) return b;
    if (a->type() != ScalarType::index || b->type() != ScalarType::index)
      return refuse(t, "`" + t.text + "` takes indices");
    return folded(t.text == "min" ? ir::min(*a, *b) : t.text == "max" ? ir::max(*a, *b) : ceildiv(*a, *b), {*a, *b});
  }

  // Of constants alone, their value.
  static Expr folded(const Expr& e, std::initializer_list<Expr> sides) {
    return std::all_of(sides.begin(), sides.end(), [](const Expr& s) { return constant_value(s); }) ? simplify(e) : e;
  }

  const Program& p_;
  const std::vector<SymbolId>& loops_;
};

}  // namespace

const InlinedCall* own_values(const Program& program) {
  for (const InlinedCall& c : program.calls)
    if (c.prefix.empty()) return &c;
  return nullptr;
}

Result<Expr> index_expr(const Program& program, const Term& term, const std::vector<SymbolId>& loops) {
  return Converter(program, loops).convert(term);
}

Result<Expr> schedule_where(const Program& program, const ScheduleText& text) {
  if (!text.has_where) return Expr{};
  Result<Expr> e = index_expr(program, text.where);
  if (e && e->type() != ScalarType::boolean)
    return Diagnostic(codes::bad_header, text.where.place, "`where` needs a condition, such as `rows % 8 == 0`");
  return e;
}

}  // namespace heddle::schedule
