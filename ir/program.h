// Programs: the one representation between text and machine (docs/program.md shows the printed form).
//
// A program is a value: tables of symbols, buffers, stages, reducers and instructions, and a tree of immutable statements.
// A step is a function from program to program. Ids index the tables of the same program; steps append to tables and never
// renumber, so a statement that a step leaves alone stays shared.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ir/expr.h"
#include "support/diagnostic.h"

namespace heddle::ir {

enum class SymbolKind : uint8_t { dim, constant, scalar, axis, loop, local };

struct Symbol {
  std::string name;  ///< bare: "rows", "ro"
  SymbolKind kind = SymbolKind::local;
  ScalarType type = ScalarType::index;  ///< of scalars and locals; the rest are index
  std::string owner;  ///< the stage of an axis or loop ("y", or "y@tail" for a part): loops print as owner.name
  Place place;
};

/// Where elements live. Rows of one table (ir/memory.cpp): printed name, and whether it is host or device.
enum class Memory : uint8_t { dram, l2, l1, registers, tile, sbuf, psum };

enum class Role : uint8_t { in, out, inout, temporary };

/// Half-open range of one dim of a buffer's logical box, in logical coordinates.
struct BoxDim {
  std::string name;  ///< the axis it was made for; printed as `r in lo .. hi`; empty prints only the range (or the dim)
  Expr lo, hi;
};

/// Logical coordinates (relative to the box's origin) to physical ones: `layout(k, j) -> (j/16, k/2, j%16, k%2)`, row-major.
struct Layout {
  std::vector<SymbolId> from;  ///< locals, one for each logical dim
  std::vector<Expr> to;
};

struct Buffer {
  std::string name;    ///< "acc"; with a field, the state's stage: "st"
  std::string field;   ///< of a user reducer's state: "m"; prints as st[r].m
  int field_dims = 0;  ///< how many trailing dims belong to the field (o: f32[d] has one)
  ScalarType type = ScalarType::f32;
  std::vector<BoxDim> box;  ///< logical dims, composite ones taken apart
  std::vector<int>
      groups;  ///< parameters: logical dims per array axis, e.g. {1, 2, 1} for [n, (g, c), w]; empty = all 1
  Memory memory = Memory::dram;
  std::optional<Layout> layout;
  Expr pad;        ///< value of the padding that a layout adds, or none
  int copies = 1;  ///< of a pipelined buffer
  Role role = Role::temporary;
  Place place;
};

enum class AxisClass : uint8_t { map, reduce, scan, scan_reverse, scatter };

struct Axis {
  SymbolId symbol;
  AxisClass cls = AxisClass::map;
  Expr lo, hi;  ///< in dims, scalars, earlier axes, and loads of data scalars
};

/// A row for each stage. The equation's body stands in its leaves; the row fixes what must be covered: the domain.
struct Stage {
  std::string name;
  std::vector<Axis> axes;
  Expr where;        ///< boolean over the axes that limits the domain, or none
  bool pure = true;  ///< reads only, defines cells of its own buffers
  std::vector<BufferId> writes;
  std::string reducer;  ///< name, or empty
  Place place;
};

enum class BuiltinReducer : uint8_t { none, sum, prod, max, min, any, all };

struct ReducerField {
  std::string name;
  ScalarType type = ScalarType::f32;
  std::vector<Expr> extents;  ///< of its own axes
};
/// One line of a block of a reducer: a local, or a field of the new state, over the field's own axes.
struct ReducerLine {
  int field = -1;  ///< field defined, or -1: `local`
  SymbolId local;
  std::vector<SymbolId> axes;  ///< one for each extent of the field
  Expr value;
  // Of a whole-range form only:
  std::string reducer;  ///< built-in, by which the elements' values become one: `m = max[j] x[j].m`; else empty
  bool each = false;    ///< of a local: a value for each element, `w[j] = ..`
};
/// A row of the reducer table. Built-in ones take the element type of the window; user ones carry their blocks.
struct Reducer {
  std::string name;
  BuiltinReducer builtin = BuiltinReducer::none;
  std::vector<ReducerField> fields;
  std::vector<ReducerLine> identity, combine;
  /// The state of a range of elements as plain stages, `of[j] x { .. }`; empty where none is declared. In its values an element's
  /// field is a `StateField` of side 3.
  std::vector<ReducerLine> whole;
  std::string whole_index, whole_elements;  ///< `j` and `x`
  bool commutes = true;
  bool exact = false;  ///< free of rounding under any order; for sum and prod it depends on the type: see `exact_on`
  Place place;
};
bool exact_on(const Reducer& reducer, ScalarType type);

struct Range {
  Expr lo, hi;
  int64_t max_extent = 0;  ///< constant bound of hi - lo where it is run-time (`lo .. hi <= 16`), else 0
  bool point = false;      ///< of a call: a single index, beside the dims of the instruction's operand
};
/// A box of a buffer in logical coordinates, clipped to the buffer's box where it reaches outside.
struct Window {
  BufferId buffer;
  std::vector<Range> ranges;
};

/// What an instruction computes, on which operands. `lines` read and write operands by index; axes run over window extents.
struct InstrOperand {
  std::string name;
  bool inout = false;
  ScalarType type = ScalarType::f32;
  std::vector<SymbolId> dims;        ///< locals named as the extents (m, n, k), shared between operands
  std::vector<int64_t> max_extents;  ///< 0 where only another operand bounds the dim
  Memory memory = Memory::registers;
  std::optional<Layout> layout;
};
struct InstrLine {
  int operand = 0;         ///< written
  std::vector<Expr> subs;  ///< over `axes`
  std::string reducer;     ///< "sum" for `sum=`, empty for `=`
  std::vector<Axis> axes;  ///< map axes from the left side, then reduce axes, with their ranges
  Expr value;              ///< loads name operands as buffers: BufferId{operand index}
};
struct Instr {
  std::string name;
  std::vector<InstrOperand> operands;
  std::vector<InstrLine> lines;
  std::vector<std::string> numerics;  ///< "exact", "reassociates", "flushes_denormals", ...
  Place place;
};

// ---------------------------------------------------------------------------------------------------------------------
// Statements

struct Stmt;
using StmtRef = std::shared_ptr<const Stmt>;
using Body = std::vector<StmtRef>;

enum class LoopKind : uint8_t { serial, parallel, vector, unrolled, pipelined, bound };

/// What iterations later than the running one read of the buffer is asked for now; changes no value.
struct Prefetch {
  BufferId buffer;
  int64_t ahead = 0;  ///< iterations
};

struct For {
  SymbolId loop;
  Expr lo, hi;
  LoopKind kind = LoopKind::serial;
  std::string axis;  ///< of `bound`: the hardware axis ("partition", "free", an engine)
  int stages = 0;    ///< of `pipelined`
  Body body;
  /// Of `pipelined`: for each statement of the body its stage, at most `stages - 1`. At time t a statement of stage s runs its
  /// iteration t - s, while the other stages run theirs; what an alloc of stage s makes is held from then on. Empty: all are of stage 0.
  std::vector<int> stage_of;
  std::vector<Prefetch> prefetch;  ///< of serial loops
};

/// The buffers (one, or the fields of one state) exist from here to the end of the enclosing body; their memory is fresh.
struct Alloc {
  std::vector<BufferId> buffers;
};

/// On entry the windows hold the identity, also for an empty range; leaves below combine into them; they are readable only
/// after the region. Windows: one, or one for each field of a user reducer, in field order.
struct Reduce {
  std::vector<Window> windows;
  std::string reducer;
  bool reassociated = false;
  Body body;
};

enum class AssignKind : uint8_t { define, combine, update };  ///< `=`, `R=`, `<-`

struct Assign {
  BufferId buffer;
  std::vector<Expr> subs;  ///< over the stage's axes and `over`
  AssignKind kind = AssignKind::define;
  std::vector<Axis> over;  ///< own axes of a state field (o[e in 0 .. d] = ..)
  Expr value;
};

/// One instance of a stage's equation at each point: `at part(r = .., cv = ..) where .. { part[r, cv] sum= .. }`.
/// The body is written in the stage's own axes; `bindings` give them as functions of the loops around (affine, with constant
/// / and %), one for each axis of the stage row. The point is skipped where `predicate` (over loops) is false.
struct Leaf {
  StageId stage;
  std::vector<Expr> bindings;
  Expr predicate;               ///< boolean over loops, or none
  std::string reducer;          ///< of combine assigns
  std::vector<Assign> assigns;  ///< one, or one for each field of a state
  bool recomputed = false;      ///< a point may run more than once (halo, shift): pure stages only
  bool nontemporal = false;     ///< stores pass the caches by; changes no value
};

struct Call {
  std::string instr;
  std::vector<Window> windows;
};
/// The dims of a call's window that are dims of the operand, in order: all but single indices.
std::vector<size_t> operand_dims(const Window& window);

/// A check on data: where false, the kernel stops with a status that names the text and the coordinates.
struct Check {
  Expr condition;
  std::string text;
  std::vector<Expr> coordinates;
};

using StmtForm = std::variant<For, Alloc, Reduce, Leaf, Call, Check>;
struct Stmt {
  StmtForm form;
  Place place;  ///< the equation or step that made it; not part of equality
};
StmtRef make_stmt(StmtForm form, Place place = {});

// ---------------------------------------------------------------------------------------------------------------------

/// How a dim gets its value at a call: from the extent of an array axis, `dim = (extent - offset) / divisor`, exact or refused;
/// or by a `let`.
struct DimDefinition {
  SymbolId dim;
  BufferId buffer;  ///< unknown for a `let`
  int array_axis = 0;
  Expr offset;   ///< index, in dims defined before
  Expr divisor;  ///< index, in dims defined before (the other parts of a composite dim)
  Expr value;    ///< of a `let`
};

/// `require` of the text: a fact for the prover, a check at the call.
struct Requirement {
  Expr condition;
  std::string text;
  Place place;
};

/// A parameter in the order of declaration: an array, or a run-time scalar with its default.
struct Parameter {
  BufferId buffer;  ///< known for arrays
  SymbolId scalar;  ///< known for scalars
  Expr default_value;
};

struct Allow {
  bool reassociate = false;
  bool flush_denormals = false;
  bool contract = false;
};

/// A name that a step used up, for messages: "`y.r` was split at line 12 into `ro`, `ri`". Not part of equality.
struct ConsumedName {
  std::string name;
  std::string became;
  Place place;
};

/// A called op whose stages stand behind a prefix, `p.total`, and what its own names stand for; without a prefix the op itself: its consts.
struct InlinedCall {
  std::string prefix;                                        ///< "p"
  std::string op;                                            ///< "softmax"
  std::vector<std::pair<std::string, std::string>> tensors;  ///< parameters and results -> tensors
  std::vector<std::pair<std::string, Expr>> values;          ///< dims and consts -> expressions
};

struct Program {
  std::string name;    ///< "softmax", or "softmax.rows" once scheduled
  std::string target;  ///< "cpu", "cpu/avx512", "neuron/trn2"; empty = any
  Allow allow;
  std::vector<Symbol> symbols;
  std::vector<Buffer> buffers;
  std::vector<Stage> stages;
  std::vector<Reducer> reducers;
  std::vector<Instr> instrs;
  std::vector<Parameter> parameters;  ///< inputs and scalars in order, then outputs
  std::vector<DimDefinition> dims;    ///< in an order in which each uses only earlier ones
  std::vector<Expr> facts;            ///< true whenever the program runs: dims >= 0, requirements, schedule's where
  std::vector<Requirement> requirements;
  Body body;
  std::vector<ConsumedName> consumed;
  std::vector<InlinedCall> calls;  ///< for `apply`; not part of equality

  const Symbol& symbol(SymbolId id) const { return symbols[id.value]; }
  const Buffer& buffer(BufferId id) const { return buffers[id.value]; }
  const Stage& stage(StageId id) const { return stages[id.value]; }
  const Reducer* reducer(const std::string& name) const;
  const Instr* instr(const std::string& name) const;

  SymbolId add(Symbol symbol);
  BufferId add(Buffer buffer);
  StageId add(Stage stage);
};

/// The rows of the built-in reducers; every program starts with them.
std::vector<Reducer> builtin_reducers();

/// What combining by a built-in reducer begins from. Where a float type has no infinity, its greatest number stands for it.
Constant identity_of(BuiltinReducer reducer, ScalarType type);

const char* memory_name(Memory memory);
std::optional<Memory> parse_memory(std::string_view name);

}  // namespace heddle::ir
