#include "frontend/module.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "frontend/check/literal.h"
#include "frontend/check/op_checker.h"
#include "frontend/check/rows.h"
#include "frontend/check/typing.h"
#include "frontend/codes.h"
#include "frontend/parse.h"
#include "frontend/schedule_text.h"
#include "support/limits.h"

namespace heddle::frontend {
namespace {

template <class T, class Name>
auto find_by(const std::vector<T>& list, const std::string& name, Name of) -> decltype(list.front().get()) {
  for (const T& item : list)
    if (of(*item) == name) return item.get();
  return nullptr;
}

SignatureParam signature_param(const ast::Param& p) {
  SignatureParam out;
  out.name = p.name.text;
  out.type_text = p.type.name.text;
  out.type = ir::parse_scalar_type(out.type_text);
  out.place = p.name.place;
  bool array = p.type.tensor || p.direction == ast::Direction::inout;
  out.kind = p.direction == ast::Direction::constant ? SignatureParam::Kind::constant
             : p.direction == ast::Direction::inout  ? SignatureParam::Kind::inout
             : array                                 ? SignatureParam::Kind::array
                                                     : SignatureParam::Kind::scalar;
  for (const ast::Entry& d : p.type.dims) {
    bool pack = d.kind == ast::Entry::Kind::pack;
    out.dims.push_back(pack ? "..." + d.pack.text : std::string(d.place.text()));
    if (pack) out.packs.push_back(d.pack.text);
    else ++out.fixed_rank;
  }
  if (!p.default_value) return out;
  out.default_text = p.default_value->place.text();
  if (out.kind != SignatureParam::Kind::constant) return out;
  if (const auto* l = p.default_value->as<ast::Literal>()) {
    out.default_const =
        l->kind == ast::Literal::Kind::boolean ? std::optional<int64_t>(l->text == "true") : integer_literal(*l);
  } else if (const auto* u = p.default_value->as<ast::Unary>()) {
    const auto* inner = u->value->as<ast::Literal>();
    auto value = inner && u->op == ast::UnaryOp::negate ? integer_literal(*inner) : std::nullopt;
    if (value) out.default_const = -*value;
  }
  return out;
}

OpSignature signature_of(const ast::OpItem& item) {
  OpSignature s;
  for (const ast::Generic& g : item.generics)
    s.generics.push_back({g.name.text, g.cls.text.empty() ? "any" : g.cls.text});
  for (const ast::Param& p : item.params) s.params.push_back(signature_param(p));
  for (const ast::Param& p : item.results) s.results.push_back(signature_param(p));
  return s;
}

class ModuleBuilder {
 public:
  ModuleBuilder(ast::Module text, const Module* base, const Importer& importer)
      : text_(std::make_shared<const ast::Module>(std::move(text))), importer_(importer) {
    if (base) module_ = *base;
  }

  Result<Module> run() {
    std::vector<std::shared_ptr<ModuleOp>> fresh;
    for (const ast::Item& item : text_->items) std::visit([&](const auto& form) { add(form, fresh); }, item.form);
    for (const PendingOp& s : schedules_of_)
      if (!module_.op(s.op)) unknown_op(s);
    for (const auto& op : fresh) fresh_by_name_.emplace(op->name(), op);
    for (const auto& op : fresh) callees_first(op, 0);
    if (!found_.empty()) return limited(std::move(found_));
    return std::move(module_);
  }

 private:
  struct PendingOp {
    Place place;
    std::string op;
  };

  template <class T>
  std::shared_ptr<const T> shared(const T& item) const {
    return std::shared_ptr<const T>(text_, &item);
  }

  // Ops, reducers, instructions, steps and lets of a module share one namespace.
  bool name(const ast::Name& n) {
    const Place* other = nullptr;
    if (const ModuleOp* op = module_.op(n.text)) other = &op->item->name.place;
    if (const auto* r = module_.reducer(n.text)) other = &r->name.place;
    if (const auto* i = module_.instr(n.text)) other = &i->name.place;
    if (const auto* s = module_.step(n.text)) other = &s->place;
    if (!other) return true;
    found_.push_back(Diagnostic(codes::duplicate_name, n.place, "`" + n.text + "` is defined twice")
                         .label(*other, "`" + n.text + "` is defined here")
                         .with_help("choose another name"));
    return false;
  }

