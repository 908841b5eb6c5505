// The check of one op for one choice of types, consts and ranks: AST -> ir::Op. Signature first (shapes, facts), then
// the equations in order; an equation that fails is reported and its result taken for broken, so one run finds several
// errors.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "frontend/check/shapes.h"
#include "frontend/check/typing.h"
#include "frontend/module.h"
#include "ir/op.h"
#include "ir/prove.h"

namespace heddle::frontend {

class InlinedOp;

struct OpCheckOptions {
  bool definition = false;           ///< consts without value stay symbols
  bool show_bounds = true;           ///< reads are shown inside; false when the definition check has done so
  std::vector<std::string> callers;  ///< ops whose calls led here, outermost first
  int* budget = nullptr;             ///< stages that calls may still make
};

struct CheckedOp {
  ir::Op op;
  bool deferred = false;  ///< a bound waits for the value of a const
  bool broken = false;    ///< it calls an op whose own check has failed
};

class OpChecker : public Typing {
 public:
  OpChecker(const Module& module, const ast::OpItem& item, const Instance& instance, OpCheckOptions options);
  Result<CheckedOp> run();

 private:
  // --- what names mean -----------------------------------------------------------------------------------------------
  struct Named {
    enum class Kind { dim, let, constant, scalar, tensor, broken };
    Kind kind = Kind::dim;
    ir::Expr value;  ///< all but tensors
    int tensor = -1;
    Place place;
  };
  /// A parameter, a result or the value of a stage. A state has one buffer for each field.
  struct Tensor {
    enum class State { readable, pending, broken };
    std::string name;
    std::string type_text;  ///< of a parameter or result, as written
    State state = State::pending;
    bool input = false, result = false, inout = false;
    std::vector<ir::BufferId> buffers;
    const ast::ReducerItem* reducer = nullptr;  ///< of a state
    std::vector<int> groups;                    ///< logical dims of each axis; empty = all 1
    Place place;                                ///< declaration
    Place defined;                              ///< the equation
    int scan = -1;                              ///< the scan block that defines it, or -1
    size_t scan_dim = 0;                        ///< the dim that the block's index runs over
  };
  struct Pack {
    int rank = 1;
    std::vector<ir::Expr> dims;
    Place place;
  };
  /// An index of the equation at hand.
  struct Index {
    std::string name;
    ir::SymbolId symbol;
    ir::AxisClass cls = ir::AxisClass::map;
    Place place;
    ir::Expr lo, hi;     ///< none until resolved
    Place range_place;   ///< what gave the range
    bool own = false;    ///< an axis of one field of a state, not of the stage
    bool active = true;  ///< its name is in sight
  };
  /// The value of one field of a state.
  struct FieldValue {
    std::vector<size_t> own;  ///< positions of its own indices
    ir::Expr value;
    Place place;
  };
  /// A read, kept until the ranges are known.
  struct Access {
    int tensor = -1;
    ir::BufferId buffer;
    std::vector<ir::Expr> subs;
    std::vector<Place> sub_places;
    std::vector<ir::Expr> path;  ///< conditions around it
    bool conditional = false;    ///< in an arm of `if` and the like
    bool tried = false;          ///< has `or`
    size_t visible = 0;          ///< indices whose ranges hold here
    bool finished = true;        ///< the tensor had its equation when it was read; false only inside a scan
    Place place;
  };
  /// The cell that a point of an update or scatter writes, while its left side is read.
  struct Cell {
    Access access;
    std::vector<std::pair<const ast::Entry*, size_t>> later;  ///< composite subscripts and their positions
    std::vector<int> groups;
  };
  struct Scope {
    std::string stage;
    std::vector<Index> indices;
    std::map<std::string, std::vector<int>> packs;  ///< positions of the indices of a pack
    std::vector<Access> accesses;
    std::set<ir::SymbolId> bounded;               ///< indices over ranges of data whose ends are checked
    std::vector<Access> guarded;                  ///< reads checked on data under a condition: see `add_equation`
    std::vector<FieldValue> fields;               ///< of a state, in the order of its reducer
    std::string extremum;                         ///< "argmax" or "argmin" of the right side, else empty
    std::map<std::string, ir::Expr> extents;      ///< of a state: what the dims in the reducer's shapes stand for
    std::map<std::string, ir::ScalarType> types;  ///< and its generic types
    ir::Expr where;
    size_t visible = SIZE_MAX;  ///< while binders are read: the indices before them
  };
  /// The scan block at hand.
  struct ScanState {
    const ast::Scan* item = nullptr;  ///< null outside of blocks
    int block = -1;
    ir::Expr lo, hi;
    Place range_place;
    /// Reads of stages that a later equation of the block defines: shown inside once their shapes are known.
    struct Later {
      Scope scope;
      size_t access;
      size_t equation;
    };
    std::vector<Later> later;
  };

