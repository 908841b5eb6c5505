// `p = softmax(x)`, `h, c = lstm(x, wx, ..)`: a call of an op at the root of a right side. The called op is checked for the types, ranks
// and consts of its arguments; then its stages become stages of the caller, `p.total`, whose loops schedules name `p.total.c`.
#include <algorithm>

#include "frontend/check/inline_op.h"
#include "frontend/check/op_checker.h"
#include "frontend/codes.h"
#include "ir/array_axes.h"
#include "ir/visit.h"
#include "support/limits.h"

namespace heddle::frontend {

using ir::ScalarType;

namespace {

bool reads_inputs_only(const ir::Program& p, const ir::StmtForm& form) {
  bool inputs = true;
  ir::map_exprs(ir::make_stmt(form), [&](const ir::Expr& e) {
    ir::walk(e, [&](const ir::Expr& node) {
      if (const auto* l = node.as<ir::Load>()) inputs &= p.buffer(l->buffer).role == ir::Role::in;
      return true;
    });
    return e;
  });
  return inputs;
}

ir::Expr extent_of(const ir::BoxDim& d) { return ir::simplify(d.hi - d.lo); }

}  // namespace

void OpChecker::call(const ast::Equation& eq) {
  const auto& c = *eq.right.value->as<ast::Call>();
  const std::string name = c.callee.text();
  const ModuleOp& op = *module_.op(name);
  Call call{&eq, &c, &op, {}, {}, {}, {}, {}};
  scope_ = Scope();
  bool ok = true;
  for (size_t i = 0; i < eq.left.size(); ++i) {
    int target = target_of(eq, i);
    ok &= target >= 0;
    call.targets.push_back(target);
  }
  result_.broken |= op.broken;
  if (!ok || op.broken) return;
  scope_.stage = eq.left[0].path.first();
  ok = callable(call) && arguments(call) && types(call);
  if (!ok) return;
  Result<CheckedOp> callee = called(call);
  if (!callee.ok()) return;
  result_.broken |= callee->broken;
  if (callee->broken) return;
  result_.deferred |= callee->deferred;
  if (merge(call, callee->op))
    for (int target : call.targets) tensors_[target].state = Tensor::State::readable;
}

// The shape of the call: results, no updates, no cycle.
bool OpChecker::callable(const Call& call) {
  const OpSignature& s = call.op->signature;
  const std::string& name = call.op->name();
  Diagnostic d(codes::bad_call, call.syntax->callee.place, "");
  std::vector<std::string> chain = options_.callers;
  chain.push_back(frame_.name);
  if (std::find(chain.begin(), chain.end(), name) != chain.end()) {
    std::string cycle;
    for (auto at = std::find(chain.begin(), chain.end(), name); at != chain.end(); ++at)
      cycle += "`" + *at + "` calls ";
    d.message = cycle + "`" + name + "`: an op does not call itself";
    d.help = "a recurrence is written as `scan`";
  } else if (chain.size() > static_cast<size_t>(limits::calls)) {
    d.code = codes::too_large.id;
    d.message = "calls are nested past " + std::to_string(limits::calls) + " levels";
  } else if (s.results.size() != call.targets.size()) {
    d.place = call.eq->place;
    d.message = "`" + name + "` gives " + std::to_string(s.results.size()) +
                (s.results.size() == 1 ? " result" : " results") + ", and " + std::to_string(call.targets.size()) +
                (call.targets.size() == 1 ? " name takes" : " names take") + " them";
    d.help = "name each of them: `";
    for (size_t i = 0; i < s.results.size(); ++i) d.help += (i ? ", " : "") + s.results[i].name;
    d.help += " = " + call.op->name() + "(..)`";
    if (s.results.empty()) d.help = "an op that updates its tensors in place stands alone";
  } else {
    for (const SignatureParam& p : s.params)
      if (p.kind == SignatureParam::Kind::inout) {
        d.message = "`" + name + "` updates `" + p.name + "` in place, and only ops that make new tensors are called";
        d.labels.push_back({p.place, "`" + p.name + "` is `inout`"});
      }
  }
  if (d.message.empty()) return true;
  report(std::move(d));
  return false;
}

// Each argument to its parameter: by position, or by name.
bool OpChecker::arguments(Call& call) {
  const OpSignature& s = call.op->signature;
  call.given.assign(s.params.size(), nullptr);
  size_t next = 0;
  for (const ast::Entry& e : call.syntax->args) {
    size_t at = next;
    if (e.target) {
      const std::string name = e.target->path.text();
      std::vector<std::string> known;
      for (const SignatureParam& p : s.params) known.push_back(p.name);
      at = static_cast<size_t>(std::find(known.begin(), known.end(), name) - known.begin());
      if (at == known.size()) {
        std::string near = nearest(name, known);
        report(Diagnostic(codes::bad_call, e.place, "`" + call.op->name() + "` has no parameter `" + name + "`")
                   .with_help(near.empty() ? "" : "did you mean `" + near + "`?"));
        return false;
      }
    } else {
      ++next;
    }
    if (at >= s.params.size() || call.given[at] || e.kind != ast::Entry::Kind::value || !e.value) {
      report(Diagnostic(codes::bad_call, e.place,
                        at >= s.params.size()
                            ? "`" + call.op->name() + "` takes " + std::to_string(s.params.size()) + " arguments"
                        : call.given[at] ? "`" + s.params[at].name + "` is given twice"
                                         : "an argument is a tensor or a value"));
      return false;
    }
    call.given[at] = e.value.get();
  }
  call.tensors.assign(s.params.size(), -1);
  for (size_t i = 0; i < s.params.size(); ++i) {
    const SignatureParam& p = s.params[i];
    if (!call.given[i]) {
      if (!p.default_text.empty()) continue;
      report(Diagnostic(codes::bad_call, call.syntax->callee.place, "`" + call.op->name() + "` needs `" + p.name + "`")
                 .label(p.place, "`" + p.name + "` is declared here"));
      return false;
    }
    if (p.kind == SignatureParam::Kind::array && !tensor_argument(call, i)) return false;
  }
  return true;
}

bool OpChecker::tensor_argument(Call& call, size_t at) {
  const ast::Expr& e = *call.given[at];
  const SignatureParam& p = call.op->signature.params[at];
  const std::string* name = e.as_name();
  auto named = name ? names_.find(*name) : names_.end();
  if (named == names_.end() && name && !later_.count(*name)) return report(unknown(*name, e.place)), false;
  const bool later = named == names_.end();
  if (!name || (!later && named->second.kind != Named::Kind::tensor)) {
    report(Diagnostic(codes::bad_call, e.place,
                      "`" + p.name + "` of `" + call.op->name() + "` is a tensor, given by its name")
               .with_help("give the value a stage of its own, and name that"));
    return false;
  }
  if (!later && tensors_[named->second.tensor].state == Tensor::State::broken) return false;
  if (later || tensors_[named->second.tensor].state == Tensor::State::pending) {
    report(Diagnostic(codes::stage_order, e.place, "`" + *name + "` is read before it is defined")
               .with_help("move its equation up"));
    return false;
  }
  const Tensor& t = tensors_[named->second.tensor];
  if (t.reducer || t.inout) {
    report(Diagnostic(codes::bad_call, e.place,
                      t.inout
                          ? "`" + *name + "` is updated in place, and a call reads tensors that stay"
                          : "`" + *name + "` is a state of `" + t.reducer->name.text + "`, and an argument is a tensor")
               .label(t.place, "it is declared here")
               .with_help("copy it to a stage first"));
    return false;
  }
  call.tensors[at] = named->second.tensor;
  return true;
}

// What the arguments say of generic types, ranks and consts.
bool OpChecker::types(Call& call) {
  const OpSignature& s = call.op->signature;
  for (size_t i = 0; i < s.params.size(); ++i) {
    const SignatureParam& p = s.params[i];
    if (call.tensors[i] < 0) continue;
    const Tensor& t = tensors_[call.tensors[i]];
    const ir::Buffer& b = frame_.buffer(t.buffers[0]);
    const std::string type(ir::scalar_type_name(b.type));
    auto wrong = [&](const std::string& message) {
      report(Diagnostic(codes::bad_call, call.given[i]->place, message)
                 .label(p.place, "`" + p.name + "` is declared here")
                 .label(t.place, "`" + t.name + "` is defined here"));
      return false;
    };
    if (!p.type) {
      auto [known, added] = call.instance.types.try_emplace(p.type_text, b.type);
      if (!added && known->second != b.type)
        return wrong("`" + p.type_text + "` of `" + call.op->name() + "` is `" +
                     std::string(ir::scalar_type_name(known->second)) + "` by another argument, and `" + t.name +
                     "` is `" + type + "`");
    } else if (*p.type != b.type) {
      return wrong("`" + p.name + "` of `" + call.op->name() + "` is `" + p.type_text + "`, and `" + t.name + "` is `" +
                   type + "`");
    }
    const int axes = static_cast<int>(t.groups.empty() ? b.box.size() : t.groups.size());
    if (p.packs.empty() ? axes != p.fixed_rank : axes < p.fixed_rank)
      return wrong("`" + p.name + "` of `" + call.op->name() + "` has " + std::to_string(p.fixed_rank) +
                   (p.packs.empty() ? "" : " or more") + (p.fixed_rank == 1 ? " dim" : " dims") + ", and `" + t.name +
                   "` has " + std::to_string(axes));
    if (p.packs.size() == 1) {
      const int rank = axes - p.fixed_rank;
      auto [known, added] = call.instance.packs.try_emplace(p.packs[0], rank);
      if (!added && known->second != rank)
        return wrong("`..." + p.packs[0] + "` stands for " + std::to_string(known->second) +
                     " dims by another argument, and for " + std::to_string(rank) + " here");
    }
  }
  for (size_t i = 0; i < s.params.size(); ++i) {
    const SignatureParam& p = s.params[i];
    if (!call.given[i] || call.tensors[i] >= 0) continue;
    if (p.kind == SignatureParam::Kind::constant) {
      ir::Expr value = p.type_text == "bool" ? condition(*call.given[i]) : index(*call.given[i]);
      if (!value.known()) return false;
      call.values[p.name] = value;
      if (const int64_t* c = ir::constant_value(value)) call.instance.consts[p.name] = *c;
      else if (!options_.definition || !mentions_const(value)) {
        report(Diagnostic(codes::bad_call, call.given[i]->place,
                          "the const `" + p.name + "` of `" + call.op->name() +
                              "` is known when an op is compiled, and `" + excerpt(call.given[i]->place) + "` is not")
                   .label(p.place, "`" + p.name + "` is declared here"));
        return false;
      }
      continue;
    }
    auto generic = call.instance.types.find(p.type_text);
    auto type = p.type ? p.type : generic != call.instance.types.end() ? Hint(generic->second) : Hint();
    ir::Expr value = type ? value_of_type(*call.given[i], *type, "`" + p.name + "`", p.place, p.type_text)
                          : this->value(*call.given[i]);
    if (!value.known()) return false;
    if (!p.type) call.instance.types.try_emplace(p.type_text, value.type());
    if (ir::mentions_load(value)) {
      report(Diagnostic(codes::bad_call, call.given[i]->place,
                        "`" + p.name + "` of `" + call.op->name() + "` is known before the op runs, and `" +
                            excerpt(call.given[i]->place) + "` is data")
                 .label(p.place, "`" + p.name + "` is declared here"));
      return false;
    }
    call.values[p.name] = value;
  }
  for (const GenericParam& g : s.generics)
    if (!call.instance.types.count(g.name)) {
      report(Diagnostic(codes::bad_call, call.syntax->callee.place,
                        "no argument says what `" + g.name + "` of `" + call.op->name() + "` is"));
      return false;
    }
  return true;
}

Result<CheckedOp> OpChecker::called(const Call& call) {
  const std::string spent = "the calls of a text make at most " + std::to_string(limits::called_stages) + " stages";
  if (options_.budget && --*options_.budget < 0) {  // counted on the way in, as a failing chain of calls may branch
    report(Diagnostic(codes::too_large, call.syntax->callee.place, spent));
    return Diagnostic(codes::too_large, call.syntax->callee.place, spent);
  }
  OpCheckOptions options;
  options.definition = options_.definition;
  options.show_bounds = bounds_to_show(*call.op, call.instance);
  options.callers = options_.callers;
  options.callers.push_back(frame_.name);
  options.budget = options_.budget;
  Result<CheckedOp> callee =
      OpChecker(call.op->home ? *call.op->home : module_, *call.op->item, call.instance, options).run();
  if (callee.ok()) {
    const int stages = static_cast<int>(callee->op.equations.size());
    const bool past_stages = result_.op.equations.size() + callee->op.equations.size() > limits::stages;
    const bool past_budget = options_.budget && (*options_.budget -= stages) < 0;
    if (!past_stages && !past_budget) return callee;
    Diagnostic d(codes::too_large, call.syntax->callee.place,
                 past_stages
                     ? "an op has at most " + std::to_string(limits::stages) + " stages, those of called ops included"
                     : spent);
    report(Diagnostic(d));
    return d;
  }
  for (Diagnostic d : callee.errors()) {
    if (d.place.known()) d.labels.push_back({d.place, "in `" + call.op->name() + "`"});
    d.place = call.syntax->callee.place;
    if (d.code != codes::bad_call.id)
      d.message = "`" + call.op->name() + "` does not take these arguments: " + d.message;
    report(std::move(d));
    break;  // one says it
  }
  return callee;
}

// The dims of a called op, from the extents of its arguments.
bool OpChecker::bind_dims(const Call& call, const ir::Op& callee, InlinedOp& in) {
  const ir::Program& from = callee.frame;
  const OpSignature& s = call.op->signature;
  auto argument = [&](ir::BufferId id) -> const ir::Buffer& {
    size_t at = 0;
    for (; at < s.params.size(); ++at)
      if (s.params[at].name == from.buffer(id).name) break;
    return frame_.buffer(tensors_[call.tensors[at]].buffers[0]);
  };
  for (const ir::DimDefinition& d : from.dims) {
    if (d.value.known()) {
      in.bind(d.dim, in.map(d.value));
      continue;
    }
    const ir::Buffer &param = from.buffer(d.buffer), &arg = argument(d.buffer);
    const ir::AxisSpan span = ir::array_axes(param)[static_cast<size_t>(d.array_axis)];
    ir::Expr whole = ir::index_constant(1);
    for (size_t i = span.begin; i < span.end; ++i) {
      const auto* v = param.box[i].hi.as<ir::Var>();
      if (v && v->symbol == d.dim && !in.bound(d.dim)) in.bind(d.dim, extent_of(arg.box[i]));
      whole = whole * extent_of(arg.box[i]);
    }
    if (in.bound(d.dim)) continue;
    ir::Expr value = whole - in.map(d.offset);
    if (d.divisor.known() && !ir::is_constant(d.divisor, 1))
      value = ir::binary(ir::BinaryOp::div, value, in.map(d.divisor));
    in.bind(d.dim, ir::simplify(value));
  }
  for (size_t i = 0; i < s.params.size(); ++i) {
    if (call.tensors[i] < 0) continue;
    const Tensor& t = tensors_[call.tensors[i]];
    const ir::Buffer& arg = frame_.buffer(t.buffers[0]);
    for (const ir::Parameter& q : from.parameters) {
      if (!q.buffer.known() || from.buffer(q.buffer).name != s.params[i].name) continue;
      for (size_t k = 0; k < arg.box.size(); ++k) {
        ir::Expr wanted = in.map(from.buffer(q.buffer).box[k].hi), seen = extent_of(arg.box[k]);
        if (ir::same(wanted, seen) || ir::equal(wanted, seen, facts_)) continue;
        report(
            Diagnostic(codes::range_conflict, call.given[i]->place,
                       "a dim of `" + s.params[i].name + "` of `" + call.op->name() + "` is `" + text(wanted) +
                           "` by the other arguments, and `" + text(seen) + "` of `" + t.name + "`")
                .label(s.params[i].place, "`" + s.params[i].name + "` is declared here")
                .with_help("if they are equal, say so: `require " + text(wanted) + " == " + text(seen) + ", \"..\"`"));
        return false;
      }
    }
  }
  return true;
}

bool OpChecker::merge(const Call& call, const ir::Op& callee) {
  const ir::Program& from = callee.frame;
  const OpSignature& s = call.op->signature;
  const std::string prefix = call.eq->left[0].path.first();
  InlinedOp in(result_.op, callee, prefix);
  for (size_t i = 0; i < from.symbols.size(); ++i)
    if (from.symbols[i].kind == ir::SymbolKind::constant)
      if (auto value = call.values.find(from.symbols[i].name); value != call.values.end())
        in.bind(ir::SymbolId{static_cast<uint32_t>(i)}, value->second);
  for (const ir::Parameter& q : from.parameters) {
    if (q.scalar.known()) {
      auto value = call.values.find(from.symbol(q.scalar).name);
      in.bind(q.scalar, value != call.values.end() ? value->second : q.default_value);
      continue;
    }
    for (size_t i = 0; i < s.params.size(); ++i)
      if (call.tensors[i] >= 0 && s.params[i].name == from.buffer(q.buffer).name) {
        const Tensor& t = tensors_[call.tensors[i]];
        const ir::Buffer &param = from.buffer(q.buffer), &arg = frame_.buffer(t.buffers[0]);
        const bool from_zero =
            std::all_of(arg.box.begin(), arg.box.end(), [](const ir::BoxDim& d) { return ir::is_constant(d.lo, 0); });
        if (!from_zero || param.box.size() != arg.box.size() || param.groups != t.groups) {
          report(Diagnostic(codes::bad_call, call.given[i]->place,
                            from_zero ? "`" + t.name + "` and `" + s.params[i].name + "` of `" + call.op->name() +
                                            "` have other composite dims"
                                      : "a dim of `" + t.name + "` does not begin at 0, as those of an argument do")
                     .label(s.params[i].place, "`" + s.params[i].name + "` is declared here")
                     .label(t.place, "`" + t.name + "` is defined here"));
          return false;
        }
        in.bind(q.buffer, t.buffers[0]);
      }
  }
  if (!bind_dims(call, callee, in)) return false;
  if (!call_requirements(call, callee, in) || !call_results(call, callee, in)) return false;
  std::vector<ir::Equation> equations = in.equations();
  std::vector<ir::StmtForm> first = in.first_checks();
  for (ir::StmtForm& check : first) {
    if (reads_inputs_only(frame_, check)) first_checks_.push_back(std::move(check));
    else if (!equations.empty()) equations.front().checks.push_back(std::move(check));
  }
  for (ir::Equation& e : equations) result_.op.equations.push_back(std::move(e));
  ir::InlinedCall record{prefix, call.op->name(), {}, {}};
  for (size_t i = 0; i < s.params.size(); ++i)
    if (call.tensors[i] >= 0) record.tensors.emplace_back(s.params[i].name, tensors_[call.tensors[i]].name);
  for (size_t i = 0; i < s.results.size(); ++i)
    record.tensors.emplace_back(s.results[i].name, tensors_[call.targets[i]].name);
  for (const ir::Symbol& symbol : from.symbols)
    if (symbol.kind == ir::SymbolKind::dim || symbol.kind == ir::SymbolKind::constant) {
      const auto id = ir::SymbolId{static_cast<uint32_t>(&symbol - from.symbols.data())};
      if (in.bound(id)) record.values.emplace_back(symbol.name, in.map(ir::var(id, symbol.type)));
    }
  for (const ir::InlinedCall& own : callee.frame.calls)
    if (own.prefix.empty()) record.values.insert(record.values.end(), own.values.begin(), own.values.end());
  frame_.calls.push_back(record);
  for (ir::InlinedCall inner : callee.frame.calls) {
    if (inner.prefix.empty()) continue;
    inner.prefix = prefix + "." + inner.prefix;
    for (auto& [name, tensor] : inner.tensors) {
      auto outer = std::find_if(record.tensors.begin(), record.tensors.end(),
                                [&, &tensor = tensor](const auto& t) { return t.first == tensor; });
      tensor = outer != record.tensors.end() ? outer->second : prefix + "." + tensor;
    }
    for (auto& [name, value] : inner.values) value = in.map(value);
    frame_.calls.push_back(std::move(inner));
  }
  return true;
}

// What the called op requires is known to hold, or required of the caller.
bool OpChecker::call_requirements(const Call& call, const ir::Op& callee, const InlinedOp& in) {
  for (const ir::Requirement& r : callee.frame.requirements) {
    ir::Expr c = in.map(r.condition);
    if (const int64_t* value = ir::constant_value(c)) {
      if (*value) continue;
      report(Diagnostic(codes::requirement_fails, call.syntax->callee.place,
                        "`" + call.op->name() + "` requires what does not hold: " + r.text)
                 .label(r.place, "required here"));
      return false;
    }
    if (ir::prove(facts_, c)) continue;
    frame_.facts.push_back(c);
    frame_.requirements.push_back({c, r.text, call.eq->place});
    facts_.add(c);
  }
  return true;
}

bool OpChecker::call_results(const Call& call, const ir::Op& callee, InlinedOp& in) {
  const ir::Program& from = callee.frame;
  size_t at = 0;
  for (const ir::Parameter& q : from.parameters) {
    if (!q.buffer.known() || from.buffer(q.buffer).role != ir::Role::out) continue;
    Tensor& t = tensors_[call.targets[at]];
    const ir::Buffer made = from.buffer(q.buffer);
    const SignatureParam& result = call.op->signature.results[at++];
    if (!t.result) {
      ir::Buffer b = made;
      b.name = t.name;
      b.role = ir::Role::temporary;
      b.place = t.place;
      for (ir::BoxDim& d : b.box) d.lo = in.map(d.lo), d.hi = in.map(d.hi);
      b.groups.clear();
      t.groups = made.groups;
      t.buffers = {frame_.add(std::move(b))};
      in.bind(q.buffer, t.buffers[0]);
      continue;
    }
    const ir::Buffer& wanted = frame_.buffer(t.buffers[0]);
    bool same = wanted.type == made.type && wanted.box.size() == made.box.size() && t.groups == made.groups;
    for (size_t k = 0; same && k < made.box.size(); ++k) {
      ir::Expr extent = in.map(made.box[k].hi);
      same = ir::same(extent, wanted.box[k].hi) || ir::equal(extent, wanted.box[k].hi, facts_);
    }
    if (!same) {
      std::string shape;
      for (const ir::BoxDim& d : made.box) shape += (shape.empty() ? "" : ", ") + text(in.map(d.hi));
      report(Diagnostic(codes::range_conflict, call.eq->place,
                        "`" + call.op->name() + "` gives `" + std::string(ir::scalar_type_name(made.type)) + "[" +
                            shape + "]`, and `" + t.name + "` is declared otherwise")
                 .label(t.place, "`" + t.name + "` is declared here")
                 .label(result.place, "`" + result.name + "` of `" + call.op->name() + "`"));
      return false;
    }
    in.bind(q.buffer, t.buffers[0]);
  }
  return true;
}

}  // namespace heddle::frontend
