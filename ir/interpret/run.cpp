#include "ir/interpret/run.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "support/stop.h"

namespace heddle::ir::interpreter {

template <class M>
void Runner<M>::run() {
  pool_.resize(m_.program.buffers.size());
  used_.resize(m_.program.buffers.size());
  Lane<M> root;
  body(code_.body, {&root});
}

template <class M>
void Runner<M>::activate(const Lane<M>& lane) {
  for (const auto& [slot, value] : lane.values) m_.set_index(slot, value);
  for (const auto& [buffer, in] : lane.buffers) m_.current[buffer] = in;
}

template <class M>
void Runner<M>::body(const BodyCode<M>& body, const Lanes<M>& lanes) {
  for (const auto& s : body.statements) {
    m_.statement = s->source;
    std::visit([&](const auto& form) { stmt(form, lanes); }, s->form);
    if (m_.failed()) return;
  }
  for (BufferId id : body.allocs) {
    used_[id.value] -= lanes.size();
    m_.current[id.value] = nullptr;
  }
  for (Lane<M>* lane : lanes)
    if (!lane->values.empty()) lane->buffers.resize(lane->buffers.size() - body.allocs.size());
}

// A bound of a loop, a window or a box: it must be certain, or nothing could be said of what runs.
template <class M>
int64_t Runner<M>::evaluate(const IntCode<M>& code) {
  const typename M::Int v = code(m_);
  if (!M::sure(v)) m_.fail(codes::undecided, "a bound depends on a value that rounding may change");
  return M::nominal_int(v);
}

// ---------------------------------------------------------------------------------------------------------------------
// Loops

template <class M>
void Runner<M>::stmt(const ForCode<M>& l, const Lanes<M>& lanes) {
  if (l.kind == LoopKind::vector) return vector_loop(l, lanes);
  std::vector<std::pair<int64_t, int64_t>> ranges;
  int64_t lo = INT64_MAX, hi = INT64_MIN;
  for (const Lane<M>* lane : lanes) {
    activate(*lane);
    ranges.emplace_back(evaluate(l.range.lo), evaluate(l.range.hi));
    if (ranges.back().first >= ranges.back().second) continue;
    lo = std::min(lo, ranges.back().first);
    hi = std::max(hi, ranges.back().second);
  }
  if (m_.failed() || lo >= hi) return;
  const bool parallel = l.kind == LoopKind::parallel || l.kind == LoopKind::bound;
  if (!l.stage_of.empty() && lanes.size() == 1 && lanes[0]->values.empty()) return pipeline(l, lo, hi, lanes);
  if (!parallel) {
    for (int64_t i = lo; i < hi && !m_.failed(); ++i) trip(l, i, lanes, ranges);
    return;
  }
  m_.tasks.enter_loop(++loop_instances_);
  const std::vector<int64_t> shuffled = order(lo, hi);
  // Past the shuffled part the order is an arithmetic progression modulo the extent.
  const uint64_t extent = static_cast<uint64_t>(hi) - static_cast<uint64_t>(lo);
  uint64_t step = extent > shuffled.size() ? random_() % extent | 1 : 1;
  while (std::gcd(step, extent) != 1) step += 2;
  for (uint64_t i = 0, at = random_() % extent; i < extent && !m_.failed(); ++i) {
    m_.tasks.next_iteration();
    trip(l, shuffled.empty() ? lo + static_cast<int64_t>(at) : shuffled[i], lanes, ranges);
    at = (at + step) % extent;
  }
  m_.tasks.leave_loop();
}

// Skewed: at time t the statements of stage s run iteration t - s. Within one time the later iteration goes first, so that what it
// takes too early or overwrites too early is found. Each iteration has what is allocated inside for itself, from the stage of the
// alloc on; an iteration that is `copies` later gets the same memory, fresh.
template <class M>
void Runner<M>::pipeline(const ForCode<M>& l, int64_t lo, int64_t hi, const Lanes<M>& lanes) {
  struct Own {
    const typename AllocCode<M>::One* one;
    size_t statement;
    size_t base;                     // of its instances in the pool
    std::vector<Instance<M>*> held;  // by iteration modulo the copies
  };
  std::vector<Own> own;
  for (size_t at = 0; at < l.body.statements.size(); ++at)
    if (const auto* a = std::get_if<AllocCode<M>>(&l.body.statements[at]->form))
      for (const auto& one : a->buffers) own.push_back({&one, at, used_[one.buffer.value], {}});
  auto slot = [&](const Own& o, int64_t i) { return static_cast<size_t>(i - lo) % o.one->copies; };
  auto enter = [&](Own& o, int64_t i) {
    const uint32_t id = o.one->buffer.value;
    used_[id] = o.base + slot(o, i);
    Instance<M>* in = allocate(*o.one);
    if (slot(o, i) == o.held.size()) o.held.push_back(in);
    else o.held[slot(o, i)] = in;
    used_[id] = o.base + o.held.size();
    m_.current[id] = in;
  };
  for (int64_t t = lo; t - l.stages + 1 < hi && !m_.failed(); ++t)
    for (int stage = 0; stage < l.stages && !m_.failed(); ++stage) {
      const int64_t i = t - stage;
      if (i < lo || i >= hi) continue;
      for (const Own& o : own)
        m_.current[o.one->buffer.value] = slot(o, i) < o.held.size() ? o.held[slot(o, i)] : nullptr;
      for (size_t at = 0; at < l.body.statements.size() && !m_.failed(); ++at) {
        if (l.stage_of[at] != stage) continue;
        const auto& s = l.body.statements[at];
        m_.statement = s->source;
        m_.set_index(l.slot, i);
        if (!std::holds_alternative<AllocCode<M>>(s->form)) {
          std::visit([&](const auto& form) { stmt(form, lanes); }, s->form);
          continue;
        }
        for (Own& o : own)
          if (o.statement == at && !m_.failed()) enter(o, i);
      }
    }
  for (const Own& o : own) {
    used_[o.one->buffer.value] = o.base;
    m_.current[o.one->buffer.value] = nullptr;
  }
}

// The iterations in a random order; empty where there are too many to keep.
template <class M>
std::vector<int64_t> Runner<M>::order(int64_t lo, int64_t hi) {
  if (static_cast<uint64_t>(hi) - static_cast<uint64_t>(lo) > 1u << 16) return {};
  std::vector<int64_t> list(static_cast<size_t>(hi - lo));
  std::iota(list.begin(), list.end(), lo);
  for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[random_() % i]);
  return list;
}

