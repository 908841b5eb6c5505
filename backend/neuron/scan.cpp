// Recurrences along a row: a loop of the text that carries `s[t] = (s[t - 1] or c) * a[t] + b[t]`, the factor or the term as they come, is one
// instruction over the free axis. `basic` has none: its sums, where their order is free, double the reach of each step.
#include "backend/neuron/lowering.h"
#include "ir/bound.h"

namespace heddle::neuron {

using namespace ir;

namespace {

// The factors and the term of such a recurrence; none where the value has another form.
struct Recurrence {
  Expr start, factor, term;  // in the axes of the stage
};
std::optional<Recurrence> recurrence_of(const Leaf& l, SymbolId axis) {
  const Assign& a = l.assigns[0];
  auto previous = [&](const Expr& e) -> const Load* {
    const Load* read = e.as<Load>();
    if (!read || read->buffer != a.buffer || !read->otherwise.known() || read->subs.size() != a.subs.size())
      return nullptr;
    for (size_t d = 0; d < a.subs.size(); ++d) {
      const Var* v = a.subs[d].as<Var>();
      const Expr there = v && v->symbol == axis ? a.subs[d] - 1 : a.subs[d];
      if (!is_constant(simplify(read->subs[d] - there), 0)) return nullptr;
    }
    return read;
  };
  auto free_of_it = [&](const Expr& e) {
    bool reads = false;
    walk(e, [&](const Expr& part) {
      const Load* read = part.as<Load>();
      reads |= read && read->buffer == a.buffer;
      return !reads;
    });
    return !reads;
  };
  auto scaled = [&](const Expr& e) -> std::optional<Recurrence> {
    if (const Load* read = previous(e)) return Recurrence{read->otherwise, {}, {}};
    const Binary* m = e.as<Binary>();
    if (!m || m->op != BinaryOp::mul) return std::nullopt;
    for (auto [it, other] : {std::pair{&m->left, &m->right}, std::pair{&m->right, &m->left}})
      if (const Load* read = previous(*it); read && free_of_it(*other)) return Recurrence{read->otherwise, *other, {}};
    return std::nullopt;
  };
  if (a.value.type() != ScalarType::f32) return std::nullopt;
  if (std::optional<Recurrence> product = scaled(a.value); product && product->factor.known()) return product;
  const Binary* sum = a.value.as<Binary>();
  if (!sum || sum->op != BinaryOp::add) return std::nullopt;
  for (auto [it, other] : {std::pair{&sum->left, &sum->right}, std::pair{&sum->right, &sum->left}})
    if (std::optional<Recurrence> out = scaled(*it); out && free_of_it(*other)) {
      out->term = *other;
      return out;
    }
  return std::nullopt;
}

}  // namespace

bool Lowering::scanned(const For& f) {
  const Leaf* l = f.kind == LoopKind::serial && f.body.size() == 1 ? std::get_if<Leaf>(&f.body[0]->form) : nullptr;
  if (!l || l->assigns.size() != 1 || l->assigns[0].kind != AssignKind::define || !l->assigns[0].over.empty())
    return false;
  const Stage& stage = p_.stage(l->stage);
  SymbolId axis;
  for (size_t i = 0; i < stage.axes.size(); ++i)
    if (stage.axes[i].cls == AxisClass::scan) {
      const Var* whole = l->bindings[i].as<Var>();
      if (!whole || whole->symbol != f.loop || !equal(stage.axes[i].lo, f.lo, facts_)) return false;
      axis = stage.axes[i].symbol;
    } else if (mentions(l->bindings[i], f.loop) || stage.axes[i].cls == AxisClass::scan_reverse) {
      return false;
    }
  if (!axis.known()) return false;
  const Assign& a = l->assigns[0];
  std::optional<Recurrence> form = recurrence_of(*l, axis);
  const Constant* start = form ? simplify(form->start).as<Constant>() : nullptr;
  if (!start) return false;
  const bool steps = basic() && !form->factor.known() && start->real == 0 && p_.allow.reassociate;
  if (basic() && !steps) return false;
  Axes axes = axes_of(*l, nullptr);
  if (axes.free || !failure_.empty()) return false;
  axes.free = BoundLoop{f.loop, f.lo, f.hi};
  std::vector<BoundLoop*> loops = {&*axes.free};
  if (axes.partition) loops.push_back(&*axes.partition);
  std::vector<Expr> outer, mask;
  cut(conjuncts(l->predicate), loops, outer, mask);
  if (!mask.empty()) return false;
  for (BoundLoop* b : loops)
    if (!prove(facts_, less_equal(index_constant(1), b->count()))) outer.push_back(less(index_constant(0), b->count()));

  const Substitution map = point_of(p_, *l);
  const Leaf* before = leaf_;
  Facts outside = facts_;
  leaf_ = l;
  leaf_value_ = substitute(a.value, map);
  loaded_.clear();
  guarded(outer, [&] {
    for (BoundLoop* b : loops) counted(b->count());
    facts_.add_range(f.loop, axes.free->lo, axes.free->hi);
    const std::vector<Expr> subs = substitute(a.subs, map);
    std::optional<Destination> to = destination(a.buffer, subs, axes);
    const bool stored = !to && failure_.empty();
    if (stored) {
      View row = space_for(axes, axes.partition.has_value(), true, ScalarType::f32, nullptr, {});
      to = Destination{row, ScalarType::f32};
    }
    if (!failure_.empty()) return;
    remark(ir::print(p_, ir::load(p_.buffer(a.buffer).type, a.buffer, a.subs)) + " = " + ir::print(p_, a.value));
    auto tile = [&](const Expr& e, double otherwise) {
      Value v = e.known() ? eval(substitute(e, map), axes) : number(otherwise);
      v = spread(v, axes, axes.partition.has_value(), true);
      return v.type == ScalarType::f32 ? in_sbuf(v, axes) : converted(v, ScalarType::f32, axes);
    };
    if (steps) {
      running_sums(tile(form->term, 0), *to, axes);
    } else {
      Value factor = tile(form->factor, 1), term = tile(form->term, 0);
      emit("tensor_tensor_scan", {{"dst", to->view},
                                  {"data0", factor.view},
                                  {"data1", term.view},
                                  {"initial", number_text(start->real)},
                                  {"op0", "nl.multiply"},
                                  {"op1", "nl.add"}});
    }
    if (!stored) return;
    Value row;
    row.view = to->view;
    row.over_partition = axes.partition.has_value();
    row.over_free = true;
    store(a.buffer, subs, axes, row);
  });
  facts_ = std::move(outside);
  leaf_ = before;
  return true;
}

// Each step adds what stands 1, 2, 4, .. columns before; two tiles in turns, as an instruction may not read what it has just written.
void Lowering::running_sums(Value sums, const Destination& to, const Axes& axes) {
  Expr n = counted(axes.frees());
  for (int64_t reach = 1; reach < bound_of(n); reach *= 2) {
    Expr more = counted(max(index_constant(0), n - reach)), same_still = counted(min(n, index_constant(reach)));
    View next = space_for(axes, sums.over_partition, true, ScalarType::f32, nullptr, {});
    auto part = [&](const View& v, const Expr& start, const Expr& count) {
      View out = v;
      out.axes[1] = {simple(v.axes[1].start + start * v.axes[1].step), count, v.axes[1].step};
      return out;
    };
    emit_engine("tensor_copy", {{"dst", part(next, index_constant(0), same_still)},
                                {"src", part(sums.view, index_constant(0), same_still)}});
    std::vector<Expr> some;
    if (!prove(facts_, less_equal(index_constant(1), more))) some.push_back(less(index_constant(0), more));
    guarded(some, [&] {
      emit_engine("tensor_tensor", {{"dst", part(next, index_constant(reach), more)},
                                    {"data1", part(sums.view, index_constant(reach), more)},
                                    {"data2", part(sums.view, index_constant(0), more)},
                                    {"op", "nl.add"}});
    });
    sums.view = next;
  }
  copy_into(to.view, sums, axes);
}

}  // namespace heddle::neuron
