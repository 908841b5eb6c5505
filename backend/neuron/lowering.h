// From a scheduled program to an NKI kernel. One class, its functions by subject:
//
//   statements.cpp  parameters, bodies, loops      reduce.cpp    reductions on the vector engines
//   leaves.cpp      leaves over a tile             contract.cpp  sums of products on the PE array
//   access.cpp      views, loads, stores           scan.cpp      recurrences along a row
//   values.cpp      expressions as engine ops      functions.cpp math functions of each profile
//   conditions.cpp  conditions, and what they      indirect.cpp  data as an index
//                   choose between                 states.cpp    reducers of the text
//   calls.cpp       instructions of `replace`      placement.cpp buffers as tiles and lists of tiles
//   moments.cpp     counts, means, spreads
//
// A nest with a loop bound to `partition` and one bound to `free` is one piece: its leaf becomes a few instructions over a tile. The
// other loops stay loops of the text. A bound loop that runs a reduction over partitions is a contraction on the PE array.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>

#include "backend/neuron/codes.h"
#include "backend/neuron/emit.h"
#include "backend/neuron/nki.h"
#include "backend/neuron/target.h"
#include "ir/print.h"
#include "ir/prove.h"
#include "ir/visit.h"

namespace heddle::neuron {

/// A bound loop as the leaf sees it: iterations lo .. hi, cut down by the leaf's guards.
struct BoundLoop {
  SymbolId loop;
  Expr lo, hi;
  Expr count() const;
};

/// The axes that a tile runs over, at most one of each.
struct Axes {
  std::optional<BoundLoop> partition, free;
  Expr partitions() const { return partition ? partition->count() : ir::index_constant(1); }
  Expr frees() const { return free ? free->count() : ir::index_constant(1); }
};

/// The value of an expression over the axes: text that Python computes, or a tile that may lack an axis (extent 1 there).
struct Value {
  bool scalar = false;
  std::string text;              ///< of a scalar
  std::optional<double> number;  ///< of a literal
  View view;
  bool over_partition = false, over_free = false;
  ir::ScalarType type = ir::ScalarType::f32;  ///< of the tile
  bool temporary = false;                     ///< nothing else reads the tile: it may be written over
  bool small = false;                         ///< integers that f32 holds, whatever their type
};

/// Where a whole result may be written directly.
struct Destination {
  View view;
  ir::ScalarType type;
};

/// How a buffer of the program lies in its tile, or in a list of tiles: what is loaded or summed apart waits for nothing but its own tile.
struct Placed {
  TileId tile = UINT32_MAX;
  bool on_chip = false;
  int partition_dim = -1;        ///< on chip: the logical dim over partitions, or none
  std::vector<int64_t> extents;  ///< on chip, temporaries: constant bound of each dim
  int64_t free_size = 1;         ///< on chip: elements of one block of 128 partitions
  std::vector<bool> listed;      ///< on chip: dims that choose the tile of the list
  int64_t list = 0;              ///< tiles of the list, 0: one tile
  bool packed = false;           ///< blocks of partitions lie behind each other in a tile
  int64_t slots = 1;             ///< of a pipelined buffer: tiles that iterations of `slot` use in turns
  SymbolId slot = {};
  std::vector<int64_t> folds;  ///< on chip, of a folded dim: slices that it keeps; 0: all
  int64_t piece = 0;           ///< elements of the last dim in one tile, 0: all
  int last = -1;               ///< the last dim along the partition
};

class Lowering {
 public:
  Lowering(const ir::Program& program, const Core& core, const EmitOptions& options);
  Result<NkiKernel> run();