template <class M>
void Runner<M>::trip(const ForCode<M>& l, int64_t value, const Lanes<M>& lanes,
                     const std::vector<std::pair<int64_t, int64_t>>& ranges) {
  stop_point();
  m_.set_index(l.slot, value);
  auto reached = [&](size_t i) { return ranges[i].first <= value && value < ranges[i].second; };
  size_t count = 0;
  for (size_t i = 0; i < lanes.size(); ++i) count += reached(i);
  if (count == lanes.size()) return body(l.body, lanes);
  Lanes<M> some;
  for (size_t i = 0; i < lanes.size(); ++i)
    if (reached(i)) some.push_back(lanes[i]);
  if (!some.empty()) body(l.body, some);
}

template <class M>
void Runner<M>::vector_loop(const ForCode<M>& l, const Lanes<M>& lanes) {
  const size_t before = lanes_used_;
  Lanes<M> wide;
  for (const Lane<M>* lane : lanes) {
    activate(*lane);
    const int64_t lo = evaluate(l.range.lo), hi = evaluate(l.range.hi);
    if (lo < hi && static_cast<uint64_t>(hi) - static_cast<uint64_t>(lo) > 1u << 20)
      m_.fail(codes::not_interpretable, "a vector loop has more than 2^20 iterations");
    if (m_.failed()) return;
    for (int64_t v = lo; v < hi; ++v) {
      if (lanes_used_ == lane_pool_.size()) lane_pool_.push_back(std::make_unique<Lane<M>>());
      Lane<M>& next = *lane_pool_[lanes_used_++];
      next = *lane;
      next.values.emplace_back(l.slot, v);
      wide.push_back(&next);
    }
  }
  if (!wide.empty()) body(l.body, wide);
  lanes_used_ = before;
}

// ---------------------------------------------------------------------------------------------------------------------
// Memory

template <class M>
void Runner<M>::stmt(const AllocCode<M>& a, const Lanes<M>& lanes) {
  for (const auto& one : a.buffers) {
    for (Lane<M>* lane : lanes) {
      activate(*lane);
      Instance<M>* in = allocate(one);
      if (!in) return;
      if (lane->values.empty()) m_.current[one.buffer.value] = in;
      else lane->buffers.emplace_back(one.buffer.value, in);
    }
  }
}

