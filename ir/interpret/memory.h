// Cells of a buffer with what the interpreter knows of each: whether it was written, whether its reduction is open, and
// which iterations of parallel loops touched it.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/interpret/bounded.h"

namespace heddle::ir::interpreter {

template <class M>
union Cell {
  typename M::Real real;
  typename M::Int integer;
  Cell() : integer() {}
  explicit Cell(typename M::Real r) : real(r) {}
  template <class I = typename M::Int>
    requires(!std::is_same_v<I, typename M::Real>)
  explicit Cell(I i) : integer(i) {}
};

/// Iterations of parallel loops as a tree of tasks: two tasks race where they are different iterations of one loop
/// instance, or lie below such.
class Tasks {
 public:
  using Id = uint32_t;  ///< 0: the program outside all parallel loops

  Id current() const { return current_; }
  void enter_loop(uint32_t loop) { loops_.push_back({loop, current_}); }
  void next_iteration() {
    rows_.push_back({loops_.back().outer, loops_.back().instance, static_cast<uint32_t>(loops_.size())});
    current_ = base_ + static_cast<Id>(rows_.size());
  }
  void leave_loop() {
    current_ = loops_.back().outer;
    loops_.pop_back();
    if (!loops_.empty()) return;
    base_ += static_cast<Id>(rows_.size());  // all of them are over: whatever follows is ordered after them
    rows_.clear();
  }
  /// Whether an earlier access by `a` is unordered with the running task.
  bool races(Id a) const { return a != current_ && a > base_ && current_ != 0 && unordered(a, current_); }

 private:
  struct Row {
    Id parent;
    uint32_t loop;
    uint32_t depth;
  };
  struct Loop {
    uint32_t instance;
    Id outer;
  };
  const Row& row(Id id) const { return rows_[id - base_ - 1]; }
  uint32_t depth(Id id) const { return id <= base_ ? 0 : row(id).depth; }
  bool unordered(Id a, Id b) const;

  std::vector<Row> rows_;
  std::vector<Loop> loops_;
  Id base_ = 0;
  Id current_ = 0;
};

/// A layout whose map sends several cells of the box to one place (a fold): the last one written lives there.
struct Fold {
  std::vector<uint32_t> place;  ///< of each cell
  uint32_t places = 0;
};

/// What a cell holds. From `open` on: `open + r` while the region of reducer r is open over it.
enum State : uint16_t { poison = 0, written = 1, defined = 2, padded = 3, open = 4 };

template <class M>
struct Instance {
  std::vector<int64_t> lo, extent;
  std::vector<Cell<M>> cells;
  std::vector<uint16_t> state;
  struct Access {
    Tasks::Id writer = 0, reader = 0, other_reader = 0;
  };
  std::vector<Access> accesses;  ///< empty where no parallel loop can race
  std::vector<uint32_t> stamps;  ///< of the last lock step that wrote the cell; empty without vector loops
  std::vector<Terms> terms;      ///< of open float sums and products, bounded mode only
  const Fold* fold = nullptr;
  std::vector<uint32_t> holders;  ///< of a fold: cell + 1 that lives in each place

  int64_t size() const { return static_cast<int64_t>(cells.size()); }
  std::vector<int64_t> coordinates(int64_t cell) const {
    std::vector<int64_t> at(extent.size());
    for (size_t d = extent.size(); d-- > 0;) {
      at[d] = lo[d] + cell % extent[d];
      cell /= extent[d];
    }
    return at;
  }
};

/// Product of extents, or -1 past `limit`; an empty extent makes it 0 whatever the others are.
int64_t cell_count(const std::vector<int64_t>& extents, int64_t limit);

}  // namespace heddle::ir::interpreter
