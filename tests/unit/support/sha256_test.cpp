#include "support/sha256.h"

#include <gtest/gtest.h>

#include "support/bytes.h"

namespace heddle {
namespace {

// The vectors of FIPS 180-4, and lengths around the padding of a block (checked with another implementation).
TEST(Sha256, Vectors) {
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex(sha256(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Bytes, WhatIsWrittenIsRead) {
  ByteWriter out;
  out.put(int32_t{-7});
  out.text("seven");
  out.list(std::vector<int>{1, 2, 3}, [&](int i) { out.put(i); });
  const std::string bytes = out.take();
  ByteReader in(bytes);
  EXPECT_EQ(in.get<int32_t>(), -7);
  EXPECT_EQ(in.text(), "seven");
  int sum = 0;
  in.list([&] { sum += in.get<int>(); });
  EXPECT_EQ(sum, 6);
  EXPECT_TRUE(in.done());
}

TEST(Bytes, NothingIsReadPastTheEnd) {
  ByteWriter out;
  out.text("seven");
  const std::string bytes = out.take();
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    ByteReader in(std::string_view(bytes).substr(0, cut));
    EXPECT_EQ(in.text(), "") << cut;
    EXPECT_TRUE(in.broken());
    EXPECT_EQ(in.get<int64_t>(), 0);
  }
  const std::string many(8, '\xff');  // a list that claims 2^64 - 1 items ends at once
  ByteReader in(many);
  int items = 0;
  in.list([&] { ++items; });
  EXPECT_EQ(items, 0);
  EXPECT_TRUE(in.broken());
}

}  // namespace
}  // namespace heddle
