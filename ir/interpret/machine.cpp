#include "ir/interpret/machine.h"

#include "ir/interpret/bounded.h"

namespace heddle::ir::interpreter {

template <class M>
void Machine<M>::fail(const Code& code, std::string message, std::string help) {
  if (speculating) {
    speculation_failed = true;
    return;
  }
  if (failure) return;
  const std::string at = where();
  failure = Diagnostic(code, statement ? statement->place : Place{}, at.empty() ? message : at + ": " + message)
                .with_help(std::move(help));
}

template <class M>
std::string Machine<M>::where() const {
  if (!statement) return {};
  if (const ir::Call* call = std::get_if<ir::Call>(&statement->form)) return "call of `" + call->instr + "`";
  const Leaf* leaf = std::get_if<Leaf>(&statement->form);
  if (!leaf) return {};
  const Stage& stage = program.stage(leaf->stage);
  std::string at;
  for (const Axis& axis : stage.axes)
    at += (at.empty() ? "" : ", ") + program.symbol(axis.symbol).name + " = " + std::to_string(index(axis.symbol));
  return "stage `" + stage.name + "`" + (at.empty() ? "" : " at (" + at + ")");
}

template <class M>
std::string Machine<M>::name_of(BufferId id) const {
  const Buffer& b = program.buffer(id);
  return b.field.empty() ? b.name : b.name + "." + b.field;
}

template <class M>
std::string Machine<M>::cell_name(BufferId id, const std::vector<int64_t>& at) const {
  const Buffer& b = program.buffer(id);
  const size_t own = b.field.empty() ? at.size() : at.size() - static_cast<size_t>(b.field_dims);
  auto list = [&](size_t from, size_t to) {
    std::string text;
    for (size_t i = from; i < to; ++i) text += (i > from ? ", " : "") + std::to_string(at[i]);
    return from == to ? "" : "[" + text + "]";
  };
  std::string text = b.name + list(0, own);
  if (!b.field.empty()) text += "." + b.field + list(own, at.size());
  return "`" + text + "`";
}

template <class M>
void Machine<M>::race(BufferId id, Instance<M>& in, int64_t cell, const char* what) {
  fail(codes::racing_iterations, cell_name(id, in, cell) + " is " + what + " iteration of a parallel loop",
       "iterations of a parallel loop may share only cells that none of them writes");
}

template <class M>
void Machine<M>::note_read(BufferId id, Instance<M>& in, int64_t cell) {
  auto& access = in.accesses[static_cast<size_t>(cell)];
  const Tasks::Id now = tasks.current();
  if (tasks.races(access.writer)) return race(id, in, cell, "read by one and written by another");
  if (access.reader == now) return;
  // Two unordered readers suffice: a later writer differs from one of them.
  (tasks.races(access.reader) ? access.other_reader : access.reader) = now;
}

template <class M>
void Machine<M>::note_write(BufferId id, Instance<M>& in, int64_t cell) {
  if (!in.accesses.empty()) {
    auto& access = in.accesses[static_cast<size_t>(cell)];
    if (tasks.races(access.writer)) return race(id, in, cell, "written by more than one");
    if (tasks.races(access.reader) || tasks.races(access.other_reader))
      return race(id, in, cell, "read by one and written by another");
    access = {tasks.current(), 0, 0};
  }
  if (in_lock_step && !in.stamps.empty()) {
    uint32_t& last = in.stamps[static_cast<size_t>(cell)];
    if (last == stamp)
      return fail(codes::racing_lanes, cell_name(id, in, cell) + " is written by two iterations of a vector loop",
                  "a vector loop writes each cell from one iteration");
    last = stamp;
  }
  if (!in.fold) return;
  uint32_t& holder = in.holders[in.fold->place[static_cast<size_t>(cell)]];
  if (holder != 0 && holder != cell + 1) {
    uint16_t& evicted = in.state[holder - 1];
    if (evicted >= open)
      return fail(codes::open_reduction,
                  cell_name(id, in, cell) + " takes the place of a cell whose reduction is open");
    evicted = poison;
  }
  holder = static_cast<uint32_t>(cell) + 1;
}

template <class M>
bool Machine<M>::readable(BufferId id, Instance<M>& in, int64_t cell) {
  const uint16_t state = in.state[static_cast<size_t>(cell)];
  if (state == poison) {
    fail(codes::poison_read, cell_name(id, in, cell) + " is read, and nothing was written there",
         in.fold ? "another cell may have taken its place in the folded storage" : "");
    return false;
  }
  if (state >= open) {
    fail(codes::open_reduction, cell_name(id, in, cell) + " is read while its reduction is open",
         "read it after the region");
    return false;
  }
  if (!in.accesses.empty() && !speculating) note_read(id, in, cell);
  return true;
}

template <class M>
bool Machine<M>::write(BufferId id, Instance<M>& in, int64_t cell, Cell<M> value, AssignKind kind, bool redefine) {
  uint16_t& state = in.state[static_cast<size_t>(cell)];
  if (kind == AssignKind::define) {
    if (state >= open) {
      fail(codes::open_reduction, cell_name(id, in, cell) + " is defined while its reduction is open");
      return false;
    }
    if (state == defined && !redefine) {
      fail(codes::defined_twice, cell_name(id, in, cell) + " is defined twice");
      return false;
    }
  }
  note_write(id, in, cell);
  in.cells[static_cast<size_t>(cell)] = value;
  if (state < open) state = kind == AssignKind::define ? defined : written;
  return !failed();
}

template <class M>
bool Machine<M>::count_leaf() {
  ++leaves;
  if (max_leaves == 0 || leaves <= max_leaves) return true;
  fail(codes::too_many_leaves, "the run was stopped after " + std::to_string(max_leaves) + " leaf instances");
  return false;
}

template class Machine<Typed>;
template class Machine<BoundedMode>;

}  // namespace heddle::ir::interpreter
