// Arrays between pages that nobody may touch: a read or write outside stops the process at once.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "ir/interpret.h"

namespace heddle::fuzz {

class FencedArray {
 public:
  /// `at_end`: the last element touches the fence behind, else the first the one before. `steps`: how many places the elements of an
  /// axis lie apart beyond what the inner axes take, one for each axis; none for a dense array.
  FencedArray(ir::ScalarType type, std::vector<int64_t> extents, bool at_end, const std::vector<int64_t>& steps = {})
      : type_(type), extents_(std::move(extents)) {
    size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    strides_.assign(extents_.size(), 1);
    int64_t inside = 1, places = 1;
    for (size_t i = extents_.size(); i-- > 0;) {
      strides_[i] = inside + (steps.empty() ? 0 : steps[i]);
      inside = strides_[i] * std::max<int64_t>(extents_[i], 1);
      places += strides_[i] * (extents_[i] - 1);
      count_ *= extents_[i];
    }
    bytes_ = static_cast<size_t>(count_ == 0 ? 0 : places) * ir::scalar_bytes(type);
    size_t inner = (bytes_ + page - 1) / page * page;
    size_ = inner + 2 * page;
    map_ = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map_ == MAP_FAILED) throw std::bad_alloc();
    auto* first = static_cast<unsigned char*>(map_) + page;
    if (inner) mprotect(first, inner, PROT_READ | PROT_WRITE);
    data_ = at_end ? first + inner - bytes_ : first;
    if (inner) std::memset(first, 0xA5, inner);
  }
  ~FencedArray() {
    if (map_) munmap(map_, size_);
  }
  FencedArray(FencedArray&& other) noexcept { *this = std::move(other); }
  FencedArray& operator=(FencedArray&& other) noexcept {
    std::swap(type_, other.type_), std::swap(extents_, other.extents_), std::swap(strides_, other.strides_);
    std::swap(map_, other.map_), std::swap(size_, other.size_), std::swap(data_, other.data_),
        std::swap(bytes_, other.bytes_), std::swap(count_, other.count_);
    return *this;
  }

  unsigned char* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  int64_t count() const { return count_; }
  /// Where element `i`, counted row-major, lies among the places.
  int64_t place(int64_t i) const {
    int64_t at = 0;
    for (size_t d = extents_.size(); d-- > 0; i /= extents_[d]) at += i % extents_[d] * strides_[d];
    return at;
  }
  ir::ScalarType type() const { return type_; }
  const std::vector<int64_t>& extents() const { return extents_; }
  const std::vector<int64_t>& strides() const { return strides_; }
  ir::ArrayRef ref() const { return {type_, extents_, strides_, data_}; }
  std::vector<unsigned char> copy() const { return {data_, data_ + bytes_}; }

 private:
  ir::ScalarType type_ = ir::ScalarType::f32;
  std::vector<int64_t> extents_, strides_;
  void* map_ = nullptr;
  size_t size_ = 0, bytes_ = 0;
  int64_t count_ = 1;
  unsigned char* data_ = nullptr;
};

}  // namespace heddle::fuzz