  void add(const ast::Import& i, std::vector<std::shared_ptr<ModuleOp>>&) {
    if (!importer_) {
      found_.push_back(Diagnostic(codes::bad_import, i.place, "nothing can be imported here"));
      return;
    }
    const std::string alias = i.as ? i.as->text : own_name(i.path);
    Result<std::shared_ptr<const Module>> found = importer_(i.path, i.place);
    if (!found.ok()) {
      for (Diagnostic d : found.errors()) {
        if (d.place.source != i.place.source) d.labels.push_back({i.place, "imported here"});
        found_.push_back(std::move(d));
      }
      return;
    }
    if (alias.empty()) {
      found_.push_back(Diagnostic(codes::bad_import, i.place, "`" + i.path + "` gives the import no name")
                           .with_help("write one: `import \"" + i.path + "\" as name`"));
      return;
    }
    if (auto [at, added] = imports_.try_emplace(alias, i.place); !added || module_.op(alias)) {
      Diagnostic d(codes::duplicate_name, i.place, "`" + alias + "` is defined twice");
      if (!added) d.labels.push_back({at->second, "`" + alias + "` is imported here"});
      found_.push_back(std::move(d).with_help("choose another name with `as`"));
      return;
    }
    bring(*found, alias);
  }

  // "softmax" of "lib/softmax.hd"; "" where that is no name.
  static std::string own_name(const std::string& path) {
    std::string name = path.substr(path.rfind('/') + 1);
    if (name.size() > 3 && name.ends_with(".hd")) name.resize(name.size() - 3);
    bool word = !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0]));
    for (char c : name) word = word && (std::isalnum(static_cast<unsigned char>(c)) || c == '_');
    return word ? name : "";
  }

  // What the other module defines itself, under `alias.`.
  void bring(const std::shared_ptr<const Module>& other, const std::string& alias) {
    for (const auto& op : other->ops) {
      if (op->home) continue;
      auto mine = std::make_shared<ModuleOp>(*op);
      mine->full_name = alias + "." + op->name();
      mine->home = other;
      module_.ops.push_back(std::move(mine));
    }
    for (const auto& s : other->schedules) {
      if (s->op.find('.') != std::string::npos) continue;
      auto mine = std::make_shared<ir::ScheduleText>(*s);
      mine->op = alias + "." + s->op;
      module_.schedules.push_back(std::move(mine));
    }
    // Those that it imports too, as its own use them: no line names one with two dots.
    for (const auto& s : other->steps) {
      if (module_.steps.size() >= limits::imported_steps) {
        found_.push_back(Diagnostic(codes::too_large, imports_.at(alias),
                                    "more than " + std::to_string(limits::imported_steps) + " steps are imported"));
        return;
      }
      auto mine = std::make_shared<ir::DerivedStep>(*s);
      mine->name = alias + "." + s->name;
      module_.steps.push_back(std::move(mine));
    }
    for (const auto& r : other->reducers) module_.imported_reducers[alias + "." + r->name.text] = r;
    for (const auto& [name, value] : other->lets)
      if (name.find('.') == std::string::npos) module_.lets[alias + "." + name] = value;
    for (const auto& [name, value] : other->typed_lets)
      if (name.find('.') == std::string::npos) module_.typed_lets[alias + "." + name] = value;
  }

  void add(const ast::Let& l, std::vector<std::shared_ptr<ModuleOp>>&) {
    if (module_.lets.count(l.name.text) || module_.typed_lets.count(l.name.text)) {
      found_.push_back(Diagnostic(codes::duplicate_name, l.name.place, "`" + l.name.text + "` is defined twice"));
    } else if (std::optional<int64_t> value = constant(*l.value)) {
      module_.lets.emplace(l.name.text, *value);
    } else if (typed(*l.value)) {
      module_.typed_lets.emplace(l.name.text, std::shared_ptr<const ast::Expr>(text_, l.value.get()));
    } else {
      found_.push_back(Diagnostic(codes::misplaced, l.value->place, "a `let` of a module is a constant")
                           .with_help("an integer such as `4 * lanes`, or a number with its type: `f32(1e-5)`"));
    }
  }

  // Integer arithmetic over literals and earlier lets.
  std::optional<int64_t> constant(const ast::Expr& e) const {
    if (const auto* l = e.as<ast::Literal>()) return integer_literal(*l);
    if (const std::string* name = e.as_name()) {
      auto let = module_.lets.find(*name);
      return let == module_.lets.end() ? std::nullopt : std::optional<int64_t>(let->second);
    }
    if (const auto* u = e.as<ast::Unary>(); u && u->op == ast::UnaryOp::negate) {
      auto x = constant(*u->value);
      int64_t out = 0;
      return x && !__builtin_sub_overflow(int64_t{0}, *x, &out) ? std::optional<int64_t>(out) : std::nullopt;
    }
    const auto* b = e.as<ast::Binary>();
    if (!b) return std::nullopt;
    auto x = constant(*b->left), y = constant(*b->right);
    int64_t out = 0;
    if (!x || !y) return std::nullopt;
    switch (b->op) {
      case ast::BinaryOp::add: return __builtin_add_overflow(*x, *y, &out) ? std::nullopt : std::optional<int64_t>(out);
      case ast::BinaryOp::sub: return __builtin_sub_overflow(*x, *y, &out) ? std::nullopt : std::optional<int64_t>(out);
      case ast::BinaryOp::mul: return __builtin_mul_overflow(*x, *y, &out) ? std::nullopt : std::optional<int64_t>(out);
      default: return std::nullopt;
    }
  }

  // `f32(1e-5)`, `i8(-3)`
  static bool typed(const ast::Expr& e) {
    const auto* c = e.as<ast::Call>();
    return c && c->callee.bare() && ir::parse_scalar_type(c->callee.first()) && c->args.size() == 1 &&
           c->args[0].value && !c->args[0].target && untyped(*c->args[0].value);
  }

  void add(const ast::OpItem& item, std::vector<std::shared_ptr<ModuleOp>>& fresh) {
    if (!name(item.name)) return;
    auto op = std::make_shared<ModuleOp>();
    op->item = shared(item);
    op->signature = signature_of(item);
    module_.ops.push_back(op);
    fresh.push_back(std::move(op));
  }

  void add(const ast::ReducerItem& item, std::vector<std::shared_ptr<ModuleOp>>&) {
    if (!name(item.name) || !reducer_name(item.name)) return;
    const size_t before = found_.size();
    check(item);
    if (found_.size() == before) module_.reducers.push_back(shared(item));
    else module_.broken_reducers.insert(item.name.text);
  }

  bool reducer_name(const ast::Name& n) {
    if (!Typing::is_builtin_reducer(n.text)) return true;
    found_.push_back(Diagnostic(codes::duplicate_name, n.place, "`" + n.text + "` is a reducer of the language")
                         .with_help("choose another name"));
    return false;
  }

  // Once for each type of the classes; with several generics all move on together.
  void check(const ast::ReducerItem& item) {
    size_t rounds = 1;
    for (const ast::Generic& g : item.generics) {
      const size_t members = ir::class_members(class_of(g)).size();
      if (members == 0) return unknown_class(g);
      if (ir::parse_scalar_type(g.name.text))
        return found_.push_back(
            Diagnostic(codes::duplicate_name, g.name.place, "`" + g.name.text + "` is an element type"));
      rounds = std::max(rounds, members);
    }
    for (size_t round = 0; round < rounds; ++round) {
      TypeChoice types;
      std::string chosen;
      for (const ast::Generic& g : item.generics) {
        const auto members = ir::class_members(class_of(g));
        types[g.name.text] = members[round % members.size()];
        chosen +=
            (chosen.empty() ? "" : ", ") + g.name.text + " = " + std::string(ir::scalar_type_name(types[g.name.text]));
      }
      ir::Program scratch;
      std::map<std::string, ir::Expr>
          dims;  // any name in the shape of a field is a dim of the op that uses the reducer
      auto dim_named = [&](const std::string& dim) {
        auto [at, added] = dims.try_emplace(dim);
        if (added)
          at->second = ir::var(scratch.add(ir::Symbol{dim, ir::SymbolKind::dim, ir::ScalarType::index, "", {}}));
        return at->second;
      };
      Result<ir::Reducer> row = reducer_row(item, scratch, dim_named, types);
      if (row.ok()) continue;
      for (Diagnostic d : row.errors()) {
        if (round > 0) d.message += " (with `" + chosen + "`)";
        found_.push_back(std::move(d));
      }
      return;
    }
  }

  static std::string class_of(const ast::Generic& g) { return g.cls.text.empty() ? "any" : g.cls.text; }

  void unknown_class(const ast::Generic& g) {
    found_.push_back(Diagnostic(codes::unknown_type, g.cls.place, "there is no class of types `" + g.cls.text + "`")
                         .with_help("the classes are `any`, `number`, `float` and `int`"));
  }

  void add(const ast::InstrItem& item, std::vector<std::shared_ptr<ModuleOp>>&) {
    if (!name(item.name)) return;
    ir::Program scratch;
    if (Result<ir::Instr> row = instr_row(item, scratch); !row.ok()) return append(row.errors());
    module_.instrs.push_back(shared(item));
  }
  void add(const ast::ProgramItem& item, std::vector<std::shared_ptr<ModuleOp>>&) {
    module_.programs.push_back(shared(item));
  }

  void add(const ast::ScheduleItem& item, std::vector<std::shared_ptr<ModuleOp>>&) {
    Result<ir::ScheduleText> text = read_schedule(item);
    if (!text.ok()) return append(text.errors());
    if (const ir::ScheduleText* other = module_.schedule(text->op, text->name)) {
      found_.push_back(Diagnostic(codes::duplicate_name, item.name.place,
                                  "the schedule `" + text->op + "." + text->name + "` is defined twice")
                           .label(other->place, "it is defined here")
                           .with_help("choose another name"));
      return;
    }
    schedules_of_.push_back({item.op.place, text->op});
    module_.schedules.push_back(std::make_shared<const ir::ScheduleText>(std::move(*text)));
  }

  void add(const ast::StepItem& item, std::vector<std::shared_ptr<ModuleOp>>&) {
    Result<ir::DerivedStep> step = read_derived_step(item);
    if (!step.ok()) return append(step.errors());
    if (name(item.name)) module_.steps.push_back(std::make_shared<const ir::DerivedStep>(std::move(*step)));
  }

  void append(const Diagnostics& more) { found_.insert(found_.end(), more.begin(), more.end()); }

  // Ops that an op calls are checked before it, so that it can rely on them. Cycles and deep chains are found by the check itself.
  void callees_first(const std::shared_ptr<ModuleOp>& op, int depth) {
    if (!visited_.insert(op.get()).second) return;
    for (const ast::Stmt& s : op->item->body) {
      const auto* eq = std::get_if<ast::Equation>(&s.form);
      const auto* call = eq && eq->right.value ? eq->right.value->as<ast::Call>() : nullptr;
      if (!call || depth > limits::calls) continue;
      auto by_name = fresh_by_name_.find(call->callee.text());
      if (by_name != fresh_by_name_.end()) callees_first(by_name->second, depth + 1);
    }
    const size_t before = found_.size();
    if (found_.size() < limits::diagnostics) check(*op);
    op->broken = op->broken || found_.size() != before;
  }

  // Once for each type of the class; with several generics all move on together. f64 comes last and may fail alone: an
  // op that computes in `widen(x)` beside f32 scalars is one for the types up to 32 bits, and says so when it is used
  // with f64.
  void check(ModuleOp& op) {
    size_t rounds = 1;
    for (const GenericParam& g : op.signature.generics) rounds = std::max(rounds, ir::class_members(g.cls).size());
    for (size_t round = 0; round < rounds; ++round) {
      Instance instance;
      std::string types;
      bool wide = false;
      for (const GenericParam& g : op.signature.generics) {
        auto members = ir::class_members(g.cls);
        if (members.empty()) continue;
        bool floats_first = members[0] == ir::ScalarType::f64;
        instance.types[g.name] = members[(round + floats_first) % members.size()];
        wide |= instance.types[g.name] == ir::ScalarType::f64;
        types +=
            (types.empty() ? "" : ", ") + g.name + " = " + std::string(ir::scalar_type_name(instance.types[g.name]));
      }
      OpCheckOptions options;
      options.definition = true;
      options.show_bounds = round == 0;  // bounds do not depend on types
      options.budget = &budget_;
      Result<CheckedOp> checked = OpChecker(module_, *op.item, instance, options).run();
      if (!checked.ok()) {
        if (wide && round > 0) continue;
        for (Diagnostic d : checked.errors()) {
          if (round > 0) d.message += " (with `" + types + "`)";
          found_.push_back(std::move(d));
        }
        return;
      }
      op.broken |= checked->broken;
      if (round > 0) continue;
      op.bounds_shown = !checked->deferred;
      for (const SignatureParam& p : op.signature.params)
        if (p.default_const) op.shown_consts[p.name] = *p.default_const;
    }
  }

  void unknown_op(const PendingOp& s) {
    std::vector<std::string> known;
    for (const auto& o : module_.ops) known.push_back(o->name());
    std::string near = nearest(s.op, known);
    found_.push_back(
        Diagnostic(codes::unknown_op, s.place, "there is no op `" + s.op + "`")
            .with_help(near.empty() ? "a schedule stands in the module of its op" : "did you mean `" + near + "`?"));
  }

  static Diagnostics limited(Diagnostics found) {
    if (found.size() > limits::diagnostics) found.resize(limits::diagnostics);
    return found;
  }

  std::shared_ptr<const ast::Module> text_;
  Module module_;
  std::vector<PendingOp> schedules_of_;
  const Importer& importer_;
  std::map<std::string, Place> imports_;
  std::map<std::string, std::shared_ptr<ModuleOp>> fresh_by_name_;
  std::set<const ModuleOp*> visited_;
  int budget_ = limits::called_stages;
  Diagnostics found_;
};

}  // namespace

