// Values as bytes and back, for files that a later process of the same build reads. Reading never goes past the end: a reader that was
// asked for more than there is stays `broken`.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace heddle {

class ByteWriter {
 public:
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void put(const T& value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view s) {
    put(uint64_t{s.size()});
    out_.append(s);
  }
  /// The number of a list's items, then each by `write(item)`.
  template <class List, class F>
  void list(const List& items, F write) {
    put(uint64_t{items.size()});
    for (const auto& item : items) write(item);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : left_(bytes) {}
  bool broken() const { return broken_; }
  bool done() const { return !broken_ && left_.empty(); }

  template <class T>
    requires std::is_trivially_copyable_v<T>
  T get() {
    T value{};
    if (need(sizeof value)) {
      std::memcpy(&value, left_.data(), sizeof value);
      left_.remove_prefix(sizeof value);
    }
    return value;
  }
  std::string_view text() {
    const uint64_t size = get<uint64_t>();
    if (!need(size)) return {};
    std::string_view out = left_.substr(0, size);
    left_.remove_prefix(size);
    return out;
  }
  /// Calls `read()` once for each item of a list; an item takes at least a byte, so a false count ends soon.
  template <class F>
  void list(F read) {
    const uint64_t count = get<uint64_t>();
    for (uint64_t i = 0; i < count && need(1); ++i) read();
  }

 private:
  bool need(uint64_t bytes) {
    broken_ |= bytes > left_.size();
    return !broken_;
  }
  std::string_view left_;
  bool broken_ = false;
};

}  // namespace heddle
