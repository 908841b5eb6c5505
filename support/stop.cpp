#include "support/stop.h"

namespace heddle {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto look_every = std::chrono::milliseconds(5);
constexpr unsigned calls_between_clocks = 32;

thread_local const StopRule* rule = nullptr;
thread_local unsigned calls = 0;
thread_local Clock::time_point looked;

}  // namespace

StopScope::StopScope(const StopRule& r) : before_(rule) {
  rule = &r;
  calls = 0;
}

StopScope::~StopScope() { rule = before_; }

const StopRule* stop_rule() { return rule; }

void stop_point_now() {
  if (!rule) return;
  looked = Clock::now();
  if (rule->deadline && looked >= *rule->deadline) throw Stopped(true);
  if (rule->asked && rule->asked()) throw Stopped(false);
}

void stop_point() {
  if (!rule || ++calls % calls_between_clocks) return;
  if (Clock::now() - looked >= look_every) stop_point_now();
}

}  // namespace heddle
