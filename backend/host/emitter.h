// Program -> LLVM module. The class behind emit.h; its methods stand in emit_function.cpp (functions, arguments),
// emit_parallel.cpp (threads), emit_transpose.cpp (blocks in registers), emit_stmt.cpp (loops, leaves, checks), emit_region.cpp (reductions), emit_place.cpp
// (addresses, loads, stores), emit_carry.cpp (what iterations hand on) and emit_value.cpp (expressions).
//
// Inside a vector loop, `arith_.width` is its extent and `vector_` its variable: values are lanes or, where they do not depend on
// it, scalars. `mask_` says for which lanes reads and writes happen.
#pragma once

#include <llvm/IR/Module.h>

#include <functional>
#include <unordered_map>

#include "backend/host/abi.h"
#include "backend/host/emit_arith.h"
#include "backend/host/memory_plan.h"
#include "backend/host/ranges.h"
#include "backend/host/tiles.h"
#include "ir/prove.h"
#include "ir/target.h"
#include "ir/visit.h"
#include "support/result.h"

namespace heddle::host {

struct InstrRow;

class Emitter {
 public:
  Emitter(llvm::Module& module, ir::Program program, MemoryPlan plan, const ir::Target& target,
          const std::vector<ArgTraits>& traits, bool zero_registers);
  /// The checks of the program, in the order of their numbers in reports. With a name for it, `entry` too.
  Result<std::vector<ir::Check>> run(const std::string& entry_name);

 private:
  using Expr = ir::Expr;
  using Value = llvm::Value;
  using Work = std::function<void()>;

  // The function being written: the kernel, the body of a parallel loop, or the arena's size.
  struct Function {
    llvm::Function* fn = nullptr;
    Value* context = nullptr;
    Value* args = nullptr;
    Value* thread = nullptr;  ///< of a parallel body
    Value* slice = nullptr;   ///< this thread's part of the arena
    llvm::BasicBlock* entry = nullptr;
    int64_t stack_bytes = 0;
    std::unordered_map<uint32_t, Val> symbols;
    std::unordered_map<uint32_t, Value*> bases;
  };

  /// A buffer as addresses see it.
  struct Storage {
    Value* base = nullptr;
    std::vector<Expr> origin;
    std::vector<Expr> strides;
    const ir::Layout* layout = nullptr;
    int64_t elements = 0;  ///< of a stack slot; 0 elsewhere
    int group = -1;        ///< of the alias scope; -1: none
  };

  /// The register accumulator of a reduction over memory: stands for the window until the region ends.
  struct Redirect {
    Value* slot = nullptr;
    std::vector<Expr> origin;
    std::vector<int64_t> extents;
  };

  /// Where an element is, or one for each lane.
  struct Spot {
    enum Shape { one, contiguous, scattered } shape = one;
    Value* pointer = nullptr;  ///< of the element, or of lane 0
    Value* offsets = nullptr;  ///< scattered: elements from `pointer`, <width x i64>
    Value* by_twos = nullptr;  ///< scattered: of lane 0, where each lane lies two elements after the one before
    int64_t step_bytes = 0;    ///< from one iteration of the innermost loop to the next; 0: not constant
    bool inside_slot = false;  ///< all lanes lie in a stack slot: masked access may touch the rest
    const Storage* storage = nullptr;
  };

  /// A cell that one iteration of a loop stores and the next one reads.
  struct Carried {
    Expr read, first;   ///< the load, and what it is before the first iteration
    Expr predicate;     ///< under which the leaf runs, in all iterations or none
    ir::StmtRef lanes;  ///< the vector loop around, or none
    ir::BufferId buffer;
    std::vector<Expr> stored;
    llvm::Type* type = nullptr;
    Value *now = nullptr, *next = nullptr;  ///< slots: what this iteration reads, what the next one will
  };

  // emit_function.cpp
  llvm::Function* declare(const char* name, std::vector<llvm::Type*> parameters, bool external);
  void begin(Function& f);
  void kernel();
  void arena_size();
  void at_entry(const Work& work);
  Val argument(ir::SymbolId symbol);
  Value* argument_word(int word, llvm::Type* type);
  Value* context_field(size_t offset, llvm::Type* type);
  Value* slice();
  Value* stack_slot(llvm::Type* element, int64_t count);
  Value* counted_size(const Expr& e, Value*& wrapped);
  Value* size_or_too_large(const Expr& e);

