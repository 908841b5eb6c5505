#include "jit/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "support/bytes.h"
#include "support/sha256.h"

namespace heddle::jit {
namespace {

constexpr std::string_view magic = "heddle cache 1\n";
// A file beyond this is none of ours: the largest kernels take some hundred KB.
constexpr int64_t largest_file = int64_t{64} << 20;
// Waiting to be stored beyond this, entries are dropped: a disk that slow is no help.
constexpr size_t waiting_bytes = size_t{64} << 20;
// A file's time of use is written at most this often.
constexpr time_t touch_after = 3600;

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

bool only_ours(const struct stat& s) { return s.st_uid == ::geteuid() && (s.st_mode & (S_IWGRP | S_IWOTH)) == 0; }

bool is_entry(std::string_view name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}
bool is_staged(std::string_view name) { return name.starts_with("new."); }

std::string file_of(const std::string& key, const std::string& content) {
  ByteWriter out;
  out.text(key);
  out.put(sha256(content));
  out.text(content);
  return std::string(magic) + out.take();
}

// The content, where the file is whole and of this key.
std::optional<std::string> content_of(std::string_view file, const std::string& key) {
  if (!file.starts_with(magic)) return {};
  ByteReader in(file.substr(magic.size()));
  std::string_view stored = in.text();
  const Digest digest = in.get<Digest>();
  std::string_view content = in.text();
  if (!in.done() || stored != key || sha256(content) != digest) return {};
  return std::string(content);
}

std::optional<std::string> read_file(int folder, const std::string& name) {
  File file(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  struct stat s;
  if (!file || ::fstat(file.fd(), &s) != 0 || !S_ISREG(s.st_mode) || !only_ours(s) || s.st_size > largest_file)
    return {};
  std::string bytes(s.st_size, 0);
  size_t got = 0;
  while (got < bytes.size()) {
    ssize_t n = ::read(file.fd(), bytes.data() + got, bytes.size() - got);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += n;
  }
  bytes.resize(got);
  if (::time(nullptr) - s.st_mtime > touch_after) ::futimens(file.fd(), nullptr);
  return bytes;
}

bool write_file(int folder, const std::string& staged, const std::string& bytes) {
  File file(::openat(folder, staged.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return false;
  for (size_t put = 0; put < bytes.size();) {
    ssize_t n = ::write(file.fd(), bytes.data() + put, bytes.size() - put);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    put += n;
  }
  return ::fsync(file.fd()) == 0;
}

struct Entry {
  std::string name;
  int64_t bytes;
  time_t used;
};

std::vector<Entry> entries_of(int folder) {
  std::vector<Entry> out;
  int copy = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* list = copy < 0 ? nullptr : ::fdopendir(copy);
  if (!list) {
    if (copy >= 0) ::close(copy);
    return out;
  }
  while (dirent* e = ::readdir(list)) {
    struct stat s;
    if ((!is_entry(e->d_name) && !is_staged(e->d_name)) || ::fstatat(folder, e->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    // What a process left behind when it died while writing.
    if (is_staged(e->d_name) && ::time(nullptr) - s.st_mtime > touch_after) ::unlinkat(folder, e->d_name, 0);
    else if (is_entry(e->d_name)) out.push_back({e->d_name, s.st_size, s.st_mtime});
  }
  ::closedir(list);
  return out;
}

// Makes a folder and those around it, for this user alone.
bool make_folders(const std::string& path) {
  for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
    ::mkdir(path.substr(0, at).c_str(), 0700);
  return ::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST;
}

}  // namespace

struct DiskCache::State {
  State(int fd, int64_t cap) : folder(fd), capacity(cap), owner(::getpid()) {}
  ~State() {
    finish();
    ::close(folder);
  }

  struct Job {
    std::string key, content;
  };
  const int folder;
  const int64_t capacity;
  const pid_t owner;
  std::atomic<int64_t> hits = 0, misses = 0, stored = 0;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> jobs;
  size_t waiting = 0;
  bool busy = false, ending = false;
  std::thread writer;
  int64_t bytes = -1;  // of all entries, as far as known; -1: not counted yet
  uint64_t made = 0;

  void add(Job job) {
    // A child of fork has no writer; what it compiles is not kept.
    if (::getpid() != owner) return;
    std::lock_guard lock(mutex);
    if (ending || waiting + job.content.size() > waiting_bytes) return;
    waiting += job.content.size();
    jobs.push_back(std::move(job));
    if (!writer.joinable()) writer = std::thread([this] { run(); });
    changed.notify_all();
  }

  void run() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return ending || !jobs.empty(); });
      if (jobs.empty()) return;
      Job job = std::move(jobs.front());
      jobs.pop_front();
      waiting -= job.content.size();
      busy = true;
      lock.unlock();
      write(job);
      lock.lock();
      busy = false;
      changed.notify_all();
    }
  }

  void wait() {
    if (::getpid() != owner) return;
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return jobs.empty() && !busy; });
  }

