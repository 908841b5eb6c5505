// A module: checked ops with their schedules, derived steps, reducers, instructions and programs, from one or more
// texts.
//
// A module is a value: copies share their parts, and adding text makes a new module. Ops are checked when the module is
// made: their dims and consts symbolic, their generics for each type of the class, their packs of rank 1. Types, consts
// and ranks are chosen later, by `instantiate`.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "frontend/ast.h"
#include "ir/op.h"
#include "ir/step_call.h"
#include "support/result.h"

namespace heddle::frontend {

/// A parameter or result as callers see it, before types are chosen.
struct SignatureParam {
  enum class Kind { array, inout, scalar, constant };
  std::string name;
  Kind kind = Kind::array;
  std::string type_text;                 ///< as written: "T", "f32", "int"
  std::optional<ir::ScalarType> type;    ///< known unless the text names a generic
  std::vector<std::string> dims;         ///< one text for each array axis: "rows", "(g, cg)", "rows + 1", "...r"
  int fixed_rank = 0;                    ///< array axes that are no packs
  std::vector<std::string> packs;        ///< names of the packs among the dims
  std::string default_text;              ///< of a scalar or const; empty = none
  std::optional<int64_t> default_const;  ///< of a const
  Place place;
};

struct GenericParam {
  std::string name, cls;
};

struct OpSignature {
  std::vector<GenericParam> generics;
  std::vector<SignatureParam> params;  ///< in the order of declaration
  std::vector<SignatureParam> results;
};

/// What is chosen for a program of an op.
struct Instance {
  std::map<std::string, ir::ScalarType> types;  ///< for each generic
  std::map<std::string, int64_t> consts;        ///< defaults need not stand here; a bool is 0 or 1
  std::map<std::string, int> packs;             ///< rank of each `...r`
};

struct Module;

struct ModuleOp {
  std::shared_ptr<const ast::OpItem> item;
  OpSignature signature;
  /// The definition check has shown every read inside for these consts (symbolic ones are absent) and packs of rank 1;
  /// only other choices are shown anew.
  bool broken = false;  ///< its definition check has failed: calls of it say nothing more
  bool bounds_shown = false;
  std::map<std::string, int64_t> shown_consts;
  std::string full_name;               ///< of an imported op: "nn.softmax"
  std::shared_ptr<const Module> home;  ///< of an imported op: the module that its text speaks of
  const std::string& name() const { return full_name.empty() ? item->name.text : full_name; }
  const std::string& doc() const { return item->doc; }
};

struct Module {
  std::vector<std::shared_ptr<const ModuleOp>> ops;
  std::vector<std::shared_ptr<const ast::ReducerItem>> reducers;
  std::set<std::string> broken_reducers;  ///< refused: what uses one is silent about it
  std::vector<std::shared_ptr<const ast::InstrItem>> instrs;
  std::vector<std::shared_ptr<const ir::ScheduleText>> schedules;
  ir::DerivedSteps steps;
  std::vector<std::shared_ptr<const ast::ProgramItem>> programs;
  std::map<std::string, int64_t> lets;  ///< `let n = 4` of the text: constants of all its items
  std::map<std::string, std::shared_ptr<const ast::Expr>> typed_lets;  ///< `let eps = f32(1e-5)`
  /// What imports bring besides ops, schedules and steps, which stand among the others: reducers by their full names.
  std::map<std::string, std::shared_ptr<const ast::ReducerItem>> imported_reducers;

  const ModuleOp* op(const std::string& name) const;
  const ast::ReducerItem* reducer(const std::string& name) const;
  const ast::InstrItem* instr(const std::string& name) const;
  /// `softmax.rows`
  const ir::ScheduleText* schedule(const std::string& op, const std::string& name) const;
  std::vector<const ir::ScheduleText*> schedules_of(const std::string& op) const;
  const ir::DerivedStep* step(const std::string& name) const;
};

/// Whether the bounds of an op are to be shown for these choices, or the definition check has done so.
bool bounds_to_show(const ModuleOp& op, const Instance& instance);

/// The module that `import "PATH"` names, or why there is none. `from` is the import.
using Importer = std::function<Result<std::shared_ptr<const Module>>(const std::string& path, const Place& from)>;

/// The module of a text, added to `base` where one is given. All findings of the text together.
Result<Module> check_module(ast::Module text, const Module* base = nullptr, const Importer& importer = {});

/// Source text to module: parse and check.
Result<Module> read_module(const SourceRef& source, const Module* base = nullptr);

/// The op for chosen types, consts and ranks.
Result<ir::Op> instantiate(const Module& module, const std::string& op, const Instance& instance);

/// Puts an instruction's row, its symbols included, into a program (once), for `replace`.
Result<ir::Instr> add_instr(const Module& module, const std::string& name, ir::Program& program);

}  // namespace heddle::frontend
