// Reductions. On entry the windows get the identity; a small window of memory is held in registers while the region is open and
// written once at its end. User reducers run their combine block on the state's fields.
#include "backend/host/codes.h"
#include "backend/host/emitter.h"
#include "ir/visit.h"
#include "support/limits.h"

namespace heddle::host {

using llvm::Value;

namespace {

// Straight-line stores of one window at most; beyond, loops.
constexpr int64_t most_copies = 256;
constexpr int64_t longest_unrolled_dim = 64;
constexpr int64_t most_stack = 1 << 20;  // of one function: beyond, windows stay in memory

// The extent of the first vector loop or instruction below: the lanes in which the region is written.
int lanes_below(const ir::Body& body) {
  int lanes = 1;
  ir::walk(body, [&](const ir::StmtRef& s) {
    const auto* loop = std::get_if<ir::For>(&s->form);
    if (loop && loop->kind == ir::LoopKind::vector && lanes == 1)
      if (const int64_t* n = ir::constant_value(ir::simplify(loop->hi - loop->lo)); n && *n > 1)
        lanes = static_cast<int>(*n);
    const auto* call = std::get_if<ir::Call>(&s->form);
    if (call && lanes == 1 && !call->windows[0].ranges.empty()) {
      const ir::Range& last = call->windows[0].ranges.back();
      if (const int64_t* n = ir::constant_value(ir::simplify(last.hi - last.lo)); n && *n > 1)
        lanes = static_cast<int>(*n);
    }
    return lanes == 1;
  });
  return lanes;
}

// Whether a line reads old cells of a field; with `own`, at another place than its own.
bool reads_before(const ir::Expr& e, int field, const std::vector<ir::SymbolId>* own) {
  bool found = false;
  ir::walk(e, [&](const ir::Expr& node) {
    const ir::StateField* f = node.as<ir::StateField>();
    if (!f || f->side != 0 || f->field != field) return true;
    bool beside = !own;
    for (size_t i = 0; own && i < f->subs.size(); ++i) {
      const ir::Var* v = f->subs[i].as<ir::Var>();
      beside |= !v || v->symbol != (*own)[i];
    }
    found |= beside;
    return true;
  });
  return found;
}

}  // namespace

void Emitter::over_axes(const std::vector<ir::Axis>& axes, size_t at, const ir::Substitution& point, const Work& work) {
  if (at == axes.size()) return work();
  const Expr lo = ir::substitute(axes[at].lo, point), hi = ir::substitute(axes[at].hi, point);
  known_.emplace_back();
  serial(axes[at].symbol, lo, hi, [&] {
    known_.emplace_back();
    over_axes(axes, at + 1, point, work);
    known_.pop_back();
  });
  known_.pop_back();
}

// Conditions under which a cell lies in its buffer's box, without those that can be shown.
std::vector<ir::Expr> Emitter::not_shown_inside(ir::BufferId buffer, const std::vector<Expr>& subs) {
  std::vector<Expr> open;
  const auto& box = p_.buffer(buffer).box;
  for (size_t i = 0; i < subs.size(); ++i)
    for (const Expr& c : {ir::less_equal(box[i].lo, subs[i]), ir::less(subs[i], box[i].hi)}) {
      if (ranges_.decide(c) == 1) continue;
      if (!ir::prove(facts(), c)) open.push_back(c);
    }
  return open;
}

// The dim of a window whose cells lie beside each other: the last of more than one cell, of those of a layout, where what follows it in the
// buffer's own order is short.
size_t Emitter::dim_of_lanes(ir::BufferId buffer, const std::vector<ir::Range>& window) const {
  const auto extent = [&](size_t dim) { return ir::simplify(window[dim].hi - window[dim].lo); };
  size_t last = window.size();
  while (last > 0 && ir::is_constant(extent(last - 1), 1)) --last;
  if (last == 0) return window.size();
  const std::optional<ir::Layout>& layout = p_.buffer(buffer).layout;
  if (!layout || redirects_.count(buffer.value)) return last - 1;
  for (size_t i = layout->to.size(); i-- > 0;)
    for (size_t dim = 0; dim < last; ++dim) {
      if (!ir::mentions(layout->to[i], layout->from[dim]) || ir::is_constant(extent(dim), 1)) continue;
      int64_t after = 1;
      for (size_t later = dim + 1; later < last; ++later) {
        const int64_t* n = ir::constant_value(extent(later));
        if (!n || __builtin_mul_overflow(after, *n, &after) || after > longest_unrolled_dim) return last - 1;
      }
      return dim;
    }
  return last - 1;
}

void Emitter::cells(const std::vector<ir::Range>& window, size_t lanes_at, size_t dim, int width, int64_t copies,
                    std::vector<Expr>& subs, const std::function<void(std::vector<Expr>)>& work) {
  if (dim == window.size()) return work(subs);
  const ir::Range& r = window[dim];
  const Expr extent = ir::simplify(r.hi - r.lo);
  const int64_t* n = ir::constant_value(extent);
  auto at = [&](const Expr& sub, int64_t more) {
    subs.push_back(sub);
    cells(window, lanes_at, dim + 1, width, copies * more, subs, work);
    subs.pop_back();
  };
  if (dim != lanes_at || width == 1 || (n && *n == 1)) {
    if (n && *n <= longest_unrolled_dim && copies * *n <= most_copies) {
      for (int64_t i = 0; i < *n; ++i) at(r.lo + i, *n);
      return;
    }
    const ir::SymbolId i = p_.add(ir::Symbol{"i", ir::SymbolKind::loop});
    path_.push_back(ir::make_stmt(ir::For{i, r.lo, r.hi}));
    serial(i, r.lo, r.hi, [&] {
      known_.emplace_back();  // a copy beside this one does not pass through the loop
      at(ir::var(i), 1);
      known_.pop_back();
    });
    path_.pop_back();
    return;
  }
  // In lanes: whole vectors, then one masked.
  const ir::SymbolId lane = p_.add(ir::Symbol{"lane", ir::SymbolKind::loop});
  auto lanes = [&](const Expr& from, bool whole) {
    path_.push_back(ir::make_stmt(ir::For{lane, ir::index_constant(0), ir::index_constant(width)}));
    with_lanes(lane, 0, width, [&] {
      const Expr sub = from + ir::var(lane);
      if (whole) return at(sub, 1);
      guarded({ir::less(sub, r.hi)}, [&] { at(sub, 1); });
    });
    path_.pop_back();
  };
  if (n && copies * (*n / width + 1) <= most_copies) {
    for (int64_t i = 0; i < *n; i += width) lanes(r.lo + i, i + width <= *n);
    return;
  }
  const ir::SymbolId i = p_.add(ir::Symbol{"i", ir::SymbolKind::loop});
  const Expr chunks = ir::ceildiv(extent, ir::index_constant(width));
  path_.push_back(ir::make_stmt(ir::For{i, ir::index_constant(0), chunks}));
  serial(i, ir::index_constant(0), chunks, [&] {
    known_.emplace_back();
    lanes(r.lo + ir::var(i) * width, false);
    known_.pop_back();
  });
  path_.pop_back();
}

void Emitter::each_cell(ir::BufferId buffer, const std::vector<ir::Range>& window, int width,
                        const std::function<void(std::vector<Expr>)>& work) {
  std::vector<Expr> subs;
  known_.emplace_back();
  // In a vector loop the lanes are those of the loop: the window is one cell for each.
  cells(window, dim_of_lanes(buffer, window), 0, arith_.width > 1 ? 1 : width, 1, subs, [&](std::vector<Expr> at) {
    known_.emplace_back();
    work(std::move(at));
    known_.pop_back();
  });
  known_.pop_back();
}

void Emitter::identity(const ir::Reduce& region, const ir::Reducer& reducer, const ir::StmtRef&) {
  const int width = lanes_below(region.body);
  for (size_t i = 0; i < region.windows.size(); ++i) {
    const ir::Window& w = region.windows[i];
    if (clears_tiles(w)) continue;
    const bool redirected = redirects_.count(w.buffer.value);
    auto fill = [&](std::vector<Expr> at, const std::function<Val()>& start) {
      auto open = redirected ? std::vector<Expr>{} : not_shown_inside(w.buffer, at);
      guarded(open, [&] { store(w.buffer, at, start()); });
    };
    if (reducer.builtin != ir::BuiltinReducer::none) {
      each_cell(w.buffer, w.ranges, width, [&](std::vector<Expr> at) {
        fill(at, [&] { return arith_.identity(reducer.builtin, p_.buffer(w.buffer).type); });
      });
      continue;
    }
    for (const ir::ReducerLine& line : reducer.identity) {
      if (line.field != static_cast<int>(i)) continue;
      const size_t own = w.ranges.size() - line.axes.size();
      each_cell(w.buffer, w.ranges, 1, [&](std::vector<Expr> at) {
        ir::Substitution axes;
        for (size_t k = 0; k < line.axes.size(); ++k) axes.emplace_back(line.axes[k], at[own + k]);
        const Expr start = ir::substitute(line.value, axes);
        fill(at, [&] { return value(start); });
      });
    }
  }
}

bool Emitter::redirect(const ir::Window& window, Redirect& out) {
  if (redirects_.count(window.buffer.value) || plan_.buffers[window.buffer.value].kind == Placement::Kind::registers)
    return false;
  int64_t cells = 1;
  for (const ir::Range& r : window.ranges) {
    const int64_t* n = ir::constant_value(ir::simplify(r.hi - r.lo));
    if (!n || *n < 1) return false;
    Expr origin = r.lo;
    int64_t extent = *n;
    if (arith_.width > 1 && ir::mentions(r.lo, vector_)) {
      // A cell for each lane, in a row from the first lane's.
      const ir::AffineIn in = ir::affine_in(r.lo, vector_);
      if (!in.ok || in.coefficient != 1 || *n != 1) return false;
      origin = ir::simplify(in.rest + vector_lo_);
      extent = arith_.width;
    }
    if (__builtin_mul_overflow(cells, extent, &cells)) return false;
    out.origin.push_back(origin);
    out.extents.push_back(extent);
  }
  const ir::ScalarType type = p_.buffer(window.buffer).type;
  if (cells * ir::scalar_bytes(type) > limits::register_bytes || f_.stack_bytes > most_stack) return false;
  out.slot = stack_slot(arith_.memory_type(type), cells);
  return true;
}

void Emitter::write_back(const ir::Window& window, const Redirect& from, int width) {
  each_cell(window.buffer, window.ranges, width, [&](std::vector<Expr> at) {
    redirects_[window.buffer.value] = from;
    storages_.erase(window.buffer.value);
    Val x = load(window.buffer, at);
    redirects_.erase(window.buffer.value);
    storages_.erase(window.buffer.value);
    guarded(not_shown_inside(window.buffer, at), [&] { store(window.buffer, at, x); });
  });
}

namespace {

// A leaf of which a short loop may be reduced as a tree: its cells do not move with the loop, its order is free.
bool free_order(const ir::Program& p, const ir::For& loop, const ir::Leaf& leaf, const ir::Substitution& point) {
  if (leaf.assigns.empty() || (leaf.predicate.known() && ir::mentions(leaf.predicate, loop.loop))) return false;
  for (const ir::Assign& a : leaf.assigns) {
    if (a.kind != ir::AssignKind::combine || !a.over.empty()) return false;
    for (const ir::Expr& sub : a.subs)
      if (ir::mentions(ir::substitute(sub, point), loop.loop)) return false;
  }
  const ir::Reducer& reducer = *p.reducer(leaf.reducer);
  using R = ir::BuiltinReducer;
  if (reducer.builtin == R::none)
    for (const ir::ReducerField& f : reducer.fields)
      if (!f.extents.empty()) return false;
  return reducer.commutes && (ir::exact_on(reducer, p.buffer(leaf.assigns[0].buffer).type) || p.allow.reassociate);
}

}  // namespace

bool Emitter::horizontal(const ir::For& loop, const ir::StmtRef&) {
  const int64_t *lo = ir::constant_value(loop.lo), *hi = ir::constant_value(loop.hi);
  if (arith_.width > 1 || !lo || !hi || loop.body.size() != 1) return false;
  const int64_t n = *hi - *lo;
  const auto* leaf = std::get_if<ir::Leaf>(&loop.body[0]->form);
  if (n < 4 || n > 64 || (n & (n - 1)) != 0 || !leaf) return false;
  const ir::Substitution point = ir::point_of(p_, *leaf);
  if (!free_order(p_, loop, *leaf, point)) return false;
  const ir::Reducer& reducer = *p_.reducer(leaf->reducer);
  const ir::ScalarType type = p_.buffer(leaf->assigns[0].buffer).type;
  const std::vector<const ir::Assign*> fields = state_fields(*leaf, reducer);
  known_.emplace_back();
  guarded({leaf->predicate}, [&] {
    std::vector<Val> x;
    known_.emplace_back();
    with_lanes(loop.loop, *lo, static_cast<int>(n), [&] {
      for (const ir::Assign* a : fields) x.push_back({arith_.spread(value(ir::substitute(a->value, point))), true});
    });
    known_.pop_back();
    // Whether there is a NaN is asked of all lanes at once, so that each level of the tree is one instruction.
    const bool extremum = reducer.builtin == ir::BuiltinReducer::max || reducer.builtin == ir::BuiltinReducer::min;
    Value* nan = nullptr;
    if (extremum && x[0].v->getType()->isFPOrFPVectorTy()) nan = b_.CreateOrReduce(b_.CreateFCmpUNO(x[0].v, x[0].v));
    const auto id = reducer.builtin == ir::BuiltinReducer::max ? llvm::Intrinsic::maxnum : llvm::Intrinsic::minnum;
    // Sums become trees later, several together: see lane_sums.h.
    const bool sum = reducer.builtin == ir::BuiltinReducer::sum && x.size() == 1 &&
                     (type == ir::ScalarType::f32 ? n <= 16 : type == ir::ScalarType::f64 && n <= 8);
    if (sum) {
      llvm::CallInst* all =
          b_.CreateFAddReduce(llvm::ConstantFP::getNegativeZero(x[0].v->getType()->getScalarType()), x[0].v);
      all->setHasAllowReassoc(true);
      x = {{all, false}};
    }
    for (int half = sum ? 0 : static_cast<int>(n) / 2; half >= 1; half /= 2) {
      arith_.width = half;
      auto part = [&](int first) {
        std::vector<int> lanes;
        for (int i = 0; i < half; ++i) lanes.push_back(first + i);
        std::vector<Val> out;
        for (const Val& v : x)
          out.push_back(half == 1 ? Val{b_.CreateExtractElement(v.v, static_cast<uint64_t>(first)), false}
                                  : Val{b_.CreateShuffleVector(v.v, lanes), true});
        return out;
      };
      const std::vector<Val> low = part(0), high = part(half);
      if (!nan) {
        x = combined(reducer, type, low, high);
        continue;
      }
      llvm::IRBuilder<>::FastMathFlagGuard guard(b_);
      llvm::FastMathFlags flags;
      flags.setNoNaNs();
      flags.setNoSignedZeros();
      b_.setFastMathFlags(flags);
      x = {{b_.CreateBinaryIntrinsic(id, low[0].v, high[0].v), low[0].lanes}};
    }
    arith_.width = 1;
    if (nan) x[0].v = b_.CreateSelect(nan, llvm::ConstantFP::getNaN(x[0].v->getType()), x[0].v);
    std::vector<std::vector<Expr>> cells;
    std::vector<Val> state;
    for (const ir::Assign* a : fields) {
      std::vector<Expr> subs;
      for (const Expr& sub : a->subs) subs.push_back(ir::substitute(sub, point));
      state.push_back(load(a->buffer, subs));
      cells.push_back(std::move(subs));
    }
    state = combined(reducer, type, state, x);
    for (size_t i = 0; i < fields.size(); ++i) store(fields[i]->buffer, cells[i], state[i]);
  });
  known_.pop_back();
  ++leaves_;
  return true;
}

void Emitter::stmt(const ir::Reduce& region, const ir::StmtRef& s) {
  const ir::Reducer& reducer = *p_.reducer(region.reducer);
  std::vector<std::pair<const ir::Window*, Redirect>> held;
  for (const ir::Window& w : region.windows) {
    Redirect to;
    if (!redirect(w, to)) continue;
    redirects_[w.buffer.value] = to;
    storages_.erase(w.buffer.value);
    held.emplace_back(&w, to);
  }
  identity(region, reducer, s);
  body(region.body);
  const int width = lanes_below(region.body);
  for (auto& [window, from] : held) {
    redirects_.erase(window->buffer.value);
    storages_.erase(window->buffer.value);
  }
  for (auto& [window, from] : held) write_back(*window, from, width);
}

// The assigns of a leaf in the order of the reducer's fields; the only one of a built-in reducer.
std::vector<const ir::Assign*> Emitter::state_fields(const ir::Leaf& leaf, const ir::Reducer& reducer) {
  if (reducer.builtin != ir::BuiltinReducer::none) return {&leaf.assigns[0]};
  std::vector<const ir::Assign*> out(reducer.fields.size());
  for (const ir::Assign& a : leaf.assigns)
    for (size_t i = 0; i < reducer.fields.size(); ++i)
      if (p_.buffer(a.buffer).field == reducer.fields[i].name) out[i] = &a;
  return out;
}

std::vector<Val> Emitter::combined(const ir::Reducer& reducer, ir::ScalarType type, const std::vector<Val>& a,
                                   const std::vector<Val>& b) {
  if (reducer.builtin != ir::BuiltinReducer::none) return {arith_.combine(reducer.builtin, type, a[0], b[0])};
  State state;
  state.before = a;
  state.right = b;
  state.after.resize(a.size());
  State* outer = state_;
  state_ = &state;
  known_.emplace_back();
  for (const ir::ReducerLine& line : reducer.combine) {
    if (line.field < 0) f_.symbols[line.local.value] = value(line.value);
    else state.after[static_cast<size_t>(line.field)] = value(line.value);
  }
  known_.pop_back();
  state_ = outer;
  for (size_t i = 0; i < a.size(); ++i)
    if (!state.after[i].v) state.after[i] = a[i];
  return state.after;
}

// state = combine(state, new): every line reads the old state, whose cells change only after the last line. A field with axes of
// its own is written line by line in place, so nothing may read its old cells afterwards or beside their own place.
void Emitter::combine_state(const ir::Leaf& leaf, const ir::Reducer& reducer, const ir::Substitution& point) {
  State state;
  state.leaf = &leaf;
  state.point = point;
  state.before.resize(reducer.fields.size());
  state.after.resize(reducer.fields.size());
  state.fields = state_fields(leaf, reducer);
  State* outer = state_;
  state_ = &state;
  auto cell = [&](const ir::Assign& a) {
    std::vector<Expr> subs;
    for (const Expr& sub : a.subs) subs.push_back(ir::substitute(sub, point));
    return subs;
  };
  for (size_t i = 0; i < reducer.fields.size(); ++i) {
    if (!state.fields[i]) {
      fail(codes::broken_code, {},
           "a leaf of the reducer `" + reducer.name + "` lacks the field `" + reducer.fields[i].name + "`");
      return;
    }
    if (reducer.fields[i].extents.empty()) state.before[i] = load(state.fields[i]->buffer, cell(*state.fields[i]));
  }
  for (size_t at = 0; at < reducer.combine.size(); ++at) {
    const ir::ReducerLine& line = reducer.combine[at];
    if (line.field < 0) {
      f_.symbols[line.local.value] = value(line.value);
      continue;
    }
    const ir::Assign& a = *state.fields[static_cast<size_t>(line.field)];
    if (line.axes.empty()) {
      state.after[static_cast<size_t>(line.field)] = value(line.value);
      continue;
    }
    bool clobbers = reads_before(line.value, line.field, &line.axes);
    for (size_t later = at + 1; later < reducer.combine.size(); ++later)
      clobbers |= reads_before(reducer.combine[later].value, line.field, nullptr);
    if (clobbers) {
      fail(codes::unsupported_on_host, reducer.place,
           "`" + reducer.name + "` reads old cells of `" + reducer.fields[static_cast<size_t>(line.field)].name +
               "` after they change");
      return;
    }
    over_axes(a.over, 0, point, [&] {
      ir::Substitution own;
      for (size_t k = 0; k < line.axes.size(); ++k) own.emplace_back(line.axes[k], ir::var(a.over[k].symbol));
      Val x = value(ir::substitute(line.value, own));
      store(a.buffer, cell(a), x);
    });
  }
  for (size_t i = 0; i < reducer.fields.size(); ++i)
    if (state.after[i].v) store(state.fields[i]->buffer, cell(*state.fields[i]), state.after[i]);
  state_ = outer;
}

}  // namespace heddle::host
