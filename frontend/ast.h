// The syntax tree of a `.hd` text: plain data, one struct for each form, a place on each. No ANTLR types, no meaning: names are
// words, types are not known, and `x[i]` may be a tensor, a state or (in a schedule) a window.
//
// Depth is bounded (limits::nesting + limits::chain levels), so plain recursion over it is safe.
//
// Over 500 lines: the forms refer to each other, and are read side by side with the grammar.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "support/source.h"

namespace heddle::frontend::ast {

// ---------------------------------------------------------------------------------------------------------------------
// Names

/// One word. In a path it may carry the part of a nest that a step made: "y@tail", "y@*".
struct Name {
  std::string text;
  Place place;
};

/// `softmax.rows`, `a.m`, `y@tail.ri`: at least one word.
struct Path {
  std::vector<Name> names;
  Place place;

  bool bare() const { return names.size() == 1; }
  const std::string& first() const { return names.front().text; }
  const std::string& last() const { return names.back().text; }
  /// As written, without blanks: "y@tail.ri".
  std::string text() const {
    std::string out;
    for (const Name& name : names) out += (out.empty() ? "" : ".") + name.text;
    return out;
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Expressions

struct Expr;
using ExprRef = std::shared_ptr<const Expr>;
struct Ref;

/// One element between commas: of subscripts, dims, arguments, operands, lists and tuples.
///   `e`   `lo .. hi`   `lo .. hi <= max`   `i in lo .. hi`   `...r`   and, with a target, `n = e`, `o[e in 0 .. d] = e`
struct Entry {
  enum class Kind { value, range, pack };
  Kind kind = Kind::value;
  std::optional<Name> bound;  ///< `i` of `i in lo .. hi`
  ExprRef value;              ///< the value; of a range its lo; null for a pack
  ExprRef hi;                 ///< of a range, exclusive
  ExprRef max;                ///< `<= max` of a range (of `hi - lo`) or of a dim of a type (`m <= 16`); may be null
  Name pack;                  ///< `r` of `...r`
  std::shared_ptr<const Ref> target;  ///< left side of `target = value`; null otherwise
  Place place;
};
using Entries = std::vector<Entry>;

/// `x`, `a.m`, `x[i, j]`, `st[r].m`, `st[r].o[e]`: a read, a left side, a window, or a bare path (a dim, scalar, index, loop, flag).
struct Ref {
  Path path;
  bool subscripted = false;
  Entries subs;
  std::optional<Name> field;  ///< after the subscripts
  bool field_subscripted = false;
  Entries field_subs;
  Place place;

  bool bare_name() const { return path.bare() && !subscripted; }
};

struct Literal {
  enum class Kind { integer, real, text, boolean };
  Kind kind = Kind::integer;
  std::string
      text;  ///< as written ("1e-5", "inf", "nan", "true", "0x7f"); of a string its content with escapes resolved
};

struct Read {
  Ref ref;
  ExprRef otherwise;  ///< of `x[i - 1] or e`; null otherwise
};

/// `f(x)`: a function, a type as conversion (`f32(x)`, `saturate(i8, x)`), or at the root of a right side a call of an op.
struct Call {
  Path callee;
  Entries args;
};

/// `(a, b)`: a composite subscript or dim, named fields of a state, a layout. One plain expression in parentheses is no tuple.
struct Tuple {
  Entries entries;
};

/// `[1, 2, 4]`: in schedules.
struct List {
  Entries entries;
};

enum class UnaryOp { negate, logical_not, bit_not };
struct Unary {
  UnaryOp op;
  ExprRef value;
};

enum class BinaryOp {
  add,
  sub,
  mul,
  div,
  mod,
  shift_left,
  shift_right,
  bit_and,
  bit_or,
  bit_xor,
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  logical_and,
  logical_or
};
/// `a + b + c` is ((a + b) + c). Comparisons do not chain.
struct Binary {
  BinaryOp op;
  Place op_place;
  ExprRef left, right;
};

/// `if condition then yes else no`
struct If {
  ExprRef condition, yes, no;
};

using ExprForm = std::variant<Literal, Read, Call, Tuple, List, Unary, Binary, If>;
struct Expr {
  ExprForm form;
  Place place;  ///< with its parentheses

  template <class T>
  const T* as() const {
    return std::get_if<T>(&form);
  }
  /// The name of a bare word such as `rows` or `exact`, else null.
  const std::string* as_name() const {
    const Read* read = as<Read>();
    return read && !read->otherwise && read->ref.bare_name() ? &read->ref.path.first() : nullptr;
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Blocks of ops, reducers, instructions and leaves

/// `let n = e`: in a block, a module, a schedule or a program.
struct Let {
  Name name;
  ExprRef value;
  std::string doc;  ///< of a module's item
  Place place;
};

/// `require COND, "text"`
struct Require {
  ExprRef condition;
  std::string text;
  Place place;
};

/// `sum[p, q in 0 .. n where COND] body`, or of a user reducer `online[j] (m = .., o[e] = ..)`.
struct Reduction {
  Path reducer;
  Entries binders;    ///< `p` (a value that is a bare name) or `j in lo .. hi`
  ExprRef condition;  ///< of `where`; null without
  ExprRef body;       ///< null when `fields` are given
  Entries fields;     ///< named entries, each with a target
  Place place;
};

/// Exactly one of the two. A call of an op is a value that is a `Call`.
struct Right {
  ExprRef value;
  std::optional<Reduction> reduction;
  const Place& place() const { return reduction ? reduction->place : value->place; }
};

enum class AssignKind {
  define,   ///< `=`
  combine,  ///< `sum=`: in leaves and instructions
  update    ///< `<-`
};

/// `y[r, c] = right`. Several left sides only for a call of an op with several results: `h, c = lstm(..)`.
/// The right side of `st[r] online= (m = .., l = 1)` is a value that is a Tuple of named entries.
struct Equation {
  std::vector<Ref> left;
  AssignKind kind = AssignKind::define;
  Name reducer;  ///< of combine
  Right right;
  Place place;
};

struct Stmt;
using Block = std::vector<Stmt>;

/// `scan t { .. }`, `scan t reverse { .. }`
struct Scan {
  Name axis;
  bool reverse = false;
  Block body;
  Place place;
};

struct Stmt {
  std::variant<Let, Require, Scan, Equation> form;
  const Place& place() const {
    return std::visit([](const auto& s) -> const Place& { return s.place; }, form);
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Types and parameters

/// `f32`, `T[m, (g, cg), ...r, n + 1]`, `f32[r in lo .. hi]`, `bf16[k <= 32, n]`; a composite dim is a value that is a Tuple.
struct Type {
  Name name;
  bool tensor = false;  ///< has brackets; `f32[]` is a tensor of rank 0
  Entries dims;
  Place place;
};

/// `layout(k, j) -> (j/16, k/2, j%16, k%2)`
struct LayoutMap {
  std::vector<Name> from;
  std::vector<ExprRef> to;
  Place place;
};

enum class Direction {
  none,
  in,
  out,
  inout,
  constant
};  ///< ops: none, inout, constant; programs: in, out, inout, none

struct Param {
  Direction direction = Direction::none;
  Name name;
  Type type;
  ExprRef default_value;            ///< `= 1e-5`; may be null
  std::optional<Name> memory;       ///< `in dram`: of programs and instructions
  std::optional<LayoutMap> layout;  ///< of instructions, and of packed inputs of programs
  ExprRef pad;                      ///< of packed inputs; may be null
  Place place;
};

/// `T: float`; without a class, `any`.
struct Generic {
  Name name;
  Name cls;
};

// ---------------------------------------------------------------------------------------------------------------------
// Schedules

/// `by n`, `into o, i`: one of by into at as in to with when after.
struct Preposition {
  Name word;
  Entries operands;
};

/// `NAME operands (PREPOSITION operands)*`; nothing is known of any step here.
struct Step {
  Path name;
  Entries operands;
  std::vector<Preposition> prepositions;
  Place place;
};

/// `tune n = 4 in [1, 2, 4] where COND`, `tune n = 4 in 1 .. 64 by *2`
struct Tune {
  Name name;
  ExprRef value;    ///< the default
  ExprRef choices;  ///< a List, or null
  ExprRef lo, hi;   ///< or a range, exclusive
  ExprRef factor;   ///< of `by *2`; null without
  ExprRef condition;
  Place place;
};

struct Line;
/// `if COND { .. } else { .. }`; `else if` nests.
struct Branch {
  ExprRef condition;
  std::vector<Line> then, otherwise;
  Place place;
};

struct Line {
  std::variant<Step, Tune, Let, Branch> form;
  const Place& place() const {
    return std::visit([](const auto& s) -> const Place& { return s.place; }, form);
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Printed programs

struct ProgramStmt;
using ProgramBody = std::vector<ProgramStmt>;

/// `stage part(map r in 0 .. rows, reduce c in 0 .. cols) by sum into part where COND recomputed`
struct StageRow {
  struct Axis {
    std::string cls;  ///< map, reduce, scan, scan_reverse or scatter
    Name name;
    ExprRef lo, hi;
    Place place;
  };
  Path name;
  std::vector<Axis> axes;
  std::optional<Name> reducer;  ///< `by sum`
  std::vector<Ref> writes;      ///< `into part`, `into st.m, st.l`
  ExprRef condition;            ///< `where`; may be null
  std::vector<Name> flags;      ///< words at the end: `recomputed`, `impure`
  Place place;
};

/// `for y.ro in lo .. hi parallel { .. }`
struct For {
  Path loop;  ///< stage-qualified: the last word is the loop
  ExprRef lo, hi;
  std::string kind;                                   ///< "", parallel, vector, unrolled, pipelined, prefetch, on
  ExprRef stages;                                     ///< of `pipelined 3`
  ExprRef stage_of;                                   ///< of `pipelined 2 at (0, 1)`: a tuple; may be null
  std::optional<Name> axis;                           ///< of `on partition`
  std::vector<std::pair<ExprRef, ExprRef>> prefetch;  ///< of `prefetch x by 4, w by 8`
  ProgramBody body;
  Place place;
};

/// `alloc bp: bf16[k in 0 .. 64, j in 0 .. 32] in l2 layout(..) -> (..) pad 0 copies 2`
struct Alloc {
  Path name;
  Type type;  ///< an element type, or a user reducer for its state
  Name memory;
  std::optional<LayoutMap> layout;
  ExprRef pad, copies;  ///< may be null
  Place place;
};

/// `reduce part[4*ro, 0 .. 16] by sum reassociated { .. }`
struct ReduceRegion {
  std::vector<Ref> windows;
  Name reducer;
  bool reassociated = false;
  ProgramBody body;
  Place place;
};

/// `at part(r = 4*ro + ri, co = co) where COND { part[r] sum= e[r] }`
struct Leaf {
  struct Binding {
    Name axis;
    ExprRef value;
  };
  Path stage;
  std::vector<Binding> bindings;
  ExprRef condition;  ///< may be null
  bool recomputed = false, nontemporal = false;
  std::vector<Equation> assigns;
  Place place;
};

/// `call amx_dot(acc[0 .. 16, 0 .. 16], ap[0 .. 16, 0 .. 32])`
struct CallInstr {
  Path instr;
  std::vector<Ref> windows;
  Place place;
};

/// `check COND, "text" at b, i`: the coordinates are optional
struct Check {
  ExprRef condition;
  std::string text;
  std::vector<ExprRef> coordinates;
  Place place;
};

struct ProgramStmt {
  std::variant<Let, Require, StageRow, For, Alloc, ReduceRegion, Leaf, CallInstr, Check> form;
  const Place& place() const {
    return std::visit([](const auto& s) -> const Place& { return s.place; }, form);
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Items of a module. `doc`: the `///` lines before it, joined by line ends, without the slashes. `place`: the whole item;
// `name.place` is the short one to point at.

/// `import "nn/softmax.hd"`, `import "nn/softmax.hd" as soft`
struct Import {
  std::string path;
  std::optional<Name> as;
  std::string doc;
  Place place;
};

struct OpItem {
  Name name;
  std::vector<Generic> generics;
  std::vector<Param> params;
  std::vector<Param> results;  ///< name and type only
  Block body;
  std::string doc;
  Place place;
};

struct ReducerItem {
  /// `of[j] x { .. }`: the state of a whole range as plain stages.
  struct WholeRange {
    Name index, elements;
    Block body;
    Place place;
  };
  Name name;
  std::vector<Generic> generics;
  std::vector<Param> fields;  ///< a field with axes has a tensor type
  bool commutes = false;
  bool exactly = false;
  Block identity;
  Name left, right;  ///< of `combine(a, b)`
  Block combine;
  std::optional<WholeRange> whole;
  std::string doc;
  Place place;
};

struct ScheduleItem {
  Path op;      ///< "softmax"
  Name name;    ///< "rows"
  Name target;  ///< "cpu", "cpu/x86-64-v2"
  std::vector<Name> allow;
  ExprRef condition;  ///< `where`; may be null
  std::vector<Line> lines;
  std::string doc;
  Place place;
};

/// `step NAME(l: loop, n: int) { .. }`
struct StepItem {
  struct Param {
    Name name, kind;
  };
  Name name;
  std::vector<Param> params;
  std::vector<Line> lines;
  std::string doc;
  Place place;
};

struct InstrItem {
  /// `exact`, `ulp 2`, `domain -87 .. 88`
  struct Numeric {
    Name word;
    ExprRef lo, hi;  ///< may be null
  };
  Name name;
  std::vector<Param> params;
  std::vector<Numeric> numerics;
  ExprRef cost;  ///< may be null
  Block body;
  std::string doc;
  Place place;
};

struct ProgramItem {
  Path name;
  std::vector<Param> params;
  std::optional<Name> target;
  std::vector<Name> allow;
  std::vector<ExprRef> facts;
  ProgramBody body;
  std::string doc;
  Place place;
};

struct Item {
  std::variant<Import, Let, OpItem, ReducerItem, ScheduleItem, StepItem, InstrItem, ProgramItem> form;
  const Place& place() const {
    return std::visit([](const auto& s) -> const Place& { return s.place; }, form);
  }
};

struct Module {
  SourceRef source;
  std::vector<Item> items;
};

}  // namespace heddle::frontend::ast