  void finish() {
    if (::getpid() != owner) {
      writer.detach();  // the parent's
      return;
    }
    {
      std::lock_guard lock(mutex);
      ending = true;
      changed.notify_all();
    }
    if (writer.joinable()) writer.join();
  }

  void write(const Job& job) {
    const std::string name = hex(sha256(job.key));
    const std::string staged = "new." + std::to_string(owner) + "." + std::to_string(made++);
    const std::string file = file_of(job.key, job.content);
    if (static_cast<int64_t>(file.size()) > std::min(largest_file, capacity)) return;
    if (!write_file(folder, staged, file) || ::renameat(folder, staged.c_str(), folder, name.c_str()) != 0) {
      ::unlinkat(folder, staged.c_str(), 0);
      return;
    }
    ++stored;
    if (bytes >= 0) bytes += static_cast<int64_t>(file.size());
    if (bytes < 0 || bytes > capacity) evict();
  }

  // Down to three quarters of the capacity when it is passed, so that not each new entry has to look.
  void evict() {
    std::vector<Entry> all = entries_of(folder);
    bytes = 0;
    for (const Entry& e : all) bytes += e.bytes;
    if (bytes <= capacity) return;
    std::sort(all.begin(), all.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
    for (const Entry& e : all) {
      if (bytes <= capacity / 4 * 3) break;
      if (::unlinkat(folder, e.name.c_str(), 0) == 0) bytes -= e.bytes;
    }
  }
};

DiskCache::DiskCache(std::string why_off) : why_off_(std::move(why_off)) {}
DiskCache::~DiskCache() = default;
DiskCache::DiskCache(DiskCache&&) noexcept = default;
DiskCache& DiskCache::operator=(DiskCache&&) noexcept = default;

DiskCache DiskCache::open(const std::string& folder, int64_t capacity) {
  auto off = [&](const std::string& why) { return DiskCache("`" + folder + "` " + why); };
  if (folder.empty() || folder.front() != '/') return off("is no absolute path");
  if (!make_folders(folder)) return off(std::string("cannot be made: ") + std::strerror(errno));
  int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return off(errno == ELOOP || errno == ENOTDIR ? "is no folder" : "cannot be opened");
  struct stat s;
  if (::fstat(fd, &s) != 0 || !only_ours(s)) {
    ::close(fd);
    return off("belongs to another user, or others may write to it");
  }
  DiskCache out;
  out.folder_ = folder;
  out.state_ = std::make_unique<State>(fd, capacity);
  return out;
}

std::optional<std::string> DiskCache::find(const std::string& key) {
  if (!state_) return {};
  const std::string name = hex(sha256(key));
  std::optional<std::string> file = read_file(state_->folder, name), content;
  if (file) content = content_of(*file, key);
  if (file && !content) ::unlinkat(state_->folder, name.c_str(), 0);
  ++(content ? state_->hits : state_->misses);
  return content;
}

void DiskCache::store(std::string key, std::string content) {
  if (state_) state_->add({std::move(key), std::move(content)});
}

void DiskCache::flush() {
  if (state_) state_->wait();
}

DiskCache::Counts DiskCache::counts() const {
  if (!state_) return {};
  return {state_->hits, state_->misses, state_->stored};
}

}  // namespace heddle::jit
