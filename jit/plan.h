// What a call does before the kernel runs: values of the dims from the arrays' extents, every check of an argument, the words of
// the ABI. Made once per kernel from its program; a call walks flat tables and allocates nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/host/abi.h"
#include "ir/program.h"
#include "jit/index_code.h"
#include "jit/packing.h"
#include "support/bytes.h"
#include "support/result.h"

namespace heddle::jit {

/// An array argument as the caller has it. Strides are in elements, of the array's own axes.
struct ArrayArg {
  ir::ScalarType type = ir::ScalarType::f32;
  int rank = 0;
  const int64_t* extents = nullptr;
  const int64_t* strides = nullptr;
  void* data = nullptr;
  bool readonly = false;
  /// How the data is packed (Packing::text), or none: extents and strides are those that the array had, the data lies otherwise.
  const std::string* packed = nullptr;
};

/// A scalar argument: floats in `real`, integers in `integer`.
struct ScalarArg {
  double real = 0;
  int64_t integer = 0;
};

/// Failures of a call, by argument; `explain` turns one into a diagnostic.
struct CallError {
  enum Kind : uint8_t {
    none,
    rank,
    type,
    extent,
    unsolvable,
    requirement,
    overflow,
    readonly_output,
    overlap,
    misaligned,
    null_data,
    not_packed,    ///< a packed operand for a parameter that takes arrays as they are
    packed_apart,  ///< packed in another way
    check
  } kind = none;
  int argument = -1;  ///< index among the array parameters
  int axis = -1;
  int other = -1;  ///< a second argument, or the requirement
  int64_t seen = 0, expected = 0;
};

class CallPlan {
 public:
  static Result<CallPlan> make(const ir::Program& program);
  /// As bytes and back, for the cache on disk.
  void write(ByteWriter& out) const;
  static std::optional<CallPlan> read(ByteReader& in);

  int array_count() const { return static_cast<int>(arrays_.size()); }
  int scalar_count() const { return static_cast<int>(scalars_.size()); }
  int words() const { return words_; }
  int dim_count() const { return static_cast<int>(dims_.size()); }

  /// Dims from the extents of the inputs (outputs whose data is null are not looked at), then every check, then the words.
  /// `arrays` are all array parameters in order. The flag of an array whose inner stride is not 1 is set in `strided`.
  CallError bind(const ArrayArg* arrays, const ScalarArg* scalars, int64_t* dims, uint64_t* words,
                 uint64_t& strided) const;
  /// Dims only, from the inputs: to allocate outputs or to test a `where`.
  CallError bind_dims(const ArrayArg* arrays, int64_t* dims) const;
  /// The extents of array parameter `index` for bound dims.
  bool extents(int index, const int64_t* dims, std::vector<int64_t>& out) const;

  Diagnostic explain(const CallError& error, const ArrayArg* arrays) const;
  Diagnostic explain_check(const std::string& text, const host::CheckReport& report) const;

  struct ArrayRow {
    std::string name;
    ir::ScalarType type;
    ir::Role role;
    int word = 0;
    std::vector<IndexCode> axes;    ///< the expected extent of each array axis
    std::vector<int> simple;        ///< of each axis: the dim it equals, or -1
    std::vector<std::string> text;  ///< of each axis, for messages
    std::optional<Packing> packing;
    uint64_t in_place = 0;  ///< of an output: the inputs, by index, whose array it may be
  };
  struct ScalarRow {
    std::string name;
    ir::ScalarType type;
    int word = 0;
    bool has_default = false;
    ScalarArg default_value;
  };
  const std::vector<ArrayRow>& arrays() const { return arrays_; }
  bool packs() const { return packs_; }  ///< some input has a layout
  const std::vector<ScalarRow>& scalars() const { return scalars_; }
  const std::vector<ir::SymbolId>& dim_symbols() const { return symbols_; }
  const std::vector<std::string>& dim_names() const { return dim_names_; }

 private:
  struct DimRow {
    int array = -1;  ///< -1: a `let`
    int axis = 0;
    bool simple = false;  ///< offset 0, divisor 1
    IndexCode offset, divisor, value;
  };
  struct RequirementRow {
    IndexCode condition;
    std::string text;
    bool of_scalars = false;  ///< its symbols are the dims, then the scalars
  };
  /// One term of a bound on the program's index values (ir/magnitude.h).
  struct MagnitudeRow {
    double coefficient = 0;
    std::vector<int> dims;
  };
  bool indices_fit(const int64_t* dims) const;
  /// The first requirement that does not hold; without scalars those that speak of them are left out.
  CallError unmet(const int64_t* dims, const ScalarArg* scalars) const;
  CallError overlaps(const ArrayArg* arrays) const;
  std::vector<ArrayRow> arrays_;
  std::vector<ScalarRow> scalars_;
  std::vector<ir::SymbolId> symbols_;
  std::vector<std::string> dim_names_;
  std::vector<DimRow> dims_;
  std::vector<int> dim_words_;
  std::vector<RequirementRow> requirements_;
  std::vector<MagnitudeRow> magnitude_;
  int words_ = 0;
  bool packs_ = false;
};

}  // namespace heddle::jit