const ModuleOp* Module::op(const std::string& name) const {
  return find_by(ops, name, [](const ModuleOp& o) -> const std::string& { return o.name(); });
}
const ast::ReducerItem* Module::reducer(const std::string& name) const {
  if (auto imported = imported_reducers.find(name); imported != imported_reducers.end()) return imported->second.get();
  return find_by(reducers, name, [](const ast::ReducerItem& r) -> const std::string& { return r.name.text; });
}
const ast::InstrItem* Module::instr(const std::string& name) const {
  return find_by(instrs, name, [](const ast::InstrItem& i) -> const std::string& { return i.name.text; });
}
const ir::DerivedStep* Module::step(const std::string& name) const {
  return find_by(steps, name, [](const ir::DerivedStep& s) -> const std::string& { return s.name; });
}
const ir::ScheduleText* Module::schedule(const std::string& op, const std::string& name) const {
  for (const auto& s : schedules)
    if (s->op == op && s->name == name) return s.get();
  return nullptr;
}
std::vector<const ir::ScheduleText*> Module::schedules_of(const std::string& op) const {
  std::vector<const ir::ScheduleText*> out;
  for (const auto& s : schedules)
    if (s->op == op) out.push_back(s.get());
  return out;
}

bool bounds_to_show(const ModuleOp& op, const Instance& instance) {
  if (!op.bounds_shown) return true;
  for (const auto& [chosen, value] : instance.consts)
    if (auto shown = op.shown_consts.find(chosen); shown != op.shown_consts.end() && shown->second != value)
      return true;
  for (const SignatureParam& p : op.signature.params)
    if (!p.default_text.empty() && p.kind == SignatureParam::Kind::constant && !p.default_const) return true;
  return std::any_of(instance.packs.begin(), instance.packs.end(), [](const auto& pack) { return pack.second != 1; });
}

