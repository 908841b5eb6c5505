// A folder of results that later processes find again: machine code by its program, programs by their source (api/store.cpp has the
// keys). Whatever its files hold, a lookup answers with what this build stored under this very key, or with nothing.
//
// One file for each entry, named by the SHA-256 of the key's text. It holds the whole key, which is compared on a hit, and a digest of
// the content. It is written beside its place, synced and renamed, by a thread of its own, so that no compile waits for a disk.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace heddle::jit {

class DiskCache {
 public:
  /// Off: finds nothing and stores nothing.
  explicit DiskCache(std::string why_off = "");
  /// Uses `folder`, made where it does not exist; off where that cannot be, or where the folder is not this user's alone. Files are kept up to
  /// `capacity` bytes, those longest unused go first.
  static DiskCache open(const std::string& folder, int64_t capacity);
  ~DiskCache();
  DiskCache(DiskCache&&) noexcept;
  DiskCache& operator=(DiskCache&&) noexcept;

  bool on() const { return state_ != nullptr; }
  const std::string& why_off() const { return why_off_; }
  const std::string& folder() const { return folder_; }

  /// The content stored under a key.
  std::optional<std::string> find(const std::string& key);
  /// Stores in the background; what cannot be stored is not.
  void store(std::string key, std::string content);
  /// Waits until everything is stored.
  void flush();

  struct Counts {
    int64_t hits = 0, misses = 0, stored = 0;
  };
  Counts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string folder_, why_off_;
};

}  // namespace heddle::jit