  // emit_parallel.cpp
  struct Captured {
    std::vector<uint32_t> symbols, bases;
    std::vector<Value*> words;  ///< the arguments, the symbols, the bases
  };
  Captured captured(const ir::For& loop);
  Value* iterations(const std::vector<ir::StmtRef>& nest, std::vector<Value*>& los, std::vector<Value*>& below);
  void part_of_nest(const std::vector<ir::StmtRef>& nest, size_t level, const std::vector<Value*>& los,
                    const std::vector<Value*>& below, Value* begin, Value* end);
  Value* is_little(const ir::StmtRef& region);
  void parallel(const ir::For& loop, const ir::StmtRef& s);

  // emit_transpose.cpp
  void exchange(std::vector<Value*>& rows);
  std::optional<Storage> without_gaps(ir::BufferId id, std::vector<Expr>& where);
  bool evenly_spaced(ir::BufferId buffer, const std::vector<Expr>& subs, const std::vector<const ir::For*>& loops);
  bool transposed(const ir::For& loop, const Work& plainly);

  // emit_entry.cpp
  void entry(const std::string& name);
  Value* entry_dims(unsigned first);
  void entry_words(Value* args);
  llvm::Function* in_turn();

  // emit_stmt.cpp
  void body(const ir::Body& statements);
  void statement(const ir::StmtRef& s);
  void stmt(const ir::For& loop, const ir::StmtRef& s);
  void iterated(const ir::For& loop, const ir::StmtRef& s);
  void stmt(const ir::Alloc& alloc, const ir::StmtRef& s);
  void stmt(const ir::Reduce& region, const ir::StmtRef& s);
  void stmt(const ir::Leaf& leaf, const ir::StmtRef& s);
  void stmt(const ir::Call& call, const ir::StmtRef& s);
  void stmt(const ir::Check& check, const ir::StmtRef& s);
  bool can_vectorize(const ir::For& loop) const;
  void vector_loop(const ir::For& loop, const ir::StmtRef& s);
  void unrolled(const ir::For& loop, const ir::StmtRef& s);
  /// A short reduction in registers as a tree over lanes, where its order is free; false when it is none.
  bool horizontal(const ir::For& loop, const ir::StmtRef& s);
  void serial(ir::SymbolId symbol, const Expr& lo, const Expr& hi, const Work& work, const Work& first = {});
  void counted(ir::SymbolId symbol, Value* from, Value* to, Value* offset, bool sure, const Work& work,
               const Work& first = {});
  /// Runs `work` where all conditions hold: by branches where they are the same for all lanes, else by the mask.
  void guarded(const std::vector<Expr>& conditions, const Work& work);
  void branch(Value* condition, const Work& work);
  void either(Value* condition, const Work& yes, const Work& no);
  void arm(llvm::BasicBlock* block, const Work& work, llvm::BasicBlock* after);
  void with_lanes(ir::SymbolId symbol, int64_t lo, int width, const Work& work);
  void enter_range(ir::SymbolId symbol, const Expr& lo, const Expr& hi);

  // emit_call.cpp
  bool neighbours(const ir::Window& w);
  llvm::Value* gathered(const ir::Window& w, int count);
  void dot(const ir::Call& call, const InstrRow& row);
  struct Packing {
    size_t along, across;  ///< dims of what is packed: of a group's elements, and of the lanes
    int group, lanes;
  };
  llvm::Value* extent(const ir::Window& w, size_t d);
  llvm::Value* row_of(const ir::Window& from, const Packing& how, llvm::Type* type, int p, llvm::Value* on);
  llvm::Value* zipped(const ir::Window& from, const Packing& how, int first);
  void interleave(const ir::Window& to, const ir::Window& from, const Packing& how);
  void turn_columns(const ir::Window& to, const ir::Window& from);
  void turn(const ir::Window& to, const ir::Window& from);
  void tile_call(const ir::Call& call, const InstrRow& row);
  Value* tile_number(const ir::Window& window);
  void configure_tiles();
  /// The identity of a sum in tile registers; false where the window is none.
  bool clears_tiles(const ir::Window& window);

