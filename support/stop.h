// Ending long work early: a time limit, or someone who asks for it, such as Ctrl-C.
//
// Whoever starts the work puts a StopScope around it on the same thread; the work calls `stop_point()` in its long loops, which throws
// Stopped when it is time. What a stopped work leaves behind are values, so the process goes on as before.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <optional>

namespace heddle {

struct StopRule {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::function<bool()> asked;  ///< tested every few milliseconds; may be empty
};

/// Thrown by `stop_point`; caught where the rule was made.
struct Stopped : std::exception {
  explicit Stopped(bool by_time) : by_time(by_time) {}
  const char* what() const noexcept override { return by_time ? "the time limit has passed" : "stopped"; }
  bool by_time;
};

class StopScope {
 public:
  explicit StopScope(const StopRule& rule);
  ~StopScope();
  StopScope(const StopScope&) = delete;
  StopScope& operator=(const StopScope&) = delete;

 private:
  const StopRule* before_;
};

/// Throws Stopped when this thread's rule says so. Cheap: the rule is looked at every few milliseconds.
void stop_point();
/// The same, looking at once.
void stop_point_now();
/// This thread's rule, or null: to hand it on to a thread that works for this one.
const StopRule* stop_rule();

}  // namespace heddle