 private:
  friend struct BlockScope;
  /// What a region needs: its leaves with their paths, sorted into loops of the text and bound loops.
  struct Survey {
    struct Site {
      const ir::Leaf* leaf;
      std::vector<ir::StmtRef> path;
    };
    std::vector<Site> sites;
    std::vector<ir::StmtRef> calls;
  };
  struct Region {
    const ir::Reduce* reduce;
    // `scatter`: into cells that data names. `group`: one accumulation group in PSUM; `groups`: one in each tile of the result, side by side.
    enum class Mode { direct, accumulate, group, groups, grouped_accumulate, scatter } mode = Mode::direct;
    std::optional<View> group;         // PSUM tile of the open accumulation group
    const void* group_at = nullptr;    // the statement that one group covers
    std::optional<Value> accumulator;  // of `accumulate` into a result in HBM
    Axes group_axes;                   // of a group, and the leaf that it belongs to
    const ir::Leaf* group_leaf = nullptr;
    bool may_be_empty = false;  // a condition may leave out all terms of a group
    // PSUM tiles that earlier groups have used: the first product of a group, where all of these are 0, overwrites.
    std::optional<std::vector<Expr>> iterations;
  };

  // statements.cpp
  void body(const ir::Body& statements);
  void statement(const ir::StmtRef& s);
  void loop(const ir::For& f);
  bool copied_whole(const ir::For& f);
  Expr unmasked(const ir::For& f);
  void overlapped(const ir::For& f, const Expr& lo, const Expr& hi, const std::function<void()>& met);
  void parameters();

  // leaves.cpp
  void leaf(const ir::Leaf& l);
  void combine_over_partitions(const ir::Leaf& l, const ir::Assign& a, const Axes& axes, const BoundLoop& over,
                               const std::vector<Expr>& mask);
  bool whole_tile_is_safe(const ir::Leaf& l);
  void define(const ir::Leaf& l, const ir::Assign& a, const Axes& axes);
  void define_in_parts(ir::BufferId buffer, const std::vector<Expr>& subs, const Expr& value, const Axes& axes);
  void define_whole(ir::BufferId buffer, const std::vector<Expr>& subs, const Expr& value, const Axes& axes);
  /// Cuts the axes by the leaf's guards. Conditions on outer loops alone go to `outer`, those on both axes to `mask`.
  void cut(const std::vector<Expr>& guards, std::vector<BoundLoop*> loops, std::vector<Expr>& outer,
           std::vector<Expr>& mask);
  /// Axes of a leaf from the bound loops around it.
  Axes axes_of(const ir::Leaf& l, std::optional<BoundLoop>* contracted);
  void guarded(const std::vector<Expr>& conditions, const std::function<void()>& inside);

  // placement.cpp
  void find_partition_dims();
  void find_walked_dims();
  int64_t written(ir::BufferId id, size_t dim);
  std::vector<int64_t> shape_of(const ir::Buffer& b, const std::vector<int64_t>& extents, const Place& place);
  bool ordered_for_an_instruction(const ir::Buffer& b);
  bool fold(const ir::Buffer& b, Placed& p, const Place& place);
  void arrange(const ir::Buffer& b, ir::BufferId id, Placed& p, const Place& place);
  void alloc(ir::BufferId id, const Place& place);

  // reduce.cpp
  void reduce(const ir::StmtRef& s, const ir::Reduce& r);
  void reduce_region(const ir::StmtRef& s, const ir::Reduce& r);
  void survey(const ir::Body& body, ir::BufferId buffer, std::vector<ir::StmtRef>& path, Survey& out);
  void group(const ir::StmtRef& s, size_t region);
  void combine(const ir::Leaf& l, const ir::Assign& a, Axes axes, const std::optional<BoundLoop>& contracted,
               const std::vector<Expr>& mask, bool turn_back = false);
  void fill_window(const ir::Window& w, double value);
  Value reduced_over_free(const Value& v, const std::string& op, const Axes& axes);

