#include "support/stop.h"

#include <gtest/gtest.h>

#include <thread>

namespace heddle {
namespace {

// Whether work of a second is stopped early.
bool stopped(bool& by_time) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  try {
    while (std::chrono::steady_clock::now() < end) stop_point();
  } catch (const Stopped& s) {
    by_time = s.by_time;
    return true;
  }
  return false;
}

TEST(Stop, NothingStopsWorkWithoutARule) {
  EXPECT_EQ(stop_rule(), nullptr);
  for (int i = 0; i < 1000; ++i) stop_point();
  stop_point_now();
}

TEST(Stop, ADeadlineOrAnAnswer) {
  bool by_time = false;
  StopRule limit;
  limit.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  {
    StopScope scope(limit);
    EXPECT_TRUE(stopped(by_time));
    EXPECT_TRUE(by_time);
  }
  int asked = 0;
  StopRule answer;
  answer.asked = [&] { return ++asked == 3; };
  {
    StopScope scope(answer);
    EXPECT_TRUE(stopped(by_time));
    EXPECT_FALSE(by_time);
    EXPECT_EQ(asked, 3);
  }
  EXPECT_EQ(stop_rule(), nullptr);
}

TEST(Stop, RulesAreOfAThreadAndNest) {
  StopRule outer, inner;
  outer.asked = [] { return true; };
  StopScope scope(outer);
  {
    StopScope nested(inner);
    EXPECT_EQ(stop_rule(), &inner);
    EXPECT_NO_THROW(stop_point_now());
  }
  EXPECT_THROW(stop_point_now(), Stopped);
  std::thread([] {
    EXPECT_EQ(stop_rule(), nullptr);
    EXPECT_NO_THROW(stop_point_now());
  }).join();
}

}  // namespace
}  // namespace heddle