template <class M>
Instance<M>* Runner<M>::allocate(const typename AllocCode<M>::One& one) {
  auto& pool = pool_[one.buffer.value];
  if (used_[one.buffer.value] == pool.size()) pool.push_back(std::make_unique<Instance<M>>());
  Instance<M>& in = *pool[used_[one.buffer.value]++];
  in.lo.clear();
  in.extent.clear();
  for (const RangeCode<M>& r : one.box) {
    const int64_t lo = evaluate(r.lo), hi = evaluate(r.hi);
    int64_t extent = 0;
    if (lo < hi && __builtin_sub_overflow(hi, lo, &extent))
      m_.fail(codes::too_much_memory, "the box of `" + m_.name_of(one.buffer) + "` is past 64 bits");
    in.lo.push_back(lo);
    in.extent.push_back(extent);
  }
  if (!m_.failed()) prepare(in, one.buffer, one.watch_races);
  if (m_.failed()) return nullptr;
  if (one.has_pad) {
    std::fill(in.cells.begin(), in.cells.end(), one.pad(m_));
    std::fill(in.state.begin(), in.state.end(), uint16_t{padded});
  }
  in.fold = one.layout_to.empty() || in.size() == 0 ? nullptr : fold_of(one, in);
  if (in.fold) in.holders.assign(in.fold->places, 0);
  return m_.failed() ? nullptr : &in;
}

template <class M>
void Runner<M>::prepare(Instance<M>& in, BufferId id, bool watch_races) {
  const int64_t count = cell_count(in.extent, most_cells);
  if (count < 0) return m_.fail(codes::too_much_memory, "`" + m_.name_of(id) + "` has more than 2^26 cells");
  const auto size = static_cast<size_t>(count);
  in.cells.resize(size);
  in.state.assign(size, poison);
  if (watch_races) in.accesses.assign(size, {});
  if (code_.has_vector) in.stamps.assign(size, 0);
}

// The physical place of each cell by the layout, as one number; false after a refusal.
template <class M>
bool Runner<M>::places(const typename AllocCode<M>::One& one, const Instance<M>& in, std::vector<int64_t>& linear) {
  const size_t rank = one.layout_to.size();
  std::vector<int64_t> most(rank, 0), all;
  for (int64_t cell = 0; cell < in.size(); ++cell) {
    const std::vector<int64_t> at = in.coordinates(cell);
    for (size_t d = 0; d < at.size(); ++d) m_.set_index(one.layout_from[d], at[d] - in.lo[d]);
    for (size_t d = 0; d < rank; ++d) {
      all.push_back(evaluate(one.layout_to[d]));
      most[d] = std::max(most[d], all.back());
      if (all.back() < 0)
        m_.fail(codes::broken_layout, "the layout of `" + m_.name_of(one.buffer) + "` sends " +
                                          m_.cell_name(one.buffer, at) + " below its origin");
    }
  }
  for (size_t i = 0; i < all.size() && !m_.failed(); i += rank) {
    int64_t place = 0;
    for (size_t d = 0; d < rank; ++d)
      if (__builtin_mul_overflow(place, most[d] + 1, &place) || __builtin_add_overflow(place, all[i + d], &place))
        m_.fail(codes::broken_layout, "the layout of `" + m_.name_of(one.buffer) + "` is past 64 bits");
    linear.push_back(place);
  }
  return !m_.failed();
}

template <class M>
const Fold* Runner<M>::fold_of(const typename AllocCode<M>::One& one, const Instance<M>& in) {
  const auto [at, fresh] = folds_.try_emplace({one.buffer.value, in.extent});
  if (!fresh) return at->second.get();
  std::vector<int64_t> linear;
  if (!places(one, in, linear)) return nullptr;
  auto fold = std::make_unique<Fold>();
  std::unordered_map<int64_t, uint32_t> ids;
  for (int64_t place : linear)
    fold->place.push_back(ids.try_emplace(place, static_cast<uint32_t>(ids.size())).first->second);
  fold->places = static_cast<uint32_t>(ids.size());
  if (fold->places < fold->place.size())
    at->second = std::move(fold);  // else one cell for each place: nothing to watch
  return at->second.get();
}

// ---------------------------------------------------------------------------------------------------------------------

template <class M>
void Runner<M>::stmt(const CheckCode<M>& c, const Lanes<M>& lanes) {
  for (const Lane<M>* lane : lanes) {
    activate(*lane);
    if (m_.index(c.condition(m_)) != 0 || m_.failed()) continue;
    std::string at;
    for (int64_t v : c.coordinates.evaluate(m_)) at += (at.empty() ? "" : ", ") + std::to_string(v);
    m_.fail(codes::check_fails, c.text + (at.empty() ? "" : ", at (" + at + ")"));
  }
}

template class Runner<Typed>;
template class Runner<BoundedMode>;

}  // namespace heddle::ir::interpreter
