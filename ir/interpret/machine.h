// The state of a run: values of symbols, live buffers, and the rules of reading and writing a cell.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ir/codes.h"
#include "ir/interpret/closure.h"
#include "ir/interpret/memory.h"
#include "ir/program.h"

namespace heddle::ir::interpreter {

/// An operand of an instruction while it runs: a window of a buffer, addressed from its own origin.
template <class M>
struct View {
  Instance<M>* in = nullptr;
  BufferId buffer;
  std::vector<int64_t> lo, extent;  ///< of the buffer's dims
  std::vector<bool> point;          ///< a single index: no dim of the operand
};

/// The state that a user reducer's lines name: for each field its cells, row-major over the field's extents.
template <class M>
struct State3 {
  std::vector<std::vector<Cell<M>>> side[3];
};

template <class M>
class Machine {
 public:
  using Real = typename M::Real;
  using Int = typename M::Int;

  explicit Machine(const Program& p) : program(p), slots(p.symbols.size()), current(p.buffers.size()) {}

  /// The first failure wins; what runs on afterwards computes nothing of meaning, and touches no memory outside.
  void fail(const Code& code, std::string message, std::string help = {});
  bool failed() const { return failure.has_value() || speculation_failed; }

  int64_t index(Int v) const { return M::nominal_int(v); }
  int64_t index(SymbolId id) const { return M::nominal_int(slots[id.value].integer); }
  void set_index(uint32_t slot, int64_t v) { slots[slot].integer = M::integer(v); }

  std::string name_of(BufferId id) const;
  std::string cell_name(BufferId id, const std::vector<int64_t>& at) const;
  std::string cell_name(BufferId id, const Instance<M>& in, int64_t cell) const {
    return cell_name(id, in.coordinates(cell));
  }
  /// "stage `y` at (r = 3, c = 2)", of the leaf or call that runs.
  std::string where() const;

  /// The cell of a read, or -1 after a failure.
  bool readable(BufferId id, Instance<M>& in, int64_t cell);
  /// A write; false after a failure. `reducer` is the index of the combining reducer, or -1.
  bool write(BufferId id, Instance<M>& in, int64_t cell, Cell<M> value, AssignKind kind, bool redefine);
  void note_read(BufferId id, Instance<M>& in, int64_t cell);
  void note_write(BufferId id, Instance<M>& in, int64_t cell);
  /// One more leaf; false when the limit is reached.
  bool count_leaf();

  const Program& program;
  std::vector<Cell<M>> slots;          ///< by symbol
  std::vector<Instance<M>*> current;   ///< by buffer; null outside its alloc
  std::vector<View<M>> views;          ///< of the running instruction
  State3<M>* reducer_state = nullptr;  ///< of the running reducer line
  Tasks tasks;
  uint32_t stamp = 0;  ///< of the running lock step
  bool in_lock_step = false;
  bool has_fma = true;
  int64_t max_leaves = 0, leaves = 0;
  const Stmt* statement = nullptr;
  std::optional<Diagnostic> failure;
  // The arm of an undecided `if` in bounded mode: a failure there is none of the program.
  bool speculating = false, speculation_failed = false;

 private:
  void race(BufferId id, Instance<M>& in, int64_t cell, const char* what);
};

}  // namespace heddle::ir::interpreter
