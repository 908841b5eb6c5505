#include "frontend/module.h"

#include <algorithm>

#include "frontend/check/literal.h"
#include "frontend/check/op_checker.h"
#include "frontend/check/rows.h"
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
  ModuleBuilder(ast::Module text, const Module* base) : text_(std::make_shared<const ast::Module>(std::move(text))) {
    if (base) module_ = *base;
  }

  Result<Module> run() {
    module_.sources.push_back(text_->source);
    std::vector<std::shared_ptr<ModuleOp>> fresh;
    for (const ast::Item& item : text_->items) std::visit([&](const auto& form) { add(form, fresh); }, item.form);
    for (const PendingOp& s : schedules_of_)
      if (!module_.op(s.op)) unknown_op(s);
    for (const auto& op : fresh) check(*op);
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
    found_.push_back(Diagnostic(codes::not_supported, i.place, "`import` is not supported yet")
                         .with_help("add the text to the module instead"));
  }

  void add(const ast::Let& l, std::vector<std::shared_ptr<ModuleOp>>&) {
    const auto* literal = l.value->as<ast::Literal>();
    auto value = literal ? integer_literal(*literal) : std::nullopt;
    if (!value)
      found_.push_back(Diagnostic(codes::not_supported, l.value->place,
                                  "a `let` of a module that is no integer is not supported yet"));
    else if (!module_.lets.emplace(l.name.text, *value).second)
      found_.push_back(Diagnostic(codes::duplicate_name, l.name.place, "`" + l.name.text + "` is defined twice"));
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
    if (!name(item.name)) return;
    ir::Program scratch;
    std::map<std::string, ir::Expr> dims;  // any name in the shape of a field is a dim of the op that uses the reducer
    Result<ir::Reducer> row = reducer_row(item, scratch, [&](const std::string& dim) {
      auto [at, added] = dims.try_emplace(dim);
      if (added) at->second = ir::var(scratch.add(ir::Symbol{dim, ir::SymbolKind::dim, ir::ScalarType::index, "", {}}));
      return at->second;
    });
    if (!row.ok()) return append(row.errors());
    module_.reducers.push_back(shared(item));
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
      Result<CheckedOp> checked = OpChecker(module_, *op.item, instance, options).run();
      if (!checked.ok()) {
        if (wide && round > 0) continue;
        for (Diagnostic d : checked.errors()) {
          if (round > 0) d.message += " (with `" + types + "`)";
          found_.push_back(std::move(d));
        }
        return;
      }
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
  Diagnostics found_;
};

}  // namespace

const ModuleOp* Module::op(const std::string& name) const {
  return find_by(ops, name, [](const ModuleOp& o) -> const std::string& { return o.name(); });
}
const ast::ReducerItem* Module::reducer(const std::string& name) const {
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

Result<Module> check_module(ast::Module text, const Module* base) { return ModuleBuilder(std::move(text), base).run(); }

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
  options.show_bounds = !op->bounds_shown;
  for (const auto& [chosen, value] : instance.consts)
    if (auto shown = op->shown_consts.find(chosen); shown != op->shown_consts.end() && shown->second != value)
      options.show_bounds = true;
  for (const SignatureParam& p : op->signature.params)
    if (!p.default_text.empty() && p.kind == SignatureParam::Kind::constant && !p.default_const)
      options.show_bounds = true;
  for (const auto& [pack, rank] : instance.packs)
    if (rank != 1) options.show_bounds = true;
  Result<CheckedOp> checked = OpChecker(module, *op->item, instance, options).run();
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