  // emit_carry.cpp
  std::vector<Carried> recurrences(const ir::For& loop);
  std::vector<Expr> guards_of(const std::vector<Carried>& carried) const;
  void begin_carried(Carried& c);
  void next_carried(const Carried& c);
  bool read_carried(const Expr& load, Val& out);
  void store_carried(ir::BufferId buffer, const std::vector<Expr>& subs, Val bits);

  // emit_region.cpp
  void combine_state(const ir::Leaf& leaf, const ir::Reducer& reducer, const ir::Substitution& point);
  std::vector<const ir::Assign*> state_fields(const ir::Leaf& leaf, const ir::Reducer& reducer);
  /// combine(a, b) of states whose fields have no axes of their own.
  Val combined_with(const ir::Reducer& reducer, ir::BufferId buffer, const std::vector<Expr>& subs, const Expr& made);
  std::vector<Val> combined(const ir::Reducer& reducer, ir::ScalarType type, const std::vector<Val>& a,
                            const std::vector<Val>& b);
  void identity(const ir::Reduce& region, const ir::Reducer& reducer, const ir::StmtRef& s);
  bool redirect(const ir::Window& window, Redirect& out);
  void write_back(const ir::Window& window, const Redirect& from, int width);
  size_t dim_of_lanes(ir::BufferId buffer, const std::vector<ir::Range>& window) const;
  /// Runs `work` at each cell of a window, several lanes at a time where cells lie beside each other.
  void each_cell(ir::BufferId buffer, const std::vector<ir::Range>& window, int width,
                 const std::function<void(std::vector<Expr>)>& work);
  void cells(const std::vector<ir::Range>& window, size_t lanes_at, size_t dim, int width, int64_t copies,
             std::vector<Expr>& subs, const std::function<void(std::vector<Expr>)>& work);
  std::vector<Expr> not_shown_inside(ir::BufferId buffer, const std::vector<Expr>& subs);
  void over_axes(const std::vector<ir::Axis>& axes, size_t at, const ir::Substitution& point, const Work& work);

  // emit_place.cpp
  const Storage& storage(ir::BufferId buffer);
  ir::Affine offset_of(const Storage& at, const std::vector<Expr>& subs, ir::AffineContext& context);
  static std::vector<Expr> coordinates_of(const Storage& at, const std::vector<Expr>& subs);
  Spot spot(ir::BufferId buffer, const std::vector<Expr>& subs);
  Spot plain_spot(ir::BufferId buffer, const Storage& at, const std::vector<Expr>& coordinates);
  Value* advance(Value* pointer, ir::BufferId buffer, ir::AffineContext& context, const ir::Affine& offset);
  Value* affine(ir::AffineContext& context, const ir::Affine& a);
  Value* affine_lanes(ir::AffineContext& context, const ir::Affine& a);
  int depth(ir::AffineContext& context, ir::Monomial m) const;
  Val load(ir::BufferId buffer, const std::vector<Expr>& subs);
  void store(ir::BufferId buffer, const std::vector<Expr>& subs, Val value);
  void prefetch(const Spot& at, ir::BufferId buffer, const std::vector<Expr>& subs, int64_t read_bytes);
  void prefetch_ahead(ir::BufferId buffer, const std::vector<Expr>& subs);
  llvm::Value* every_other(llvm::Type* lanes, const Spot& at, llvm::Align align);
  bool first_time(ir::BufferId buffer, const std::vector<Expr>& subs);
  void fetch_lines(Value* from, int64_t bytes);
  Value* readable(Value* pointer, ir::BufferId buffer, const std::vector<Expr>& subs);
  void stream(Value* lanes, const Spot& at, llvm::Align align);
  void fence();
  llvm::Instruction* tagged(llvm::Instruction* access, const Storage& where);
  Value* all_lanes();