  // states.cpp
  /// Values of a reducer's block: fields of the left state, of the right one and of the new one, and locals.
  struct StateScope {
    std::vector<Value> side[3];
    std::map<uint32_t, Value> locals;
  };
  bool exact_integer(const Expr& e);
  bool identities(const ir::Reducer& r, std::vector<double>& out);
  void reduce_state(const ir::Reduce& r);
  bool all_at_once(const Survey::Site& site);
  void fill_state(const ir::Window& w, const ir::Leaf& l, double value);
  std::vector<Value> combined(const ir::Reducer& r, std::vector<Value> a, std::vector<Value> b, const Axes& axes,
                              const std::vector<Destination>& to);
  std::vector<Value> tree(const ir::Reducer& r, std::vector<Value> elements, const Axes& axes);
  void combine_state(const ir::Leaf& l, const Axes& axes, const std::vector<Expr>& mask);

  // moments.cpp
  View row_moments(const View& data, const Expr& np);
  std::optional<std::vector<Value>> moments_of(const ir::Reducer& r, const ir::Leaf& l, const std::vector<Expr>& values,
                                               const Axes& axes);
  void summed_spread(const std::vector<View>& views);

  // calls.cpp
  void call(const ir::StmtRef& s, const ir::Call& c);
  View window_view(const ir::Window& w);
  void summed_exp(const std::vector<View>& views);
  void summed(const std::vector<View>& views);
  void turned(const std::vector<View>& views);
  void multiply_add(const std::vector<View>& views);
  View beside(const std::vector<View>& views, const char* hint, const Expr& columns);

  // scan.cpp
  bool scanned(const ir::For& f);
  void running_sums(Value sums, const Destination& to, const Axes& axes);

  // contract.cpp
  void contract(const ir::Leaf& l, const Expr& value, const Axes& axes, const BoundLoop& k, const View& psum,
                const std::vector<Expr>& mask, const Region& region);
  Value operand(const std::vector<Expr>& factors, const Axes& axes, const std::vector<Expr>& mask);

  // access.cpp
  struct Reach {  // one index expression for each axis of the tile
    std::vector<Expr> index;
    Expr which;  // of a list of tiles
  };
  Reach reach(ir::BufferId buffer, const std::vector<Expr>& subs, const Axes& axes = {});
  Slice slice(const Expr& index, const BoundLoop* over);
  bool turned_inexactly(const Tile& t) const;
  bool is_rounded(ir::ScalarType type) const;
  bool is_rounded(const Value& v) const { return !v.small && is_rounded(v.type); }
  Pattern column_in_place(const View& at, TileId tile, int axis, const Expr& count);
  int axis_of(const Reach& r, const BoundLoop* loop);
  Value load(ir::BufferId buffer, const std::vector<Expr>& subs, const Axes& axes);
  Value load_inside(ir::BufferId buffer, const std::vector<Expr>& subs, const Axes& axes, const Destination* to);
  Value load_tried(const ir::Load& l, const Axes& axes, const Destination* to);
  Value transposed(const View& from, ir::ScalarType type, const Expr& rows, const Expr& columns, bool over_partition,
                   bool over_free, const View* target = nullptr);
  void store(ir::BufferId buffer, const std::vector<Expr>& subs, const Axes& axes, const Value& v);
  std::optional<Destination> destination(ir::BufferId buffer, const std::vector<Expr>& subs, const Axes& axes);
  Value row_everywhere(const Value& row, const Axes& axes);
  View kernel_constant(const std::string& name);

  // indirect.cpp
  std::optional<Value> column_of_integers(const Expr& e, const Axes& axes);
  Value index_of_data(const Expr& sub, const Axes& axes, int64_t extent);
  std::optional<Pattern> rows_by_data(ir::BufferId buffer, const std::vector<Expr>& subs, size_t dim, const Axes& axes,
                                      bool over_free);
  Value picked_in_row(const ir::Load& l, size_t dim, const Value& which_place, const Expr& lo, const Expr& hi,
                      const Axes& axes);
  Value picked_or(const ir::Load& l, const Axes& axes, const Destination* to);
  Value picked_along(const ir::Load& l, size_t dim, const Axes& axes, const Destination* to);
  Value gathered(const Pattern& from, const Axes& axes, const Destination* to);
  Value load_picked(const ir::Load& l, size_t dim, const Axes& axes, const Destination* to);
  Value rows_picked(const ir::Load& l, size_t dim, const Axes& axes, const Destination* to);
  void scatter(const ir::Reduce& r, double identity);
  void combine_by_data(const ir::Leaf& l, const ir::Assign& a, const std::string& op, const Axes& axes);
  bool store_by_data(ir::BufferId buffer, const std::vector<Expr>& subs, const Axes& axes, const Value& value);

