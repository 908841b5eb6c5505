// Runs compiled statements with the parallelism that the program claims.
//
// Every statement runs for a list of lanes: one outside vector loops, else one for each iteration of the vector loops
// around it, in lock step: a leaf reads for all lanes before it writes for any; a loop below has one trip for all lanes
// that reach it.
#pragma once

#include <map>
#include <random>

#include "ir/interpret/stmt_code.h"

namespace heddle::ir::interpreter {

template <class M>
struct Lane {
  std::vector<std::pair<uint32_t, int64_t>> values;        ///< of the vector loops
  std::vector<std::pair<uint32_t, Instance<M>*>> buffers;  ///< allocated inside them: each lane has its own
};
template <class M>
using Lanes = std::vector<Lane<M>*>;

template <class M>
class Runner {
 public:
  Runner(Machine<M>& machine, ProgramCode<M>& code, uint64_t seed) : m_(machine), code_(code), random_(seed) {}
  void run();

  /// A fresh instance of a buffer with a box, all poison (or pad).
  void prepare(Instance<M>& in, BufferId id, bool watch_races);

 private:
  struct OpenWindow {
    BufferId buffer;
    Instance<M>* in;
    std::vector<int64_t> lo, extent;  ///< clipped to the box, relative to its origin
  };
  struct Write {
    BufferId buffer;
    Instance<M>* in;
    int64_t cell;
    Cell<M> value;
  };
  /// The leaf's values of a user reducer, and the cells of the state that they combine into.
  struct StateWrite {
    std::vector<Instance<M>*> in;
    std::vector<std::vector<int64_t>> cells;
    std::vector<std::vector<Cell<M>>> values;
  };

  void activate(const Lane<M>& lane);
  void body(const BodyCode<M>& body, const Lanes<M>& lanes);
  void stmt(const ForCode<M>& l, const Lanes<M>& lanes);
  void stmt(const AllocCode<M>& a, const Lanes<M>& lanes);
  void stmt(const ReduceCode<M>& r, const Lanes<M>& lanes);
  void stmt(const LeafCode<M>& l, const Lanes<M>& lanes);
  void stmt(const CallCode<M>& c, const Lanes<M>& lanes);
  void stmt(const CheckCode<M>& c, const Lanes<M>& lanes);

  int64_t evaluate(const IntCode<M>& code);
  void vector_loop(const ForCode<M>& l, const Lanes<M>& lanes);
  void pipeline(const ForCode<M>& l, int64_t lo, int64_t hi, const Lanes<M>& lanes);
  void trip(const ForCode<M>& l, int64_t value, const Lanes<M>& lanes,
            const std::vector<std::pair<int64_t, int64_t>>& ranges);
  std::vector<int64_t> order(int64_t lo, int64_t hi);

  Instance<M>* allocate(const typename AllocCode<M>::One& one);
  const Fold* fold_of(const typename AllocCode<M>::One& one, const Instance<M>& in);
  bool places(const typename AllocCode<M>::One& one, const Instance<M>& in, std::vector<int64_t>& linear);

  bool open_window(const WindowCode<M>& code, OpenWindow& out);
  static bool of_terms(const ReduceCode<M>& r, size_t window);
  void enter(const ReduceCode<M>& r, size_t window, const OpenWindow& w);
  void leave(const ReduceCode<M>& r, size_t window, const OpenWindow& w);
  template <class F>
  static void each_cell(const OpenWindow& w, F f);

  enum class Point { skip, run, doubt };
  Point enter_leaf(const LeafCode<M>& l);
  void leaf_once(const LeafCode<M>& l);
  void leaf_lock_step(const LeafCode<M>& l, const Lanes<M>& lanes);
  void doubtful_leaf(const LeafCode<M>& l);
  template <class F>
  void each_point(const std::vector<AxisCode<M>>& axes, size_t from, const F& f);
  bool target(const AssignCode<M>& a, Instance<M>*& in, int64_t& cell);
  void store(const LeafCode<M>& l, const AssignCode<M>& a, const Write& w);
  void combine(BufferId id, Instance<M>& in, int64_t cell, Cell<M> value, const Combiner<M>& c, bool present);

  bool gather_state(const LeafCode<M>& l, StateWrite& out);
  void combine_state(const LeafCode<M>& l, const StateWrite& w);
  void run_lines(ReducerCode<M>& r, const std::vector<LineCode<M>>& lines);
  const std::vector<std::vector<Cell<M>>>& identity_of(ReducerCode<M>& r);

  bool bind_operands(const CallCode<M>& c);
  void run_line(const InstrLineCode<M>& line);

  Machine<M>& m_;
  ProgramCode<M>& code_;
  std::mt19937_64 random_;
  uint32_t loop_instances_ = 0;
  State3<M> state_;
  std::vector<std::vector<std::unique_ptr<Instance<M>>>> pool_;  // by buffer: reused, as allocs stand inside loops
  std::vector<size_t> used_;
  std::map<std::pair<uint32_t, std::vector<int64_t>>, std::unique_ptr<Fold>> folds_;
  std::vector<std::unique_ptr<Lane<M>>> lane_pool_;
  size_t lanes_used_ = 0;
  std::vector<Write> writes_;
};

/// Calls f at each point of the nest of axes.
template <class M>
template <class F>
void Runner<M>::each_point(const std::vector<AxisCode<M>>& axes, size_t from, const F& f) {
  if (from == axes.size()) return f();
  const int64_t lo = evaluate(axes[from].range.lo), hi = evaluate(axes[from].range.hi);
  for (int64_t i = lo; i < hi && !m_.failed(); ++i) {
    m_.set_index(axes[from].slot, i);
    each_point(axes, from + 1, f);
  }
}

/// Cells of one buffer that the interpreter accepts.
inline constexpr int64_t most_cells = int64_t{1} << 26;

}  // namespace heddle::ir::interpreter