  // --- signature.cpp -------------------------------------------------------------------------------------------------
  void signature();
  void declare_generics();
  void declare_values();
  void declare_scalar(const ast::Param& p);
  void declare_const(const ast::Param& p);
  void declare_lets();
  void declare_tensors();
  void declare_tensor(const ast::Param& p, ir::Role role);
  void shape(const ast::Param& p, ir::Buffer& buffer);
  void pack_dims(const ast::Entry& entry, const Place& place, ir::Buffer& buffer, bool input);
  void dim_of(const ast::Expr& e, ir::Buffer& buffer);
  void finish_shapes();
  void add_facts();
  void require(const ast::Require& r);
  void require_extents();
  void keep_at_least_zero(const ir::Expr& extent, const std::string& text, const Place& place);
  bool declare(const std::string& name, Named named);
  Diagnostic unknown(const std::string& name, const Place& place) const;

  // --- reads.cpp -----------------------------------------------------------------------------------------------------
  ir::Expr read(const ast::Read& read, const Place& place, Hint hint) override;
  ir::Expr module_let(const std::string& name);
  ir::Expr bare_name(const std::string& name, const Place& place);
  ir::Expr tensor_read(int tensor, const ast::Read& read, const Place& place);
  bool field_of(const Tensor& t, const ast::Ref& ref, size_t& field, const Place& place);
  bool subscripts(const Tensor& t, const std::vector<int>& groups, const ast::Entries& entries, const Place& place,
                  Access& access);
  bool subscript(const ast::Entry& entry, Access& access);
  std::optional<ir::ScalarType> type_word(const std::string& word) const override;
  bool only_at_root(const std::string& name) const override;
  std::vector<std::string> callables() const override;
  bool is_tensor(const std::string& name) const override;
  bool of_indices() const override { return in_requirement_; }

  // --- equations.cpp -------------------------------------------------------------------------------------------------
  void block(const ast::Block& block);
  void equation(const ast::Equation& eq);
  void equation(const ast::Equation& eq, int target);
  int target_of(const ast::Equation& eq, size_t which = 0);
  bool left_side(const ast::Ref& left, const Tensor& target, std::vector<ir::Expr>& subs, std::vector<int>& groups);
  bool left_index(const ast::Entry& entry, std::vector<ir::Expr>& subs);
  bool left_pack(const ast::Entry& entry, std::vector<ir::Expr>& subs);
  void result_ranges(const Tensor& target, const std::vector<ir::Expr>& subs);
  bool binders(const ast::Reduction& r);
  bool binder(const ast::Entry& entry);
  bool written_range(const ast::Entry& entry, Index& index);
  int add_index(const ast::Name& name, ir::AxisClass cls);
  int new_index(const std::string& name, const Place& place, ir::AxisClass cls);
  // --- states.cpp: reducers of the user ------------------------------------------------------------------------------
  bool fields(const ast::Reduction& r, const ast::ReducerItem& item);
  bool field(const ast::ReducerItem& item, const ast::Entry& entry, const ast::Param& row, FieldValue& out);
  ir::Expr field_value(const ast::ReducerItem& item, const ast::Entry& entry, const ast::Param& row);
  bool finish_state(int target, const ast::Equation& eq, const std::vector<ir::Expr>& subs,
                    const std::vector<int>& groups);
  bool field_extents(const ast::ReducerItem& item);
  bool bind_extent(const std::string& dim, const ir::Expr& extent, const Place& place);
  std::string state_reducer(const ast::ReducerItem& item);