  // emit_masked.cpp
  int masked_width(llvm::Type* element) const;
  Value* masked_load(llvm::Type* element, Value* pointer, llvm::Align align, const Storage& where);
  void masked_store(Value* lanes, llvm::Type* element, Value* pointer, llvm::Align align, const Storage& where);

  // emit_value.cpp
  Val value(const Expr& e);
  Val compute(const Expr& e);
  Val form(const Expr& e, const ir::Constant& c);
  Val form(const Expr& e, const ir::Var& v);
  Val form(const Expr& e, const ir::Load& l);
  Val form(const Expr& e, const ir::StateField& f);
  Val form(const Expr& e, const ir::Unary& u);
  Val form(const Expr& e, const ir::Binary& b);
  Val form(const Expr& e, const ir::Select& s);
  Val form(const Expr& e, const ir::MathCall& m);
  Val form(const Expr& e, const ir::Convert& c);
  Val choose(Val condition, bool plain, ir::ScalarType type, const std::function<Val()>& yes,
             const std::function<Val()>& no);
  Val under(Val condition, const std::function<Val()>& work);
  Val condition(const Expr& e);
  bool lane_compare(const ir::Binary& c, Val& out);
  Val divide_by_uniform(Val x, Val divisor);
  bool depends_on_lane(const Expr& e) const;
  Val poison(ir::ScalarType type);

  Val fail(const Code& code, const Place& place, const std::string& text, ir::ScalarType type = ir::ScalarType::index);
  ir::Facts facts() const;

  llvm::Module& module_;
  llvm::IRBuilder<> b_;
  ir::Program p_;
  MemoryPlan plan_;
  const ir::Target& target_;
  const std::vector<ArgTraits>& traits_;
  bool zero_registers_;
  TilePlan tiles_;
  llvm::Function* configured_ = nullptr;  ///< the last whose entry loads the tile configuration
  ArgLayout layout_;
  Arith arith_;
  Ranges ranges_;
  bool in_plain_form_ = false;  ///< below loops that run where squares do not fit

  Function f_;
  ir::SymbolId vector_;
  int64_t vector_lo_ = 0;
  Value* mask_ = nullptr;
  std::vector<ir::StmtRef> path_;            ///< loops around, for facts
  std::vector<Expr> conditions_;             ///< that hold here, for facts
  std::vector<Expr> sure_;                   ///< guards that were asked before the loop around
  std::unordered_map<uint32_t, int> depth_;  ///< of loop variables
  std::unordered_map<uint32_t, std::pair<int, Expr>>
      strides_;  ///< of symbols that stand for strides: array word, or value
  std::unordered_map<uint32_t, std::vector<ir::SymbolId>> stride_symbols_;
  std::unordered_map<uint32_t, Redirect> redirects_;
  std::unordered_map<uint32_t, Storage> storages_;
  std::vector<std::unordered_map<const ir::ExprNode*, std::pair<Expr, Val>>>
      known_;  ///< values already computed at this leaf, by scope of control
  std::unordered_map<int, std::pair<llvm::MDNode*, llvm::MDNode*>> scopes_;
  Value* nowhere_ = nullptr;
  struct Ahead {
    ir::SymbolId loop;
    ir::Prefetch what;
  };
  struct Asked {
    ir::BufferId buffer;
    std::vector<Expr> subs;
  };
  std::vector<Ahead> ahead_;                 ///< what the loops around ask for
  std::vector<Carried> carried_;             ///< by the loops around
  bool streams_ = false;                     ///< some store of the program passes the caches by
  bool nontemporal_ = false;                 ///< those of the leaf being written do
  ir::SymbolId innermost_;                   ///< serial loop around, while nothing else stands between
  std::vector<std::vector<Asked>> fetched_;  ///< what an iteration of each loop around already asks for

  // The reducer's combine block being written.
  struct State {
    const ir::Leaf* leaf = nullptr;
    std::vector<const ir::Assign*> fields;
    std::vector<Val> before, after;
    std::vector<Val> right;  ///< where its fields are values already
    ir::Substitution point;
  };
  State* state_ = nullptr;

  std::vector<ir::Check> checks_;
  int64_t leaves_ = 0;
  Diagnostics errors_;
};

}  // namespace heddle::host