Result<Module> check_module(ast::Module text, const Module* base, const Importer& importer) {
  return ModuleBuilder(std::move(text), base, importer).run();
}

Result<Module> read_module(const SourceRef& source, const Module* base) {
  Result<ast::Module> text = parse(source);
  if (!text.ok()) return text.errors();
  return check_module(std::move(*text), base);
}

Result<ir::Op> instantiate(const Module& module, const std::string& name, const Instance& instance) {
  const ModuleOp* op = module.op(name);
  if (!op) {
    std::vector<std::string> known;
    for (const auto& o : module.ops) known.push_back(o->name());
    std::string near = nearest(name, known);
    return Diagnostic(codes::unknown_op, {}, "there is no op `" + name + "`")
        .with_help(near.empty() ? "" : "did you mean `" + near + "`?");
  }
  for (const auto& [chosen, value] : instance.consts) {
    bool known = std::any_of(op->signature.params.begin(), op->signature.params.end(), [&](const SignatureParam& p) {
      return p.kind == SignatureParam::Kind::constant && p.name == chosen;
    });
    if (!known)
      return Diagnostic(codes::bad_instance, op->item->name.place, "`" + name + "` has no const `" + chosen + "`");
  }
  OpCheckOptions options;
  options.show_bounds = bounds_to_show(*op, instance);
  int budget = limits::called_stages;
  options.budget = &budget;
  Result<CheckedOp> checked = OpChecker(op->home ? *op->home : module, *op->item, instance, options).run();
  if (!checked.ok()) return checked.errors();
  return std::move(checked->op);
}

Result<ir::Instr> add_instr(const Module& module, const std::string& name, ir::Program& program) {
  if (const ir::Instr* known = program.instr(name)) return *known;
  const ast::InstrItem* item = module.instr(name);
  if (!item) return Diagnostic(codes::unknown_name, {}, "there is no instruction `" + name + "`");
  Result<ir::Instr> row = instr_row(*item, program);
  if (row.ok()) program.instrs.push_back(*row);
  return row;
}

}  // namespace heddle::frontend
