// How an array parameter with a layout lies in memory, and bringing an array of the caller's into that order.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ir/digits.h"
#include "support/bytes.h"
#include "support/result.h"

namespace heddle::jit {

struct ArrayArg;

class Packing {
 public:
  /// Refused where the layout is not made of digits, or an axis of the array is made of several dims of run-time extent.
  static Result<Packing> make(const ir::Program& program, const ir::Buffer& buffer);

  void write(ByteWriter& out) const;
  static std::optional<Packing> read(ByteReader& in);
  size_t axes() const { return groups_.size(); }

  /// The same for arrays that lie in the same way: type, order of digits, pad.
  const std::string& text() const { return text_; }

  /// Elements of the packed array of one with these extents (of its own axes); false past 64 bits.
  bool elements(const int64_t* extents, int64_t& out) const;

  /// Runs `work` over the stretches of 0 .. n, all of them before it returns.
  using Split = std::function<void(int64_t n, const std::function<void(int64_t, int64_t)>& work)>;
  /// Packs into `to`; what the layout adds holds the pad.
  void pack(const ArrayArg& from, void* to, const Split& split) const;

 private:
  Packing() = default;
  struct Dims {
    std::vector<int64_t> extents, strides;  // of the logical dims
  };
  bool extents(const int64_t* axes, std::vector<int64_t>& out) const;

  int bytes_ = 4;                   // of an element
  std::vector<int64_t> constants_;  // of each logical dim its extent where it is constant, else -1
  std::vector<int> groups_;         // logical dims of each array axis
  std::vector<ir::Digit> digits_;
  uint64_t pad_ = 0;  // bits of an element
  std::string text_;
};

}  // namespace heddle::jit