  // values.cpp
  Value eval(const Expr& e, const Axes& axes, const Destination* to = nullptr);
  Value eval_index(const Expr& e, const Axes& axes);
  Value arith(const std::string& op, Value a, Value b, const Axes& axes, const Destination* to,
              ir::ScalarType type = ir::ScalarType::f32);
  Value scaled(Value a, const std::string& op, const std::string& operand, const Axes& axes,
               const Destination* to = nullptr, ir::ScalarType type = ir::ScalarType::f32);
  Value spread(Value v, const Axes& axes, bool partition, bool free);
  Value converted(Value v, ir::ScalarType type, const Axes& axes, const Destination* to = nullptr);
  Value in_sbuf(Value v, const Axes& axes);
  Value number(double v);
  Value with_text(std::string text);
  View space_for(const Axes& axes, bool partition, bool free, ir::ScalarType type, const Destination* to,
                 std::initializer_list<Value*> reuse);
  void fill(const View& v, double value);
  void copy_into(const View& to, const Value& v, const Axes& axes);
  void columns_of(const View& to, const View& column);

  // conditions.cpp
  Value compare(ir::BinaryOp op, Value a, Value b, const Axes& axes, bool whole_numbers);
  Value truth(const Expr& condition, const Axes& axes);
  std::optional<Value> choose_by_range(const Expr& condition, const Expr& yes, const Expr& no, const Axes& axes,
                                       const Destination* to, ir::ScalarType type);
  std::optional<Value> choose_affine(const Expr& condition, const Expr& yes, const Expr& no, const Axes& axes,
                                     const Destination* to, ir::ScalarType type);
  Value choose(const Expr& condition, const Expr& yes, const Expr& no, const Axes& axes, const Destination* to,
               ir::ScalarType type);
  /// Infinities as the greatest numbers, so that 0 times them is 0.
  Value finite(Value v, const Axes& axes);

  // functions.cpp
  Value function(const ir::MathCall& m, const Axes& axes, const Destination* to);
  Value activation(const std::string& name, Value a, const Axes& axes, const Destination* to,
                   const View* bias = nullptr);
  Value activation_of(const std::string& name, const Expr& e, const Axes& axes, const Destination* to);
  Value reciprocal(Value a, const Axes& axes, const Destination* to);
  Value sigmoid(Value a, const Axes& axes, const Destination* to);
  Value erf(Value a, const Axes& axes, const Destination* to);
  Value log(Value a, const Axes& axes, const Destination* to);

  // here and there
  Expr simple(const Expr& e) const;
  Expr counted(const Expr& count);      ///< a constant, or a name for it made by a Let
  int64_t bound_of(const Expr& count);  ///< a constant upper bound
  TileId make_tile(std::string name, ir::ScalarType type, Space space, std::vector<int64_t> shape, std::string role);
  TileId temporary(const std::string& hint, ir::ScalarType type, Space space, int64_t partitions, int64_t frees);
  std::string unique(std::string name);
  View whole(TileId tile, const Expr& partitions, const Expr& frees);
  void emit(std::string name, std::vector<Argument> arguments);
  bool on_scalar(std::string& name, std::vector<Argument>& arguments);
  void emit_engine(std::string name, std::vector<Argument> arguments);
  void dma(const View& to, const View& from) { emit("dma_copy", {{"dst", to}, {"src", from}}); }
  void remark(std::string text);
  void push_loop(SymbolId symbol, Expr lo, Expr hi, const std::function<void()>& inside, bool to_device = false);
  /// `piece(at, count)` for all of 0 .. n: once where that is `most` or less, else in a loop of pieces of as many.
  void in_pieces(const Expr& n, int64_t most, const std::function<void(const Expr& at, const Expr& count)>& piece);
  SymbolId new_symbol(const std::string& name);
  void fail(const Code& code, std::string message, std::string help = {}, Place at = {});
  bool basic() const { return options_.profile == Profile::basic; }
  std::string loop_name(SymbolId loop) const;

