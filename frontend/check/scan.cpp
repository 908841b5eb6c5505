// `scan t { h[t, j] = a * (h[t - 1, j] or 0) + x[t, j] }`: a block of stages that run together, one step of `t` after the other. A
// stage reads those before it at `t`, and itself and those after it at earlier steps; in a reverse block, later ones. All stages of
// a block share the range of `t`: written, the dim of a result, or what the first bare read gives.
#include <algorithm>
#include <functional>

#include "frontend/check/op_checker.h"
#include "frontend/codes.h"
#include "ir/visit.h"

namespace heddle::frontend {

using ir::ScalarType;
using Reads = std::function<void(const ast::Read&, bool conditional)>;

namespace {

void reads_of(const ast::Expr& e, bool conditional, const Reads& f);

void reads_of(const ast::Entries& list, bool conditional, const Reads& f) {
  for (const ast::Entry& x : list) {
    if (x.value) reads_of(*x.value, conditional, f);
    if (x.hi) reads_of(*x.hi, conditional, f);
  }
}

// Every read of an expression, and whether it may be skipped.
void reads_of(const ast::Expr& e, bool conditional, const Reads& f) {
  if (const auto* r = e.as<ast::Read>()) {
    f(*r, conditional);
    reads_of(r->ref.subs, conditional, f);
    reads_of(r->ref.field_subs, conditional, f);
    if (r->otherwise) reads_of(*r->otherwise, true, f);
  } else if (const auto* b = e.as<ast::Binary>()) {
    bool lazy = b->op == ast::BinaryOp::logical_and || b->op == ast::BinaryOp::logical_or;
    reads_of(*b->left, conditional, f), reads_of(*b->right, conditional || lazy, f);
  } else if (const auto* u = e.as<ast::Unary>()) {
    reads_of(*u->value, conditional, f);
  } else if (const auto* i = e.as<ast::If>()) {
    reads_of(*i->condition, conditional, f), reads_of(*i->yes, true, f), reads_of(*i->no, true, f);
  } else if (const auto* c = e.as<ast::Call>()) {
    reads_of(c->args, conditional, f);
  } else if (const auto* t = e.as<ast::Tuple>()) {
    reads_of(t->entries, conditional, f);
  }
}

void reads_of(const ast::Right& right, const Reads& f) {
  if (right.value) reads_of(*right.value, false, f);
  if (!right.reduction) return;
  reads_of(right.reduction->binders, false, f);
  reads_of(right.reduction->fields, false, f);
  if (right.reduction->condition) reads_of(*right.reduction->condition, false, f);
  if (right.reduction->body) reads_of(*right.reduction->body, false, f);
}

const std::string* index_name(const ast::Entry& e) {
  if (e.bound) return &e.bound->text;
  return e.kind == ast::Entry::Kind::value && e.value ? e.value->as_name() : nullptr;
}

// One subscript after the other, composite ones taken apart, with the logical dim of each. False past a subscript of unknown rank.
bool for_each_sub(const ast::Entries& subs, const std::function<int(const std::string&)>& rank_of_pack,
                  const std::function<void(const ast::Entry&, size_t)>& f) {
  size_t dim = 0;
  for (const ast::Entry& e : subs) {
    if (e.kind == ast::Entry::Kind::pack) {
      int rank = rank_of_pack(e.pack.text);
      if (rank < 0) return false;
      dim += static_cast<size_t>(rank);
      continue;
    }
    const auto* tuple = e.value ? e.value->as<ast::Tuple>() : nullptr;
    if (!tuple) f(e, dim++);
    else
      for (const ast::Entry& part : tuple->entries) f(part, dim++);
  }
  return true;
}

size_t rank_of(const ast::Entries& subs, const std::function<int(const std::string&)>& rank_of_pack) {
  size_t rank = 0;
  for (const ast::Entry& e : subs) {
    const auto* tuple = e.value ? e.value->as<ast::Tuple>() : nullptr;
    rank += e.kind == ast::Entry::Kind::pack ? static_cast<size_t>(std::max(rank_of_pack(e.pack.text), 0))
            : tuple                          ? tuple->entries.size()
                                             : 1;
  }
  return rank;
}

}  // namespace

void OpChecker::scan(const ast::Scan& scan) {
  if (auto named = names_.find(scan.axis.text); named != names_.end() || later_.count(scan.axis.text)) {
    const Place& other = named != names_.end() ? named->second.place : later_.find(scan.axis.text)->second;
    report(Diagnostic(codes::index_name_taken, scan.axis.place,
                      "the index `" + scan.axis.text + "` of the scan is named like something else")
               .label(other, "`" + scan.axis.text + "` is defined here")
               .with_help("choose another name for the index"));
    return;
  }
  std::vector<std::pair<const ast::Equation*, int>> stages;
  scan_ = ScanState();
  scan_.block = static_cast<int>(result_.op.scans.size());
  bool ok = true;
  for (const ast::Stmt& s : scan.body) {
    const auto* eq = std::get_if<ast::Equation>(&s.form);
    bool calls = eq && eq->right.value && op_called(*eq->right.value);
    if (!eq || eq->kind == ast::AssignKind::update || eq->left.size() != 1 || calls) {
      report(Diagnostic(
                 codes::misplaced, s.place(),
                 calls ? "a call of an op stands outside of a scan" : "a scan holds equations of one left side each")
                 .with_help(eq ? "move it out of the scan" : "move it to the top of the op"));
      ok = false;
      for (const ast::Ref& left : eq ? eq->left : std::vector<ast::Ref>())  // said once
        if (auto named = names_.find(left.path.first());
            named != names_.end() && named->second.kind == Named::Kind::tensor)
          tensors_[named->second.tensor].defined = left.place;
      continue;
    }
    int target = target_of(*eq);
    ok &= target >= 0 && scan_target(scan, *eq, target);
    if (target >= 0) stages.emplace_back(eq, target);
  }
  if (stages.empty() && ok) {
    report(Diagnostic(codes::misplaced, scan.place, "the scan over `" + scan.axis.text + "` has no stages"));
    ok = false;
  }
  if (!ok || !scan_range(scan, stages)) return void(scan_ = ScanState());
  scan_.item = &scan;
  for (auto& [eq, target] : stages) tensors_[target].state = Tensor::State::pending;
  const size_t before = found_.size();
  declare_read_early(scan, stages);
  if (found_.size() != before) {
    for (auto& [eq, target] : stages) tensors_[target].state = Tensor::State::broken;
    return void(scan_ = ScanState());
  }
  ir::ScanBlock block;
  block.axis = frame_.add(ir::Symbol{scan.axis.text, ir::SymbolKind::axis, ScalarType::index,
                                     tensors_[stages.back().second].name, scan.axis.place});
  block.lo = scan_.lo;
  block.hi = scan_.hi;
  block.reverse = scan.reverse;
  result_.op.scans.push_back(std::move(block));
  for (auto& [eq, target] : stages) equation(*eq, target);
  show_later();
  scan_ = ScanState();
}

// The target stands at `t` on the left, in one dim.
bool OpChecker::scan_target(const ast::Scan& scan, const ast::Equation& eq, int target) {
  Tensor& t = tensors_[target];
  auto rank_of_pack = [&](const std::string& name) {
    auto pack = packs_.find(name);
    return pack == packs_.end() ? -1 : pack->second.rank;
  };
  int found = 0;
  for_each_sub(eq.left[0].subs, rank_of_pack, [&](const ast::Entry& e, size_t dim) {
    const std::string* name = index_name(e);
    if (!name || *name != scan.axis.text) return;
    ++found;
    t.scan_dim = dim;
  });
  t.scan = scan_.block;
  if (found == 1) return true;
  report(Diagnostic(codes::left_side, eq.left[0].place,
                    found ? "`" + t.name + "` has the index `" + scan.axis.text + "` of the scan twice"
                          : "`" + t.name + "` has no index `" + scan.axis.text + "`, over which the scan runs")
             .label(scan.axis.place, "the scan runs over `" + scan.axis.text + "`")
             .with_help(found ? "one dim keeps the steps"
                              : "a stage that is the same at each step stands before the scan"));
  return false;
}

bool OpChecker::scan_range(const ast::Scan& scan, const std::vector<std::pair<const ast::Equation*, int>>& stages) {
  auto rank_of_pack = [&](const std::string& name) {
    auto pack = packs_.find(name);
    return pack == packs_.end() ? -1 : pack->second.rank;
  };
  size_t before = found_.size();
  scope_ = Scope();
  for (auto& [eq, target] : stages)
    for_each_sub(eq->left[0].subs, rank_of_pack, [&](const ast::Entry& e, size_t) {
      if (!e.bound || e.bound->text != scan.axis.text || e.kind != ast::Entry::Kind::range) return;
      Index index;
      scope_.visible = 0;
      if (!written_range(e, index)) return;
      if (depends_on_data(index.lo) || depends_on_data(index.hi))
        return report(unsupported("a left range that depends on data", e.place));
      if (scan_.lo.known() && (!ir::equal(index.lo, scan_.lo, facts_) || !ir::equal(index.hi, scan_.hi, facts_)))
        return report(Diagnostic(codes::range_conflict, e.place, "the scan has two ranges")
                          .label(scan_.range_place, "`" + scan.axis.text + "` has another range here")
                          .with_help("all stages of a scan run over one range"));
      scan_.lo = index.lo;
      scan_.hi = index.hi;
      scan_.range_place = e.place;
    });
  scope_ = Scope();
  if (found_.size() != before) return false;
  auto take = [&](const ir::BoxDim& box, const Place& place) {
    if (scan_.lo.known()) return;
    scan_.lo = box.lo;
    scan_.hi = box.hi;
    scan_.range_place = place;
  };
  for (auto& [eq, target] : stages) {
    const Tensor& t = tensors_[target];
    if (!t.result) continue;
    const ir::Buffer& buffer = frame_.buffer(t.buffers[0]);
    if (t.scan_dim < buffer.box.size()) take(buffer.box[t.scan_dim], t.place);
  }
  for (auto& [eq, target] : stages)
    reads_of(eq->right, [&](const ast::Read& read, bool conditional) {
      auto named = names_.find(read.ref.path.first());
      if (conditional || read.otherwise || named == names_.end() || named->second.kind != Named::Kind::tensor) return;
      const Tensor& t = tensors_[named->second.tensor];
      if (t.state != Tensor::State::readable || t.buffers.empty()) return;
      const ir::Buffer& buffer = frame_.buffer(t.buffers[0]);
      for_each_sub(read.ref.subs, rank_of_pack, [&](const ast::Entry& e, size_t dim) {
        const std::string* name = index_name(e);
        if (name && *name == scan.axis.text && dim < buffer.box.size()) take(buffer.box[dim], e.place);
      });
    });
  if (scan_.lo.known()) return true;
  report(Diagnostic(codes::unbound_index, scan.axis.place, "nothing gives the index `" + scan.axis.text + "` a range")
             .with_help("write it in a left side of the scan: `" + scan.axis.text + " in 0 .. n`"));
  return false;
}

// A stage that is read before its equation, by itself or by one above, gets its buffer now: its type follows from what it is made
// of, its shape from its equation.
void OpChecker::declare_read_early(const ast::Scan& scan,
                                   const std::vector<std::pair<const ast::Equation*, int>>& stages) {
  auto rank_of_pack = [&](const std::string& name) {
    auto pack = packs_.find(name);
    return pack == packs_.end() ? -1 : pack->second.rank;
  };
  std::map<std::string, ScalarType> known;
  for (bool more = true; more;) {
    more = false;
    for (auto& [eq, target] : stages) {
      const std::string& name = tensors_[target].name;
      if (tensors_[target].result || known.count(name)) continue;
      if (Hint type = likely_type(eq->right, known)) {
        known[name] = *type;
        more = true;
      }
    }
  }
  for (size_t i = 0; i < stages.size(); ++i) {
    Tensor& t = tensors_[stages[i].second];
    if (t.result) continue;
    const Place* early = nullptr;
    Place place;
    for (size_t k = 0; k <= i; ++k)
      reads_of(stages[k].first->right, [&](const ast::Read& read, bool) {
        if (early || read.ref.path.first() != t.name) return;
        place = read.ref.place;
        early = &place;
      });
    if (!early) continue;
    auto type = known.find(t.name);
    if (type == known.end()) {
      report(Diagnostic(codes::untyped_literal, *early,
                        "`" + t.name + "` is read before its equation, and nothing gives its type")
                 .label(stages[i].first->place, "its equation stands here")
                 .with_help("give the value for the start a type: `.. or f32(0)`"));
      continue;
    }
    ir::Buffer buffer;
    buffer.name = t.name;
    buffer.type = type->second;
    buffer.place = t.place;
    const ast::Entries& subs = stages[i].first->left[0].subs;
    buffer.box.resize(rank_of(subs, rank_of_pack));
    buffer.box[t.scan_dim] = {scan.axis.text, scan_.lo, scan_.hi};
    t.buffers = {frame_.add(std::move(buffer))};
    t.groups.clear();
    for (const ast::Entry& e : subs) {
      const auto* tuple = e.value ? e.value->as<ast::Tuple>() : nullptr;
      int parts = tuple ? static_cast<int>(tuple->entries.size()) : 1;
      for (int n = e.kind == ast::Entry::Kind::pack ? rank_of_pack(e.pack.text) : 1; n > 0; --n)
        t.groups.push_back(parts);
    }
    if (std::all_of(t.groups.begin(), t.groups.end(), [](int g) { return g == 1; })) t.groups.clear();
  }
}

// The index of the block on a left side.
bool OpChecker::scan_index(const ast::Entry& e, const ast::Name& name, std::vector<ir::Expr>& subs) {
  int at = new_index(name.text, e.place, scan_.item->reverse ? ir::AxisClass::scan_reverse : ir::AxisClass::scan);
  scope_.indices[at].lo = scan_.lo;
  scope_.indices[at].hi = scan_.hi;
  scope_.indices[at].range_place = scan_.range_place;
  subs.push_back(ir::var(scope_.indices[at].symbol));
  return true;
}

// `h[t, j] = sum[m] h[t - 1, m] * w[m, j]`: a reduction that reads what it makes, at another step.
bool OpChecker::reduces_itself(int target, const std::string& reducer, const ir::Expr& value) const {
  if (!scan_.item || reducer.empty()) return false;
  const std::vector<ir::BufferId>& own = tensors_[target].buffers;
  bool found = false;
  auto note = [&](const ir::Expr& e) {
    if (!e.known()) return;
    ir::walk(e, [&](const ir::Expr& node) {
      if (const auto* l = node.as<ir::Load>()) found |= std::find(own.begin(), own.end(), l->buffer) != own.end();
      return !found;
    });
  };
  note(value), note(scope_.where);
  for (const Index& i : scope_.indices) note(i.lo), note(i.hi);
  return found;
}

// Nothing is read while it is reduced, so the terms meet in a stage of their own, `h_sum`, and `h` takes its value.
void OpChecker::finish_reduced_itself(int target, const ast::Equation& eq, const std::vector<ir::Expr>& subs,
                                      const std::vector<int>& groups, const ir::Expr& value,
                                      const std::string& reducer) {
  Tensor reduced;
  reduced.name = fresh_name(tensors_[target].name + "_" + reducer);
  ir::Buffer buffer;
  buffer.name = reduced.name;
  buffer.type = value.type();
  buffer.place = eq.place;
  for (const ir::Expr& sub : subs) {
    const Index* index = index_of(sub);
    buffer.box.push_back({index->name, index->lo, index->hi});
  }
  reduced.buffers = {frame_.add(std::move(buffer))};
  ir::Equation equation;
  equation.reducer = reducer;
  ir::Assign assign;
  assign.buffer = reduced.buffers[0];
  assign.subs = subs;
  assign.kind = ir::AssignKind::combine;
  assign.value = value;
  equation.assigns.push_back(std::move(assign));
  for (const Index& i : scope_.indices) frame_.symbols[i.symbol.value].owner = reduced.name;
  equation.stage = frame_.add(stage_row(reduced, eq, reducer));
  add_equation(std::move(equation));
  take(target, eq, subs, groups, ir::load(value.type(), reduced.buffers[0], subs));
}

// The shape of a stage that was declared before its equation.
void OpChecker::fill_box(const Tensor& target, const std::vector<ir::Expr>& subs) {
  if (target.result || target.inout || target.buffers.empty()) return;
  ir::Buffer& buffer = frame_.buffers[target.buffers[0].value];
  for (size_t d = 0; d < subs.size() && d < buffer.box.size(); ++d) {
    const Index* index = index_of(subs[d]);
    buffer.box[d] = {index->name, index->lo, index->hi};
  }
}

bool OpChecker::shape_known(const Access& access) const {
  const ir::Buffer& buffer = frame_.buffer(access.buffer);
  return std::all_of(buffer.box.begin(), buffer.box.end(), [](const ir::BoxDim& d) { return d.lo.known(); });
}

// A stage of the block at hand is read where it is computed already.
bool OpChecker::in_scan_order(const Access& access) {
  const Tensor& t = tensors_[access.tensor];
  if (!scan_.item || t.scan != scan_.block || !options_.show_bounds) return true;
  const ir::Expr& sub = access.subs[t.scan_dim];
  const Index* now = nullptr;
  for (const Index& i : scope_.indices)
    if (i.cls == ir::AxisClass::scan || i.cls == ir::AxisClass::scan_reverse) now = &i;
  if (!now) return true;
  ir::Expr at = ir::var(now->symbol), step = ir::index_constant(access.finished ? 0 : 1);
  bool reverse = scan_.item->reverse;
  ir::Expr computed = reverse ? ir::less_equal(at + step, sub) : ir::less_equal(sub + step, at);
  if (!depends_on_data(sub) && ir::prove(facts_at(access), computed)) return true;
  if (options_.definition && mentions_const(sub)) {
    result_.deferred = true;
    return true;
  }
  const std::string& name = scan_.item->axis.text;
  std::string back = name + (reverse ? " + 1" : " - 1");
  Diagnostic d(
      codes::stage_order, access.sub_places[t.scan_dim],
      "cannot show that `" + t.name + "` is computed at `" + text(sub) + "` when `" + scope_.stage + "` reads it");
  d.labels.push_back({t.defined, "`" + t.name + "` is computed here, one step of `" + name + "` after the other"});
  d.help = access.finished ? "a scan reads what is above at `" + name + "` or " + (reverse ? "later" : "earlier")
                           : "read it one step " + std::string(reverse ? "later" : "back") + ", `" + back +
                                 "`, with `or` for the start; or move its equation up";
  report(std::move(d));
  return false;
}

void OpChecker::show_later() {
  std::vector<ScanState::Later> later = std::move(scan_.later);
  for (ScanState::Later& l : later) {
    scope_ = std::move(l.scope);
    const Access access = scope_.accesses[l.access];
    if (!shape_known(access) || tensors_[access.tensor].state != Tensor::State::readable) continue;
    stage_checks_.clear();
    for (size_t k = 0; k < access.subs.size(); ++k) show(access, k);
    if (stage_checks_.empty() || l.equation >= result_.op.equations.size()) continue;
    for (ir::Assign& a : result_.op.equations[l.equation].assigns) a.value = tried(a.value);
    auto& checks = result_.op.equations[l.equation].checks;
    checks.insert(checks.end(), stage_checks_.begin(), stage_checks_.end());
  }
}

// The type that a right side is likely to have, from the parts whose type is known; its check follows when it is read.
Hint OpChecker::likely_type(const ast::Right& right, const std::map<std::string, ScalarType>& known) const {
  if (right.value) return likely_type(*right.value, known);
  const std::string name = right.reduction->reducer.text();
  if (name == "argmax" || name == "argmin") return ScalarType::i64;
  if (!is_builtin_reducer(name) || !right.reduction->body) return {};
  if (name == "any" || name == "all") return ScalarType::boolean;
  return likely_type(*right.reduction->body, known);
}

Hint OpChecker::likely_type(const ast::Expr& e, const std::map<std::string, ScalarType>& known) const {
  if (const auto* l = e.as<ast::Literal>())
    return l->kind == ast::Literal::Kind::boolean ? Hint(ScalarType::boolean) : Hint();
  if (const auto* r = e.as<ast::Read>()) {
    auto early = known.find(r->ref.path.first());
    if (early != known.end()) return early->second;
    auto named = names_.find(r->ref.path.first());
    if (named == names_.end()) return {};
    if (named->second.kind == Named::Kind::scalar) return named->second.value.type();
    if (named->second.kind == Named::Kind::tensor) {
      const Tensor& t = tensors_[named->second.tensor];
      std::string field = r->ref.field ? r->ref.field->text : r->ref.path.bare() ? "" : r->ref.path.last();
      for (ir::BufferId id : t.buffers)
        if (frame_.buffer(id).field == field) return frame_.buffer(id).type;
    }
    return r->otherwise ? likely_type(*r->otherwise, known) : Hint();
  }
  if (const auto* u = e.as<ast::Unary>())
    return u->op == ast::UnaryOp::logical_not ? Hint(ScalarType::boolean) : likely_type(*u->value, known);
  if (const auto* b = e.as<ast::Binary>()) {
    bool logic = b->op >= ast::BinaryOp::logical_and || (b->op >= ast::BinaryOp::eq && b->op <= ast::BinaryOp::ge);
    if (logic) return ScalarType::boolean;
    Hint right = likely_type(*b->right, known);
    return right ? right : likely_type(*b->left, known);
  }
  if (const auto* i = e.as<ast::If>()) {
    Hint yes = likely_type(*i->yes, known);
    return yes ? yes : likely_type(*i->no, known);
  }
  const auto* c = e.as<ast::Call>();
  if (!c) return {};
  const std::string name = c->callee.text();
  if (auto type = type_word(name)) return type;
  if (name == "saturate" && !c->args.empty() && c->args[0].value && c->args[0].value->as_name())
    return type_word(*c->args[0].value->as_name());
  for (const ast::Entry& a : c->args)
    if (Hint type = a.value ? likely_type(*a.value, known) : Hint())
      return name != "widen"                                      ? type
             : *type == ScalarType::i8 || *type == ScalarType::u8 ? Hint(ScalarType::i32)
             : ir::is_float(*type) && ir::scalar_bytes(*type) < 4 ? Hint(ScalarType::f32)
                                                                  : type;
  return {};
}

}  // namespace heddle::frontend
