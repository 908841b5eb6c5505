// A kernel as Python runs it: the module, the kernel's parameters and results, statements.
#include "backend/neuron/simulator/specialise.h"

#include <algorithm>
#include <cmath>

#include "backend/neuron/simulator/evaluator.h"

namespace heddle::neuron::sim {

Trace specialise(const Text& text, const std::string& kernel, const std::vector<Argument>& arguments,
                 const Scalars& scalars, const Machine& machine, const SpecialiseLimits& limits) {
  return Evaluator(text, machine, limits).run(kernel, arguments, scalars);
}

Trace Evaluator::run(const std::string& kernel, const std::vector<Argument>& arguments, const Scalars& scalars) {
  trace_.source = text_.source;
  load_module();
  const Stmt& definition = choose_kernel(kernel);
  trace_.kernel = definition.text;
  auto scope = std::make_shared<Scope>();
  scope->outer = module_;
  bind_parameters(definition, arguments, scalars, *scope);
  bool returned = block(definition.body, scope);
  finish_outputs(definition, returned ? returned_ : Value{});
  trace_.static_instructions = static_next_;
  return std::move(trace_);
}

// Imports, constants and functions; an expression statement may only be a docstring.
void Evaluator::load_module() {
  for (const Stmt& s : text_.statements) {
    switch (s.kind) {
      case Stmt::Kind::import:
      case Stmt::Kind::assign:
      case Stmt::Kind::define: statement(s, module_); break;
      case Stmt::Kind::expression:
        if (s.value.kind == Expr::Kind::string) break;
        [[fallthrough]];
      default: refuse_rule(RuleId::removed_syntax, at(s), "a text holds imports, constants and functions");
    }
  }
}

const Stmt& Evaluator::choose_kernel(const std::string& wanted) {
  const Stmt* found = nullptr;
  int jits = 0;
  std::string known;
  for (const Stmt& s : text_.statements) {
    if (s.kind != Stmt::Kind::define) continue;
    if (s.decorators.empty()) continue;
    known += (known.empty() ? "`" : ", `") + s.text + "`";
    ++jits;
    if (wanted.empty() || s.text == wanted) found = &s;
  }
  if (!jits) refuse(codes::nki_value, {text_.source, 0, 0}, "the text has no function with `@nki.jit`");
  if (wanted.empty() && jits > 1)
    refuse(codes::nki_value, at(*found), "the text has " + std::to_string(jits) + " kernels: " + known,
           "name the one to run");
  if (!found)
    refuse(codes::nki_value, {text_.source, 0, 0}, "the text has no kernel `" + wanted + "`", "it has " + known);
  return *found;
}

void Evaluator::bind_parameters(const Stmt& kernel, const std::vector<Argument>& arguments, const Scalars& scalars,
                                Scope& scope) {
  const Place place = at(kernel);
  if (arguments.size() > kernel.parameters.size())
    refuse(codes::nki_arguments, place,
           "`" + kernel.text + "` takes " + std::to_string(kernel.parameters.size()) + " arguments; " +
               std::to_string(arguments.size()) + " are given");
  size_t used = 0;
  for (size_t i = 0; i < kernel.parameters.size(); ++i) {
    const Parameter& p = kernel.parameters[i];
    const Place here{text_.source, p.begin, p.end};
    if (scope.names.count(p.name)) refuse(codes::nki_value, here, "`" + p.name + "` is a parameter twice");
    auto named = scalars.find(p.name);
    if (i >= arguments.size() && named != scalars.end()) {
      scope.names[p.name] = std::visit([](auto value) { return Value{value}; }, named->second);
      ++used;
    } else if (i >= arguments.size()) {
      if (p.fallback.kind == Expr::Kind::none) refuse(codes::nki_arguments, here, "`" + p.name + "` is not given");
      scope.names[p.name] = evaluate(p.fallback, module_);
    } else if (const int64_t* n = std::get_if<int64_t>(&arguments[i])) {
      scope.names[p.name] = Value{*n};
    } else if (const double* d = std::get_if<double>(&arguments[i])) {
      scope.names[p.name] = Value{*d};
    } else {
      const ArrayType& a = std::get<ArrayType>(arguments[i]);
      if (a.shape.size() > static_cast<size_t>(max_rank))
        refuse(codes::nki_arguments, here, "`" + p.name + "` has more than " + std::to_string(max_rank) + " dims");
      Tensor t{.memory = Memory::parameter, .dtype = a.dtype, .shape = a.shape, .name = p.name, .place = here};
      scope.names[p.name] = Value{whole(add_tensor(std::move(t), here))};
    }
  }
  if (used != scalars.size())
    refuse(codes::nki_arguments, place, "`" + kernel.text + "` has no such scalar left to give by name",
           "its parameters stand in the order arrays, scalars");
}

void Evaluator::finish_outputs(const Stmt& kernel, const Value& returned) {
  std::vector<Value> items;
  if (const Sequence* s = returned.as<Sequence>()) items = *s->items;
  else items.push_back(returned);
  for (const Value& item : items) {
    const View* view = item.as<View>();
    if (!view)
      refuse_rule(RuleId::output_buffer, at(kernel),
                  "`" + kernel.text + "` returns " + kind_of(item) + ", not a tensor");
    const Tensor& t = trace_.tensors[view->tensor];
    if (t.memory != Memory::shared_hbm && t.memory != Memory::parameter)
      refuse_rule(RuleId::output_buffer, Diagnostic(codes::nki_subset, at(kernel),
                                                    "`" + t.name + "` is returned, and is not in `nl.shared_hbm`")
                                             .label(t.place, "allocated here"));
    trace_.outputs.push_back(view->tensor);
  }
}

bool Evaluator::block(const std::vector<Stmt>& body, const ScopeRef& scope) {
  for (const Stmt& s : body)
    if (statement(s, scope)) return true;
  return false;
}

bool Evaluator::statement(const Stmt& s, const ScopeRef& scope) {
  Nested deep(*this, at(s));
  switch (s.kind) {
    case Stmt::Kind::pass: return false;
    case Stmt::Kind::import: import(s, *scope); return false;
    case Stmt::Kind::expression:
      if (s.value.kind != Expr::Kind::string) evaluate(s.value, scope);
      return false;
    case Stmt::Kind::assign: assign(s.target, evaluate(s.value, scope), *scope); return false;
    case Stmt::Kind::augment: {
      Value old = name(s.target, *scope);
      if (old.as<View>())
        refuse_rule(RuleId::removed_syntax, at(s), "`" + s.text + "=` on a tile: tiles are computed by instructions");
      assign(s.target, binary(s.value, old, s.text, evaluate(s.value, scope)), *scope);
      return false;
    }
    case Stmt::Kind::loop: return loop(s, scope);
    case Stmt::Kind::branch: return block(truth(s.value, evaluate(s.value, scope)) ? s.body : s.other, scope);
    case Stmt::Kind::returning:
      returned_ = s.value.kind == Expr::Kind::none ? Value{} : evaluate(s.value, scope);
      return true;
    case Stmt::Kind::assertion:
      if (!truth(s.value, evaluate(s.value, scope))) wrong(s.value, "this assertion does not hold");
      return false;
    case Stmt::Kind::with: {
      Value v = evaluate(s.value, scope);
      const Symbol* symbol = v.as<Symbol>();
      if (!symbol || symbol->path != "nl.no_reorder()") wrong(s.value, "`with` takes `nl.no_reorder()`");
      ++no_reorder_;
      bool returned = block(s.body, scope);
      --no_reorder_;
      return returned;
    }
    case Stmt::Kind::define: {
      for (const Expr& d : s.decorators) {
        Value v = d.kind == Expr::Kind::call ? evaluate(d.kids[0], scope) : evaluate(d, scope);
        const Symbol* symbol = v.as<Symbol>();
        if (!symbol || symbol->path != "nki.jit") wrong(d, "the only decorator is `@nki.jit`");
        if (scope != module_) refuse_rule(RuleId::removed_syntax, at(d), "a kernel inside a kernel");
      }
      scope->names[s.text] = Value{Closure{&s, scope}};
      holders_.push_back(scope);
      return false;
    }
  }
  return false;
}

bool Evaluator::loop(const Stmt& s, const ScopeRef& scope) {
  Value over = evaluate(s.value, scope);
  if (const Range* r = over.as<Range>()) {
    for (int64_t i = 0, n = r->count(); i < n; ++i) {
      spend(s.value);
      assign(s.target, Value{r->start + i * r->step}, *scope);
      if (block(s.body, scope)) return true;
    }
    return false;
  }
  const Sequence* items = over.as<Sequence>();
  if (!items) wrong(s.value, "a loop runs over `range`, a tuple or a list, not over " + kind_of(over));
  for (size_t i = 0; i < items->items->size(); ++i) {
    spend(s.value);
    assign(s.target, (*items->items)[i], *scope);
    if (block(s.body, scope)) return true;
  }
  return false;
}

void Evaluator::assign(const Expr& target, Value value, Scope& scope) {
  if (target.kind == Expr::Kind::name) {
    if (const View* view = value.as<View>())
      if (Tensor& t = trace_.tensors[view->tensor]; t.name.empty()) t.name = target.text;
    scope.names[target.text] = std::move(value);
    return;
  }
  const Sequence* items = value.as<Sequence>();
  if (!items) wrong(target, kind_of(value) + " is not unpacked");
  if (items->items->size() != target.kids.size())
    wrong(target,
          std::to_string(items->items->size()) + " values for " + std::to_string(target.kids.size()) + " names");
  for (size_t i = 0; i < target.kids.size(); ++i) assign(target.kids[i], (*items->items)[i], scope);
}

void Evaluator::import(const Stmt& s, Scope& scope) {
  static const std::map<std::string_view, std::string_view> modules = {
      {"nki", "nki"}, {"nki.language", "nl"}, {"nki.isa", "nisa"}, {"nki.jit", "nki.jit"}};
  if (s.text.substr(0, 10) == "neuronxcc." || s.text == "neuronxcc")
    refuse_rule(RuleId::removed_api, at(s), "`neuronxcc.nki` was replaced by `nki`");
  auto found = modules.find(s.text);
  if (found == modules.end()) {
    if (s.text == "numpy" || s.text == "math")
      refuse_rule(RuleId::removed_syntax, at(s),
                  "`" + s.text + "` in a kernel's text: only integers and NKI's own names are known");
    refuse_rule(RuleId::removed_api, at(s), "`" + s.text + "` is no module of the low-level form");
  }
  scope.names[s.target.text] = Value{Symbol{std::string(found->second)}};
}

}  // namespace heddle::neuron::sim
