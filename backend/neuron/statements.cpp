// The walk down the program: parameters, bodies and loops.
#include "backend/neuron/lowering.h"
#include "ir/array_axes.h"
#include "ir/bound.h"

namespace heddle::neuron {

using namespace ir;

namespace {

bool is_engine(const std::string& axis) { return axis == "gpsimd" || axis == "vector" || axis == "scalar"; }

// Loops marked `unrolled` written out, the copies share their buffers, each with fresh memory; and loops of one iteration, which are none.
// Boxes of buffers speak of the latter too: `gone` says what became of them, inner ones first.
// A loop over terms of which conditions leave some out stays: without it they would be conditions on the result.
Body written_out(const Program& p, const Body& body, Substitution& gone) {
  auto picks_terms = [&](const For& f) {
    bool any = false;
    walk(f.body, [&](const StmtRef& s) {
      const Leaf* l = std::get_if<Leaf>(&s->form);
      any |= l && p.stage(l->stage).where.known() && is_reduce_loop(p, *l, f.loop);
      return !any;
    });
    return any;
  };
  return rewrite_body(body, [&](const StmtRef& s) -> Body {
    const For* f = std::get_if<For>(&s->form);
    if (!f || f->kind == LoopKind::bound) return {s};
    if (is_constant(simplify(f->hi - f->lo), 1) && !picks_terms(*f)) {
      gone.push_back({f->loop, f->lo});
      Body out;
      for (const StmtRef& inner : f->body) out.push_back(substitute_loops(inner, {{f->loop, f->lo}}));
      return out;
    }
    const int64_t *lo = constant_value(f->lo), *hi = constant_value(f->hi);
    if (f->kind != LoopKind::unrolled || !lo || !hi) return {s};
    Body out;
    for (int64_t i = *lo; i < *hi; ++i)
      for (const StmtRef& inner : f->body) out.push_back(substitute_loops(inner, {{f->loop, index_constant(i)}}));
    return out;
  });
}

}  // namespace

Program Lowering::prepared(Program program) {
  Substitution gone;
  program.body = written_out(program, program.body, gone);
  for (Buffer& b : program.buffers)
    for (BoxDim& d : b.box)
      for (const auto& one : gone) {
        d.lo = substitute(d.lo, {one});
        d.hi = substitute(d.hi, {one});
      }
  return program;
}

Result<NkiKernel> Lowering::run() {
  facts_ = facts_of(p_);
  for (const Symbol& s : p_.symbols)
    if (s.kind == SymbolKind::dim)
      for (const DimDefinition& d : p_.dims)
        if (&p_.symbol(d.dim) == &s && !d.value.known())
          fail(codes::open_dim, "the dim `" + s.name + "` is not fixed",
               "compile with arrays of known extents, or fix it: `--fix " + s.name + "=..`", s.place);
  if (!failure_.empty()) return failure_;
  placed_.resize(p_.buffers.size());
  find_partition_dims();
  find_walked_dims();
  parameters();
  Block main;
  {
    BlockScope scope(*this, &main);
    body(k_.program.body);
  }
  if (!failure_.empty()) return failure_;
  k_.body = std::move(prologue_);
  for (Node& n : main) k_.body.push_back(std::move(n));
  return std::move(k_);
}

void Lowering::parameters() {
  std::string dot = p_.name.substr(0, p_.name.find('.'));
  k_.name = unique(dot);
  for (const Parameter& parameter : p_.parameters) {
    if (parameter.scalar.known()) {
      k_.scalars.push_back(unique(p_.symbol(parameter.scalar).name));
      if (!is_float(p_.symbol(parameter.scalar).type))
        fail(codes::no_integers,
             "`" + p_.symbol(parameter.scalar).name + "` is an integer scalar, known only when the kernel runs",
             "declare it `const`");
      continue;
    }
    const Buffer& b = p_.buffer(parameter.buffer);
    place_ = b.place;
    std::vector<int64_t> shape, dims;
    for (const BoxDim& d : b.box) dims.push_back(bound_of(simple(extent(d.lo, d.hi))));
    for (const AxisSpan& axis : array_axes(b)) {
      shape.push_back(1);
      for (size_t d = axis.begin; d < axis.end; ++d) shape.back() *= dims[d];
    }
    if (shape.empty()) shape.push_back(1);
    if (b.layout) {
      shape = shape_of(b, dims, b.place);
      std::string lies;
      for (const Expr& e : b.layout->to) lies += (lies.empty() ? "" : ", ") + ir::print(p_, e);
      std::string of;
      for (SymbolId i : b.layout->from) of += (of.empty() ? "" : ", ") + p_.symbol(i).name;
      k_.header.push_back(b.name + ": packed outside of the call, its element [" + of + "] is at [" + lies + "]");
    }
    ScalarType type = b.type;
    if (held(type) != type) {
      type = held(type);
      k_.header.push_back(b.name + ": 64-bit integers of the op, " + (b.role == Role::out ? "returned" : "passed") +
                          " as int32");
    }
    TileId t = make_tile(b.name, type, b.role == Role::out ? Space::output : Space::input, shape, "`" + b.name + "`");
    (b.role == Role::out ? k_.outputs : k_.inputs).push_back(t);
    if (b.role == Role::inout) {  // a kernel is a function: it begins with a copy, updates that and returns it
      k_.header.push_back(b.name + ": updated in place by the op, returned here");
      TileId next = make_tile(b.name + "_next", type, Space::output, shape, "`" + b.name + "`");
      k_.outputs.push_back(next);
      View from{t, {}};
      for (int64_t n : shape) from.axes.push_back({index_constant(0), index_constant(n)});
      View to = from;
      to.tile = next;
      if (std::find(shape.begin(), shape.end(), 0) == shape.end())
        prologue_.push_back({Instruction{"dma_copy", {{"dst", to}, {"src", from}}}, place_});
      t = next;
    }
    placed_[parameter.buffer.value].tile = t;
    placed_[parameter.buffer.value].extents = dims;
  }
}

void Lowering::body(const Body& statements) {
  for (const StmtRef& s : statements) {
    if (!failure_.empty()) return;
    statement(s);
  }
}

void Lowering::statement(const StmtRef& s) {
  Place before = place_;
  if (s->place.known()) place_ = s->place;
  for (size_t i = regions_.size(); i-- > 0;)
    if (regions_[i].mode == Region::Mode::grouped_accumulate && regions_[i].group_at == s.get() && !regions_[i].group) {
      group(s, i);
      place_ = before;
      return;
    }
  if (auto* f = std::get_if<For>(&s->form)) loop(*f);
  else if (auto* a = std::get_if<Alloc>(&s->form)) {
    for (BufferId id : a->buffers)
      if (placed_[id.value].slots == 1 && failure_.empty()) alloc(id, s->place);
  } else if (auto* r = std::get_if<Reduce>(&s->form)) reduce(s, *r);
  else if (auto* l = std::get_if<Leaf>(&s->form)) leaf(*l);
  else if (auto* c = std::get_if<Call>(&s->form)) call(s, *c);
  else if (auto* c = std::get_if<Check>(&s->form)) k_.header.push_back("not checked here: " + c->text);
  place_ = before;
}

void Lowering::loop(const For& f) {
  if (mentions_load(f.lo) || mentions_load(f.hi)) {
    fail(codes::no_form, "how often `" + loop_name(f.loop) + "` runs is data, which has no NKI text yet",
         "a condition instead of a range: `sum[j where j < length[i]]`");
    return;
  }
  Facts before = facts_;
  if (f.kind == LoopKind::bound && is_tile_axis(f.axis)) {
    bool innermost = true;  // of two loops over the free axis the inner one is the axis
    if (f.axis == "free")
      walk(f.body, [&](const StmtRef& s) {
        const For* g = std::get_if<For>(&s->form);
        if (g && g->kind == LoopKind::bound && g->axis == "free") innermost = false;
        return true;
      });
    if (innermost) {
      facts_.add_range(f.loop, f.lo, f.hi);
      bound_.push_back(&f);
      body(f.body);
      bound_.pop_back();
      facts_ = std::move(before);
      return;
    }
    if (copied_whole(f)) return;
  } else if (scanned(f)) {
    return;
  } else if (f.kind == LoopKind::bound && !is_engine(f.axis) && f.axis != "device") {
    fail(codes::mixed_axes,
         "`" + loop_name(f.loop) + "` is bound to `" + f.axis + "`, which is no axis of a NeuronCore",
         "axes are `partition` and `free`; engines `vector`, `scalar` and `gpsimd`; `device`");
    return;
  }
  // Conditions that all leaves share end the loop early: of bound loops inside, the iteration counts that meets them best.
  std::vector<Expr> shared;
  bool first = true;
  std::vector<const For*> inner;
  auto weakest = [&](const Leaf& l, const Expr& condition) {
    const Binary* c = condition.as<Binary>();
    Expr e = condition;
    for (const For* g : inner) {
      if (!mentions(e, g->loop)) continue;
      if (g->kind != LoopKind::bound || !c || c->left.type() != ScalarType::index) return Expr{};
      // Where nothing is summed the identity is written: loops of the result do not end for that.
      if (is_reduce_loop(p_, l, g->loop) && !is_reduce_loop(p_, l, f.loop)) return Expr{};
      const bool less_than = c->op == BinaryOp::lt || c->op == BinaryOp::le;
      if (!less_than && c->op != BinaryOp::gt && c->op != BinaryOp::ge) return Expr{};
      AffineIn gap = affine_in(simplify(less_than ? c->right - c->left : c->left - c->right), g->loop);
      if (!gap.ok) return Expr{};
      e = substitute(e, {{g->loop, gap.coefficient > 0 ? g->hi - 1 : g->lo}});
    }
    return mentions(e, f.loop) ? e : Expr{};
  };
  std::function<void(const Body&)> visit = [&](const Body& statements) {
    for (const StmtRef& s : statements) {
      const For* g = std::get_if<For>(&s->form);
      if (g) inner.push_back(g);
      if (const Leaf* l = std::get_if<Leaf>(&s->form)) {
        std::vector<Expr> mine;
        for (const Expr& e : conjuncts(l->predicate))
          if (Expr w = weakest(*l, e); w.known()) mine.push_back(w);
        if (first) shared = mine;
        else
          std::erase_if(shared, [&](const Expr& e) {
            return std::none_of(mine.begin(), mine.end(), [&](const Expr& m) { return same(m, e); });
          });
        first = false;
      }
      visit(children(s));
      if (g) inner.pop_back();
    }
  };
  visit(f.body);
  BoundLoop range{f.loop, f.lo, f.hi};
  std::vector<Expr> outer, mask;
  cut(shared, {&range}, outer, mask);
  // Only what became a bound holds inside; the leaves look at the others themselves.
  std::erase_if(shared, [&](const Expr& e) {
    auto is = [&](const Expr& other) { return same(other, e); };
    return std::any_of(outer.begin(), outer.end(), is) || std::any_of(mask.begin(), mask.end(), is);
  });
  std::string engine = engine_;
  if (is_engine(f.axis)) engine_ = f.axis;
  auto met = [&] {
    for (const Expr& e : shared) facts_.add(e);
  };
  auto run = [&](const Expr& lo, const Expr& hi, const std::function<void()>& also) {
    if (f.kind == LoopKind::pipelined && !f.stage_of.empty()) return overlapped(f, lo, hi, also);
    auto inside = [&] {
      also();
      body(f.body);
    };
    push_loop(f.loop, lo, hi, inside, f.axis == "device");
  };
  range.lo = simple(range.lo);
  range.hi = simple(range.hi);
  Expr without = unmasked(f);
  std::vector<Expr> none, mixed;
  BoundLoop clear = range;
  if (without.known()) cut({without}, {&clear}, none, mixed);
  // Iterations in which a mask leaves all of the tile are loops of their own, without it.
  const bool first_clear = without.known() && equal(clear.lo, range.lo, facts_),
             last_clear = without.known() && equal(clear.hi, range.hi, facts_);
  if (first_clear == last_clear) run(range.lo, range.hi, met);
  else {
    Expr middle = counted(first_clear ? max(range.lo, clear.hi) : min(range.hi, clear.lo));
    auto met_clear = [&] {
      met();
      facts_.add(without);
    };
    for (bool first : {true, false}) {
      if (is_constant(simple(first ? middle - range.lo : range.hi - middle), 0)) continue;
      if (first == first_clear) run(first ? range.lo : middle, first ? middle : range.hi, met_clear);
      else run(first ? range.lo : middle, first ? middle : range.hi, met);
    }
  }
  engine_ = engine;
}

// The condition on a loop of the text under which the masks inside, affine in partition and column, leave all of their tiles; none where they
// have no such condition in common.
Expr Lowering::unmasked(const For& f) {
  Expr found;
  bool several = false;
  std::vector<const For*> inner;
  std::function<void(const Body&)> visit = [&](const Body& statements) {
    for (const StmtRef& s : statements) {
      const For* g = std::get_if<For>(&s->form);
      if (g) inner.push_back(g);
      if (const Leaf* l = std::get_if<Leaf>(&s->form))
        for (const Expr& condition : conjuncts(l->predicate)) {
          const Binary* c = condition.as<Binary>();
          if (!c || c->left.type() != ScalarType::index || (c->op != BinaryOp::lt && c->op != BinaryOp::le)) continue;
          Expr gap = simplify(c->right - c->left - (c->op == BinaryOp::lt ? 1 : 0));
          std::vector<const For*> around = bound_;
          around.insert(around.end(), inner.begin(), inner.end());
          int axes = 0;
          bool affine = mentions(gap, f.loop);
          for (const For* g : around) {
            if (!affine || !mentions(gap, g->loop)) continue;
            AffineIn a = affine_in(gap, g->loop);
            affine = a.ok && g->kind == LoopKind::bound && is_tile_axis(g->axis);
            if (affine) gap = simplify(a.rest + (a.coefficient > 0 ? g->lo : g->hi - 1) * a.coefficient);
            ++axes;
          }
          if (!affine || axes < 2) continue;
          Expr e = less_equal(index_constant(0), gap);
          several |= found.known() && !same(found, e);
          found = e;
        }
      visit(children(s));
      if (g) inner.pop_back();
    }
  };
  visit(f.body);
  return several ? Expr{} : found;
}

// Loops over the free axis in each other around one load from HBM or one store to it, along dims that lie behind each other on both sides: one
// transfer.
bool Lowering::copied_whole(const For& f) {
  std::vector<const For*> chain = {&f};
  while (chain.back()->body.size() == 1) {
    const For* g = std::get_if<For>(&chain.back()->body[0]->form);
    if (!g) break;
    if (g->kind != LoopKind::bound || g->axis != "free") return false;
    chain.push_back(g);
  }
  const Leaf* l = chain.back()->body.size() == 1 ? std::get_if<Leaf>(&chain.back()->body[0]->form) : nullptr;
  if (!l || l->assigns.size() != 1 || l->assigns[0].kind != AssignKind::define || !l->assigns[0].over.empty())
    return false;
  const Assign& a = l->assigns[0];
  const Load* from = a.value.as<Load>();
  if (!from || from->otherwise.known() || p_.buffer(from->buffer).type != p_.buffer(a.buffer).type) return false;
  const bool stores = placed_[from->buffer.value].on_chip;
  const BufferId near = stores ? from->buffer : a.buffer, far = stores ? a.buffer : from->buffer;
  if (placed_[far.value].on_chip || !placed_[near.value].on_chip || p_.buffer(near).memory == Memory::psum)
    return false;
  Axes axes = axes_of(*l, nullptr);
  if (axes.free || !failure_.empty()) return false;
  Facts before = facts_;
  for (const For* g : chain) facts_.add_range(g->loop, g->lo, g->hi);
  std::vector<Expr> outer, mask;
  cut(conjuncts(l->predicate), axes.partition ? std::vector<BoundLoop*>{&*axes.partition} : std::vector<BoundLoop*>{},
      outer, mask);
  facts_ = std::move(before);
  for (const Expr& e : outer)
    for (const For* g : chain)
      if (mentions(e, g->loop)) return false;
  if (!mask.empty()) return false;

  const Substitution map = point_of(p_, *l);
  const std::vector<Expr> read = substitute(from->subs, map), written = substitute(a.subs, map);
  Substitution begin;
  for (const For* g : chain) begin.push_back({g->loop, g->lo});
  Reach there = reach(far, stores ? written : read), here = reach(near, stores ? read : written, axes);
  for (const For* g : chain)
    if (here.which.known() && mentions(here.which, g->loop)) return false;
  // In the tile each loop steps over all of those inside it.
  Expr start = here.index[1];
  int64_t stride = 1;
  for (size_t n = chain.size(); n-- > 0; start = substitute(start, {begin[n]})) {
    AffineIn step = affine_in(start, chain[n]->loop);
    std::optional<int64_t> count = constant_of(simple(chain[n]->hi - chain[n]->lo));
    if (!step.ok || step.coefficient != stride || !count || *count < 1) return false;
    stride *= *count;
  }
  // In HBM each axis is walked by one loop or, of a composite dim, by several in each other; outer ones first.
  std::vector<BoundLoop> order;
  if (axes.partition) order.push_back(*axes.partition);
  for (const For* g : chain) order.push_back({g->loop, g->lo, g->hi});
  size_t next = 0;
  std::vector<std::pair<size_t, size_t>> walks;  // of each axis its loops, from .. to
  for (const Expr& index : there.index) {
    const size_t first = next;
    for (size_t n = 0; n < order.size(); ++n)
      if (mentions(index, order[n].loop) && n != next++) return false;
    int64_t step = 1;
    for (size_t n = next; n-- > first;) {
      AffineIn walk = affine_in(index, order[n].loop);
      if (!walk.ok || walk.coefficient != step) return false;
      if (next - first == 1) break;
      std::optional<int64_t> count = constant_of(simple(order[n].count()));
      if (!count || (axes.partition && n == 0)) return false;
      step *= *count;
    }
    walks.emplace_back(first, next);
  }
  if (next != order.size()) return false;
  if (axes.partition) {
    AffineIn step = affine_in(here.index[0], axes.partition->loop);
    if (!step.ok || step.coefficient != 1 || mentions(here.index[1], axes.partition->loop)) return false;
    if (!prove(facts_, less_equal(index_constant(1), axes.partition->count())))
      outer.push_back(less(index_constant(0), axes.partition->count()));
  }
  const Leaf* outer_leaf = leaf_;
  leaf_ = l;
  guarded(outer, [&] {
    View array{placed_[far.value].tile, {}};
    for (size_t d = 0; d < walks.size(); ++d) {
      const auto [first, end] = walks[d];
      if (end - first < 2) {
        Slice s = slice(there.index[d], end > first ? &order[first] : nullptr);
        s.point = end == first;
        array.axes.push_back(s);
        continue;
      }
      int64_t count = 1;
      Expr begin_at = there.index[d];
      for (size_t n = first; n < end; ++n) {
        count *= *constant_of(simple(order[n].count()));
        begin_at = substitute(begin_at, {{order[n].loop, order[n].lo}});
      }
      array.axes.push_back({simple(begin_at), index_constant(count)});
    }
    View tile{
        placed_[near.value].tile,
        {slice(here.index[0], axes.partition ? &*axes.partition : nullptr), {simple(start), index_constant(stride)}},
        here.which};
    remark(ir::print(p_, ir::load(p_.buffer(a.buffer).type, a.buffer, a.subs)) + " = " + ir::print(p_, a.value));
    dma(stores ? array : tile, stores ? tile : array);
  });
  leaf_ = outer_leaf;
  return true;
}

// At time t a statement of stage s runs its iteration t - s. What iterations pass on lies in as many tiles as hold it at a time, used in turns.
void Lowering::overlapped(const For& f, const Expr& lo, const Expr& hi, const std::function<void()>& met) {
  Facts before = facts_;
  facts_.add_range(f.loop, lo, hi);
  for (const StmtRef& s : f.body)
    if (auto* a = std::get_if<Alloc>(&s->form))
      for (BufferId id : a->buffers)
        if (p_.buffer(id).copies > 1) {
          placed_[id.value].slots = p_.buffer(id).copies;
          placed_[id.value].slot = f.loop;
          alloc(id, s->place);
        }
  facts_ = std::move(before);
  const int last = *std::max_element(f.stage_of.begin(), f.stage_of.end());
  SymbolId time = new_symbol(p_.symbol(f.loop).name + "_t");
  push_loop(time, lo, simple(hi + last), [&] {
    for (size_t i = 0; i < f.body.size() && failure_.empty();) {
      const int stage = f.stage_of[i];
      Expr now = simple(var(time) - stage);
      std::vector<Expr> runs;
      if (stage < last) runs.push_back(less(now, hi));
      if (stage > 0) runs.push_back(less_equal(lo, now));
      Facts outside = facts_;
      guarded(runs, [&] {
        out_->push_back({Let{f.loop, now}, place_});
        facts_.add_range(f.loop, lo, hi);
        met();
        for (; i < f.body.size() && f.stage_of[i] == stage; ++i) body({f.body[i]});
      });
      facts_ = std::move(outside);
    }
  });
  for (const StmtRef& s : f.body)
    if (auto* a = std::get_if<Alloc>(&s->form))
      for (BufferId id : a->buffers) placed_[id.value].slots = 1;
}

}  // namespace heddle::neuron
