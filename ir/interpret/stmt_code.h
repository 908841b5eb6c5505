// Statements compiled for a run: expressions are closures, names are slots.
#pragma once

#include <functional>
#include <memory>
#include <variant>

#include "ir/interpret/expr_code.h"
#include "support/result.h"

namespace heddle::ir::interpreter {

template <class M>
struct StmtCode;

template <class M>
struct BodyCode {
  std::vector<std::unique_ptr<StmtCode<M>>> statements;
  std::vector<BufferId> allocs;  ///< that live to the end of this body
};

template <class M>
struct RangeCode {
  IntCode<M> lo, hi;
};
template <class M>
struct AxisCode {
  uint32_t slot = 0;
  RangeCode<M> range;
};

template <class M>
struct WindowCode {
  BufferId buffer;
  std::vector<RangeCode<M>> ranges;
  std::vector<int64_t> max_extents;
  std::vector<bool> point;  ///< a single index: no dim of the instruction's operand
};

/// One line of a user reducer's block.
template <class M>
struct LineCode {
  int field = -1;
  uint32_t local = 0;
  std::vector<uint32_t> axes;
  ValueCode<M> value;
};

template <class M>
struct ReducerCode {
  const Reducer* row = nullptr;
  uint16_t index = 0;
  // Of user reducers:
  std::vector<std::vector<int64_t>> extents;  ///< of each field
  std::vector<int64_t> sizes;
  std::vector<LineCode<M>> identity, combine;
  enum class Order : uint8_t { any, sum, other };
  std::vector<Order> order;  ///< of each field: what it is of floats that another order may round otherwise
  std::vector<std::vector<Cell<M>>> identity_cells;  ///< filled on first use
  bool user() const { return row->builtin == BuiltinReducer::none; }
};

/// A built-in reducer on one element type.
template <class M>
struct Combiner {
  std::function<Cell<M>(Cell<M>, Cell<M>)> combine;
  Cell<M> identity;
  uint16_t reducer = 0;
  ScalarType type = ScalarType::f32;
  bool float_sum = false, float_product = false;

  /// What its terms were decides the bound at the end of a region.
  bool of_terms() const { return float_sum || float_product; }
};

template <class M>
struct AssignCode {
  BufferId buffer;
  Subscripts<M> subs;
  AssignKind kind = AssignKind::define;
  std::vector<AxisCode<M>> over;
  ValueCode<M> value;
  const Combiner<M>* combiner = nullptr;  ///< of built-in combines
  int field = -1;                         ///< of user combines
};

template <class M>
struct ForCode {
  uint32_t slot = 0;
  RangeCode<M> range;
  LoopKind kind = LoopKind::serial;
  BodyCode<M> body;
  int stages = 1;             ///< of a pipeline whose statements have stages
  std::vector<int> stage_of;  ///< empty: the statements run in order
};

template <class M>
struct AllocCode {
  struct One {
    BufferId buffer;
    std::vector<RangeCode<M>> box;
    ValueCode<M> pad;
    bool has_pad = false;
    std::vector<uint32_t> layout_from;
    std::vector<IntCode<M>> layout_to;
    bool watch_races = false;
    size_t copies = 1;  ///< iterations of a pipeline that hold one each
  };
  std::vector<One> buffers;
};

template <class M>
struct ReduceCode {
  std::vector<WindowCode<M>> windows;
  std::vector<const Combiner<M>*> combiners;  ///< one for each window, of built-in reducers
  ReducerCode<M>* reducer = nullptr;
  BodyCode<M> body;
};

template <class M>
struct LeafCode {
  std::vector<std::pair<uint32_t, IntCode<M>>> bindings;
  IntCode<M> predicate;
  std::vector<AssignCode<M>> assigns;
  ReducerCode<M>* user = nullptr;
  bool recomputed = false;
};

/// A line of an instruction, compiled once for all calls of it.
template <class M>
struct InstrLineCode {
  uint32_t operand = 0;
  Subscripts<M> subs;
  std::vector<AxisCode<M>> axes;
  ValueCode<M> value;
  const Combiner<M>* combiner = nullptr;
};
template <class M>
struct InstrCode {
  const Instr* row = nullptr;
  std::vector<InstrLineCode<M>> lines;
};

template <class M>
struct CallCode {
  const InstrCode<M>* instr = nullptr;
  std::vector<WindowCode<M>> windows;
};

template <class M>
struct CheckCode {
  IntCode<M> condition;
  std::string text;
  Subscripts<M> coordinates;
};

template <class M>
struct StmtCode {
  const Stmt* source = nullptr;
  std::variant<ForCode<M>, AllocCode<M>, ReduceCode<M>, LeafCode<M>, CallCode<M>, CheckCode<M>> form;
};

template <class M>
struct ProgramCode {
  BodyCode<M> body;
  std::vector<std::unique_ptr<ReducerCode<M>>> reducers;  ///< by index; null for built-in ones
  std::vector<std::unique_ptr<InstrCode<M>>> instrs;
  std::vector<std::unique_ptr<Combiner<M>>> combiners;
  bool has_parallel = false, has_vector = false;
};

/// Compiles the program's statements; the machine holds its dims and scalars.
template <class M>
Result<ProgramCode<M>> compile(Machine<M>& machine);

}  // namespace heddle::ir::interpreter
