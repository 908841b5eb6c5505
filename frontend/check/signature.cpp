// The signature of an op: parameters, dims and how they get their values, lets, requirements, and the facts that
// follow.
#include <set>

#include "frontend/check/literal.h"
#include "frontend/check/op_checker.h"
#include "frontend/codes.h"
#include "ir/visit.h"
#include "support/limits.h"

namespace heddle::frontend {

using ir::ScalarType;

namespace {

// At least zero by its form alone, given that dims are.
bool plainly_not_negative(const ir::Expr& e, const ir::Program& p) {
  if (const int64_t* c = ir::constant_value(e)) return *c >= 0;
  if (const auto* v = e.as<ir::Var>()) return p.symbol(v->symbol).kind == ir::SymbolKind::dim;
  const auto* b = e.as<ir::Binary>();
  if (!b) return false;
  bool monotone = b->op == ir::BinaryOp::add || b->op == ir::BinaryOp::mul || b->op == ir::BinaryOp::div ||
                  b->op == ir::BinaryOp::mod || b->op == ir::BinaryOp::max || b->op == ir::BinaryOp::min;
  return monotone && plainly_not_negative(b->left, p) && plainly_not_negative(b->right, p);
}

bool is_array(const ast::Param& p) { return p.type.tensor || p.direction == ast::Direction::inout; }

ir::Expr not_negative(const ir::Expr& e) { return ir::binary(ir::BinaryOp::ge, e, ir::index_constant(0)); }

}  // namespace

OpChecker::OpChecker(const Module& module, const ast::OpItem& item, const Instance& instance, OpCheckOptions options)
    : Typing(found_), module_(module), item_(item), instance_(instance), options_(options), frame_(result_.op.frame) {}

Result<CheckedOp> OpChecker::run() {
  frame_.name = item_.name.text;
  frame_.reducers = ir::builtin_reducers();
  result_.op.doc = item_.doc;
  signature();
  // From here on every name of the signature is declared and every shape is known.
  if (found_.empty()) {
    in_body_ = true;
    block(item_.body);
    undefined_results();
  }
  if (!found_.empty()) return std::move(found_);
  result_.op.checks = std::move(first_checks_);
  // Consts have a value from here on; schedules go on naming them.
  ir::InlinedCall own{"", frame_.name, {}, {}};
  for (const ast::Param& p : item_.params)
    if (p.direction == ast::Direction::constant)
      if (const ir::Expr& value = names_.at(p.name.text).value; ir::constant_value(value))
        own.values.emplace_back(p.name.text, value);
  if (!own.values.empty()) frame_.calls.push_back(std::move(own));
  return std::move(result_);
}

void OpChecker::signature() {
  if (item_.params.size() + item_.results.size() > limits::parameters) {
    report(Diagnostic(codes::too_large, item_.name.place,
                      "an op has at most " + std::to_string(limits::parameters) + " parameters and results"));
    return;
  }
  declare_generics();
  declare_values();
  declare_lets();
  declare_tensors();
  finish_shapes();
  if (found_.empty()) add_facts();
}

bool OpChecker::declare(const std::string& name, Named named) {
  auto [at, added] = names_.try_emplace(name, named);
  if (added) return true;
  report(Diagnostic(codes::duplicate_name, named.place, "`" + name + "` is defined twice")
             .label(at->second.place, "`" + name + "` is defined here")
             .with_help("dims, parameters, stages, consts and lets share one namespace: choose another name"));
  return false;
}

Diagnostic OpChecker::unknown(const std::string& name, const Place& place) const {
  std::vector<std::string> known;
  // Every one-letter name is near any other, so none is suggested.
  for (const auto& entry : names_)
    if (entry.first.size() > 1) known.push_back(entry.first);
  for (const Index& i : scope_.indices)
    if (i.name.size() > 1) known.push_back(i.name);
  Diagnostic d(codes::unknown_name, place, "there is no `" + name + "` here");
  std::string near = nearest(name, known);
  std::set<std::string> names;
  for (const auto& entry : names_)
    if (is_tensor(entry.first)) names.insert(entry.first);
  std::string tensors;
  for (const std::string& t : names) tensors += (tensors.empty() ? "`" : ", `") + t + "`";
  const bool subscripted = place.known() && place.source->text().substr(place.end).starts_with("[");
  if (!near.empty()) d.help = "did you mean `" + near + "`?";
  else if (in_body_ && subscripted && !tensors.empty()) d.help = "the tensors up to here are " + tensors;
  else if (in_body_) d.help = "an index stands on the left side, or in the brackets of the reduction";
  else d.help = "a dim comes from the shape of an input, from a `let`, or from a `const`";
  return d;
}

void OpChecker::declare_generics() {
  for (const ast::Generic& g : item_.generics) {
    auto chosen = instance_.types.find(g.name.text);
    std::string cls = g.cls.text.empty() ? "any" : g.cls.text;
    auto members = ir::class_members(cls);
    if (members.empty()) {
      report(Diagnostic(codes::unknown_type, g.cls.place, "there is no class of types `" + cls + "`")
                 .with_help("the classes are `any`, `number`, `float` and `int`"));
      types_.emplace(g.name.text, ScalarType::f32);  // so that its uses are not reported too
      continue;
    }
    if (ir::parse_scalar_type(g.name.text)) {
      report(Diagnostic(codes::duplicate_name, g.name.place, "`" + g.name.text + "` is an element type"));
      continue;
    }
    if (chosen == instance_.types.end()) {
      report(Diagnostic(codes::bad_instance, g.name.place,
                        "no type is chosen for `" + g.name.text + "` of `" + frame_.name + "`"));
      types_.emplace(g.name.text, members.front());
      continue;
    }
    if (std::find(members.begin(), members.end(), chosen->second) == members.end()) {
      report(Diagnostic(codes::bad_instance, g.name.place,
                        "`" + std::string(ir::scalar_type_name(chosen->second)) + "` is no `" + cls + "`, as `" +
                            g.name.text + "` of `" + frame_.name + "` must be"));
      types_.emplace(g.name.text, members.front());
      continue;
    }
    if (!types_.emplace(g.name.text, chosen->second).second)
      report(Diagnostic(codes::duplicate_name, g.name.place, "the type `" + g.name.text + "` is named twice"));
  }
}

void OpChecker::declare_values() {
  for (const auto& [name, value] : module_.lets)
    if (name.find('.') == std::string::npos)
      names_[name] = Named{Named::Kind::constant, ir::index_constant(value), -1, {}};
  for (const ast::Param& p : item_.params) {
    if (p.direction == ast::Direction::constant) declare_const(p);
    else if (!is_array(p)) declare_scalar(p);
  }
}

void OpChecker::declare_const(const ast::Param& p) {
  bool boolean = p.type.name.text == "bool";
  if (p.type.tensor || (p.type.name.text != "int" && !boolean)) {
    report(Diagnostic(codes::bad_signature, p.type.place, "the const `" + p.name.text + "` is no `int` or `bool`")
               .with_help("a value known only at the call is a plain parameter, such as `eps: f32 = 1e-5`"));
    return;
  }
  ir::Expr value;
  auto constant = [&](int64_t v) { return boolean ? ir::bool_constant(v != 0) : ir::index_constant(v); };
  auto chosen = instance_.consts.find(p.name.text);
  if (chosen != instance_.consts.end()) {
    value = constant(chosen->second);
  } else if (p.default_value) {
    value = boolean ? condition(*p.default_value) : index(*p.default_value);
    if (value.known() && !ir::constant_value(value)) {
      report(Diagnostic(codes::bad_signature, p.default_value->place,
                        "the default of the const `" + p.name.text + "` is not constant"));
      value = {};
    }
  } else if (options_.definition) {
    ScalarType type = boolean ? ScalarType::boolean : ScalarType::index;
    value = ir::var(frame_.add(ir::Symbol{p.name.text, ir::SymbolKind::constant, type, "", p.name.place}), type);
  } else {
    report(Diagnostic(codes::bad_instance, p.name.place,
                      "the const `" + p.name.text + "` of `" + frame_.name + "` has no value"));
  }
  names_.erase(p.name.text);  // a const hides a `let` of the module
  declare(p.name.text, {value.known() ? Named::Kind::constant : Named::Kind::broken, value, -1, p.name.place});
}

void OpChecker::declare_scalar(const ast::Param& p) {
  std::optional<ScalarType> type = type_word(p.type.name.text);
  if (!type) {
    bool is_int = p.type.name.text == "int";
    std::string name = p.type.name.text;
    report(Diagnostic(codes::unknown_type, p.type.place, "there is no type `" + name + "`")
               .with_help(is_int ? "a compile-time integer is `const " + p.name.text + ": int`; a run-time one is `i64`"
                                 : "an array has brackets: `" + p.name.text + ": f32[n]`"));
    names_[p.name.text] = Named{Named::Kind::broken, {}, -1, p.name.place};
    return;
  }
  ir::SymbolId symbol = frame_.add(ir::Symbol{p.name.text, ir::SymbolKind::scalar, *type, "", p.name.place});
  if (names_.count(p.name.text) && !names_[p.name.text].place.known()) names_.erase(p.name.text);
  declare(p.name.text, {Named::Kind::scalar, ir::var(symbol, *type), -1, p.name.place});
}

// Names only: their values are read once all shapes are known.
void OpChecker::declare_lets() {
  for (const ast::Stmt& s : item_.body) {
    const auto* let = std::get_if<ast::Let>(&s.form);
    if (!let) continue;
    if (names_.count(let->name.text) && !names_[let->name.text].place.known()) names_.erase(let->name.text);
    ir::SymbolId symbol =
        frame_.add(ir::Symbol{let->name.text, ir::SymbolKind::dim, ScalarType::index, "", let->name.place});
    if (declare(let->name.text, {Named::Kind::let, ir::var(symbol), -1, let->name.place}))
      lets_.push_back({symbol, {}});
  }
}

void OpChecker::declare_tensors() {
  for (const ast::Param& p : item_.params) {
    if (p.direction == ast::Direction::constant) continue;
    if (is_array(p)) {
      declare_tensor(p, p.direction == ast::Direction::inout ? ir::Role::inout : ir::Role::in);
      continue;
    }
    auto named = names_.find(p.name.text);
    const ir::Var* v = named == names_.end() ? nullptr : named->second.value.as<ir::Var>();
    if (!v || named->second.kind != Named::Kind::scalar) continue;
    ir::Parameter q;
    q.scalar = v->symbol;
    if (p.default_value)
      q.default_value =
          value_of_type(*p.default_value, named->second.value.type(), "`" + p.name.text + "`", p.name.place);
    if (q.default_value.known() && !q.default_value.as<ir::Constant>())
      report(Diagnostic(codes::bad_signature, p.default_value->place,
                        "the default of the scalar `" + p.name.text + "` is no number")
                 .with_help("write the number itself, or compute it in the op, by `let`"));
    frame_.parameters.push_back(std::move(q));
  }
  for (const ast::Param& p : item_.results) declare_tensor(p, ir::Role::out);
  auto note = [&](const ast::Stmt& s) {
    if (const auto* eq = std::get_if<ast::Equation>(&s.form); eq && eq->kind != ast::AssignKind::update)
      for (const ast::Ref& left : eq->left) later_.try_emplace(left.path.first(), left.path.place);
  };
  for (const ast::Stmt& s : item_.body) {
    note(s);
    if (const auto* scan = std::get_if<ast::Scan>(&s.form))
      for (const ast::Stmt& inner : scan->body) note(inner);
  }
}

void OpChecker::declare_tensor(const ast::Param& p, ir::Role role) {
  std::optional<ScalarType> type = type_word(p.type.name.text);
  bool has_shape = p.type.tensor;
  if (!type) {
    std::vector<std::string> known;
    for (const ir::ScalarRow& row : ir::scalar_rows()) known.emplace_back(row.name);
    for (const auto& t : types_) known.push_back(t.first);
    std::string near = nearest(p.type.name.text, known);
    report(Diagnostic(codes::unknown_type, p.type.name.place, "there is no type `" + p.type.name.text + "`")
               .with_help(near.empty() ? "the element types are `f64 f32 f16 bf16 f8e4m3fn f8e4m3 f8e5m2`, "
                                         "`i8 i16 i32 i64`, `u8 u16 u32 u64` and `bool`"
                                       : "did you mean `" + near + "`?"));
  }
  if (!has_shape)
    report(Diagnostic(codes::bad_signature, p.type.place, "`" + p.name.text + "` has no shape")
               .with_help("write `" + p.type.name.text + "[..]`; one value is `" + p.type.name.text + "[]`"));
  if (p.default_value) report(Diagnostic(codes::bad_signature, p.default_value->place, "a tensor has no default"));
  Tensor t;
  t.name = p.name.text;
  t.type_text = p.type.name.text;
  t.place = p.name.place;
  t.input = role != ir::Role::out;
  t.result = role == ir::Role::out;
  t.inout = role == ir::Role::inout;
  t.state = role == ir::Role::out ? Tensor::State::pending : Tensor::State::readable;
  const size_t at = tensors_.size();  // known before its shape is read: a dim may be named like it, which is refused
  if (!declare(t.name, {Named::Kind::tensor, {}, static_cast<int>(at), p.name.place})) return;
  tensors_.push_back(std::move(t));
  ir::Buffer buffer;
  buffer.name = p.name.text;
  buffer.type = type.value_or(ScalarType::f32);
  buffer.role = role;
  buffer.place = p.name.place;
  makes_dims_ = role != ir::Role::out;
  shape(p, buffer);
  makes_dims_ = false;
  tensors_[at].groups = buffer.groups;
  ir::Parameter q;
  q.buffer = frame_.add(std::move(buffer));
  tensors_[at].buffers = {q.buffer};
  frame_.parameters.push_back(std::move(q));
}

void OpChecker::shape(const ast::Param& p, ir::Buffer& buffer) {
  bool composite = false;
  for (const ast::Entry& d : p.type.dims) {
    if (d.kind == ast::Entry::Kind::pack) {
      pack_dims(d, p.type.place, buffer, makes_dims_);
      continue;
    }
    if (d.kind != ast::Entry::Kind::value || d.bound || d.max || d.target || !d.value) {
      report(Diagnostic(codes::bad_signature, d.place,
                        "a dim is an expression such as `rows`, `rows + 1` or `(groups, channels)`"));
      continue;
    }
    const auto* tuple = d.value->as<ast::Tuple>();
    size_t before = buffer.box.size();
    if (!tuple) dim_of(*d.value, buffer);
    else
      for (const ast::Entry& part : tuple->entries) {
        bool plain =
            part.kind == ast::Entry::Kind::value && part.value && !part.target && !part.value->as<ast::Tuple>();
        if (plain) dim_of(*part.value, buffer);
        else report(Diagnostic(codes::bad_signature, part.place, "a part of a composite dim is an expression"));
      }
    buffer.groups.push_back(static_cast<int>(buffer.box.size() - before));
    composite |= tuple != nullptr;
  }
  if (!composite) buffer.groups.clear();
  if (buffer.box.size() > limits::rank)
    report(
        Diagnostic(codes::too_large, p.type.place, "a tensor has at most " + std::to_string(limits::rank) + " dims"));
}

void OpChecker::dim_of(const ast::Expr& e, ir::Buffer& buffer) {
  ir::Expr extent = index(e);
  if (!extent.known()) extent = ir::index_constant(1);  // diagnosed; any extent serves to go on
  buffer.box.push_back({"", ir::index_constant(0), extent});
}

void OpChecker::pack_dims(const ast::Entry& entry, const Place& place, ir::Buffer& buffer, bool input) {
  const std::string& name = entry.pack.text;
  auto known = packs_.find(name);
  if (known == packs_.end()) {
    if (!input) {
      report(Diagnostic(codes::unknown_name, entry.place, "no input has dims `..." + name + "`"));
      return;
    }
    auto rank = instance_.packs.find(name);
    if (rank == instance_.packs.end() && !options_.definition) {
      report(Diagnostic(codes::bad_instance, entry.place, "the rank of `..." + name + "` is not chosen"));
      return;
    }
    Pack pack;
    pack.rank = rank == instance_.packs.end() ? 1 : rank->second;
    pack.place = entry.pack.place;
    if (pack.rank < 0 || pack.rank > limits::rank) {
      report(Diagnostic(codes::too_large, place,
                        "the rank of `..." + name + "` is not within 0 .. " + std::to_string(limits::rank)));
      return;
    }
    for (int i = 0; i < pack.rank; ++i) {
      std::string dim = name + "_" + std::to_string(i);
      while (names_.count(dim)) dim += "_";
      ir::Expr v = ir::var(frame_.add(ir::Symbol{dim, ir::SymbolKind::dim, ScalarType::index, "", pack.place}));
      declare(dim, {Named::Kind::dim, v, -1, pack.place});
      pack.dims.push_back(v);
    }
    known = packs_.emplace(name, std::move(pack)).first;
  }
  for (const ir::Expr& dim : known->second.dims) {
    buffer.box.push_back({"", ir::index_constant(0), dim});
    buffer.groups.push_back(1);
  }
}

void OpChecker::finish_shapes() {
  size_t next = 0;
  for (const ast::Stmt& s : item_.body) {
    const auto* let = std::get_if<ast::Let>(&s.form);
    if (!let || next >= lets_.size() || frame_.symbol(lets_[next].dim).place.begin != let->name.place.begin) continue;
    ir::Expr value = index(*let->value);
    lets_[next++].value = value.known() ? ir::simplify(value) : value;
  }
  std::vector<ir::SymbolId> undefined = define_dims(frame_, lets_);
  if (!found_.empty()) return;
  if (undefined.empty()) return;
  const ir::Symbol& first = frame_.symbol(undefined[0]);
  Diagnostic d(codes::undefined_dim, first.place, "nothing defines the dim `" + first.name + "`");
  for (size_t i = 1; i < undefined.size(); ++i)
    d.labels.push_back({frame_.symbol(undefined[i]).place, "nor `" + frame_.symbol(undefined[i]).name + "`"});
  d.help = "it needs a bare dim of an input, an affine one (`" + first.name + " + 1`) or a `let`; or make it a `const`";
  report(std::move(d));
}

void OpChecker::add_facts() {
  for (const ir::DimDefinition& d : frame_.dims) frame_.facts.push_back(not_negative(ir::var(d.dim)));
  for (const ir::DimDefinition& d : frame_.dims)
    if (d.value.known()) frame_.facts.push_back(ir::binary(ir::BinaryOp::eq, ir::var(d.dim), d.value));
  for (const ir::Buffer& b : frame_.buffers)
    for (const ir::BoxDim& d : b.box)
      if (b.role != ir::Role::out && !plainly_not_negative(d.hi, frame_)) frame_.facts.push_back(not_negative(d.hi));
  for (const ast::Stmt& s : item_.body)
    if (const auto* r = std::get_if<ast::Require>(&s.form)) require(*r);
  for (const ir::Expr& f : frame_.facts) facts_.add(f);
  require_extents();
}

void OpChecker::require(const ast::Require& r) {
  in_requirement_ = true;
  ir::Expr c = condition(*r.condition);
  in_requirement_ = false;
  if (!c.known()) return;
  if (const int64_t* value = ir::constant_value(c)) {
    if (!*value)
      report(Diagnostic(codes::requirement_fails, r.condition->place,
                        "`" + excerpt(r.condition->place) + "` does not hold: " + r.text));
    return;
  }
  bound_operands(c, r.condition->place);
  frame_.facts.push_back(c);
  frame_.requirements.push_back({c, r.text, r.place});
}

// A let or the extent of a result is at least zero: a fact, and so a check at the call.
void OpChecker::require_extents() {
  for (const LetDim& l : lets_)
    if (l.value.known() && !plainly_not_negative(l.value, frame_))
      frame_.requirements.push_back({not_negative(ir::var(l.dim)), "`" + frame_.symbol(l.dim).name + "` is at least 0",
                                     frame_.symbol(l.dim).place});
  for (const ir::Buffer& b : frame_.buffers) {
    if (b.role != ir::Role::out) continue;
    for (const ir::BoxDim& d : b.box)
      keep_at_least_zero(d.hi, "the extent `" + text(d.hi) + "` of `" + b.name + "` is at least 0", b.place);
  }
}

void OpChecker::keep_at_least_zero(const ir::Expr& extent, const std::string& text, const Place& place) {
  if (plainly_not_negative(extent, frame_)) return;
  ir::Expr c = not_negative(extent);
  if (const int64_t* value = ir::constant_value(c)) {
    if (!*value) report(Diagnostic(codes::requirement_fails, place, text + ", and it is not"));
    return;
  }
  if (ir::prove(facts_, c)) return;
  frame_.facts.push_back(c);
  frame_.requirements.push_back({c, text, place});
  facts_.add(c);
}

}  // namespace heddle::frontend