  // --- scan.cpp: recurrences -----------------------------------------------------------------------------------------
  void scan(const ast::Scan& scan);
  bool scan_target(const ast::Scan& scan, const ast::Equation& eq, int target);
  bool scan_range(const ast::Scan& scan, const std::vector<std::pair<const ast::Equation*, int>>& stages);
  void declare_read_early(const ast::Scan& scan, const std::vector<std::pair<const ast::Equation*, int>>& stages);
  bool scan_index(const ast::Entry& entry, const ast::Name& name, std::vector<ir::Expr>& subs);
  bool reduces_itself(int target, const std::string& reducer, const ir::Expr& value) const;
  void finish_reduced_itself(int target, const ast::Equation& eq, const std::vector<ir::Expr>& subs,
                             const std::vector<int>& groups, const ir::Expr& value, const std::string& reducer);
  void fill_box(const Tensor& target, const std::vector<ir::Expr>& subs);
  bool in_scan_order(const Access& access);
  bool shape_known(const Access& access) const;
  void show_later();
  Hint likely_type(const ast::Expr& e, const std::map<std::string, ir::ScalarType>& known) const;
  Hint likely_type(const ast::Right& right, const std::map<std::string, ir::ScalarType>& known) const;

  // --- calls.cpp: ops that call ops ----------------------------------------------------------------------------------
  struct Call {
    const ast::Equation* eq;
    const ast::Call* syntax;
    const ModuleOp* op;
    std::vector<int> targets;             ///< tensors of the left sides
    std::vector<const ast::Expr*> given;  ///< for each parameter; null = its default
    std::vector<int> tensors;             ///< for each parameter; -1 of values
    std::map<std::string, ir::Expr> values;
    Instance instance;
  };
  void call(const ast::Equation& eq);
  void unknown_callee(const ast::Equation& eq, const ast::Path& callee);
  bool callable(const Call& call);
  bool arguments(Call& call);
  bool tensor_argument(Call& call, size_t at);
  bool types(Call& call);
  Result<CheckedOp> called(const Call& call);
  bool merge(const Call& call, const ir::Op& callee);
  bool bind_dims(const Call& call, const ir::Op& callee, InlinedOp& in);
  bool call_requirements(const Call& call, const ir::Op& callee, const InlinedOp& in);
  bool call_results(const Call& call, const ir::Op& callee, InlinedOp& in);

  // --- update.cpp: `<-` ----------------------------------------------------------------------------------------------
  void update(int target, const ast::Equation& eq);
  bool is_index_name(const std::string& name) const;
  bool start_cell(const ast::Ref& left, int target, bool all_names, Cell& cell);
  bool finish_cell(Cell& cell);
  bool gives_axes(const ir::Expr& sub, std::vector<ir::SymbolId>& open) const;
  bool injective(const Access& cell);
  bool reads_own_cell(const Access& cell);
  bool op_called(const ast::Expr& value) const;
  bool matches_shape(const ast::Ref& left, const Tensor& target, size_t subs, std::vector<int> groups);
  // --- scatter.cpp: left subscripts that are no bare indices ---------------------------------------------------------
  bool scatters(const ast::Equation& eq) const;
  void scatter(int target, const ast::Equation& eq);
  // --- extremum.cpp: argmax and argmin -------------------------------------------------------------------------------
  ir::Expr extremum(const ast::Reduction& r, const Tensor& target);
  bool finish_extremum(int target, const ast::Equation& eq, const std::vector<ir::Expr>& subs,
                       const std::vector<int>& groups, const ir::Expr& value);
  void take(int target, const ast::Equation& eq, const std::vector<ir::Expr>& subs, const std::vector<int>& groups,
            const ir::Expr& value);
  bool never_empty(const Index& index, const Place& place);
  std::string extremum_reducer(ir::ScalarType type);
  std::string fresh_name(std::string name) const;