  /// Loops that are none are gone, in boxes of buffers as well.
  static ir::Program prepared(ir::Program program);

  const ir::Program p_;
  const Core& core_;
  const EmitOptions& options_;
  NkiKernel k_;
  Block* out_ = nullptr;
  Block prologue_;  // constants and rows of inputs on all partitions, made once
  std::vector<Expr>& index_texts_;
  std::vector<Placed> placed_;      // by buffer
  std::vector<int> partition_dim_;  // by buffer
  struct Walk {                     // of a dim: the stretches of it that bound loops run along
    bool any = false, regular = true;
    std::vector<std::pair<Expr, int64_t>> stretches;  // begin within the buffer, elements
    /// Elements of a tile such that each stretch lies in one; 0: there are none.
    int64_t piece() const;
  };
  std::vector<std::vector<Walk>> walked_;  // by buffer and dim
  ir::Facts facts_;
  std::vector<const ir::For*> bound_;  // bound loops around, outermost first
  std::optional<BoundLoop> part_;      // of one of them, the part that is worked on
  std::vector<SymbolId> serial_;       // loops of the text around
  std::vector<Region> regions_;
  struct Loaded {
    Expr load;
    SymbolId partition, free;
    Value value;
  };
  std::vector<Loaded> loaded_;                     // reads of HBM that a leaf makes more than once
  StateScope* state_ = nullptr;                    // of the block that is evaluated
  std::map<uint32_t, bool> exact_;                 // integers of temporaries, by buffer
  Expr leaf_value_;                                // what the leaf computes, to count its reads
  std::map<uint32_t, int64_t> let_bounds_;         // constant bounds of named counts
  std::vector<std::pair<Expr, SymbolId>> counts_;  // named counts alive here
  std::map<std::string, Value> constants_;
  std::map<uint32_t, size_t> alloc_depth_;  // loops of the text around the alloc of a buffer
  Expr block_count_;                        // partitions of the block being filled
  std::set<std::string> names_;
  bool picking_ = false;            // an index is being read: exact in f32 below 2^24, and dims are
  std::string engine_;              // chosen by `bind L to gpsimd`
  const ir::Leaf* leaf_ = nullptr;  // being lowered, for names and places
  Place place_;
  int64_t serial_number_ = 0;
  Diagnostics failure_;
};

/// What is emitted until the end of the scope goes to another block; counts named there end with it.
struct BlockScope {
  BlockScope(Lowering& l, Block* to);
  ~BlockScope();
  Lowering& lowering;
  Block* before;
  size_t counts, loaded;
};

/// The engines' name of an operator; empty where they have none.
const char* alu_name(ir::BinaryOp op);

/// Whether the leaf is reduced over the loop.
bool is_reduce_loop(const ir::Program& p, const ir::Leaf& l, ir::SymbolId loop);

/// The type of a tile for elements of this one: 64-bit integers, which are positions, take 32 bits.
inline ir::ScalarType held(ir::ScalarType type) {
  return type == ir::ScalarType::i64 || type == ir::ScalarType::u64 ? ir::ScalarType::i32 : type;
}

/// A constant by value: of an expression that does not stay.
inline std::optional<int64_t> constant_of(const Expr& e) {
  const int64_t* c = ir::constant_value(e);
  return c ? std::optional(*c) : std::nullopt;
}
/// hi - lo without the common part: `min(128, n - 128*ro)`.
Expr extent(const Expr& lo, const Expr& hi);
/// A number as Python text that reads back exactly as f32.
std::string number_text(double v);

}  // namespace heddle::neuron
