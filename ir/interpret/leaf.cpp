// Leaves: one point of a stage, or one point for each lane in lock step.
#include "ir/interpret/run.h"

namespace heddle::ir::interpreter {

template <class M>
void Runner<M>::stmt(const LeafCode<M>& l, const Lanes<M>& lanes) {
  if (lanes.size() > 1) return leaf_lock_step(l, lanes);
  activate(*lanes.front());
  const Point point = enter_leaf(l);
  if (point == Point::run) leaf_once(l);
  if (point == Point::doubt) doubtful_leaf(l);
}

// Evaluates the predicate and binds the axes.
template <class M>
typename Runner<M>::Point Runner<M>::enter_leaf(const LeafCode<M>& l) {
  bool sure = true;
  if (l.predicate.known()) {
    const typename M::Int p = l.predicate(m_);
    sure = M::sure(p);
    if (sure && M::nominal_int(p) == 0) return Point::skip;
  }
  for (const auto& [slot, code] : l.bindings) m_.slots[slot].integer = code(m_);
  if (m_.failed() || !m_.count_leaf()) return Point::skip;
  return sure ? Point::run : Point::doubt;
}

// The cell that an assign writes; false after a failure.
template <class M>
bool Runner<M>::target(const AssignCode<M>& a, Instance<M>*& in, int64_t& cell) {
  in = m_.current[a.buffer.value];
  if (!in) {
    m_.fail(codes::not_interpretable, "`" + m_.name_of(a.buffer) + "` is written outside its alloc");
    return false;
  }
  const auto at = a.subs.locate(m_, *in);
  cell = at.cell;
  if (m_.failed()) return false;
  if (!at.sure) m_.fail(codes::undecided, "a written cell depends on a value that rounding may change");
  if (cell >= 0) return at.sure;
  m_.fail(codes::outside_box, m_.cell_name(a.buffer, a.subs.evaluate(m_)) + " is written, outside its box");
  return false;
}

template <class M>
void Runner<M>::combine(BufferId id, Instance<M>& in, int64_t cell, Cell<M> value, const Combiner<M>& c, bool present) {
  const auto at = static_cast<size_t>(cell);
  const bool open_here = in.state[at] == open + c.reducer;
  if (!open_here && (!present || in.state[at] >= open))
    return m_.fail(codes::closed_reduction, m_.cell_name(id, in, cell) +
                                                " is combined into outside a window of an open region of `" +
                                                m_.program.reducers[c.reducer].name + "`");
  if (!open_here && !m_.readable(id, in, cell)) return;
  if constexpr (M::bounded) {
    if (c.float_sum && open_here) {
      // The region's end gives the bound of any order of additions; until then values and their own bounds add up.
      typename M::Real sum = in.cells[at].real;
      const typename M::Real term = value.real;
      in.terms[at].term(term);
      sum = {sum.value + term.value, sum.bound + term.bound};
      m_.write(id, in, cell, Cell<M>(sum), AssignKind::combine, true);
      return;
    }
    if (c.float_product && open_here) in.terms[at].factor(value.real);
  }
  m_.write(id, in, cell, c.combine(in.cells[at], value), AssignKind::combine, true);
}

template <class M>
void Runner<M>::store(const LeafCode<M>& l, const AssignCode<M>& a, const Write& w) {
  if (a.kind == AssignKind::combine) return combine(w.buffer, *w.in, w.cell, w.value, *a.combiner, false);
  m_.write(w.buffer, *w.in, w.cell, w.value, a.kind, l.recomputed);
}

template <class M>
void Runner<M>::leaf_once(const LeafCode<M>& l) {
  if (l.user) {
    StateWrite w;
    if (gather_state(l, w)) combine_state(l, w);
    return;
  }
  for (const AssignCode<M>& a : l.assigns) {
    auto one = [&] {
      Write w{a.buffer, nullptr, -1, a.value(m_)};
      if (!m_.failed() && target(a, w.in, w.cell)) store(l, a, w);
    };
    if (a.over.empty()) one();
    else each_point(a.over, 0, one);
    if (m_.failed()) return;
  }
}

template <class M>
void Runner<M>::leaf_lock_step(const LeafCode<M>& l, const Lanes<M>& lanes) {
  const size_t passes = l.user ? 1 : l.assigns.size();
  for (size_t pass = 0; pass < passes; ++pass) {
    const AssignCode<M>& a = l.assigns[pass];
    std::vector<StateWrite> states;
    writes_.clear();
    for (const Lane<M>* lane : lanes) {
      activate(*lane);
      const Point point = enter_leaf(l);
      if (point == Point::doubt) doubtful_leaf(l);
      if (m_.failed()) return;
      if (point != Point::run) continue;
      if (l.user) {
        states.emplace_back();
        gather_state(l, states.back());
        continue;
      }
      each_point(a.over, 0, [&] {
        Write w{a.buffer, nullptr, -1, a.value(m_)};
        if (!m_.failed() && target(a, w.in, w.cell)) writes_.push_back(w);
      });
      if (m_.failed()) return;
    }
    ++m_.stamp;
    m_.in_lock_step = true;
    for (const Write& w : writes_) store(l, a, w);
    for (const StateWrite& w : states) combine_state(l, w);
    m_.in_lock_step = false;
    if (m_.failed()) return;
  }
}

// Bounded mode: rounding decides whether this point takes part. A reduced cell stays, with nothing claimed about it.
template <class M>
void Runner<M>::doubtful_leaf(const LeafCode<M>& l) {
  for (const AssignCode<M>& a : l.assigns) {
    if (!a.combiner)
      return m_.fail(codes::undecided, "the condition of a leaf depends on a value that rounding may change");
    Instance<M>* in = nullptr;
    int64_t cell = -1;
    if (!target(a, in, cell)) return;
    Cell<M>& c = in->cells[static_cast<size_t>(cell)];
    if (is_float(a.combiner->type)) c.real = M::doubtful(c.real);
    else c.integer = M::doubtful(c.integer);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// User reducers

template <class M>
bool Runner<M>::gather_state(const LeafCode<M>& l, StateWrite& out) {
  const size_t fields = l.assigns.size();
  out.in.resize(fields);
  out.cells.resize(fields);
  out.values.resize(fields);
  for (const AssignCode<M>& a : l.assigns) {
    const auto f = static_cast<size_t>(a.field);
    const int64_t size = l.user->sizes[f];
    out.cells[f].assign(static_cast<size_t>(size), -1);
    out.values[f].resize(static_cast<size_t>(size));
    each_point(a.over, 0, [&] {
      Instance<M>* in = nullptr;
      int64_t cell = -1;
      const Cell<M> value = a.value(m_);
      if (m_.failed() || !target(a, in, cell)) return;
      out.in[f] = in;
      // The field's own dims are the last ones of the buffer: a row of its cells.
      out.cells[f][static_cast<size_t>(cell % size)] = cell;
      out.values[f][static_cast<size_t>(cell % size)] = value;
    });
    for (int64_t cell : out.cells[f])
      if (cell < 0)
        m_.fail(codes::not_interpretable, "a leaf of `" + l.user->row->name + "` gives a part of the field `" +
                                              l.user->row->fields[f].name + "`");
    if (m_.failed()) return false;
  }
  return true;
}

template <class M>
void Runner<M>::combine_state(const LeafCode<M>& l, const StateWrite& w) {
  ReducerCode<M>& r = *l.user;
  const size_t fields = w.in.size();
  for (auto& side : state_.side) side.resize(fields);
  for (size_t f = 0; f < fields; ++f) {
    const size_t size = w.cells[f].size();
    state_.side[0][f].resize(size);
    state_.side[1][f] = w.values[f];
    state_.side[2][f].resize(size);
    for (size_t i = 0; i < size; ++i) {
      const auto cell = static_cast<size_t>(w.cells[f][i]);
      if (w.in[f]->state[cell] != open + r.index)
        return m_.fail(codes::closed_reduction, m_.cell_name(l.assigns[f].buffer, *w.in[f], w.cells[f][i]) +
                                                    " is combined into outside a window of an open region of `" +
                                                    r.row->name + "`");
      state_.side[0][f][i] = w.in[f]->cells[cell];
    }
  }
  run_lines(r, r.combine);
  for (const AssignCode<M>& a : l.assigns) {
    const auto f = static_cast<size_t>(a.field);
    if constexpr (M::bounded)
      if (m_.program.allow.reassociate && !r.row->exact && is_float(m_.program.buffer(a.buffer).type))
        for (size_t i = 0; i < w.cells[f].size(); ++i) {
          M::any_order(state_.side[0][f][i].real, state_.side[1][f][i].real, state_.side[2][f][i].real);
          if (r.order[f] != ReducerCode<M>::Order::any)
            w.in[f]->terms[static_cast<size_t>(w.cells[f][i])].merged(state_.side[1][f][i].real,
                                                                      state_.side[2][f][i].real);
        }
    for (size_t i = 0; i < w.cells[f].size() && !m_.failed(); ++i)
      m_.write(a.buffer, *w.in[f], w.cells[f][i], state_.side[2][f][i], AssignKind::combine, true);
  }
}

template <class M>
void Runner<M>::run_lines(ReducerCode<M>& r, const std::vector<LineCode<M>>& lines) {
  m_.reducer_state = &state_;
  for (const LineCode<M>& line : lines) {
    if (line.field < 0) {
      m_.slots[line.local] = line.value(m_);
      continue;
    }
    const std::vector<int64_t>& extents = r.extents[static_cast<size_t>(line.field)];
    auto& cells = state_.side[2][static_cast<size_t>(line.field)];
    for (size_t i = 0; i < cells.size() && !m_.failed(); ++i) {
      int64_t rest = static_cast<int64_t>(i);
      for (size_t d = extents.size(); d-- > 0; rest /= extents[d]) m_.set_index(line.axes[d], rest % extents[d]);
      cells[i] = line.value(m_);
    }
  }
  m_.reducer_state = nullptr;
}

template <class M>
const std::vector<std::vector<Cell<M>>>& Runner<M>::identity_of(ReducerCode<M>& r) {
  if (!r.identity_cells.empty()) return r.identity_cells;
  for (auto& side : state_.side) {
    side.resize(r.sizes.size());
    for (size_t f = 0; f < r.sizes.size(); ++f) side[f].resize(static_cast<size_t>(r.sizes[f]));
  }
  run_lines(r, r.identity);
  r.identity_cells = state_.side[2];
  return r.identity_cells;
}

// ---------------------------------------------------------------------------------------------------------------------
// Regions

// A window clipped to its buffer's box.
template <class M>
bool Runner<M>::open_window(const WindowCode<M>& code, OpenWindow& out) {
  out.buffer = code.buffer;
  out.in = m_.current[code.buffer.value];
  if (!out.in) m_.fail(codes::not_interpretable, "`" + m_.name_of(code.buffer) + "` is used outside its alloc");
  for (size_t d = 0; d < code.ranges.size() && !m_.failed(); ++d) {
    const int64_t lo = evaluate(code.ranges[d].lo), hi = evaluate(code.ranges[d].hi);
    const int64_t from = std::max(lo, out.in->lo[d]), to = std::min(hi, out.in->lo[d] + out.in->extent[d]);
    out.lo.push_back(from < to ? from - out.in->lo[d] : 0);
    out.extent.push_back(from < to ? to - from : 0);
  }
  return !m_.failed();
}

// Calls f(cell) for each cell of the window, row-major.
template <class M>
template <class F>
void Runner<M>::each_cell(const OpenWindow& w, F f) {
  for (int64_t e : w.extent)
    if (e == 0) return;
  std::vector<int64_t> at(w.extent.size(), 0);
  while (true) {
    int64_t cell = 0;
    for (size_t d = 0; d < at.size(); ++d) cell = cell * w.in->extent[d] + w.lo[d] + at[d];
    f(cell);
    size_t d = at.size();
    while (d > 0 && ++at[d - 1] == w.extent[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

// What was combined into a cell decides the bound at the end of the region.
template <class M>
bool Runner<M>::of_terms(const ReduceCode<M>& r, size_t window) {
  if (r.reducer) return r.reducer->order[window] != ReducerCode<M>::Order::any;
  return r.combiners[window]->of_terms();
}

template <class M>
void Runner<M>::enter(const ReduceCode<M>& r, size_t window, const OpenWindow& w) {
  const uint16_t reducer = r.reducer ? r.reducer->index : r.combiners[window]->reducer;
  const bool terms = M::bounded && of_terms(r, window);
  if (terms && w.in->terms.size() != w.in->cells.size()) w.in->terms.assign(w.in->cells.size(), {});
  const std::vector<Cell<M>>* row = r.reducer ? &identity_of(*r.reducer)[window] : nullptr;
  each_cell(w, [&](int64_t cell) {
    const auto at = static_cast<size_t>(cell);
    if (w.in->state[at] >= open)
      m_.fail(codes::open_reduction, m_.cell_name(w.buffer, *w.in, cell) + " is in two open regions");
    if (m_.failed()) return;
    m_.note_write(w.buffer, *w.in, cell);
    w.in->cells[at] = row ? (*row)[at % row->size()] : r.combiners[window]->identity;
    w.in->state[at] = static_cast<uint16_t>(open + reducer);
    if (terms) w.in->terms[at] = {};
  });
}

template <class M>
void Runner<M>::leave(const ReduceCode<M>& r, size_t window, const OpenWindow& w) {
  each_cell(w, [&](int64_t cell) {
    const auto at = static_cast<size_t>(cell);
    w.in->state[at] = written;
    if constexpr (M::bounded) {
      if (!of_terms(r, window)) return;
      const Terms& terms = w.in->terms[at];
      Cell<M>& out = w.in->cells[at];
      if (r.reducer) {
        const ScalarType type = m_.program.buffer(w.buffer).type;
        const bool sum = r.reducer->order[window] == ReducerCode<M>::Order::sum;
        if (!std::isfinite(out.real.value)) return;
        out.real =
            sum ? M::finish_sum(type, out.real, terms.count, terms.magnitude) : M::finish_state(type, out.real, terms);
        return;
      }
      const Combiner<M>& c = *r.combiners[window];
      if (c.float_sum) out.real = M::finish_sum(c.type, out.real, terms.count, terms.magnitude);
      else if (m_.program.allow.reassociate) out.real = M::finish_product(c.type, out.real, terms);
    }
  });
}

template <class M>
void Runner<M>::stmt(const ReduceCode<M>& r, const Lanes<M>& lanes) {
  std::vector<std::vector<OpenWindow>> open_windows;
  for (const Lane<M>* lane : lanes) {
    activate(*lane);
    open_windows.emplace_back(r.windows.size());
    for (size_t w = 0; w < r.windows.size(); ++w) {
      if (!open_window(r.windows[w], open_windows.back()[w])) return;
      if (r.reducer && !open_windows.back()[w].in->cells.empty() && r.reducer->sizes[w] > 0 &&
          open_windows.back()[w].in->size() % r.reducer->sizes[w] != 0)
        return m_.fail(codes::not_interpretable,
                       "`" + m_.name_of(r.windows[w].buffer) + "` does not hold whole fields");
      enter(r, w, open_windows.back()[w]);
      if (m_.failed()) return;
    }
  }
  body(r.body, lanes);
  if (m_.failed()) return;
  for (const std::vector<OpenWindow>& windows : open_windows)
    for (size_t w = 0; w < windows.size(); ++w) leave(r, w, windows[w]);
}

template void Runner<Typed>::combine(BufferId, Instance<Typed>&, int64_t, Cell<Typed>, const Combiner<Typed>&, bool);
template void Runner<BoundedMode>::combine(BufferId, Instance<BoundedMode>&, int64_t, Cell<BoundedMode>,
                                           const Combiner<BoundedMode>&, bool);
template void Runner<Typed>::stmt(const LeafCode<Typed>&, const Lanes<Typed>&);
template void Runner<BoundedMode>::stmt(const LeafCode<BoundedMode>&, const Lanes<BoundedMode>&);
template void Runner<Typed>::stmt(const ReduceCode<Typed>&, const Lanes<Typed>&);
template void Runner<BoundedMode>::stmt(const ReduceCode<BoundedMode>&, const Lanes<BoundedMode>&);

}  // namespace heddle::ir::interpreter