  ir::Expr right_side(const ast::Right& right, const Tensor& target, std::string& reducer);
  bool reducible(const std::string& reducer, const ast::Expr& body, const ir::Expr& value);
  ir::Stage stage_row(const Tensor& t, const ast::Equation& eq, const std::string& reducer);
  void finish(int target, const ast::Equation& eq, std::vector<ir::Expr> subs, const std::vector<int>& groups,
              ir::Expr value, const std::string& reducer);
  bool covers(const Tensor& target, const std::vector<ir::Expr>& subs, const ast::Ref& left);
  void undefined_results();
  Diagnostic unsupported(const std::string& what, const Place& place) const;

  // --- ranges.cpp ----------------------------------------------------------------------------------------------------
  bool resolve_ranges();
  bool infer(Index& index);
  bool runs_over_its_pack(Index& index) const;
  bool show_reads();
  bool show(const Access& access, size_t sub);
  bool trivially_inside(const ir::Expr& sub, const ir::BoxDim& box) const;
  ir::Facts facts_at(const Access& access) const;
  bool defer(const Access& access, size_t sub) const;
  bool mentions_const(const ir::Expr& e) const;
  Diagnostic outside(const Access& access, size_t sub, const ir::Facts& facts, bool low, bool high) const;
  std::string required(const ir::Expr& sub, const ir::BoxDim& box, const ir::Facts& facts, bool low, bool high) const;
  const Index* index_of(const ir::Expr& e) const;
  std::string text(const ir::Expr& e) const;

  // --- checks.cpp: checks on data ------------------------------------------------------------------------------------
  bool depends_on_data(const ir::Expr& e) const;
  void check_data(const Access& access, size_t sub);
  void check_ranges_of_data();
  ir::Expr inside_by_data(const ir::Expr& sub, const ir::BoxDim& box, bool guarded) const;
  void add_check(const ir::Expr& condition, const std::string& text, const Place& place);
  ir::Expr guard_of(const Access& access) const;
  void check_arithmetic(const Access& access, size_t k);
  void bound_operands(const ir::Expr& condition, const Place& place);
  ir::Expr tried(const ir::Expr& e) const;
  void add_equation(ir::Equation equation);

  const Module& module_;
  const ast::OpItem& item_;
  const Instance& instance_;
  OpCheckOptions options_;
  Diagnostics found_;
  CheckedOp result_;
  ir::Program& frame_;

  std::map<std::string, ir::ScalarType> types_;
  std::unordered_map<std::string, Named> names_;
  std::map<std::string, Pack> packs_;
  std::vector<Tensor> tensors_;
  std::vector<LetDim> lets_;
  std::unordered_map<std::string, Place> later_;  ///< stages that a later equation defines
  std::vector<std::pair<ir::SymbolId, Place>> dim_uses_;
  bool makes_dims_ = false;  ///< reading the shape of an input: an unknown bare name is a new dim
  bool in_body_ = false;
  bool in_requirement_ = false;
  std::map<std::pair<bool, ir::ScalarType>, std::string> extrema_;  ///< reducers of argmax (true) and argmin by type
  ir::Facts facts_;
  Scope scope_;
  ScanState scan_;
  std::vector<ir::StmtForm> first_checks_;  ///< hoisted before the first write
  std::vector<ir::StmtForm> stage_checks_;  ///< before the stage at hand
};

}  // namespace heddle::frontend
