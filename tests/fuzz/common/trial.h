// One random op with arrays between fences, and the oracles that judge what is made of it: the interpreter on the canonical program, the
// interpreter on a state, compiled code at any level of the instruction set.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "frontend/module.h"
#include "ir/interpret.h"
#include "schedule/schedule.h"
#include "tests/fuzz/common/fenced.h"
#include "tests/fuzz/common/op_generator.h"

namespace heddle::fuzz {

/// What an oracle says: nothing when all is well, else which one spoke and what it saw.
struct Verdict {
  std::string oracle, what;
  bool fine() const { return oracle.empty(); }
};

class Trial {
 public:
  explicit Trial(Random& r) : r_(r) {}

  /// A random op, its canonical program, arrays, and the answers of the interpreter. A verdict of the oracle `rejected` means that the
  /// checker refused the generator's op.
  Verdict make();

  const RandomOp& op() const { return op_; }
  const ir::Program& canonical() const { return canonical_; }
  /// Steps of the op's schedule that are still to come.
  int given() const { return static_cast<int>(given_.size()); }

  /// A random step of the program, or the refusal; `call` is what was tried, `origin` the row that it counts for besides its own.
  Result<schedule::State> random_step(const ir::Program& program, ir::StepCall& call, std::string* origin = nullptr);
  Result<schedule::State> step(const ir::Program& program, const ir::StepCall& call) const;

  /// The invariants, and the printed text read back.
  Verdict well_formed(const ir::Program& program);
  /// The interpreter, with the parallelism that the program claims, against the canonical answers: the same bits while `exact`, else
  /// within the bounds of docs/numerics.md.
  Verdict interpreted(const ir::Program& program, bool exact);
  /// Machine code for a random level of the instruction set against the interpreter on the same program. `unproved`: refused, as the
  /// prover cannot show that the program stays in its memory.
  Verdict compiled(const ir::Program& program);

 private:
  bool make_arrays();
  bool spoil();
  void fill(FencedArray& a, const Fill* how);
  int64_t value(const ir::Expr& e) const;
  ir::Arguments arguments();
  void reset();
  std::vector<std::vector<unsigned char>> written();
  std::string differs(const std::vector<std::vector<unsigned char>>& want);
  bool is_free(size_t output, int64_t element);
  std::string outside();
  std::string input_changed() const;

  Random& r_;
  RandomOp op_;
  frontend::Module module_;
  std::vector<std::pair<ir::StepCall, std::string>>
      given_;  ///< of the op's schedule, those that are left, with their origin
  ir::Program canonical_;
  std::map<uint32_t, int64_t> dims_;  ///< extents of the run, by symbol
  std::vector<FencedArray> arrays_;
  std::vector<std::vector<unsigned char>> before_;  ///< what each array holds when a run begins
  std::vector<size_t> written_;                     ///< outputs and inouts
  std::vector<ir::ScalarValue> scalars_;
  std::vector<std::vector<unsigned char>> expected_;
  std::vector<ir::BoundedArray> bounded_;
  std::vector<std::vector<bool>>
      free_;            ///< elements that follow from the sign of a zero of `max` or `min`, once asked for
  bool stops_ = false;  ///< data is such that a check stops every run
};

}  // namespace heddle::fuzz
